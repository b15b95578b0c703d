"""Core: the bounds of a session, one row each."""

from __future__ import annotations

from dataclasses import dataclass

from edgeagent.config.schema import Unit

FRAMES = 10_000
"""That a guest may say at once, beside what its windows need."""
CLOSED = 2
"""Times its open windows: an input may close them all, and open as many that the next one closes."""
SUMMARY = 256
"""Bytes of a summary; its texts make it longer or shorter."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bytes, and seconds."""

    window: int = 1 << 20
    """Input given and not yet acknowledged, at most. A guest that takes longer than slow_s for it is given less."""
    least_window: int = 16 << 10
    """What every guest starts with."""
    slow_s: float = 1.0
    state: int = 64 << 20
    garbage: int = 4096
    """Bytes that belong to no frame; an honest guest sends none."""
    frame_rate: int = 2000
    """Frames a second that no input explains, before the guest is read more slowly (throttle.py)."""
    byte_rate: int = 1 << 20
    frame_burst: int = 100_000
    """Frames at once. An input may close every open window, so it must be above their number."""
    byte_burst: int = 64 << 20
    throttled_s: float = 10.0
    """What it may go on at these rates, beyond the burst, before it breaks its contract."""
    log_lines: int = 32
    """Passed on in a second; the others are counted. An honest guest says 8 for a second of input (lib/log.h)."""
    log_bytes: int = 8 << 10
    """Passed on in a second."""
    start_s: float = 15.0
    """From hello to ready, and from the state to its acknowledgement."""
    ping_s: float = 2.0
    hang_s: float = 10.0
    """Without progress while an answer is due, for a guest of ordinary speed."""
    hang_most_s: float = 120.0
    """For a guest that is known to be slow."""


def unit_limits(unit: Unit, windows: int) -> Limits:
    """For a unit's guest. windows: open ones that its state may hold, where it was made with other settings."""
    burst = FRAMES + CLOSED * max(unit.windows, windows)
    return Limits(
        frame_rate=unit.frame_rate,
        byte_rate=unit.byte_rate,
        frame_burst=burst,
        byte_burst=burst * SUMMARY,
        log_bytes=unit.log_rate,
    )
