"""Core: what an ELF file says, from untrusted bytes (System V gABI, chapters 4 and 5); any class and byte order."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from edgeagent.errors import ImageError

MAX_PROGRAM_HEADERS = 64
MAX_SECTION_HEADERS = 256
"""Guests have about ten of either kind, kernels of others some dozen sections."""
MAX_SYMBOLS = 65_536
MAX_NOTES = 256

EXECUTABLE, SHARED = 2, 3
LOAD, NOTE = 1, 4
SYMTAB, NOBITS = 2, 8
ALLOCATED = 2

LITTLE, BIG = "<", ">"


@dataclass(frozen=True, slots=True)
class _Shape:
    """Of one class of files: structures, and where in a row of each the fields lie that we read."""

    file: str
    program: str
    program_fields: tuple[int, ...]
    """Of type, flags, offset, virtual and physical address, size in the file and in memory, alignment."""
    section: str
    symbol: str
    value: int
    """Of a symbol; its size follows."""


_SHAPES = {
    32: _Shape("16sHHIIIIIHHHHHH", "IIIIIIII", (0, 6, 1, 2, 3, 4, 5, 7), "IIIIIIIIII", "IIIBBH", 1),
    64: _Shape("16sHHIQQQIHHHHHH", "IIQQQQQQ", (0, 1, 2, 3, 4, 5, 6, 7), "IIQQQQIIQQ", "IBBHQQ", 4),
}
_CLASSES = {1: 32, 2: 64}
_ORDERS = {1: LITTLE, 2: BIG}


@dataclass(frozen=True, slots=True)
class Segment:
    """A program header. Offsets, addresses and sizes are bytes; ``address`` is virtual."""

    kind: int
    flags: int
    offset: int
    address: int
    physical: int
    file_size: int
    memory_size: int
    align: int


@dataclass(frozen=True, slots=True)
class Section:
    """A section header."""

    name: str
    kind: int
    flags: int
    address: int
    offset: int
    size: int
    link: int


@dataclass(frozen=True, slots=True)
class Note:
    """An ELF note; offset is that of its descriptor in the file."""

    name: bytes
    kind: int
    offset: int
    descriptor: bytes


@dataclass(frozen=True, slots=True)
class Elf:
    """An executable. ``data`` are all its bytes, ``bits`` is 32 or 64, ``order`` LITTLE or BIG, ``flags`` e_flags."""

    data: bytes
    bits: int
    order: str
    kind: int
    machine: int
    flags: int
    entry: int
    segments: tuple[Segment, ...]
    sections: tuple[Section, ...]

    def loaded(self) -> tuple[Segment, ...]:
        """The segments that take memory."""
        return tuple(segment for segment in self.segments if segment.kind == LOAD and segment.memory_size)

    def notes(self) -> Iterator[Note]:
        """The notes of all note segments, at most MAX_NOTES. ImageError when one is cut short."""
        shape = struct.Struct(self.order + "III")
        count = 0
        for segment in self.segments:
            if segment.kind != NOTE:
                continue
            unit = 8 if segment.align == 8 else 4  # as gABI has it
            at, end = segment.offset, segment.offset + segment.file_size
            while end - at >= shape.size and count < MAX_NOTES:
                count += 1
                name_size, size, kind = shape.unpack_from(self.data, at)
                start = segment.offset + _padded(at - segment.offset + shape.size + name_size, unit)
                if start + size > end:
                    raise ImageError("the ELF notes are cut short")
                name = self.data[at + shape.size : at + shape.size + name_size]
                yield Note(name.removesuffix(b"\0"), kind, start, self.data[start : start + size])
                at = segment.offset + _padded(start - segment.offset + size, unit)

    def at(self, address: int, size: int) -> bytes:
        """Initialised bytes at a link address. ImageError when the file has none there."""
        for segment in self.segments:
            inside = address - segment.address
            if segment.kind == LOAD and inside >= 0 and inside + size <= segment.file_size:
                return self.data[segment.offset + inside : segment.offset + inside + size]
        raise ImageError(f"the image has no {size} bytes at {address:#x}")

    def symbols(self) -> dict[str, tuple[int, int]]:
        """Name: (address, size) of all symbols; empty when they are stripped."""
        found: dict[str, tuple[int, int]] = {}
        shape = _SHAPES[self.bits]
        row = struct.Struct(self.order + shape.symbol)
        for table in self.sections:
            if table.kind != SYMTAB or table.link >= len(self.sections):
                continue
            names = self.sections[table.link]
            for index in range(min(table.size // row.size, MAX_SYMBOLS)):
                fields = row.unpack_from(self.data, table.offset + index * row.size)
                name = _string(self.data, names.offset, names.size, fields[0])
                found[name] = (fields[shape.value], fields[shape.value + 1])
        return found


def _padded(size: int, unit: int) -> int:
    return (size + unit - 1) & -unit


def _string(data: bytes, offset: int, size: int, at: int) -> str:
    if at >= size:
        return ""
    end = data.find(b"\0", offset + at, offset + size)
    return data[offset + at : max(end, offset + at)].decode("ascii", "replace")


def _table(
    data: bytes, what: str, shape: struct.Struct, offset: int, count: int, size: int, limit: int
) -> list[tuple[int, ...]]:
    if not count:
        return []
    if size != shape.size or count > limit:
        raise ImageError(f"{count} {what} headers of {size} bytes aren't what a guest has")
    if offset + count * size > len(data):
        raise ImageError(f"truncated: the {what} headers lie behind the end, at {len(data)} bytes")
    return [shape.unpack_from(data, offset + index * size) for index in range(count)]


def parse(data: bytes) -> Elf:
    """Read the headers. ImageError with one line for whatever isn't a whole executable."""
    if data[:4] != b"\x7fELF":
        raise ImageError("not an ELF file")
    bits, order = _CLASSES.get(data[4] if len(data) > 4 else 0), _ORDERS.get(data[5] if len(data) > 5 else 0)
    if len(data) < 16:
        raise ImageError(f"truncated: {len(data)} bytes are less than an ELF header")
    if bits is None or order is None:
        raise ImageError(f"an ELF file of unknown class {data[4]} or byte order {data[5]}")
    shape = _SHAPES[bits]
    header = struct.Struct(order + shape.file)
    if len(data) < header.size:
        raise ImageError(f"truncated: {len(data)} bytes are less than an ELF header")
    _, kind, machine, _, entry, program_at, section_at, flags, _, *sizes = header.unpack_from(data)
    program_size, programs, section_size, section_count, names_index = sizes
    if kind not in (EXECUTABLE, SHARED):
        raise ImageError("not an executable: an object file or a core dump")

    segments = []
    row = struct.Struct(order + shape.program)
    for fields in _table(data, "program", row, program_at, programs, program_size, MAX_PROGRAM_HEADERS):
        segment = Segment(*(fields[index] for index in shape.program_fields))
        if segment.offset + segment.file_size > len(data):
            end = segment.offset + segment.file_size
            raise ImageError(f"truncated: a segment ends at {end} of {len(data)} bytes")
        segments.append(segment)

    row = struct.Struct(order + shape.section)
    raw = _table(data, "section", row, section_at, section_count, section_size, MAX_SECTION_HEADERS)
    for found in raw:
        if found[1] != NOBITS and found[4] + found[5] > len(data):
            raise ImageError(f"truncated: a section ends at {found[4] + found[5]} of {len(data)} bytes")
    names = raw[names_index] if names_index < len(raw) else (0,) * 10
    sections = [
        Section(_string(data, names[4], names[5], one[0]), one[1], one[2], one[3], one[4], one[5], one[6])
        for one in raw
    ]
    return Elf(data, bits, order, kind, machine, flags, entry, tuple(segments), tuple(sections))
