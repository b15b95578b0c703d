"""When a unit needs a tick: while a window may be open and no reading carries the time."""

from __future__ import annotations

INTERVAL_MS = 1_000
"""Between ticks, and from the last reading to the first."""
MARGIN_MS = 2_000
"""Beyond the last moment at which a window can close."""


def tick_due(now: int, last_arrival: int, last_reading: int, window: int, lateness: int) -> bool:
    """Whether to send one. All in ms; last_reading 0 means that there never was one.

    Windows close at the latest when window and lateness have passed since the last reading (edge.cddl: a series' clock
    goes on with arrival time). After that a quiet unit stays quiet, and the disk too.
    """
    if not last_reading or now - last_arrival < INTERVAL_MS:
        return False
    return last_arrival <= last_reading + window + lateness + MARGIN_MS
