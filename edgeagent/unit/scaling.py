"""Core: how many instances of its guest a unit should have, by how long its input waits.

More of them when the oldest input that isn't processed stays old; fewer when hardly any waits for long. A step down
that had to be taken back was wrong: the next one needs twice the calm. Times are seconds; now is monotonic.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

LATE_S = 2.0
"""Input that waits longer than this is late: the guests don't keep up."""
CALM_S = 1.0
"""Input that never waits longer than this is no load."""
REST_S = 10.0
"""After a move nothing is concluded for this long: what waited during it is still being caught up."""
RETRY_S = 60.0
"""After a move that failed; twice as long after each that follows."""
RETRY_MOST_S = 3600.0
DOUBLINGS = 7
"""Of the calm that a step down needs, at most."""
SAMPLES = 128


class Backlog:
    """How long the oldest input has waited that is durable and not processed. Asked about once a second."""

    def __init__(self) -> None:
        self._marks: deque[tuple[float, int]] = deque()
        """When the log was first seen to reach an input."""

    def age(self, now: float, durable: int, processed: int) -> float:
        """durable, processed: newest input in the log, and newest through which every guest is."""
        marks = self._marks
        while marks and marks[0][1] <= processed:
            marks.popleft()
        if durable > processed and (not marks or marks[-1][1] < durable):
            if len(marks) == SAMPLES:
                now_, _ = marks.pop()
                marks.append((now_, durable))
            else:
                marks.append((now, durable))
        return now - marks[0][0] if marks else 0.0


@dataclass(frozen=True, slots=True)
class ScalingPolicy:
    """most: instances. after: how long input must be late before there is one more; calm: how long none may wait."""

    most: int
    after: float
    calm: float


class ScalingPlan:
    """Decides, one step at a time."""

    def __init__(self, policy: ScalingPolicy, count: int, now: float) -> None:
        self.count = count
        self._policy = policy
        self._late: float | None = None
        self._calm: float | None = None
        self._rest = now
        """Nothing is decided before."""
        self._doublings = 0
        self._failures = 0
        self._fewer: float | None = None
        """When the last step down was taken."""

    def wanted(self, now: float, age: float, *, steady: bool) -> int:
        """How many instances there should be now. age: of the oldest input that waits.

        steady: every guest runs and nothing else holds them back; whatever waits, waits for them.
        """
        policy = self._policy
        self._late = (self._late if self._late is not None else now) if steady and age > LATE_S else None
        self._calm = (self._calm if self._calm is not None else now) if steady and age < CALM_S else None
        if not steady or self.resting(now):
            return self.count
        if self.count > policy.most:
            return policy.most
        if self._late is not None and now - self._late >= policy.after and self.count < policy.most:
            return self.count + 1
        if self._calm is not None and now - self._calm >= self._needed_calm and self.count > 1:
            return self.count - 1
        return self.count

    @property
    def _needed_calm(self) -> float:
        return self._policy.calm * 2.0**self._doublings

    def resting(self, now: float) -> bool:
        """Whether nothing is decided yet."""
        return now < self._rest

    def moved(self, count: int, now: float) -> None:
        """The number of instances is this one now."""
        if count < self.count:
            self._fewer = now
        elif self._fewer is not None:
            hasty = now - self._fewer < self._needed_calm
            self._doublings = min(self._doublings + 1, DOUBLINGS) if hasty else 0
            self._fewer = None
        self.count = count
        self._failures = 0
        self._begin_again(now + REST_S)

    def failed(self, now: float) -> None:
        """A move didn't come about."""
        self._begin_again(now + min(RETRY_MOST_S, RETRY_S * 2.0**self._failures))
        self._failures += 1

    def _begin_again(self, at: float) -> None:
        self._rest = at
        self._late = self._calm = None
