"""Numbers as sensors give them: a random walk within bounds, with the day's shape, in the sensor's own steps."""

from __future__ import annotations

import math
from decimal import Decimal

from .dice import Dice

DAY_MS = 86_400_000


class Walk:
    """A slowly varying quantity. low, high, step and daily are in units of 10**-digits."""

    def __init__(
        self, dice: Dice, low: int, high: int, *, digits: int = 0, step: int = 1, daily: int = 0
    ) -> None:
        self._dice = dice
        self._low, self._high = low, high
        self._digits, self._step, self._daily = digits, step, daily
        self._at = dice.whole(low, high)

    def next(self, time_ms: int) -> Decimal:
        """The value at that time; each call is one step of the walk."""
        self._at = self._within(self._at + self._dice.whole(-self._step, self._step))
        swing = math.sin(2 * math.pi * (time_ms % DAY_MS) / DAY_MS - 2)
        return Decimal(self._within(self._at + round(self._daily * swing))).scaleb(-self._digits)

    def _within(self, value: int) -> int:
        return max(self._low, min(self._high, value))
