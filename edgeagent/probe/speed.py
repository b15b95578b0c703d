"""Core: how long the calibration loop must be, and what its times mean.

A run takes its iterations' time, and as long again as the channel and a busy board please. What runs of two lengths
have in common falls out of their difference; what disturbs one of them, out of the shortest of several.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

Run = tuple[int, float]
"""Iterations and seconds."""

FIRST = 1_000
ENOUGH_S = 0.05
"""A difference of this length drowns the noise that is left."""
NOISE_TIMES = 2
"""It must be this many times as long as the shortest run, too: a slow channel's time varies."""
REPEATS = 5
MOST_TIMES = 64
SHARE = 8
"""The short run is this many times shorter than the long one."""

SPIN_INSTRUCTIONS: Mapping[str, int] = {"mips64el": 4}
"""Guest instructions of one iteration (firmware-images/lib/session.c); 3 on every other architecture."""
INSTRUCTIONS = 3


def next_count(runs: Sequence[Run]) -> int | None:
    """Iterations of the next run after these; None when they are enough."""
    if not runs:
        return FIRST
    long, short = _lengths(runs)
    if not _times(runs, short):
        return short
    enough = max(ENOUGH_S, NOISE_TIMES * min(seconds for _, seconds in runs))
    if _gap(runs) < enough:
        # A gap of nothing is noise: iterations take an eighth of the run at least, as far as one may guess.
        guess = max(_gap(runs), min(_times(runs, long)) / SHARE, 1e-6)
        return int(long * min(MOST_TIMES, max(2.0, 1.2 * enough / guess)))
    return next((count for count in (long, short) if len(_times(runs, count)) < REPEATS), None)


def nanoseconds(arch: str, runs: Sequence[Run]) -> float:
    """For one guest instruction, from runs that are enough."""
    long, short = _lengths(runs)
    return _gap(runs) * 1e9 / ((long - short) * SPIN_INSTRUCTIONS.get(arch, INSTRUCTIONS))


def _lengths(runs: Sequence[Run]) -> tuple[int, int]:
    long = max(count for count, _ in runs)
    return long, long // SHARE


def _times(runs: Sequence[Run], count: int) -> list[float]:
    return [seconds for one, seconds in runs if one == count]


def _gap(runs: Sequence[Run]) -> float:
    long, short = _lengths(runs)
    return min(_times(runs, long)) - min(_times(runs, short))
