"""Core: what a segment file begins with, and what its records must be able to say. Big-endian; version 1.

A segment is a header and then records whose numbers go on without a gap:

    offset size  field
    0      4     magic     kind of segment
    4      2     version   1
    6      2     zero
    8      8     first     number of the first record
    16     8     before    number of the first record of the segment before it; 0: there was none
    24     8     finished  bytes of that segment when it was finished
    32     4     size of note
    36     4     crc       CRC-32 of bytes 0..35 and the note
    40     n     note      the kind's own
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Protocol
from zlib import crc32

from edgeagent.errors import DamagedError

VERSION = 1
MAX_NOTE = 131_072
"""Bytes."""

NEVER = 1 << 64
"""Above every number."""

_HEAD = struct.Struct(">4sHHQQQI")
_CRC = struct.Struct(">I")
FIXED = _HEAD.size + _CRC.size


@dataclass(frozen=True, slots=True)
class Header:
    """first: number of the first record; before, finished: first number and bytes of the segment before it."""

    first: int
    before: int = 0
    finished: int = 0
    note: bytes = b""

    def encode(self, magic: bytes) -> bytes:
        """As it stands at the beginning of the file."""
        head = _HEAD.pack(magic, VERSION, 0, self.first, self.before, self.finished, len(self.note))
        return head + _CRC.pack(crc32(self.note, crc32(head))) + self.note


def header_size(data: bytes) -> int:
    """Bytes of the header that begins with these FIXED bytes; parse_header says whether it is one."""
    return FIXED + min(_HEAD.unpack_from(data)[-1], MAX_NOTE) if len(data) >= FIXED else FIXED


def parse_header(data: bytes, magic: bytes, where: str, remedy: str) -> Header:
    """Read a header from the first header_size bytes of a file; DamagedError unless it is whole and known."""
    if len(data) < FIXED or not data.startswith(magic):
        raise DamagedError("this isn't the beginning of a segment", where=where, remedy=remedy)
    _, version, _, first, before, finished, size = _HEAD.unpack_from(data)
    if version != VERSION:
        raise DamagedError(
            f"format version {version} is not known to this agent, which knows {VERSION}",
            where=where,
            remedy=f"Update the agent. {remedy}",
        )
    note = data[FIXED : FIXED + size]
    (crc,) = _CRC.unpack_from(data, _HEAD.size)
    if size > MAX_NOTE or len(note) != size or crc32(note, crc32(data[: _HEAD.size])) != crc:
        raise DamagedError("the header's checksum is wrong", where=where, remedy=remedy)
    return Header(first, before, finished, note)


class Records(Protocol):
    """What a chain of segments must know of the records in it."""

    @property
    def magic(self) -> bytes:
        """Four bytes that begin each segment."""

    @property
    def suffix(self) -> str:
        """Of segments' names."""

    @property
    def remedy(self) -> str:
        """What a person can do about damage that can't be repaired, in a sentence; {folder} is filled in."""

    def walk(self, data: bytes, number: int, stop: int = NEVER) -> tuple[int, int]:
        """Go over whole, undamaged records from the beginning, the first of which must have that number.

        Ends before the record with number ``stop``, or the first that is damaged or incomplete. Gives the bytes gone
        over and the number of the next record.
        """

    def size(self, data: bytes) -> int:
        """Bytes of the record that begins data, as far as its header can be believed; 0 where it can't."""

    def find(self, data: bytes, at: int) -> tuple[int, int] | None:
        """Where from ``at`` on the next whole, undamaged record begins, and its number."""
