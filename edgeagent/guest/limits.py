"""Core: the bounds of a session, one row each."""

from __future__ import annotations

from dataclasses import dataclass


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
    said: int = 64 << 20
    """Said between two acknowledgements."""
    said_frames: int = 100_000
    """As frames. An input may close every open window, so it must be above their number."""
    log_burst: int = 8
    """Lines for each input that was given (lib/log.h keeps to as many for a second of input time)."""
    log_start: int = 128
    """Lines beside those: at the start, and about pings and checkpoints."""
    log_lines: int = 32
    """Passed on in a second; the others are counted."""
    start_s: float = 15.0
    """From hello to ready, and from the state to its acknowledgement."""
    ping_s: float = 2.0
    hang_s: float = 10.0
    """Without progress while an answer is due, for a guest of ordinary speed."""
    hang_most_s: float = 120.0
    """For a guest that is known to be slow."""
