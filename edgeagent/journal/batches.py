"""Core: the spool's records (sealed batches and positions) and the note in its segments' headers. Big-endian.

offset size  record
0      2     magic   0xEA 0x5B
2      1     kind    1 batch, 2 position
3      1     bytes of the unit's name
4      4     bytes behind this head: name and content
8      8     number  of the batch; in a position, of the batch that follows
16     8     first out, 24: last out, 32: seq (input that the last output came from); zero in a position
40     4     crc     CRC-32 of bytes 0..39 and all behind this head
44     n     name (UTF-8), content

note: spool id (16 bytes), position (32 bytes), u16 count, then for each unit: u8 size, name, u64 out, u64 seq
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple
from zlib import crc32

from edgeagent.errors import DamagedError, LocalProtocolError

from .formats import NEVER

MAX_BATCH = 1 << 20
"""Bytes of a sealed batch."""
MAX_UNIT = 68
"""Bytes of a unit's name, and of a lane's number behind it."""
MAX_UNITS = 1024
"""Names that one spool remembers, those of units that are gone included."""
ID_SIZE = 16

_MAGIC = b"\xea\x5b"
_BATCH, _POSITION = 1, 2
_HEAD = struct.Struct(">2sBBIQQQQ")
_CRC = struct.Struct(">I")
FIXED = _HEAD.size + _CRC.size
_PLACE = struct.Struct(">QQQQ")
_COUNT = struct.Struct(">H")
_LAST = struct.Struct(">QQ")


@dataclass(frozen=True, slots=True)
class Batch:
    """A sealed batch of one unit: its outputs first_out..last_out, of inputs through seq."""

    number: int
    unit: str
    first_out: int
    last_out: int
    seq: int
    data: bytes

    @property
    def items(self) -> int:
        """Summaries and reports in it."""
        return self.last_out - self.first_out + 1


class Last(NamedTuple):
    """The newest output of a unit in the spool, and the input that it came from."""

    out: int
    seq: int


@dataclass(frozen=True, slots=True)
class Position:
    """gone: every batch through that number is acknowledged or given up. The rest counts what was given up."""

    gone: int = 0
    dropped_batches: int = 0
    dropped_items: int = 0
    damaged_batches: int = 0

    def encode(self) -> bytes:
        """As in the note and in a position record."""
        return _PLACE.pack(self.gone, self.dropped_batches, self.dropped_items, self.damaged_batches)


def encode_batch(batch: Batch) -> bytes:
    """The record; LocalProtocolError above the bounds."""
    unit = batch.unit.encode()
    if not 0 < len(unit) <= MAX_UNIT or len(batch.data) > MAX_BATCH:
        raise LocalProtocolError(f"a batch of {len(batch.data)} bytes is above {MAX_BATCH}", where=batch.unit)
    return _encode(_BATCH, unit, batch.number, batch.first_out, batch.last_out, batch.seq, batch.data)


def encode_position(position: Position, following: int) -> bytes:
    """The record; following: number of the batch that would come next."""
    return _encode(_POSITION, b"", following, 0, 0, 0, position.encode())


def _encode(kind: int, unit: bytes, number: int, first: int, last: int, seq: int, content: bytes) -> bytes:
    head = _HEAD.pack(_MAGIC, kind, len(unit), len(unit) + len(content), number, first, last, seq)
    crc = crc32(content, crc32(unit, crc32(head)))
    return b"".join((head, _CRC.pack(crc), unit, content))


class BatchRecords:
    """See Records; positions have no number of their own."""

    magic = b"EASP"
    suffix = ".spool"
    remedy = (
        "Let the agent skip what is damaged, or stop it, move the folder {folder} away and start it again: "
        "batches that the collector doesn't have are lost"
    )

    def walk(self, data: bytes, number: int, stop: int = NEVER) -> tuple[int, int]:
        """See Records.walk."""
        at, end = 0, len(data)
        view = memoryview(data)
        while end - at >= FIXED and number != stop:
            magic, kind, _, size, its_number, _, _, _ = _HEAD.unpack_from(data, at)
            after = at + FIXED + size
            if after > end or magic != _MAGIC or kind not in (_BATCH, _POSITION) or its_number != number:
                break
            crc = crc32(view[at + FIXED : after], crc32(view[at : at + _HEAD.size]))
            if (crc,) != _CRC.unpack_from(data, at + _HEAD.size):
                break
            at, number = after, number + (kind == _BATCH)
        return at, number

    def size(self, data: bytes) -> int:
        """See Records.size."""
        if len(data) < FIXED:
            return 0
        magic, kind, unit, size, *_ = _HEAD.unpack_from(data)
        known = magic == _MAGIC and kind in (_BATCH, _POSITION) and unit <= size <= unit + MAX_BATCH
        return FIXED + size if known else 0

    def find(self, data: bytes, at: int) -> tuple[int, int] | None:
        """See Records.find."""
        while (at := data.find(_MAGIC, at)) >= 0:
            if size := self.size(data[at : at + FIXED]):
                number: int = _HEAD.unpack_from(data, at)[4]
                if self.walk(data[at : at + size], number)[0]:
                    return at, number
            at += 1
        return None


def parse_records(data: bytes) -> Iterator[Batch | Position]:
    """What whole records say."""
    at = 0
    while at < len(data):
        _, kind, unit_size, size, number, first, last, seq = _HEAD.unpack_from(data, at)
        content = at + FIXED + unit_size
        at += FIXED + size
        if kind == _POSITION:
            yield Position(*_PLACE.unpack_from(data, content))
        else:
            unit = data[content - unit_size : content].decode()
            yield Batch(number, unit, first, last, seq, data[content:at])


@dataclass(frozen=True, slots=True)
class Note:
    """What a segment's header says of all that was before it, so that older segments can go."""

    spool_id: bytes
    position: Position
    last: Mapping[str, Last]

    def encode(self) -> bytes:
        """Bytes for the header; at most MAX_UNITS units keep it below MAX_NOTE."""
        pieces = [self.spool_id, self.position.encode(), _COUNT.pack(len(self.last))]
        for unit, last in self.last.items():
            name = unit.encode()
            pieces += bytes((len(name),)), name, _LAST.pack(*last)
        return b"".join(pieces)


def parse_note(data: bytes, where: str) -> Note:
    """The note of a header whose checksum was right; DamagedError where it still makes no sense."""
    try:
        position = Position(*_PLACE.unpack_from(data, ID_SIZE))
        at = ID_SIZE + _PLACE.size
        (count,) = _COUNT.unpack_from(data, at)
        at += _COUNT.size
        last: dict[str, Last] = {}
        for _ in range(count):
            name_end = at + 1 + data[at]
            last[data[at + 1 : name_end].decode()] = Last(*_LAST.unpack_from(data, name_end))
            at = name_end + _LAST.size
    except (struct.error, IndexError, ValueError) as error:
        raise DamagedError(
            "the header's note can't be read",
            where=where,
            remedy="Was it written by another agent? Report this",
        ) from error
    return Note(data[:ID_SIZE], position, last)
