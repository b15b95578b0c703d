"""Core: how fast a guest may talk.

What it says is explained by what it was given: a summary comes of values, a reject of a reading. A guest that says more
than that, and more than a rate allows, is read more slowly, and the channel holds it back. One that goes on and on
saying more than any payload could explain is no honest guest, and breaks its contract.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from .limits import Limits

PACE = (1 / 64, 4.0)
"""Frames and bytes that a byte of input explains, for a guest that isn't to be held back."""
DENSEST = (1 / 6, 128.0)
"""The most that it can explain: `"a":1,` is one value, and a summary of a single value has up to 768 bytes."""
SLACK = 0.1
"""Of the rates, that nobody takes ill for ever: pings are answered, windows close in silence."""
LEAST_PAUSE_S, MOST_PAUSE_S = 0.01, 0.25
"""Pauses are worth a timer, and the receiver looks up now and then."""
LINGER_S = 1.0
"""After a pause the guest still counts as one that is held back."""


@dataclass(slots=True)
class _Bucket:
    """Holds ``burst`` and gets ``rate`` a second; may be overdrawn, and hold more that input has earned."""

    rate: float
    burst: float
    at: float
    left: float = field(init=False)

    def __post_init__(self) -> None:
        self.left = self.burst

    def take(self, amount: float, now: float) -> None:
        if self.left < self.burst:
            self.left = min(self.burst, self.left + self.rate * (now - self.at))
        self.at = now
        self.left -= amount

    def keep(self, earned: float) -> None:
        self.left = min(self.left, self.burst + earned)


class Throttle:
    """Of one guest. Amounts are frames and bytes, times monotonic seconds."""

    def __init__(self, limits: Limits, now: float) -> None:
        self.paused_s = 0.0
        """How long it was held back."""
        self._until = now - LINGER_S
        rates = (limits.frame_rate, limits.byte_rate)
        bursts = (limits.frame_burst, limits.byte_burst)
        self._limits = limits
        self._pace = [_Bucket(rate, burst, now) for rate, burst in zip(rates, bursts, strict=True)]
        self._patience = [
            _Bucket(rate * SLACK, burst + rate * limits.throttled_s, now)
            for rate, burst in zip(rates, bursts, strict=True)
        ]

    def given(self, size: int) -> None:
        """So many bytes of input are being sent."""
        for buckets, explained in ((self._pace, PACE), (self._patience, DENSEST)):
            for bucket, share in zip(buckets, explained, strict=True):
                bucket.left += size * share

    def said(self, frames: int, size: int, unacknowledged: int, now: float) -> None:
        """The guest said so much, and so many bytes of its input are still unacknowledged."""
        for buckets, explained in ((self._pace, PACE), (self._patience, DENSEST)):
            for bucket, amount, share in zip(buckets, (frames, size), explained, strict=True):
                bucket.take(amount, now)
                bucket.keep(unacknowledged * share)

    @property
    def behind(self) -> bool:
        """Whether the guest is to be held back."""
        return any(bucket.left < 0 for bucket in self._pace)

    def pause(self, now: float) -> float:
        """Seconds, up to MOST_PAUSE_S, for which nothing should be read; they count as spent."""
        if not self.behind:
            return 0.0
        for bucket in self._pace:
            bucket.take(0, now)
        wait = max(-bucket.left / bucket.rate for bucket in self._pace)
        if wait <= 0:
            return 0.0
        pause = min(MOST_PAUSE_S, max(LEAST_PAUSE_S, wait))
        self.paused_s += pause
        self._until = now + pause
        return pause

    def throttled(self, now: float) -> bool:
        """Whether it is being held back, or was a moment ago."""
        return now < self._until + LINGER_S

    @property
    def excess(self) -> str:
        """What it said too much for too long, in words; "" while it is within bounds."""
        limits = self._limits
        for bucket, what, rate in zip(
            self._patience, ("frames", "bytes"), (limits.frame_rate, limits.byte_rate), strict=True
        ):
            if bucket.left < 0:
                return (
                    f"more than {rate:,} {what} a second that no input explains, for {limits.throttled_s:g} s"
                )
        return ""
