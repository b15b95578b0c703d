"""Core: whether a desired state is taken, and which units it changes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from .payloads import FINAL, Desired, DesiredUnit, State


@dataclass(frozen=True, slots=True)
class Progress:
    """The newest desired state that was taken, and what became of it. desired None: there was none yet."""

    desired: Desired | None = None
    state: State = State.SUCCESSFUL
    reason: str = ""

    @property
    def version(self) -> int:
        """Of the newest one taken; 0: none."""
        return self.desired.version if self.desired else 0

    @property
    def open(self) -> bool:
        """Whether something is still to be done for it."""
        return self.desired is not None and self.state not in FINAL


def take(
    now_has: Progress, new: Desired, *, now: int, units: Iterable[str], trusted: bool
) -> Progress | None:
    """What is to be kept of it, or None: an older one or a second copy changes nothing.

    trusted: whether ``now`` (ms) can be relied on. A clock that isn't set doesn't use the version up: None too, and
    it is taken when the clock is right.
    """
    if new.version <= now_has.version or not trusted:
        return None
    if new.deadline <= now:
        return Progress(new, State.TIMED_OUT, "deadline")
    known = set(units)
    if strangers := [unit.name for unit in new.units if unit.name not in known]:
        return Progress(new, State.REJECTED, f"unknown-unit {strangers[0]}")
    return Progress(new, State.ACCEPTED)


def to_change(desired: Desired, running: Mapping[str, int]) -> list[DesiredUnit]:
    """Units that run another sequence than they are to. running: sequence by unit."""
    return [unit for unit in desired.units if running.get(unit.name) != unit.sequence]


def advance(progress: Progress, state: State, reason: str = "") -> Progress:
    """In another state; a final one stays as it is."""
    return Progress(progress.desired, state, reason) if progress.open else progress


def overdue(progress: Progress, now: int) -> bool:
    """Whether its deadline has come before its end."""
    return progress.desired is not None and progress.open and progress.desired.deadline <= now
