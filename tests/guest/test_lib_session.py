"""Frames and the session: order, repetition, refusal, garbage."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeagent.wire import cbor, frame, messages
from edgeagent.wire.frame import FrameType
from tests.guest import native

NOW = 1_700_000_000_000
SAID = (FrameType.SUMMARY, FrameType.REPORT, FrameType.REJECT)


def test_ready_says_what_the_tables_take() -> None:
    (ready,) = native.run(native.hello()).messages(FrameType.READY)
    assert isinstance(ready, messages.Ready)
    assert (ready.abi, ready.app, ready.version, ready.state_version) == (1, "aggregate", 1, 1)
    assert ready.used > 0
    assert ready.used + ready.free == native.MEMORY


def test_ping_and_spin_work_before_hello() -> None:
    outcome = native.run([messages.ping(7), messages.spin(1000), native.hello()])
    assert outcome.messages(FrameType.PONG) == [messages.Pong(7, 0)]
    assert outcome.messages(FrameType.SPUN) == [messages.Spun(1000, 500_500)]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"window": 999}, "window must be"),
        ({"lateness": 60_001}, "lateness must be"),
        ({"colour": 1}, "unknown key"),
        ({"series": 0}, "series must be"),
        ({"quantiles": [1001]}, "quantiles must be"),
        ({"quantiles": [1] * 17}, "quantiles must be"),
        ({"times": ["x" * 66]}, "times must be"),
        ({"fields": "a"}, "fields must be"),
        ({"deadband": [0, -1]}, "deadband must be"),
        ({"heartbeat": "1"}, "heartbeat must be"),
    ],
)
def test_a_wrong_configuration_is_refused(change: dict[str, Any], reason: str) -> None:
    outcome = native.run([native.hello(change), messages.ping(1), native.reading(1, NOW, "1")])
    (refused,) = outcome.messages(*{f.type for f in outcome.frames})
    assert isinstance(refused, messages.Refused)
    assert reason in refused.reason
    assert refused.needed == 0


@pytest.mark.parametrize("key", sorted(native.CONFIG))
def test_every_key_is_required(key: str) -> None:
    config = {name: value for name, value in native.CONFIG.items() if name != key}
    (refused,) = native.run(messages.hello("u", native.MEMORY, config)).messages(FrameType.REFUSED)
    assert isinstance(refused, messages.Refused)
    assert refused.reason == "config lacks a key"


def test_another_abi_is_refused() -> None:
    body = cbor.dumps([2, "u", native.MEMORY, dict(native.CONFIG)])
    (refused,) = native.run(frame.encode(FrameType.HELLO, body)).messages(FrameType.REFUSED)
    assert isinstance(refused, messages.Refused)


def test_too_little_memory_is_refused_with_what_would_do() -> None:
    (refused,) = native.run(native.hello(memory=65536)).messages(FrameType.REFUSED)
    assert isinstance(refused, messages.Refused)
    assert refused.available == 65536
    assert refused.needed > refused.available
    enough = (refused.needed + 15) // 16 * 16
    assert native.run(native.hello(memory=enough)).of(FrameType.READY)
    assert native.run(native.hello(memory=enough - 16)).of(FrameType.REFUSED)


def test_what_was_processed_is_ignored_when_it_comes_again() -> None:
    frames = [native.reading(i, NOW + i, str(i)) for i in range(1, 6)]
    end = messages.drain(6, NOW)
    once = native.run([native.hello(), *frames, end])
    twice = native.run([native.hello(), *frames[:4], *frames[1:], end])
    assert twice.of(*SAID) == once.of(*SAID)
    assert twice.messages(FrameType.ACK)[-1] == messages.Ack(6, 2)


def test_a_gap_ends_the_guest() -> None:
    outcome = native.run([native.hello(), native.reading(1, NOW, "1"), native.reading(3, NOW, "1")])
    assert outcome.panic == "sequence gap"


def test_an_input_before_hello_ends_the_guest() -> None:
    assert native.run(messages.tick(1, NOW)).panic


def test_an_ack_after_each_idle() -> None:
    outcome = native.run([native.hello(), *(messages.tick(i, NOW + i) for i in range(1, 4))], read=40)
    acks = outcome.messages(FrameType.ACK)
    assert acks[-1] == messages.Ack(3, 0)
    assert len(acks) > 1


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.one_of(st.binary(max_size=30), st.sampled_from([b"\xed", b"\xed\x9e", b"\xed\x9e\x10\x01"])),
        max_size=8,
    ),
    st.integers(1, 50),
)
def test_resynchronises_after_garbage(garbage: list[bytes], read: int) -> None:
    data = native.hello()
    expected = []
    for index, noise in enumerate(garbage):
        # A header that was cut off swallows what its length says: padding keeps the next frame out of its reach.
        data += noise + bytes(frame.MAX_BODY if b"\xed\x9e" in noise + b"\xed" else 0) + messages.ping(index)
        expected.append(messages.Pong(index, 0))
    outcome = native.run(data, read=read if len(data) < 100_000 else 65536)
    assert outcome.messages(FrameType.PONG) == expected


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 11 + 40), st.integers(1, 255))
def test_a_flipped_bit_costs_one_frame(at: int, flip: int) -> None:
    damaged = bytearray(frame.encode(FrameType.PING, cbor.dumps([1]) + bytes(40)))
    damaged[at] ^= flip
    outcome = native.run([native.hello(), bytes(damaged), bytes(frame.MAX_BODY + 64), messages.ping(2)])
    assert messages.Pong(2, 0) in outcome.messages(FrameType.PONG)


@pytest.mark.parametrize(
    ("pieces", "reason"),
    [
        ([(1, 5, 5, 1, 2, b"x")], "out of order"),
        ([(1, 5, 5, 0, 2, b"x"), (2, 5, 5, 1, 2, b"x")], "out of order"),
        ([(1, 5, 5, 0, 1, bytes([1]) + bytes(12) + b"\x07")], "another format"),
        ([(1, 5, 5, 0, 1, bytes([1]) + bytes(12) + b"\x01\x07")], "another window"),
        ([(1, 5, 5, 0, 1, bytes([1]) + bytes(12) + b"\x01\xe0\xd4\x03\x09")], "malformed"),
        ([(1, 5, 5, i, 200, bytes(65536)) for i in range(140)], "does not fit"),
    ],
)
def test_a_wrong_state_is_refused(pieces: list[tuple[Any, ...]], reason: str) -> None:
    frames = [frame.encode(FrameType.STATE, cbor.dumps(list(piece))) for piece in pieces]
    outcome = native.run([native.hello(), *frames])
    (refused,) = outcome.messages(FrameType.REFUSED)
    assert isinstance(refused, messages.Refused)
    assert reason in refused.reason


def test_an_empty_state_starts_at_a_sequence_number() -> None:
    begin = messages.restore(1, 41, 7, b"")
    outcome = native.run([native.hello(), begin, native.reading(42, NOW, "1"), messages.drain(43, NOW)])
    assert [m.out for m in outcome.messages(FrameType.SUMMARY) if isinstance(m, messages.Summary)] == [8]
    assert outcome.messages(FrameType.ACK)[-1] == messages.Ack(43, 9)
