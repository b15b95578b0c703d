"""When a unit's guests may end for want of readings. They go on where they were with the next one.

A guest whose windows are all closed and whose outputs are stored has nothing left to say: heartbeats of a deadband
count windows that have values, and ticks end when no window can be open (ticks.py). So its silence is the same, running
or not.
"""

from __future__ import annotations


class IdlePlan:
    """Decides. after: seconds without a reading, 0 for never; now: monotonic seconds."""

    def __init__(self, after: float, now: float) -> None:
        self._after = after
        self._readings = 0
        self._since = now

    def due(self, now: float, readings: int, *, done: bool) -> bool:
        """Asked now and then. readings: taken so far; done: whether nothing is left to be said or stored."""
        if readings != self._readings:
            self._readings, self._since = readings, now
        return done and 0 < self._after <= now - self._since
