"""Core: what becomes of commands. Each has one record, which is made durable before anything is done.

accepted -> executing -> successful | failed | timed-out, or rejected | cancelled at once. A record that is final stays
as it is; a second copy of its command changes nothing. What was executing when the agent died: kinds that may be
repeated are begun again, the others have failed ("interrupted").
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from .payloads import FINAL, Command, CommandState, Kind, State

MAX_KEPT = 64
"""Records; the oldest final ones go first."""
MAX_OPEN = 16
"""Commands that aren't final yet."""
REPEATABLE = frozenset({Kind.RESTART, Kind.STOP, Kind.START, Kind.REFRESH})
"""Doing them twice does what doing them once does. A second rollback would go forward again."""


@dataclass(frozen=True, slots=True)
class Record:
    """A command and what became of it. cleared: its requester has seen the end."""

    command: Command
    state: CommandState
    cleared: bool = False

    @property
    def final(self) -> bool:
        """Whether nothing changes any more."""
        return self.state.state in FINAL


def move(record: Record, state: State, now: int, reason: str = "", detail: str = "") -> Record:
    """The record in another state; a final one stays as it is."""
    if record.final:
        return record
    said = CommandState(id=record.command.id, state=state, reason=reason, detail=detail, time=now)
    return replace(record, state=said)


def take(
    command: Command, records: Sequence[Record], *, now: int, units: Iterable[str], trusted: bool
) -> Record:
    """The record of a new command: accepted, or ended at once. trusted: whether ``now`` can be relied on."""
    record = Record(command, CommandState(id=command.id, state=State.ACCEPTED, time=now))
    kind, unit = command.kind, command.unit
    if not trusted:
        return move(record, State.REJECTED, now, "clock", "the board's clock isn't set")
    if command.deadline <= now:
        return move(record, State.TIMED_OUT, now, "deadline", "it came after its deadline")
    if kind not in set(Kind):
        return move(record, State.REJECTED, now, "unsupported", "this agent doesn't know such commands")
    if kind != Kind.REFRESH and unit not in set(units):
        return move(record, State.REJECTED, now, "unknown-unit", f"there is no unit {unit}")
    if sum(not one.final for one in records) >= MAX_OPEN:
        return move(record, State.REJECTED, now, "busy", f"{MAX_OPEN} commands are open already")
    return record


def overdue(records: Iterable[Record], now: int) -> list[Record]:
    """Those whose deadline has come, timed out."""
    return [
        move(one, State.TIMED_OUT, now, "deadline", "it wasn't done by its deadline")
        for one in records
        if not one.final and one.command.deadline <= now
    ]


def cancelled(record: Record, now: int) -> Record:
    """Its requester took it back: what wasn't begun never is."""
    if record.state.state is State.ACCEPTED:
        record = move(record, State.CANCELLED, now, "cleared", "its requester took it back")
    return replace(record, cleared=True)


def resumed(record: Record, now: int) -> Record:
    """After a restart of the agent."""
    if record.state.state is not State.EXECUTING:
        return record
    if record.command.kind in REPEATABLE:
        return move(record, State.ACCEPTED, now, "restarted")
    return move(record, State.FAILED, now, "interrupted", "the agent ended meanwhile; see what runs")


def surplus(records: Iterable[Record], kept: int = MAX_KEPT) -> list[Record]:
    """Which to forget: the oldest final ones, cleared ones first."""
    found = list(records)
    final = sorted(
        (one for one in found if one.final), key=lambda one: (not one.cleared, one.state.time, one.command.id)
    )
    return final[: max(0, len(found) - kept)]
