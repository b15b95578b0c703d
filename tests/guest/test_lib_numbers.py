"""Decimals: what is read from text, CBOR and floats, against Python's exact numbers."""

from __future__ import annotations

import base64
import json
import math
import struct
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeagent.wire import cbor, messages
from edgeagent.wire.frame import FrameType
from edgeagent.wire.messages import Reason
from tests.guest import native
from tests.guest.reference import EIGHTEEN, NUMBER, split

NOW = 1_700_000_000_000
CBOR, TEXT, JSON = 60, 0, 50
WIDE = {"series": 2000, "windows": 2000}


def numbers(
    payloads: list[bytes], content_format: int, config: dict[str, Any] | None = None
) -> list[Decimal | Reason | None]:
    """Each payload on a topic of its own: its one value, why it was refused, or None when it had no number."""
    frames = [
        native.reading(i, NOW, payload, topic=str(i), content_format=content_format)
        for i, payload in enumerate(payloads, 1)
    ]
    hello = native.hello({**WIDE, **(config or {})}, memory=64 << 20)
    outcome = native.run([hello, *frames, messages.drain(len(payloads) + 1, NOW)])
    assert outcome.panic == ""
    found: dict[int, Decimal | Reason | None] = {}
    for item in outcome.messages(FrameType.SUMMARY, FrameType.REJECT):
        if isinstance(item, messages.Summary):
            found[int(item.source)] = item.sum
        elif isinstance(item, messages.Reject):
            reason = Reason(item.reason)
            found[item.seq] = None if reason is Reason.NO_NUMBER else reason
    return [found.get(i, Reason.NUMBER_RANGE) for i in range(1, len(payloads) + 1)]


def expected(value: Fraction | int) -> Decimal | Reason:
    """Rounded once to 18 digits, if in range."""
    if not value:
        return Decimal(0)
    value = Fraction(value)
    exponent = math.floor(math.log10(abs(value.numerator)) - math.log10(value.denominator)) - 17
    for guess in (exponent - 1, exponent, exponent + 1):
        mantissa = round(value / Fraction(10) ** guess)
        if abs(mantissa) < 10**18 or abs(value) / Fraction(10) ** guess < 10**18:
            break
    number = Decimal((mantissa < 0, tuple(map(int, str(abs(mantissa)))), guess))
    return number if -60 <= split(number)[1] <= 40 else Reason.NUMBER_RANGE


written = st.from_regex(
    r"-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,3})?", fullmatch=True
).filter(str.isascii)


@settings(max_examples=15, deadline=None)
@given(st.lists(written, min_size=1, max_size=40))
def test_numbers_in_text(texts: list[str]) -> None:
    result = numbers([text.encode() for text in texts], TEXT)
    for text, got in zip(texts, result, strict=True):
        mantissa, exponent = split(EIGHTEEN.create_decimal(text))
        fits = -60 <= exponent <= 40
        wanted = Decimal((mantissa < 0, tuple(map(int, str(abs(mantissa)))), exponent))
        assert got == (wanted if fits else Reason.NUMBER_RANGE), text


@settings(max_examples=15, deadline=None)
@given(st.lists(st.text("0123456789.eE+- \tx", max_size=8), min_size=1, max_size=40))
def test_what_is_no_number_in_text(texts: list[str]) -> None:
    result = numbers([text.encode() for text in texts], TEXT)
    for text, got in zip(texts, result, strict=True):
        word = text.strip(" \t")
        absent = got is None or got is Reason.EMPTY
        assert absent == (NUMBER.fullmatch(word) is None), text


doubles = st.one_of(st.floats(), st.floats(-1e6, 1e6), st.floats(-1e-40, 1e40))


