"""Nothing is refused silently: every reason, every bound, and the formats that select a reader."""

from __future__ import annotations

import random
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from edgeagent.wire import cbor, messages
from edgeagent.wire.frame import FrameType
from edgeagent.wire.messages import Reason
from tests.guest import native

NOW = 1_700_000_000_000


def outcome(
    config: dict[str, Any], *readings: tuple[int, bytes | str, str], content_format: int = 65535
) -> tuple[list[messages.Summary], list[messages.Report], list[messages.Reject]]:
    """Readings at ms after NOW, with a tick every second between them, and a drain."""
    frames: list[bytes] = []
    now = 0
    for at, payload, topic in readings:
        while now + 1000 <= at:
            now += 1000
            frames.append(messages.tick(len(frames) + 1, NOW + now))
        now = at
        frames.append(
            native.reading(len(frames) + 1, NOW + at, payload, topic=topic, content_format=content_format)
        )
    end = messages.drain(len(frames) + 1, NOW + now)
    done = native.run([native.hello(config, memory=64 << 20), *frames, end])
    assert done.panic == ""
    said = done.messages(FrameType.SUMMARY, FrameType.REPORT, FrameType.REJECT)
    return (
        [m for m in said if isinstance(m, messages.Summary)],
        [m for m in said if isinstance(m, messages.Report)],
        [m for m in said if isinstance(m, messages.Reject)],
    )


def reasons(config: dict[str, Any], *readings: tuple[int, bytes | str, str]) -> dict[Reason, int]:
    counted: dict[Reason, int] = {}
    for report in outcome(config, *readings)[1]:
        for reason, count in report.reasons.items():
            counted[Reason(reason)] = counted.get(Reason(reason), 0) + count
    return counted


def test_series_limit() -> None:
    assert reasons({"series": 2}, (0, '{"a":1,"b":2,"c":3}', "t")) == {Reason.SERIES_LIMIT: 1}


def test_an_idle_series_gives_its_place() -> None:
    config = {"series": 1, "window": 1000, "lateness": 0}
    summaries, reports, _ = outcome(config, (0, "1", "a"), (5000, "2", "b"), (9000, "3", "a"))
    assert [(m.source, m.sum) for m in summaries] == [("a", 1), ("b", 2), ("a", 3)]
    assert all(not report.reasons for report in reports)


def test_window_limit() -> None:
    config = {"windows": 1, "lateness": 60_000}
    assert reasons(config, (0, "1", "t"), (60_000, "1", "t")) == {Reason.WINDOW_LIMIT: 1}


def test_strings_are_bounded_too() -> None:
    # 4 blocks of 28 bytes a series and 64 more: topics of 1,000 bytes exhaust them before the series do.
    readings = [(0, "1", f"{i:0>1000}") for i in range(20)]
    counted = reasons({"series": 20}, *readings)
    assert counted == {Reason.SERIES_LIMIT: 16}


def test_late_and_ahead() -> None:
    config = {"window": 10_000, "lateness": 0, "ahead": 25_000, "times": ["t"]}
    times = [0, 20_000, 20_001, 5_000, 26_000]
    readings = [(0, f'{{"v":1,"t":{NOW + t}}}', "t") for t in times]
    assert reasons(config, *readings) == {Reason.LATE: 1, Reason.AHEAD: 1}


def test_nothing_is_ahead_of_a_clock_that_is_not_set() -> None:
    years = 10**11
    payload = f'{{"v":1,"t":{NOW + years}}}'
    frames = [native.hello({"ahead": 1000, "times": ["t"]}), native.reading(1, NOW, payload, flags=1)]
    done = native.run([*frames, native.reading(2, NOW, payload), messages.drain(3, NOW)])
    (report,) = done.messages(FrameType.REPORT)
    assert isinstance(report, messages.Report)
    assert (report.values, dict(report.reasons)) == (1, {Reason.AHEAD: 1})


def test_a_topic_that_is_no_text_is_counted() -> None:
    frame = messages.reading(1, NOW, 0, 0, b"\x42\xff\xfe", b"1")
    done = native.run([native.hello(), frame, messages.drain(2, NOW)])
    (report,) = done.messages(FrameType.REPORT)
    assert isinstance(report, messages.Report)
    assert dict(report.reasons) == {Reason.NOT_UTF8: 1}


