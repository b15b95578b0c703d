"""Core: the input of a crash: cutting it where the guest's knowledge of it ended, and reading it back for people."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from edgeagent.errors import DamagedError, RemoteProtocolError
from edgeagent.wire.frame import HEADER, Decoder, FrameType
from edgeagent.wire.messages import CLOCK_UNSET, SEQ_AT, Reading, parse_reading

NEVER_MS = 1 << 62
"""Nothing lies ahead of a clock that isn't set."""


PAIRS = (FrameType.TICK, FrameType.DRAIN, FrameType.SKIP)
PAIR_SIZE = 19
"""Bytes of their bodies as the agent writes them: an array of two integers, nine bytes each."""


def through(frames: bytes, last: int) -> bytes:
    """Of whole frames in order those that begin up to seq last."""
    at = 0
    while at < len(frames) and int.from_bytes(frames[at + SEQ_AT : at + SEQ_AT + 8], "big") <= last:
        at += HEADER.size + HEADER.unpack_from(frames, at)[3]
    return frames[:at]


@dataclass(frozen=True, slots=True)
class Input:
    """One frame of the input. data: as it goes to the guest.

    kind: "reading", "tick", "drain", or "skip" for first to seq, which other instances of the unit got.
    """

    seq: int
    first: int
    time_ms: int
    """Arrival, ms since 1970; 0 for a skip."""
    kind: str
    data: bytes
    reading: Reading | None = None


def inputs(data: bytes) -> Iterator[Input]:
    """What is in the part "input" of a crash. DamagedError where it isn't whole frames of the log."""
    decoder, at = Decoder(), 0
    frames = decoder.feed(data)
    if decoder.skipped or decoder.pending:
        raise DamagedError("the crash's input is damaged")
    for frame in frames:
        whole = data[at : at + HEADER.size + len(frame.body)]
        at += len(whole)
        if frame.type == FrameType.READING:
            yield _reading(whole, frame.body)
        elif frame.type in PAIRS and len(frame.body) == PAIR_SIZE:
            seq, other = int.from_bytes(frame.body[2:10], "big"), int.from_bytes(frame.body[11:], "big")
            kind = FrameType(frame.type).name.lower()
            if frame.type == FrameType.SKIP:
                yield Input(other, seq, 0, kind, whole)
            else:
                yield Input(seq, seq, other, kind, whole)
        else:
            raise DamagedError(
                f"the crash's input has a frame of type {frame.type:#04x} that isn't the log's"
            )


def _reading(whole: bytes, body: bytes) -> Input:
    try:
        reading = parse_reading(body)
    except RemoteProtocolError as error:
        raise DamagedError(f"the crash's input is damaged: {error.what}") from None
    numbers = (reading.seq, reading.time_ms, reading.flags, reading.content_format, reading.tag)
    texts = (reading.topic, reading.payload)
    if not all(type(one) is int for one in numbers) or not all(type(one) is bytes for one in texts):
        raise DamagedError("the crash's input has a reading that isn't one")
    return Input(reading.seq, reading.seq, reading.time_ms, "reading", whole, reading)


def newest_arrival(known: list[Input]) -> int:
    """The arrival time against which the contract holds what the guest says, ms."""
    if any(one.reading and one.reading.flags & CLOCK_UNSET for one in known):
        return NEVER_MS
    return max((one.time_ms for one in known), default=NEVER_MS)
