"""Core: how long the calibration loop must be, and what its times mean."""

from __future__ import annotations

from collections.abc import Mapping

FIRST = 1_000
ENOUGH_S = 0.05
"""A run of this length drowns the noise of the channel and of a busy board."""
MOST_TIMES = 64
SHARE = 8
"""The short run is this many times shorter than the long one."""

SPIN_INSTRUCTIONS: Mapping[str, int] = {"mips64el": 4}
"""Guest instructions of one iteration (firmware-images/lib/session.c); 3 on every other architecture."""
INSTRUCTIONS = 3


def next_count(count: int, seconds: float) -> int | None:
    """Iterations of the next, longer run; None when this one was long enough."""
    if seconds >= ENOUGH_S:
        return None
    return int(count * min(MOST_TIMES, max(2.0, 1.2 * ENOUGH_S / max(seconds, 1e-6))))


def nanoseconds(arch: str, short: tuple[int, float], long: tuple[int, float]) -> float:
    """For one guest instruction, from two runs of (iterations, seconds): what both have in common falls out."""
    instructions = (long[0] - short[0]) * SPIN_INSTRUCTIONS.get(arch, INSTRUCTIONS)
    return max(0.001, (long[1] - short[1]) * 1e9 / instructions)
