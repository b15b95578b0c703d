"""The wire core against itself, damage and edge.cddl's numbers."""

import contextlib
import itertools
import re
from decimal import Decimal
from pathlib import Path

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeagent.errors import LocalProtocolError, RemoteProtocolError
from edgeagent.wire import cbor, messages
from edgeagent.wire.decimals import from_wire, to_wire
from edgeagent.wire.frame import HEADER, MAX_BODY, Decoder, Frame, FrameType, encode

CDDL = (Path(__file__).parents[2] / "firmware-images/protocol/edge.cddl").read_text()

frames = st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=300)), max_size=8)


def chop(data: bytes, cuts: list[int]) -> list[bytes]:
    points = sorted({0, len(data), *(c % (len(data) + 1) for c in cuts)})
    return [data[a:b] for a, b in itertools.pairwise(points)]


@given(frames, st.lists(st.integers(0, 5000), max_size=10))
def test_frames_come_back_however_they_are_cut(items, cuts):
    decoder, got = Decoder(), []
    for piece in chop(b"".join(encode(t, b) for t, b in items), cuts):
        got += decoder.feed(piece)
    assert got == [Frame(t, b) for t, b in items]
    assert (decoder.skipped, decoder.pending) == (0, 0)


@given(st.binary(max_size=400), frames, st.lists(st.integers(0, 5000), max_size=10))
def test_garbage_costs_no_later_frame_and_memory_stays_bounded(garbage, items, cuts):
    # Garbage may hold a header that asks for a long body; enough good bytes must follow to disprove it.
    tail = encode(FrameType.PING, b"\x81\x01")
    stream = garbage.replace(b"\xed", b"") + b"".join(encode(t, b) for t, b in items) + tail
    decoder, got = Decoder(), []
    for piece in chop(stream, cuts):
        got += decoder.feed(piece)
        assert decoder.pending <= HEADER.size + MAX_BODY
    assert got == [Frame(t, b) for t, b in items] + [Frame(FrameType.PING, b"\x81\x01")]
    assert decoder.skipped == len(garbage.replace(b"\xed", b""))


@given(frames.filter(len), st.integers(0), st.integers(1, 255))
def test_a_flipped_byte_is_noticed(items, where, flip):
    stream = bytearray(b"".join(encode(t, b) for t, b in items))
    stream[where % len(stream)] ^= flip
    decoder = Decoder()
    got = decoder.feed(bytes(stream))
    assert got != [Frame(t, b) for t, b in items]
    assert decoder.skipped > 0 or decoder.pending > 0


def test_a_body_above_the_bound_is_our_own_fault():
    with pytest.raises(LocalProtocolError):
        encode(1, bytes(MAX_BODY + 1))


@given(
    st.integers(1, 2**64 - 1),
    st.integers(0, 2**64 - 1),
    st.integers(0, 65535),
    st.integers(0, 2**64 - 1),
    st.binary(min_size=1, max_size=300),
    st.one_of(st.binary(max_size=300), st.sampled_from([1023, 1024, 65535, 65536, 131072]).map(bytes)),
    st.integers(0, 23),
)
def test_a_reading_by_hand_is_the_reading_by_cbor2(seq, time_ms, fmt, tag, topic, payload, flags):
    data = messages.reading(seq, time_ms, fmt, tag, messages.topic_item(topic), payload, flags)
    (frame,) = Decoder().feed(data)
    assert frame.type == FrameType.READING
    assert cbor2.loads(frame.body) == [seq, time_ms, flags, fmt, tag, topic, payload]
    assert messages.parse_reading(frame.body) == messages.Reading(
        seq, time_ms, flags, fmt, tag, topic, payload
    )
    assert messages.sequence_of(frame.body) == seq


@given(st.integers(1, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_stamps(seq, time_ms):
    for make, kind in ((messages.tick, FrameType.TICK), (messages.drain, FrameType.DRAIN)):
        (frame,) = Decoder().feed(make(seq, time_ms))
        assert (frame.type, cbor2.loads(frame.body)) == (kind, [seq, time_ms])
        assert messages.sequence_of(frame.body) == seq


@given(st.integers(-(2**128) + 1, 2**128 - 1), st.integers(-60, 60))
def test_decimals_are_exact(mantissa, exponent):
    digits = tuple(map(int, str(abs(mantissa))))
    value = Decimal((mantissa < 0, digits, exponent))
    wire = to_wire(value)
    assert wire == [0, 0] or wire[1] % 10
    assert from_wire(wire, "x") == value


@pytest.mark.parametrize(
    "bad", [None, 1, [1], [1, 2, 3], [1.0, 2], [200, 1], [0, "1"], [0, 1 << 128], [0, True]]
)
def test_what_is_no_decimal(bad):
    with pytest.raises(RemoteProtocolError):
        from_wire(bad, "x")


@given(st.binary(max_size=200), st.integers(0, 255))
def test_a_guest_may_say_anything_and_only_our_error_comes_out(body, kind):
    with contextlib.suppress(RemoteProtocolError):
        messages.parse(kind, body)


@pytest.mark.parametrize("data", [b"", b"\x01\x02", b"\x5b" + b"\x7f" * 8, b"\x81" * 5000, b"\xff", b"\x1c"])
def test_hostile_cbor(data):
    with pytest.raises(RemoteProtocolError):
        cbor.loads(data, limit=10_000, what="it")


def test_numbers_agree_with_the_contract():
    kinds = dict(re.findall(r"^(\w+) *=.*; (0x[0-9a-f]{2})\b", CDDL, re.MULTILINE))
    assert {kind.name.lower(): f"{kind:#04x}" for kind in FrameType} == kinds
    reasons = dict(re.findall(r"([a-z0-9-]+): (\d+)[,\s]", CDDL.split("reason = &(")[1].split(")")[0] + " "))
    assert {reason.word: str(int(reason)) for reason in messages.Reason} == reasons
