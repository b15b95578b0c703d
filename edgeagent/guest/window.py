"""Core: how much input a guest is given ahead of its acknowledgements, and how long it may take for it.

A guest under a software KVM is thousands of times slower than one that runs for real, and no setting says so: the
window starts small, grows while acknowledgements come quickly, and shrinks when they don't.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from .limits import Limits

MARGIN = 4
"""A guest may be this many times slower than it was."""


@dataclass(frozen=True, slots=True)
class _Chunk:
    last_seq: int
    size: int
    at: float
    ahead: int
    """Bytes to process before it is done, itself included."""


class Window:
    """Input between agent and guest. Sizes are bytes, times monotonic seconds."""

    def __init__(self, limits: Limits) -> None:
        self.unacknowledged = 0
        self._limits = limits
        self._size = limits.least_window
        self._chunks: deque[_Chunk] = deque()
        self._pace = 0.0
        """Seconds for a byte."""

    @property
    def room(self) -> int:
        """Bytes that may be given now."""
        return max(0, self._size - self.unacknowledged)

    @property
    def since(self) -> float | None:
        """When the oldest input was given that isn't acknowledged."""
        return self._chunks[0].at if self._chunks else None

    @property
    def patience(self) -> float:
        """Seconds that may pass without progress."""
        expected = MARGIN * self._pace * self.unacknowledged
        return min(self._limits.hang_most_s, self._limits.hang_s + expected)

    def give(self, last_seq: int, size: int, now: float) -> None:
        """Whole frames up to last_seq are being sent."""
        self.unacknowledged += size
        self._chunks.append(_Chunk(last_seq, size, now, self.unacknowledged))

    def acknowledge(self, seq: int, now: float) -> None:
        """Input through seq is processed. Room comes back by whole chunks."""
        limits, was_full = self._limits, not self.room
        took = None
        while self._chunks and self._chunks[0].last_seq <= seq:
            chunk = self._chunks.popleft()
            self.unacknowledged -= chunk.size
            took = now - chunk.at
            self._pace = max(took / max(1, chunk.ahead), self._pace / 2)
        if took is not None and took > limits.slow_s:
            self._size = max(limits.least_window, self._size // 2)
        elif took is not None and was_full and took < limits.slow_s / 4:
            self._size = min(limits.window, self._size * 2)
