"""Core: the input log's records, which are the wire's frames as the guest gets them. See edge.cddl."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from zlib import crc32

import cbor2

from edgeagent.wire.frame import HEADER, MAGIC, MAX_BODY, VERSION, FrameType
from edgeagent.wire.messages import SEQ_AT, Reading

from .formats import NEVER

MAX_FRAME = HEADER.size + MAX_BODY
_LOGGED = frozenset((FrameType.READING, FrameType.TICK, FrameType.DRAIN))
_FRAME = struct.Struct(f"{HEADER.format}{SEQ_AT - HEADER.size}xQ")
"""A frame's header and the seq in its body."""


class FrameRecords:
    """See Records; a record's number is the frame's seq."""

    magic = b"EALG"
    suffix = ".log"
    remedy = (
        "Stop the agent, move the folder {folder} away and start it again: "
        "readings of this unit that weren't summarised yet are lost, everything else goes on"
    )

    def walk(self, data: bytes, number: int, stop: int = NEVER) -> tuple[int, int]:
        """See Records.walk."""
        at, end = 0, len(data)
        unpack, head, least, view = _FRAME.unpack_from, HEADER.size, _FRAME.size, memoryview(data)
        while end - at >= least and number != stop:
            magic, kind, version, size, crc, seq = unpack(data, at)
            after = at + head + size
            if (
                seq != number
                or after > end
                or magic != MAGIC
                or version != VERSION
                or kind not in _LOGGED
                or crc32(view[at + head : after], crc32(view[at + 2 : at + 8])) != crc
            ):
                break
            at = after
            number += 1
        return at, number

    def size(self, data: bytes) -> int:
        """See Records.size."""
        if len(data) < HEADER.size:
            return 0
        magic, _, version, size, _ = HEADER.unpack_from(data)
        return HEADER.size + size if magic == MAGIC and version == VERSION and size <= MAX_BODY else 0

    def find(self, data: bytes, at: int) -> tuple[int, int] | None:
        """See Records.find."""
        while 0 <= (at := data.find(MAGIC, at)) <= len(data) - _FRAME.size:
            number: int = _FRAME.unpack_from(data, at)[-1]
            if self.walk(data[at : at + self.size(data[at : at + HEADER.size])], number)[0]:
                return at, number
            at += 1
        return None


def split(frames: bytes, room: int) -> tuple[int, int]:
    """How many bytes of whole frames fit into room, and how many frames that is; at least one frame."""
    at = count = 0
    while at < len(frames):
        stop = at + HEADER.size + HEADER.unpack_from(frames, at)[3]
        if count and stop > room:
            break
        at, count = stop, count + 1
    return at, count


def readings(frames: bytes) -> Iterator[Reading]:
    """The readings among whole frames."""
    at = 0
    while at < len(frames):
        _, kind, _, size, _ = HEADER.unpack_from(frames, at)
        body = at + HEADER.size
        at = body + size
        if kind == FrameType.READING:
            # Our own encoding, and checked: none of parse_reading's caution is needed, which costs as much again.
            yield Reading(*cbor2.loads(frames[body:at]))
