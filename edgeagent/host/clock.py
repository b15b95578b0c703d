"""Time as a port. Wall time is milliseconds since 1970-01-01 UTC; monotonic time is seconds."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Where shells get time from; cores take it as an argument."""

    def now_ms(self) -> int:
        """Wall time in ms since 1970 UTC; may jump."""

    def monotonic(self) -> float:
        """Seconds that never go back; its zero means nothing."""


class SystemClock:
    """The machine's clocks."""

    def now_ms(self) -> int:
        """Wall time in ms."""
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        """Seconds since some fixed point."""
        return time.monotonic()
