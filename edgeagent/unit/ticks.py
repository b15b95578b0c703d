"""When a unit sends a tick: while a window may be open and silence means something.

A tick says that a second has passed in which the sources could be heard, so that a guest may close the windows of a
sensor that went silent (docs/adr/0003). While the agent was down or its broker away nothing ticks: what was sent
meanwhile is still to come, and isn't late.
"""

from __future__ import annotations

INTERVAL_MS = 1_000
MARGIN_MS = 2_000
"""Beyond the last moment at which a window can close."""


class TickPlan:
    """Decides. span: ms of ticks after which no window of the newest reading is open: window and lateness."""

    def __init__(self, span: int) -> None:
        self._span = span + MARGIN_MS
        self._readings = 0
        # After a start as after a reading: windows of before may be open.
        self._left = self._span

    @property
    def quiet(self) -> bool:
        """Whether no window can be open any more."""
        return self._left <= 0

    def due(self, readings: int, *, heard: bool) -> bool:
        """Asked every INTERVAL_MS. readings: taken so far; heard: whether all sources can be heard now."""
        if readings != self._readings:
            self._readings, self._left = readings, self._span
        if not heard or self._left <= 0:
            return False
        self._left -= INTERVAL_MS
        return True