@pytest.mark.parametrize(
    ("payload", "reason", "offset"),
    [
        (b"", Reason.EMPTY, 0),
        (b" \n", Reason.EMPTY, 0),
        (b"ON", Reason.NO_NUMBER, 2),
        (b"true", Reason.NO_NUMBER, 4),
        (b"\xff\xfe\x00", Reason.FORMAT_UNSUPPORTED, 0),
        (b"\x81", Reason.FORMAT_UNSUPPORTED, 0),
        (b"\x81\xa1\x00\x61", Reason.MALFORMED_CBOR, 4),
        (b'{"a":1,}', Reason.MALFORMED_JSON, 7),
        (b'[{"n":"a","v":1},3]', Reason.MALFORMED_SENML, 18),
        (b'{"a":1,"Time":"yesterday"}', Reason.BAD_TIME, 25),
        (b'{"a":1} {', Reason.TRAILING_BYTES, 8),
        (b'{"a":"\xff"}', Reason.NOT_UTF8, 6),
    ],
)
def test_a_refused_payload_says_why_and_where(payload: bytes, reason: Reason, offset: int) -> None:
    _, reports, rejects = outcome({}, (0, payload, "t"))
    assert rejects == [messages.Reject(1, reason, offset)]
    assert [dict(report.reasons) for report in reports] == [{reason: 1}]


def test_nothing_of_a_refused_payload_counts() -> None:
    summaries, reports, _ = outcome({}, (0, '{"a":1,"b":2', "t"))
    assert summaries == []
    assert [(report.payloads, report.values) for report in reports] == [(1, 0)]


@pytest.mark.parametrize(
    ("content_format", "payload", "field"),
    [
        (0, b" 5 ", ""),
        (0, b'{"a":5}', "a"),
        (50, b"5", ""),
        (60, cbor.dumps({"a": {1: [5]}}), "a.1.0"),
        (110, b'[{"n":"a","v":5}]', "a"),
        (112, cbor.dumps([{0: "a", 2: 5}]), "a"),
        (65535, b'[{"n":"a","v":5}]', "a"),
        (65535, b'[{"n":5,"m":"x"}]', "0.n"),
        (65535, cbor.dumps([{0: "a", 2: 5}]), "a"),
    ],
)
def test_formats(content_format: int, payload: bytes, field: str) -> None:
    (summary,), _, _ = outcome({}, (0, payload, "t"), content_format=content_format)
    assert (summary.field, summary.sum) == (field, 5)


def test_an_unknown_format_is_refused() -> None:
    _, _, (reject,) = outcome({}, (0, b"5", "t"), content_format=41)
    assert reject.reason == Reason.FORMAT_UNSUPPORTED


def test_duplicate_keys_are_counted_and_the_last_wins() -> None:
    summaries, reports, _ = outcome({}, (0, '{"a":{"b":1,"c":2},"a":{"b":3}}', "t"))
    assert [(m.field, m.sum) for m in summaries] == [("a.b", 3)]
    assert dict(reports[0].reasons) == {Reason.DUPLICATE_KEY: 1}


@pytest.mark.parametrize(("buckets", "spread"), [(512, 1), (512, 6), (64, 3), (8, 6), (4, 12)], ids=str)
def test_quantiles_against_numpy(buckets: int, spread: int) -> None:
    rng = random.Random(buckets * spread)
    values = [round(rng.choice((-1, 1, 1)) * 10 ** rng.uniform(0, spread), 3) for _ in range(500)]
    per_mille = [0, 1, 50, 250, 500, 750, 950, 999, 1000]
    config = {"buckets": buckets, "quantiles": per_mille}
    (summary,), _, _ = outcome(config, *((i, str(value), "t") for i, value in enumerate(values)))
    exact = np.quantile(values, [q / 1000 for q in per_mille], method="inverted_cdf")
    assert summary.error in (10, 20, 40, 80, 160, 320, 640, 1000)
    assert summary.error == 10 or buckets < 512 or spread > 3
    for got, wanted in zip(summary.quantiles, exact, strict=True):
        assert abs(float(got) - wanted) <= summary.error / 1000 * abs(wanted) + 1e-9
    assert summary.sum == sum(map(Decimal, map(str, values)))


def test_a_full_reserve_makes_quantiles_coarser_and_refuses_nothing() -> None:
    config = {"series": 40, "windows": 40, "buckets": 4, "quantiles": [500]}
    rng = random.Random(1)
    readings = [(0, f"{10 ** rng.uniform(-20, 20):.6g}", f"t{i % 40}") for i in range(40 * 60)]
    summaries, reports, _ = outcome(config, *readings)
    assert {m.count for m in summaries} == {60}
    assert not reports[-1].reasons


def test_deadband_keeps_back_until_the_heartbeat() -> None:
    config = {"window": 1000, "lateness": 0, "deadband": [-1, 5], "heartbeat": 2}
    values = ["10", "10.5", "9.5", "10.1", "10.2", "11"]
    summaries, _, _ = outcome(config, *((i * 1000, value, "t") for i, value in enumerate(values)))
    assert [(m.sum, m.skipped) for m in summaries] == [
        (10, 0),
        (Decimal("10.1"), 2),
        (11, 1),
    ]


def test_a_clock_set_back_closes_what_was_open() -> None:
    config = {"window": 10_000, "lateness": 1000}
    summaries, reports, _ = outcome(config, (500_000, "1", "t"), (0, "2", "t"))
    assert [(m.sum, m.flags & 1) for m in summaries] == [(1, 1), (2, 1)]
    assert [report.payloads for report in reports] == [1, 1]
