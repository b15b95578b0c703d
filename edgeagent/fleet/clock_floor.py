"""Core: the least that a right clock can show, for boards that lose the time with the power.

It only grows: with every time that a trusted party has put its name under, and with our own while it is synchronised.
"""

from __future__ import annotations

SKEW_MS = 5 * 60_000
"""How far another's clock may be ahead of ours."""
STEP_MS = 3_600_000
"""The floor is written at most once in so much time, which spares flash."""


def raised(floor: int, seen: int) -> int:
    """The floor after a trustworthy time; ms since 1970."""
    return max(floor, seen - SKEW_MS)


def worth_keeping(kept: int, floor: int, now: int) -> bool:
    """Whether it is to be written: after a step, and at once when our clock turns out wrong by it."""
    return floor - kept >= STEP_MS or kept <= now < floor


def trusted(floor: int, now: int) -> bool:
    """Whether our clock can be right."""
    return now >= floor
