"""Core: what a Solo5 image says of itself: the ABI it is for, the devices it wants (its elf_abi.h and mft_abi.h)."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass

from edgeagent.errors import ImageError

from .elf import Note

OWNER = b"Solo5"
ABI_NOTE = 0x31494241  # "ABI1"
MANIFEST_NOTE = 0x3154464D  # "MFT1"
MANIFEST_VERSION = 1
MAX_ENTRIES = 64

# The manifest lies on 8 bytes, so four of the descriptor come before it.
_PAD, _HEAD, _ENTRY = 4, 8, 104
_NAME = 68
_RESERVED = 1 << 30


class Target(enum.IntEnum):
    """enum abi_target."""

    HVT = 1
    SPT = 2
    VIRTIO = 3
    MUEN = 4
    GENODE = 5
    XEN = 6


@dataclass(frozen=True, slots=True)
class Device:
    """One that the image can't start without. kind: "block" or "net"."""

    name: str
    kind: str


@dataclass(frozen=True, slots=True)
class Solo5:
    """Both notes."""

    target: Target
    version: int
    devices: tuple[Device, ...]


_KINDS = {1: "block", 2: "net"}


def read(notes: Iterable[Note], byteorder: str) -> Solo5 | None:
    """byteorder: "little" or "big". None for an image that isn't Solo5's, ImageError for one that is malformed."""
    ours = {note.kind: note.descriptor for note in notes if note.name == OWNER}
    if ABI_NOTE not in ours:
        return None

    def number(data: bytes, at: int, size: int = 4) -> int:
        return int.from_bytes(data[at : at + size], "big" if byteorder == "big" else "little")

    abi = ours[ABI_NOTE]
    target = number(abi, 0)
    if len(abi) < 8 or target not in set(Target):
        raise ImageError(f"its Solo5 ABI note names target {target}, which isn't known here")
    manifest = ours.get(MANIFEST_NOTE, bytes(_PAD + _HEAD))[_PAD:]
    version, count = number(manifest, 0), number(manifest, 4)
    if MANIFEST_NOTE in ours and version != MANIFEST_VERSION:
        raise ImageError(f"its Solo5 manifest is of version {version}; known is {MANIFEST_VERSION}")
    if count > MAX_ENTRIES or len(manifest) < _HEAD + count * _ENTRY:
        raise ImageError(f"its Solo5 manifest of {count} entries doesn't fit its note")
    devices = []
    for start in range(_HEAD, _HEAD + count * _ENTRY, _ENTRY):
        kind = number(manifest, start + _NAME)
        if kind == _RESERVED:
            continue
        raw = manifest[start : start + _NAME].split(b"\0")[0]
        name = raw.decode("ascii", "replace")
        if kind not in _KINDS or not (name.isascii() and name.isalnum()):
            raise ImageError(
                f"its Solo5 manifest has a device {raw!r} of kind {kind}, which isn't known here"
            )
        devices.append(Device(name, _KINDS[kind]))
    return Solo5(Target(target), number(abi, 4), tuple(devices))
