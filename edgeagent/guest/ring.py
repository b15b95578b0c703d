"""Core: the log ring and panic record in a dead guest's memory (struct edge_ring of edge.cddl, big-endian)."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from edgeagent.errors import DamagedError

MAGIC = b"EDGERING"
MAX_TEXT = 1 << 20
_HEAD = struct.Struct(">8sIIII192s")
HEAD_SIZE = _HEAD.size


@dataclass(frozen=True, slots=True)
class Ring:
    """lines, oldest first; panic: why the guest gave up, "" when it didn't say so."""

    lines: tuple[str, ...]
    panic: str


def parse(memory: bytes) -> Ring:
    """The ring in these bytes. DamagedError when they are none: the guest may have overwritten it."""
    if len(memory) < HEAD_SIZE:
        raise DamagedError(f"log ring of {len(memory)} bytes is cut short")
    magic, size, following, wrapped, panicked, record = _HEAD.unpack_from(memory)
    text = memory[HEAD_SIZE : HEAD_SIZE + size]
    if magic != MAGIC or size > MAX_TEXT or len(text) != size or following > size:
        raise DamagedError("the guest's memory holds no log ring where its image says")
    # In a wrapped ring the oldest line has lost its beginning.
    text = (text[following:] + text[:following]).partition(b"\n")[2] if wrapped else text[:following]
    lines = tuple(plain(line.decode("utf-8", "replace")) for line in text.split(b"\n") if line)
    return Ring(lines, plain(record.partition(b"\0")[0].decode("utf-8", "replace")) if panicked else "")


def plain(text: str) -> str:
    """What a terminal may be shown of a guest's words."""
    return "".join(c if c.isprintable() else "\ufffd" for c in text)
