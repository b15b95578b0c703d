"""Core: what an image is and declares, from its bytes alone (firmware-images/protocol/edge.cddl, notes)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from edgeagent.errors import ImageError, RemoteProtocolError
from edgeagent.wire import cbor

from . import elf
from .targets import TARGETS

MAX_IMAGE = 16 << 20
"""Bytes. Guests are tens of kilobytes."""
MAX_DECLARATION = 1024

OWNER = b"EDGE"
BUILD_ID, LOG_RING, DECLARATION = 1, 2, 3
BUILD_ID_SIZE = 32
ABI = 1


@dataclass(frozen=True, slots=True)
class Declaration:
    """What an image says of itself."""

    abi: int
    app: str
    version: int
    state_version: int
    channels: tuple[str, ...]

    def encode(self) -> bytes:
        """As note 3 has it."""
        return cbor.dumps(
            {
                "abi": self.abi,
                "app": self.app,
                "version": self.version,
                "state": self.state_version,
                "channels": list(self.channels),
            }
        )


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """What ``inspect`` found. Sizes are bytes, addresses are the guest's."""

    arch: str
    size: int
    """Of the file: everything there is to attack."""
    loaded: int
    """Of RAM that the image fills or zeroes."""
    entry: int
    digest: str
    """SHA-256 of the file, hexadecimal."""
    build_id: str
    build_id_verified: bool
    """The file's digest, with the build id zero, is the build id."""
    stripped: bool
    declaration: Declaration
    log_ring: tuple[int, int]
    """Physical address and size."""
    sections: tuple[tuple[str, int], ...]
    """Name and size of those that are in memory."""


def is_ours(data: bytes) -> bool:
    """Whether there is any note of ours in it. ImageError for an ELF file that is damaged."""
    return data[:4] == b"\x7fELF" and any(note.name == OWNER for note in elf.parse(data).notes())


def inspect(data: bytes) -> ImageInfo:
    """Say what the image is. ImageError with one line when it can't be a guest."""
    if len(data) > MAX_IMAGE:
        raise ImageError(f"{len(data)} bytes are above the limit of {MAX_IMAGE} for an image")
    image = elf.parse(data)
    if (image.bits, image.order) != (64, elf.LITTLE):
        raise ImageError("not a 64-bit little-endian ELF file, which all guests of ours are")
    if image.kind != elf.EXECUTABLE:
        raise ImageError("not an executable, but a library or position independent")
    arch = next((name for name, target in TARGETS.items() if target.elf_machine == image.machine), None)
    if arch is None:
        raise ImageError(
            f"for a machine that isn't supported (ELF number {image.machine})", remedy=_SUPPORTED
        )
    notes = {note.kind: note for note in image.notes() if note.name == OWNER}
    build_id = _note(notes, BUILD_ID, "build id", BUILD_ID_SIZE)
    ring = _note(notes, LOG_RING, "log ring", 16).descriptor
    return ImageInfo(
        arch=arch,
        size=len(data),
        loaded=sum(segment.memory_size for segment in image.segments if segment.kind == elf.LOAD),
        entry=image.entry,
        digest=hashlib.sha256(data).hexdigest(),
        build_id=build_id.descriptor.hex(),
        build_id_verified=compute_build_id(data, build_id.offset) == build_id.descriptor,
        stripped=not any(section.kind == elf.SYMTAB for section in image.sections),
        declaration=_declaration(_note(notes, DECLARATION, "declaration").descriptor),
        log_ring=(int.from_bytes(ring[:8], "big"), int.from_bytes(ring[8:], "big")),
        sections=tuple(
            (section.name, section.size)
            for section in image.sections
            if section.flags & elf.ALLOCATED and section.size
        ),
    )


_SUPPORTED = "Supported are " + ", ".join(TARGETS)


def compute_build_id(data: bytes, offset: int) -> bytes:
    """SHA-256 of the file with the 32 bytes at offset zero."""
    return hashlib.sha256(data[:offset] + bytes(BUILD_ID_SIZE) + data[offset + BUILD_ID_SIZE :]).digest()


def _note(notes: dict[int, elf.Note], kind: int, what: str, size: int | None = None) -> elf.Note:
    note = notes.get(kind)
    if note is None or (size is not None and len(note.descriptor) != size):
        raise ImageError(
            f"no guest of ours: it has no note with its {what}", remedy="Build it with edgeagent image build"
        )
    return note


def _declaration(data: bytes) -> Declaration:
    try:
        value: Any = cbor.loads(data, limit=MAX_DECLARATION, what="the declaration")
    except RemoteProtocolError as error:
        raise ImageError(error.what) from error
    match value:
        case {
            "abi": int(abi),
            "app": str(app),
            "version": int(version),
            "state": int(state),
            "channels": [*channels],
            **unknown,
        } if not unknown and all(isinstance(channel, str) for channel in channels):
            return Declaration(abi, app, version, state, tuple(channels))
    raise ImageError("the declaration isn't a map of abi, app, version, state and channels")
