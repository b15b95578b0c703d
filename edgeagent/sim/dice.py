"""Chance that is the same in every version of Python and on every machine: SplitMix64 (Steele, Lea, Flood 2014)."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import TypeVar

T = TypeVar("T")

_MASK = (1 << 64) - 1


class Dice:
    """Repeatable numbers for a simulation, from a text; no secret can come from here."""

    def __init__(self, seed: str) -> None:
        self._state = int.from_bytes(blake2b(seed.encode(), digest_size=8).digest(), "big")

    def _next(self) -> int:
        self._state = self._state + 0x9E3779B97F4A7C15 & _MASK
        mixed = (self._state ^ self._state >> 30) * 0xBF58476D1CE4E5B9 & _MASK
        mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB & _MASK
        return mixed ^ mixed >> 31

    def whole(self, low: int, high: int) -> int:
        """From low to high, both included."""
        return low + self._next() * (high - low + 1) // (_MASK + 1)

    def happens(self, share: float) -> bool:
        """True in that share (0 to 1) of calls."""
        return self._next() < share * (_MASK + 1)

    def choice(self, items: Sequence[T]) -> T:
        """One of them, each as likely."""
        return items[self.whole(0, len(items) - 1)]
