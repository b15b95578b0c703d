"""SenML (RFC 8428): the RFC's own examples, in JSON and CBOR, and what must be refused."""

from __future__ import annotations

import base64
import json
from collections import defaultdict
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from edgeagent.wire import cbor, messages
from edgeagent.wire.frame import FrameType
from edgeagent.wire.messages import Reason
from tests.guest import native

JSON, CBOR = 110, 112
EXAMPLES = native.SHARED / "senml_rfc8428"
NOW = 1_320_078_429_000
WINDOW = 1000
LABELS = {
    "bver": -1, "bn": -2, "bt": -3, "bu": -4, "bv": -5, "bs": -6,
    "n": 0, "u": 1, "v": 2, "vs": 3, "vb": 4, "s": 5, "t": 6, "ut": 7, "vd": 8,
}  # fmt: skip


def packed(pack: list[dict[str, Any]]) -> bytes:
    """The pack in CBOR, numbers as decimal fractions so that nothing is lost."""

    def value(name: str, item: Any) -> Any:
        return base64.urlsafe_b64decode(item + "==") if name == "vd" else item

    return cbor.dumps(
        [{LABELS.get(name, name): value(name, item) for name, item in row.items()} for row in pack]
    )


def summaries(payload: bytes, content_format: int, now: int = NOW) -> list[messages.Summary]:
    """One window per second, sorted by name and start."""
    config = {"window": WINDOW, "lateness": WINDOW, "series": 100, "windows": 1000}
    frames = [
        native.hello(config, memory=32 << 20),
        native.reading(1, now, payload, content_format=content_format),
        messages.drain(2, now),
    ]
    outcome = native.run(frames)
    assert not outcome.of(FrameType.REJECT)
    found = [m for m in outcome.messages(FrameType.SUMMARY) if isinstance(m, messages.Summary)]
    return sorted(found, key=lambda m: (m.field, m.unit, m.start))


def refusal(pack: Any, content_format: int = JSON) -> Reason | None:
    payload = pack if isinstance(pack, bytes) else json.dumps(pack).encode()
    frames = [native.hello(), native.reading(1, NOW, payload, content_format=content_format)]
    rejects = native.run(frames).messages(FrameType.REJECT)
    return Reason(rejects[0].reason) if rejects and isinstance(rejects[0], messages.Reject) else None


def resolved(rows: list[dict[str, Any]]) -> dict[tuple[str, str, int], list[Decimal]]:
    """What the resolved pack says, by name, unit and window."""
    found = defaultdict(list)
    for row in rows:
        ms = round(Fraction(row["t"]) * 1000)
        for label, suffix in (("v", ""), ("s", "#sum"), ("vb", "")):
            if label in row:
                key = (row["n"] + suffix, row.get("u", ""), ms - ms % WINDOW)
                found[key].append(Decimal(int(row[label]) if label == "vb" else row[label]))
    return dict(found)


@pytest.mark.skipif(not EXAMPLES.exists(), reason="shared data are absent")
@pytest.mark.parametrize("number", range(1, 13))
@pytest.mark.parametrize("content_format", [JSON, CBOR])
def test_examples_of_the_rfc(number: int, content_format: int) -> None:
    pack = json.loads((EXAMPLES / f"ex{number}.gen.json").read_text(), parse_float=Decimal)
    rows = json.loads((EXAMPLES / f"ex{number}.gen.resolved.json").read_text(), parse_float=Decimal)
    # Where the pack has no absolute time, the resolved form has the moment at which the RFC's authors made it.
    absolute = any("bt" in row or row.get("t", 0) > 2**28 for row in pack)
    now = NOW if absolute else max(round(Fraction(row["t"]) * 1000) for row in rows)
    expected = resolved(rows)
    payload = json.dumps(pack, default=float).encode() if content_format == JSON else packed(pack)
    if content_format == JSON:
        payload = (EXAMPLES / f"ex{number}.gen.json").read_bytes()
    if not expected:
        assert refusal(payload, content_format) is Reason.NO_NUMBER
        return
    got = summaries(payload, content_format, now)
    late = sum(map(len, expected.values())) - sum(m.count for m in got)
    assert late == 0
    assert {(m.field, m.unit, m.start): m.sum for m in got} == {key: sum(v) for key, v in expected.items()}


@pytest.mark.skipif(not EXAMPLES.exists(), reason="shared data are absent")
@pytest.mark.parametrize("name", ["ex3", "ex5"])
def test_cbor_of_the_rfc_is_its_json(name: str) -> None:
    def comparable(path: Path, content_format: int) -> list[Any]:
        # The CBOR has binary floats: equal to twelve digits, and their times to the millisecond.
        return [
            (m.field, m.unit, m.start, m.count, f"{m.sum:.12e}")
            for m in summaries(path.read_bytes(), content_format)
        ]

    assert comparable(EXAMPLES / f"{name}.gen.cbor", CBOR) == comparable(EXAMPLES / f"{name}.gen.json", JSON)


