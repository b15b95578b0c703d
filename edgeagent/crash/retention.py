"""Core: which crash stands for a new one that is like it, and which go when there is no room."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .record import Record

MAX_RECORDS = 64
ALIKE = 3
"""Crashes that are alike and kept whole; further ones are counted with the newest. Bounds what a storm writes."""
SHARE = 4
"""A crash may take this part of the cap, so that there is room for others."""


def standing_for(new: Record, kept: Sequence[Record]) -> Record | None:
    """The record to count the new crash with; None when it is to be kept itself. kept: oldest first.

    A guest that starts from the same checkpoint and ends alike has met the same input again.
    """
    alike = [one for one in kept if one.signature == new.signature]
    same = [one for one in alike if one.start.seq == new.start.seq]
    if same or len(alike) >= ALIKE:
        return (same or alike)[-1]
    return None


@dataclass(frozen=True, slots=True)
class Entry:
    """A record's place on disk. bytes: of its files, without the image; what: unit and kind."""

    number: int
    what: tuple[str, str]
    bytes: int
    image: str
    """Digest, "" where it is kept without one."""


def surplus(entries: Sequence[Entry], images: dict[str, int], room: int) -> list[int]:
    """Numbers of the records to remove, so that the rest and their images take no more bytes than room.

    images: bytes by digest. At most MAX_RECORDS - 1 stay: this is asked before another one is written. The oldest go
    first, but the newest of each unit and kind after all others.
    """
    newest = {entry.what: entry.number for entry in sorted(entries, key=lambda one: one.number)}
    left = sorted(entries, key=lambda one: (newest[one.what] == one.number, one.number))
    gone = []
    while left and (len(left) >= MAX_RECORDS or occupied(left, images) > room):
        gone.append(left.pop(0).number)
    return gone


def occupied(entries: Iterable[Entry], images: dict[str, int]) -> int:
    """Bytes of these records and of the images that they need."""
    listed = list(entries)
    needed = {entry.image for entry in listed if entry.image}
    return sum(entry.bytes for entry in listed) + sum(images.get(digest, 0) for digest in needed)
