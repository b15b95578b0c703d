"""Frames: magic, type, version, length, CRC, body. See firmware-images/protocol/edge.cddl."""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass
from zlib import crc32

from edgeagent.errors import LocalProtocolError

MAGIC = b"\xed\x9e"
VERSION = 1
MAX_BODY = 196_608
"""Bytes; a longer frame is an error of whoever sent it."""

HEADER = struct.Struct(">2sBBII")
_CHECKED = struct.Struct(">BBI")


class FrameType(enum.IntEnum):
    """The numbers of edge.cddl."""

    HELLO = 0x01
    READY = 0x02
    PING = 0x03
    PONG = 0x04
    REFUSED = 0x05
    SPIN = 0x06
    SPUN = 0x07
    READING = 0x10
    TICK = 0x11
    DRAIN = 0x12
    CHECKPOINT = 0x13
    STATE = 0x14
    SKIP = 0x15
    SHARD = 0x16
    ACK = 0x20
    SUMMARY = 0x21
    REPORT = 0x22
    REJECT = 0x23
    LOG = 0x24
    ECHO = 0x30


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame off the channel. ``type`` is any byte: whether it is known is the session's question."""

    type: int
    body: bytes


def encode(frame_type: int, body: bytes) -> bytes:
    """Frame a body; LocalProtocolError above MAX_BODY."""
    size = len(body)
    if size > MAX_BODY:
        raise LocalProtocolError(f"frame body of {size} bytes is above {MAX_BODY}")
    checked = _CHECKED.pack(frame_type, VERSION, size)
    return b"".join((MAGIC, checked, crc32(body, crc32(checked)).to_bytes(4, "big"), body))


class Decoder:
    """Bytes in, frames out; after garbage it resynchronises at the next magic.

    Holds at most one incomplete frame (HEADER.size + MAX_BODY bytes). ``skipped`` counts the bytes that belonged to
    no frame, ``damaged`` the places where a header or checksum was wrong.
    """

    def __init__(self) -> None:
        self._rest = b""
        self.skipped = 0
        self.damaged = 0

    @property
    def pending(self) -> int:
        """Bytes held for an incomplete frame."""
        return len(self._rest)

    def feed(self, data: bytes) -> list[Frame]:
        """Take bytes in any pieces; give the frames that are complete."""
        frames: list[Frame] = []
        if self._rest:
            data = self._rest + data
        at, end = 0, len(data)
        while end - at >= HEADER.size:
            magic, frame_type, version, size, crc = HEADER.unpack_from(data, at)
            if magic == MAGIC and version == VERSION and size <= MAX_BODY:
                body_at = at + HEADER.size
                if end - body_at < size:
                    break
                body = data[body_at : body_at + size]
                if crc32(body, crc32(data[at + 2 : at + 8])) == crc:
                    frames.append(Frame(frame_type, body))
                    at = body_at + size
                    continue
            at = self._resynchronise(data, at)
        else:
            # A tail that can't become a frame isn't kept waiting for one.
            if at < end and not data.startswith(MAGIC[: end - at], at):
                at = self._resynchronise(data, at)
        self._rest = data[at:]
        return frames

    def _resynchronise(self, data: bytes, at: int) -> int:
        found = data.find(MAGIC, at + 1)
        if found < 0:
            found = len(data) - 1 if data.endswith(MAGIC[:1]) and len(data) - 1 > at else len(data)
        self.skipped += found - at
        self.damaged += 1
        return found
