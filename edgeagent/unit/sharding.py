"""Core: which inputs of the log one of a unit's guests gets, and what stands for the others.

A series belongs to its topic, so a topic's readings all go to one guest. Ticks and drains go to every guest. A run of
inputs that are others' becomes one skip frame; how runs are cut makes no difference to what a guest says.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from edgeagent.wire.frame import HEADER, FrameType
from edgeagent.wire.messages import READING_FIXED, SEQ_AT, shard_of, skip

_HEAD = struct.Struct(f">2xBxI{SEQ_AT - 8}xQ")
"""Of a logged frame: type, size of the body, seq."""
_TOPIC = HEADER.size + READING_FIXED


@dataclass(frozen=True, slots=True)
class Shard:
    """Guest index, 0 to count - 1, of count."""

    index: int = 0
    count: int = 1


WHOLE = Shard()
"""All of the input."""


def topic_at(frames: bytes, at: int) -> bytes:
    """The topic of the reading that begins at a byte of frames that the gate made."""
    at += _TOPIC
    head = frames[at]
    if head < 0x58:
        return frames[at + 1 : at + 1 + head - 0x40]
    if head == 0x58:
        return frames[at + 2 : at + 2 + frames[at + 1]]
    return frames[at + 3 : at + 3 + int.from_bytes(frames[at + 1 : at + 3], "big")]


def share(frames: bytes, shard: Shard) -> bytes:
    """What the guest gets for whole frames of the log."""
    index, count = shard.index, shard.count
    if count == 1:
        return frames
    pieces: list[bytes] = []
    unpack, head = _HEAD.unpack_from, HEADER.size
    at = own = 0
    seq = first = 0
    while at < len(frames):
        kind, size, seq = unpack(frames, at)
        if kind != FrameType.READING or shard_of(topic_at(frames, at), count) == index:
            if first:
                pieces.append(skip(first, seq - 1))
                first, own = 0, at
        elif not first:
            pieces.append(frames[own:at])
            first = seq
        at += head + size
    pieces.append(skip(first, seq) if first else frames[own:])
    return b"".join(pieces)


def through(frames: bytes, last: int) -> bytes:
    """Whole frames of the log, but none behind input last."""
    at = 0
    while at < len(frames):
        _, size, seq = _HEAD.unpack_from(frames, at)
        if seq > last:
            break
        at += HEADER.size + size
    return frames[:at]
