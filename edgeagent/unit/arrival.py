"""Arrival times that don't go back over a restart, on boards whose clock begins at 1970.

A gateway board often has no battery-backed clock. Until the network has told the time, wall time lies before times
already given to guests. So while wall time lies before the last known time (the floor), arrival time runs on from there
with the monotonic clock. A clock that the kernel calls synchronised is believed even when it lies before the floor:
then it was ahead and has been set right, and guests close what the wrong time opened (edge.cddl, summary flags).
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

EARLIEST_MS = 1_767_225_600_000
"""2026-01-01: this program didn't exist before; a clock that says so is wrong."""


class ClockState(Enum):
    """How far the wall clock can be believed."""

    GOOD = "good"
    BEHIND = "behind"
    """Before the last known time and not synchronised: the clock wasn't set since the board started."""


class ArrivalClock:
    """Turns wall and monotonic time into arrival time. floor: newest arrival time of before, ms; 0 for none."""

    def __init__(self, floor: int, monotonic_s: float) -> None:
        self.state = ClockState.GOOD
        self.set_back = 0
        self._known = max(floor, EARLIEST_MS)
        self._at = monotonic_s

    def read(self, wall_ms: int, monotonic_s: float, synchronised: Callable[[], bool]) -> int:
        """Arrival time in ms since 1970. synchronised is asked only when the wall clock lies behind."""
        passed = max(0, int((monotonic_s - self._at) * 1000))
        if wall_ms >= self._known:
            self.state = ClockState.GOOD
        elif wall_ms >= EARLIEST_MS and synchronised():
            self.state = ClockState.GOOD
            self.set_back += 1
        else:
            self.state = ClockState.BEHIND
            self._known += passed
            self._at += passed / 1000  # what is below a millisecond counts next time
            return self._known
        self._known, self._at = wall_ms, monotonic_s
        return wall_ms
