"""What tests of the seal, uplink and collector share: keys from fixed seeds, items, strategies."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from decimal import Decimal
from typing import Any, NamedTuple

from hypothesis import strategies as st

from edgeagent.seal.batch import Head, seal_batch
from edgeagent.seal.keys import OpeningKey, SigningKey
from edgeagent.uplink import topics
from edgeagent.wire import cbor
from edgeagent.wire.decimals import to_wire
from edgeagent.wire.frame import FrameType

BOARD = "attic"
TOPIC = topics.batch(BOARD)
SIGNER = SigningKey.from_seed(b"s" * 32)
OPENER = OpeningKey.from_seed(b"o" * 32)
SPOOL = b"spool-01"


class Item(NamedTuple):
    type: int
    body: bytes


def entropy(seed: int = 0) -> Callable[[int], bytes]:
    """Bytes that look random and are the same every time."""
    counter = itertools.count(seed)
    return lambda size: bytes((next(counter) * 37 + i * 11) % 256 for i in range(size))


def summary(out: int, source: str = "home/a", field: str = "temperature", **changes: Any) -> Item:
    given = {
        "seq": 10 + out,
        "unit": "Cel",
        "start": 1_700_000_040_000,
        "length": 60_000,
        "values": ("20.5", "21", "20.75"),
        "skipped": 0,
        "flags": 0,
    } | changes
    values = [Decimal(value) for value in given["values"]]
    ranked = sorted(values)
    numbers = [
        ranked[0], ranked[-1], sum(values, Decimal(0)), values[0], values[-1],
        sum(((value - values[0]) ** 2 for value in values), Decimal(0)),
    ]  # fmt: skip
    return Item(
        FrameType.SUMMARY,
        cbor.dumps(
            [
                out,
                given["seq"],
                source,
                field,
                given["unit"],
                given["start"],
                given["length"],
                len(values),
                *map(to_wire, numbers),
                [to_wire(ranked[len(ranked) // 2]), to_wire(ranked[-1])],
                10,
                given["skipped"],
                given["flags"],
            ]
        ),
    )


def report(out: int, **reasons: int) -> Item:
    known = {int(name[1:]): count for name, count in reasons.items()}
    return Item(FrameType.REPORT, cbor.dumps([out, 10 + out, 1_700_000_040_000, 60_000, 60, 240, known]))


def head(number: int = 1, **changes: Any) -> Head:
    given = {
        "board": BOARD,
        "spool_id": SPOOL,
        "number": number,
        "unit": "home",
        "app": "aggregate",
        "epoch": 1,
    }
    return Head(**(given | changes))


def sealed(number: int = 1, items: list[Item] | None = None, **changes: Any) -> bytes:
    """A batch of BOARD; its outputs follow from its number."""
    signer, topic = changes.pop("signer", SIGNER), changes.pop("topic", TOPIC)
    recipients = changes.pop("recipients", [OPENER.public])
    whose = head(number, **changes)
    first = 3 * number - 2
    said = items or [summary(first), summary(first + 1, field="humidity"), report(first + 2)]
    return seal_batch(whose, said, signer=signer, recipients=recipients, topic=topic, entropy=entropy(number))


mantissas = st.integers(-(2**128), 2**128 - 1)
names = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
whole = st.integers(0, 2**63 - 1)


@st.composite
def decimals(draw: st.DrawFn) -> list[int]:
    mantissa = draw(st.one_of(st.integers(-(10**6), 10**6), mantissas))
    exponent = draw(st.one_of(st.integers(-4, 4), st.integers(-128, 100)))
    while mantissa and mantissa % 10 == 0:
        mantissa //= 10
        exponent += 1
    return [exponent, mantissa] if mantissa and exponent <= 127 else [0, 0]


@st.composite
def items(draw: st.DrawFn) -> list[Item]:
    found = []
    outs = draw(st.lists(st.integers(1, 2**63 - 1), unique=True, min_size=1, max_size=6).map(sorted))
    for out in outs:
        if draw(st.integers(0, 4)):
            numbers = draw(st.lists(decimals(), min_size=6, max_size=6))
            quantiles = draw(st.lists(decimals(), max_size=3))
            fixed = [out, *draw(st.tuples(whole, names, names, names, whole, whole, st.integers(1, 2**32)))]
            body = cbor.dumps([*fixed, *numbers, quantiles, *draw(st.tuples(whole, whole, whole))])
            found.append(Item(FrameType.SUMMARY, body))
        else:
            reasons = draw(st.dictionaries(st.integers(1, 255), st.integers(0, 2**32), max_size=4))
            found.append(Item(FrameType.REPORT, cbor.dumps([out, *draw(st.tuples(*[whole] * 5)), reasons])))
    return found
