from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeagent.errors import DamagedError
from edgeagent.sim.compare import compare, compare_faults
from edgeagent.sim.message import JSON, Message, Value, Via
from edgeagent.sim.truth import Truth, nearest_rank
from edgeagent.sim.truth_file import end_lines, told, window_line
from edgeagent.wire.messages import Summary

RANKS = (0, 500, 950, 1000)


def message(*values, topic="t", fault=""):
    return Message(0, Via.MQTT, topic, b"", JSON, tuple(values), fault)


def value(number, time, field="f"):
    return Value(field, "", Decimal(number), time)


def summary(window, **changed):
    """What a guest that does everything right says of a window."""
    first = window.min
    mean = Fraction(window.sum) / window.count
    sq = window.count * (window.variance + (mean - Fraction(first)) ** 2)
    source, field, unit = window.series
    exact = Summary(
        out=1,
        seq=1,
        source=source,
        field=field,
        unit=unit,
        start=window.start,
        length=window.length,
        count=window.count,
        min=window.min,
        max=window.max,
        sum=window.sum,
        first=first,
        last=window.last,
        sq=Decimal(sq.numerator) / sq.denominator,
        quantiles=tuple(window.quantiles[rank] for rank in RANKS),
        error=10,
        skipped=0,
        flags=0,
    )
    return replace(exact, **changed)


def test_windows_are_aligned_and_separate():
    truth = Truth(1000, RANKS)
    truth.add(message(value("1.5", 1999), value("7", 2000)))
    truth.add(message(value("2.5", 1000), value("9", 1500, "g")))
    windows = {(w.series[1], w.start): w for w in truth.closed()}
    assert sorted(windows) == [("f", 1000), ("f", 2000), ("g", 1000)]
    first = windows["f", 1000]
    assert (first.count, first.min, first.max, first.sum) == (2, Decimal("1.5"), Decimal("2.5"), 4)
    assert first.last == Decimal("1.5")  # the newest event, though it arrived first
    assert first.mean == 2
    assert first.variance == Fraction(1, 4)
    assert (truth.payloads, truth.values) == (2, 4)
    assert not [*truth.closed()]


def test_closed_gives_only_what_has_ended():
    truth = Truth(1000, RANKS)
    truth.add(message(value("1", 0), value("1", 1000), value("1", 2000)))
    assert [w.start for w in truth.closed(2000)] == [0, 1000]
    assert [w.start for w in truth.closed()] == [2000]


def test_of_equal_times_the_last_one_counts():
    truth = Truth(1000, RANKS)
    truth.add(message(value("1", 5), value("2", 5), value("3", 4)))
    assert next(truth.closed()).last == 2


@given(st.lists(st.decimals(-(10**6), 10**6, places=3), min_size=1, max_size=80))
def test_windows_agree_with_numpy(numbers):
    truth = Truth(1000, RANKS)
    truth.add(message(*(value(number, 10) for number in numbers)))
    window = next(truth.closed())
    floats = np.array([float(number) for number in numbers])
    assert window.count == len(numbers)
    assert float(window.mean) == pytest.approx(floats.mean(), abs=1e-6)
    assert float(window.variance) == pytest.approx(floats.var(), rel=1e-6, abs=1e-6)
    for rank in RANKS:
        assert float(window.quantiles[rank]) == np.quantile(floats, rank / 1000, method="inverted_cdf")


@given(st.integers(1, 3000), st.integers(0, 1000))
def test_nearest_rank_is_the_first_that_enough_are_not_above(size, rank):
    found = int(nearest_rank([Decimal(n) for n in range(1, size + 1)], rank))
    assert found * 1000 >= rank * size
    assert found == 1 or (found - 1) * 1000 < rank * size


def bare(number):
    return message(Value("", "", Decimal(number), None), topic="bare")


@pytest.fixture
def truth():
    truth = Truth(1000, RANKS)
    for time in range(0, 5000, 70):
        truth.add(message(value(Decimal(time % 13) / 4, time)))
    for number in ("1.5", "-2", "4"):
        truth.add(bare(number))
    truth.add(message(fault="unreadable"))
    return truth


