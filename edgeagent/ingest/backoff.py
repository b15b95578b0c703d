"""How long to wait before the next attempt: exponential, capped, with jitter, so that boards don't come all at once."""

from __future__ import annotations

from collections.abc import Callable

FIRST_S = 0.5
CAP_S = 60.0
STABLE_S = 30.0
"""A connection that lived this long was good: the next attempt comes soon again."""


class Backoff:
    """Waits of a random half to whole of 0.5, 1, 2 ... 60 s. jitter gives numbers in [0, 1)."""

    def __init__(
        self, jitter: Callable[[], float], *, first_s: float = FIRST_S, cap_s: float = CAP_S
    ) -> None:
        self._jitter = jitter
        self._first = first_s
        self._cap = cap_s
        self._next = first_s

    def after(self, lived_s: float) -> float:
        """Seconds to wait after a connection that lived so long; 0.0 if it never came to be."""
        if lived_s >= STABLE_S:
            self._next = self._first
        whole = self._next
        self._next = min(self._cap, whole * 2)
        return whole * (0.5 + self._jitter() / 2)
