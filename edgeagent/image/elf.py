"""Core: what an ELF file says, read from untrusted bytes (System V gABI, chapters 4 and 5). 64-bit, little-endian."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from edgeagent.errors import ImageError

MAX_HEADERS = 64
"""Of either kind. Guests have about ten."""
MAX_SYMBOLS = 65_536

EXECUTABLE = 2
LOAD, NOTE = 1, 4
SYMTAB, NOBITS = 2, 8
ALLOCATED = 2

_FILE = struct.Struct("<16sHHIQQQIHHHHHH")
_PROGRAM = struct.Struct("<IIQQQQQQ")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_NOTE = struct.Struct("<III")


@dataclass(frozen=True, slots=True)
class Segment:
    """A program header. Offsets, addresses and sizes are bytes."""

    kind: int
    flags: int
    offset: int
    address: int
    file_size: int
    memory_size: int


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
    """An executable. ``data`` are all its bytes."""

    data: bytes
    machine: int
    entry: int
    segments: tuple[Segment, ...]
    sections: tuple[Section, ...]

    def notes(self) -> Iterator[Note]:
        """All notes of all note segments. ImageError when one is cut short."""
        for segment in self.segments:
            if segment.kind != NOTE:
                continue
            at, end = segment.offset, segment.offset + segment.file_size
            while end - at >= _NOTE.size:
                name_size, size, kind = _NOTE.unpack_from(self.data, at)
                start = at + _NOTE.size + _padded(name_size)
                if start + size > end:
                    raise ImageError("the ELF notes are cut short")
                name = self.data[at + _NOTE.size : at + _NOTE.size + name_size]
                yield Note(name.removesuffix(b"\0"), kind, start, self.data[start : start + size])
                at = start + _padded(size)

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
        for table in self.sections:
            if table.kind != SYMTAB or table.link >= len(self.sections):
                continue
            names = self.sections[table.link]
            for index in range(min(table.size // _SYMBOL.size, MAX_SYMBOLS)):
                name, _, _, _, value, size = _SYMBOL.unpack_from(
                    self.data, table.offset + index * _SYMBOL.size
                )
                found[_string(self.data, names.offset, names.size, name)] = (value, size)
        return found


def _padded(size: int) -> int:
    return (size + 3) & ~3


def _string(data: bytes, offset: int, size: int, at: int) -> str:
    if at >= size:
        return ""
    end = data.find(b"\0", offset + at, offset + size)
    return data[offset + at : max(end, offset + at)].decode("ascii", "replace")


def _table(
    data: bytes, what: str, shape: struct.Struct, offset: int, count: int, size: int
) -> list[tuple[int, ...]]:
    if not count:
        return []
    if size != shape.size or count > MAX_HEADERS:
        raise ImageError(f"{count} {what} headers of {size} bytes aren't what a guest has")
    if offset + count * size > len(data):
        raise ImageError(f"truncated: the {what} headers lie behind the end, at {len(data)} bytes")
    return [shape.unpack_from(data, offset + index * size) for index in range(count)]


def parse(data: bytes) -> Elf:
    """Read the headers. ImageError with one line for whatever isn't a whole 64-bit little-endian executable."""
    if data[:4] != b"\x7fELF":
        raise ImageError("not an ELF file")
    if len(data) < _FILE.size:
        raise ImageError(f"truncated: {len(data)} bytes are less than an ELF header")
    if data[4:6] != b"\x02\x01":
        raise ImageError("not a 64-bit little-endian ELF file")
    ident = _FILE.unpack_from(data)
    kind, machine, entry, program_at, section_at = ident[1], ident[2], ident[4], ident[5], ident[6]
    program_size, programs, section_size, section_count, names_index = ident[9:14]
    if kind != EXECUTABLE:
        raise ImageError("not an executable: an object file, a library or position independent")

    segments = []
    for kind, flags, offset, address, _, file_size, memory_size, _ in _table(
        data, "program", _PROGRAM, program_at, programs, program_size
    ):
        if offset + file_size > len(data):
            raise ImageError(f"truncated: a segment ends at {offset + file_size} of {len(data)} bytes")
        segments.append(Segment(kind, flags, offset, address, file_size, memory_size))

    raw = _table(data, "section", _SECTION, section_at, section_count, section_size)
    for row in raw:
        if row[1] != NOBITS and row[4] + row[5] > len(data):
            raise ImageError(f"truncated: a section ends at {row[4] + row[5]} of {len(data)} bytes")
    names = raw[names_index] if names_index < len(raw) else (0,) * 10
    sections = [
        Section(_string(data, names[4], names[5], row[0]), row[1], row[2], row[3], row[4], row[5], row[6])
        for row in raw
    ]
    return Elf(data, machine, entry, tuple(segments), tuple(sections))
