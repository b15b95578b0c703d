"""How many readings a unit and each of its topics may bring: token buckets, kept as the time at which they are full."""

from __future__ import annotations

from typing import Final

BURST_S: Final = 2.0
"""A bucket holds what the rate gives in this time, at least one reading."""
MAX_SOURCES: Final = 16_384
"""Topics with a bucket of their own; all further ones share one, so that inventing topics brings nothing."""
SWEEP_S: Final = 60.0
"""Least time between two searches of a full table for topics that have been silent."""


class RateLimit:
    """Limits in readings per second; 0 is no limit. Time is an argument, in seconds that never go back."""

    def __init__(self, unit_rate: float, source_rate: float) -> None:
        self._unit = _interval(unit_rate)
        self._source = _interval(source_rate)
        self._unit_full = 0.0
        self._full: dict[bytes, float] = {}
        self._shared_full = 0.0
        self._swept = 0.0

    def allows(self, topic: bytes, now: float) -> bool:
        """Take a token of the unit and one of the topic; False, and none taken, if either has none."""
        interval, allowance = self._unit
        unit_full = max(self._unit_full, now)
        if unit_full - now > allowance:
            return False
        if self._source[0] and not self._take(topic, now):
            return False
        self._unit_full = unit_full + interval
        return True

    def _take(self, topic: bytes, now: float) -> bool:
        interval, allowance = self._source
        known = self._full.get(topic)
        own = known is not None or self._has_room(now)
        full = max(known or 0.0 if own else self._shared_full, now)
        if full - now > allowance:
            return False
        if own:
            self._full[topic] = full + interval
        else:
            self._shared_full = full + interval
        return True

    def _has_room(self, now: float) -> bool:
        if len(self._full) >= MAX_SOURCES and now - self._swept >= SWEEP_S:
            self._swept = now
            self._full = {topic: full for topic, full in self._full.items() if full > now}
        return len(self._full) < MAX_SOURCES


def _interval(rate: float) -> tuple[float, float]:
    """Seconds between two readings, and how far ahead of now a bucket may be used up."""
    if rate <= 0:
        return 0.0, 0.0
    interval = 1 / rate
    return interval, max(0.0, BURST_S - interval)


def rate_limit(unit_rate: float, source_rate: float) -> RateLimit | None:
    """A limit, or None if there's nothing to limit, so that the hot path needn't ask."""
    return RateLimit(unit_rate, source_rate) if unit_rate > 0 or source_rate > 0 else None
