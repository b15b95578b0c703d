"""Core: how soon, and how often, a guest that ended is started again. Times are monotonic seconds."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """The wait before a restart doubles with each end, and is forgotten after healthy_s of running."""

    first_delay_s: float = 0.25
    delay_cap_s: float = 30.0
    starts: int = 10
    """Starts within window_s; then the guest stays down."""
    window_s: float = 600.0
    healthy_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Budget:
    """What remembers the starts; made anew with each call."""

    policy: RestartPolicy
    starts: tuple[float, ...] = ()
    ends: int = 0
    """In a row, without healthy running between them."""

    def started(self, now: float) -> Budget:
        """A guest starts."""
        return replace(self, starts=(*self._recent(now), now))

    def ended(self, now: float) -> Budget:
        """It ended, for whatever reason that wasn't ours."""
        healthy = bool(self.starts) and now - self.starts[-1] >= self.policy.healthy_s
        return replace(self, ends=1 if healthy else self.ends + 1, starts=() if healthy else self.starts)

    def rested(self) -> Budget:
        """It was told to end, and so was well: that start isn't held against it."""
        return replace(self, ends=0, starts=self.starts[:-1])

    def delay(self, now: float) -> float | None:
        """Seconds to wait before the next start; None when the budget is used up."""
        if len(self._recent(now)) >= self.policy.starts:
            return None
        if not self.ends:
            return 0.0
        exponent = min(self.ends - 1, 32)
        return min(self.policy.delay_cap_s, self.policy.first_delay_s * 2.0**exponent)

    def _recent(self, now: float) -> tuple[float, ...]:
        return tuple(at for at in self.starts if at > now - self.policy.window_s)[-self.policy.starts :]