@pytest.mark.parametrize(
    ("pack", "reason"),
    [
        ([], Reason.NO_NUMBER),
        ([{"n": "a", "vs": "x"}], Reason.NO_NUMBER),
        ([{"n": "a", "vd": "aGk"}], Reason.NO_NUMBER),
        ([{"bn": "a", "bt": 1.7e9, "bu": "V"}], Reason.NO_NUMBER),
        ([{"n": "a", "v": 1, "future_": 1}], Reason.MALFORMED_SENML),
        ([{"n": "a", "v": 1, "future": {"deep": [1]}}], None),
        ([{"v": 1}], Reason.MALFORMED_SENML),
        ([{"n": "_a", "v": 1}], Reason.MALFORMED_SENML),
        ([{"n": "a b", "v": 1}], Reason.MALFORMED_SENML),
        ([{"n": "a"}], Reason.MALFORMED_SENML),
        ([{"n": "a", "v": "1"}], Reason.MALFORMED_SENML),
        ([{"n": 1, "v": 1}], Reason.MALFORMED_SENML),
        ([{"n": "a", "v": 1, "vb": True}], Reason.MALFORMED_SENML),
        ([{"n": "a", "v": 1, "bver": 11}], Reason.MALFORMED_SENML),
        ([{"n": "a", "v": 1, "bver": 5}, {"n": "a", "v": 1, "bver": 6}], Reason.MALFORMED_SENML),
        ([{"n": "a", "v": 1, "bver": 10}, {"n": "a", "v": 1, "bver": 10}], None),
        ([{"n": "a", "v": 1, "t": -1e9}], Reason.BAD_TIME),
        ([{"n": "a", "v": 1, "t": 1e12}], Reason.BAD_TIME),
        ({"n": "a", "v": 1}, Reason.MALFORMED_SENML),
        ([1], Reason.MALFORMED_SENML),
        (b'[{"n":"a","n":"b","v":1}]', Reason.MALFORMED_SENML),
        (b'[{"n":"a","v":1}', Reason.MALFORMED_JSON),
        (b'[{"n":"a","v":1}] x', Reason.TRAILING_BYTES),
    ],
)
def test_refusals(pack: Any, reason: Reason | None) -> None:
    assert refusal(pack) is reason


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (packed([{"n": "a", "vb": True}]), None),
        (packed([{"n": "a", "v": 1, "x_": 1}]), Reason.MALFORMED_SENML),
        (packed([{"n": "a", "v": 1}]) + b"\0", Reason.TRAILING_BYTES),
        (packed([{"n": "a", "v": 1}])[:-1], Reason.MALFORMED_CBOR),
        (b"\x9f\xbf\x00\x7f\x61a\x61b\xff\x02\x01\xff\xff", None),
        (b"\x81\xa2\x00\x61\xff\x02\x01", Reason.NOT_UTF8),
        (b"\x81\xa2\x00\x41a\x02\x01", Reason.MALFORMED_SENML),
        (b"\x81\xa2\x40\x01\x02\x01", Reason.MALFORMED_SENML),
        (b"\x01", Reason.MALFORMED_SENML),
    ],
)
def test_refusals_in_cbor(payload: bytes, reason: Reason | None) -> None:
    assert refusal(payload, CBOR) is reason


def test_bases_and_sums() -> None:
    pack = b"""[{"bn":"d/","bt":1320078429,"bu":"W","bv":100,"bs":1000,"n":"p","v":1.5,"s":2},
                {"n":"p","t":0.25,"v":-1.5,"u":"V"},{"bv":0,"n":"q","vb":false}]"""
    assert [(m.field, m.unit, m.sum) for m in summaries(pack, JSON)] == [
        ("d/p", "V", Decimal("98.5")),
        ("d/p", "W", Decimal("101.5")),
        ("d/p#sum", "W", Decimal(1002)),
        ("d/q", "W", Decimal(0)),
    ]


def test_relative_times_count_from_arrival() -> None:
    pack = json.dumps([{"n": "a", "v": 1, "t": -3}, {"n": "a", "v": 2, "t": 2}]).encode()
    assert [(m.start - NOW, m.sum) for m in summaries(pack, JSON)] == [(-3000, 1), (2000, 2)]
    assert [m.start - NOW for m in summaries(b'[{"bt":268435455,"n":"a","v":1}]', JSON)] == [268_435_455_000]
    assert [m.start for m in summaries(b'[{"bt":268435456,"n":"a","v":1}]', JSON)] == [268_435_456_000]


def test_too_long_names_and_units_are_counted() -> None:
    rows = [
        {"n": "a" * 65, "v": 1},
        {"n": "b" * 61, "s": 1},
        {"n": "c", "u": "u" * 33, "v": 1},
        {"n": "d", "v": 1},
    ]
    frames = [
        native.hello(),
        native.reading(1, NOW, json.dumps(rows), content_format=JSON),
        messages.drain(2, NOW),
    ]
    (report,) = native.run(frames).messages(FrameType.REPORT)
    assert isinstance(report, messages.Report)
    assert (report.values, dict(report.reasons)) == (1, {Reason.TOO_LONG: 3})
