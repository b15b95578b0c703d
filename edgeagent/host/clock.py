"""Time as a port. Wall time is milliseconds since 1970-01-01 UTC; monotonic time is seconds."""

from __future__ import annotations

import ctypes
import time
from typing import Protocol

_TIME_ERROR = 5
"""What adjtimex(2) returns while the kernel's clock isn't synchronised."""
_TIMEX_BYTES = 512
"""More than struct timex has anywhere; its first word (modes) is 0: read only."""


class Clock(Protocol):
    """Where shells get time from; cores take it as an argument."""

    def now_ms(self) -> int:
        """Wall time in ms since 1970 UTC; may jump."""

    def monotonic(self) -> float:
        """Seconds that never go back; its zero means nothing."""

    def synchronised(self) -> bool:
        """Whether something (NTP) keeps wall time right."""


class SystemClock:
    """The machine's clocks."""

    def now_ms(self) -> int:
        """Wall time in ms."""
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        """Seconds since some fixed point."""
        return time.monotonic()

    def synchronised(self) -> bool:
        """What the kernel says (adjtimex(2)); False where it says nothing."""
        try:
            state: int = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
        except (OSError, AttributeError):
            return False
        return 0 <= state < _TIME_ERROR