def test_file_gives_back_what_was_written(truth):
    windows = [*truth.closed()]
    lines = [*map(window_line, windows), *end_lines(truth)]
    read = told(lines, "f")
    assert read.windows == windows
    assert read.totals == [*truth.totals()]
    assert (read.payloads, read.values, read.faults) == (truth.payloads, truth.values, {"unreadable": 1})


@pytest.mark.parametrize("lines", [[], ["{"], ["[]"], ['{"window": ["a", "", ""]}'], ['{"end": 99}']])
def test_a_file_that_is_not_whole_is_refused(lines):
    with pytest.raises(DamagedError, match="f: "):
        told(lines, "f")


def arrivals():
    window = Truth(1000, RANKS)
    window.add(message(value("1.5", 0, ""), value("-2", 1, ""), value("4", 1200, ""), topic="bare"))
    return [summary(one) for one in window.closed()]


def test_the_right_rows_agree(truth):
    windows = [*truth.closed()]
    rows = [*map(summary, windows), *arrivals()]
    assert compare(windows, truth.totals(), reversed(rows), RANKS) == []


@pytest.mark.parametrize(
    ("changed", "kind"),
    [
        ({"count": 99}, "count"),
        ({"min": Decimal("-0.01")}, "min"),
        ({"max": Decimal("3.01")}, "max"),
        ({"sum": Decimal(0)}, "sum"),
        ({"last": Decimal("2.125")}, "last"),
        ({"sq": Decimal(0)}, "variance"),
        ({"length": 2000}, "length"),
        ({"error": 11}, "quantile error"),
        ({"quantiles": (Decimal(0), Decimal("1.99"), Decimal(3), Decimal(3))}, "quantile 500"),
        ({"field": "g"}, "missing extra"),
        ({"start": 77000}, "missing extra"),
    ],
)
def test_a_wrong_row_is_named(truth, changed, kind):
    windows = [*truth.closed()]
    rows = [*map(summary, windows), *arrivals()]
    rows[2] = replace(rows[2], **changed)
    found = compare(windows, truth.totals(), rows, RANKS)
    assert set(kind.split()) <= {one.kind for one in found} or kind in {one.kind for one in found}
    assert all(str(one) for one in found)


def test_missing_and_doubled_are_named(truth):
    windows = [*truth.closed()]
    rows = [*map(summary, windows), *arrivals()]
    assert [d.kind for d in compare(windows, truth.totals(), rows[1:], RANKS)] == ["missing"]
    assert [d.kind for d in compare(windows, truth.totals(), [*rows, rows[0]], RANKS)] == ["doubled"]
    assert [d.kind for d in compare(windows, truth.totals(), [*rows, rows[-1]], RANKS)] == [
        "doubled",
        "count",
        "sum",
    ]
    assert [d.kind for d in compare(windows, truth.totals(), rows[:-2], RANKS)] == ["missing"]


def test_quantiles_have_their_bound(truth):
    windows = [*truth.closed()]
    rows = [summary(w, quantiles=tuple(q * Decimal("1.01") for q in w.quantiles.values())) for w in windows]
    assert compare(windows, [], rows, RANKS) == []
    rows = [summary(w, quantiles=tuple(q * Decimal("1.0101") for q in w.quantiles.values())) for w in windows]
    assert compare(windows, [], rows, RANKS)


def test_faults_are_compared_by_class():
    sent = {"unreadable": 3, "no-number": 1}
    assert compare_faults(sent, {"malformed-json": 2, "not-utf8": 1, "empty": 1}) == []
    assert compare_faults(sent, {"malformed-json": 3, "empty": 1, "late": 2}) == [
        "late: 0 were sent, 2 reported"
    ]
    assert compare_faults(sent, {"malformed-json": 3}) == ["no-number: 1 were sent, 0 reported"]