@settings(max_examples=15, deadline=None)
@given(
    st.lists(doubles, min_size=1, max_size=40), st.sampled_from([(">d", 0xFB), (">f", 0xFA), (">e", 0xF9)])
)
def test_floats(values: list[float], form: tuple[str, int]) -> None:
    packed = []
    for value in values:
        try:
            packed.append(struct.pack(form[0], value))
        except OverflowError:
            packed.append(struct.pack(form[0], math.inf))
    result = numbers([bytes([form[1]]) + bits for bits in packed], CBOR)
    for bits, got in zip(packed, result, strict=True):
        (value,) = struct.unpack(form[0], bits)
        wanted = expected(Fraction(value)) if math.isfinite(value) else Reason.NUMBER_RANGE
        assert got == wanted, value


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(-(2**128), 2**128 - 1), min_size=1, max_size=40))
def test_integers_and_bignums(values: list[int]) -> None:
    result = numbers([cbor.dumps(value) for value in values], CBOR)
    assert result == [expected(value) for value in values]


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(st.integers(-200, 200), st.integers(-(2**70), 2**70)), min_size=1, max_size=40))
def test_decimal_fractions(values: list[tuple[int, int]]) -> None:
    result = numbers([b"\xc4" + cbor.dumps([e, m]) for e, m in values], CBOR)
    for (exponent, mantissa), got in zip(values, result, strict=True):
        wanted = expected(mantissa * Fraction(10) ** exponent) if mantissa else Decimal(0)
        assert got == wanted, (exponent, mantissa)


APPENDIX = native.SHARED / "cbor_vectors/appendix_a.json"


@pytest.mark.skipif(not APPENDIX.exists(), reason="shared data are absent")
def test_cbor_appendix_a() -> None:
    vectors = json.loads(APPENDIX.read_text(), parse_float=Decimal)
    # simple(24) in two bytes was well-formed in RFC 7049 and no longer is in RFC 8949, 3.3.
    (withdrawn,) = [vector for vector in vectors if vector["hex"] == "f818"]
    vectors.remove(withdrawn)
    assert numbers([bytes.fromhex("f818")], CBOR) == [Reason.MALFORMED_CBOR]
    items = [base64.b64decode(vector["cbor"]) for vector in vectors]
    result = numbers(items, CBOR)
    accepted = 0
    for vector, item, got in zip(vectors, items, result, strict=True):
        value = vector.get("decoded")
        if isinstance(value, bool):
            assert got == Decimal(int(value)), item.hex()
        elif isinstance(value, int) or (
            isinstance(value, Decimal) and vector["hex"][:2] in ("f9", "fa", "fb")
        ):
            if item[:1] in b"\xf9\xfa\xfb":
                form = {0xF9: ">e", 0xFA: ">f", 0xFB: ">d"}[item[0]]
                value = Fraction(struct.unpack(form, item[1:])[0])
            assert got == expected(value), item.hex()
        elif isinstance(value, str) or value is None:
            # Text, bytes, null, NaN, tags; those with numbers inside give them.
            assert got is None or isinstance(got, Decimal) or got is Reason.NUMBER_RANGE, item.hex()
        accepted += not isinstance(got, Reason) or got is Reason.NUMBER_RANGE
    # {1: 2, 3: 4} and the like have several numbers and so several summaries on one topic: accepted all the same.
    assert accepted == len(vectors) == 81
    # Every proper prefix of every vector is malformed.
    prefixes = [item[:size] for item in items for size in range(1, len(item))]
    assert set(numbers(prefixes, CBOR)) == {Reason.MALFORMED_CBOR}


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        (b"\x1c", Reason.MALFORMED_CBOR),  # reserved additional information
        (b"\xf8\x10", Reason.MALFORMED_CBOR),  # simple value below 32 in two bytes
        (b"\xff", Reason.MALFORMED_CBOR),
        (b"\xa1\x61a\xff", Reason.MALFORMED_CBOR),
        (b"\x7f\x41a\xff", Reason.MALFORMED_CBOR),  # bytes inside of text
        (b"\x61\xff", Reason.NOT_UTF8),
        (b"\x01\x01", Reason.TRAILING_BYTES),
        (b"\x81" * 33 + b"\x01", Reason.TOO_DEEP),
        (b"\xa1\xf6\x01", Reason.MALFORMED_CBOR),  # null as a key
        (b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff\x01", Reason.MALFORMED_CBOR),
        (b"\x5b\xff\xff\xff\xff\xff\xff\xff\xff\x01", Reason.MALFORMED_CBOR),
    ],
)
def test_malformed_cbor(item: bytes, reason: Reason) -> None:
    assert numbers([item], CBOR) == [reason]
