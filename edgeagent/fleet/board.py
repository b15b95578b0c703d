"""Shell: a board's memory of what its fleet asked for: durable before it is acted upon, the same after a restart.

STATE/commands/ID: one record each; STATE/fleet/desired: the newest desired state; STATE/fleet/floor: see clock_floor.
All methods that may write are called in one thread. A payload that isn't the fleet's raises RemoteProtocolError.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgeagent.errors import RemoteProtocolError
from edgeagent.host.files import Files
from edgeagent.seal import cose, strict

from . import clock_floor, commands, desired, payloads, topics
from .commands import Record
from .desired import Progress
from .payloads import Command, CommandState, Desired, State

COMMANDS, FLEET = "commands", "fleet"
"""Folders in the state folder."""
MAX_RECORD = 2 * payloads.MAX_PAYLOAD + 1024
_DIGEST = 8

_log = logging.getLogger("fleet")

Publication = tuple[str, bytes]
"""Topic and payload; to be retained."""


class Board:
    """One board's. ``take`` reads a message; ``next_command`` and ``end`` are for whoever does what is asked."""

    def __init__(
        self,
        files: Files,
        state: Path,
        name: str,
        key_of: Callable[[bytes], cose.Verifier | None],
        units: Iterable[str],
    ) -> None:
        self._files = files
        self._commands, self._fleet = state / COMMANDS, state / FLEET
        self._name = name
        self._key_of = key_of
        self._units = tuple(units)
        self._records: dict[str, Record] = {}
        self._waiting: Desired | None = None
        self.progress = Progress()
        self.refused = 0
        """Payloads that weren't the fleet's, or out of bounds."""
        self._floor = self._kept_floor = 0

    def open(self, now: int) -> None:
        """Read what is kept, and go on with what was under way. OSError when the folders can't be used."""
        for folder in (self._commands, self._fleet):
            self._files.make_folder(folder)
        for name in self._files.names(self._commands):
            if (found := self._load(self._commands / name, _record_from)) is not None:
                self._records[found.command.id] = found
        self.progress = self._load(self._fleet / "desired", _progress_from) or Progress()
        self._floor = self._kept_floor = self._load(self._fleet / "floor", _floor_from) or 0
        for record in list(self._records.values()):
            self._keep(commands.resumed(record, now))

    # ---- messages ------------------------------------------------------------------------------------------------

    def take(self, topic: str, data: bytes, now: int) -> list[Publication]:
        """A message of the broker; what is to be published for it. RemoteProtocolError: it counts for nothing."""
        said = topics.parse(topic)
        if said is None or said.board != self._name:
            return []
        try:
            if said.kind == topics.DESIRED and data:
                self._see_desired(payloads.verify(Desired, data, self._key_of, topic), now)
            elif said.kind == topics.COMMAND:
                return self._clear(said.id, now) if not data else self._command(said.id, data, topic, now)
        except RemoteProtocolError:
            self.refused += 1
            raise
        return []

    def _command(self, name: str, data: bytes, topic: str, now: int) -> list[Publication]:
        command = payloads.verify(Command, data, self._key_of, topic)
        if command.id != name:
            raise RemoteProtocolError(f"the command calls itself {command.id}, and its topic {name}")
        if name not in self._records:
            self._see_time(command.issued, now)
            records = list(self._records.values())
            trusted = clock_floor.trusted(self._floor, now)
            self._keep(commands.take(command, records, now=now, units=self._units, trusted=trusted))
            self._forget()
        elif self._records[name].cleared:
            self._keep(replace(self._records[name], cleared=False))
        return [self._state_of(self._records[name])]

    def _clear(self, name: str, now: int) -> list[Publication]:
        """Only the requester may publish there, so an empty message is its word; our answer goes with it."""
        if name not in self._records:
            return []
        self._keep(commands.cancelled(self._records[name], now))
        return [self._state_of(self._records[name])]

    def _see_desired(self, new: Desired, now: int) -> None:
        self._see_time(new.issued, now)
        self._waiting = new
        self.settle(now)

    def _see_time(self, seen: int, now: int) -> None:
        self._floor = clock_floor.raised(self._floor, seen)
        if clock_floor.worth_keeping(self._kept_floor, self._floor, now):
            self._files.replace(self._fleet / "floor", _sealed(self._floor))
            self._kept_floor = self._floor

    # ---- time ----------------------------------------------------------------------------------------------------

    @property
    def floor(self) -> int:
        """The least that a right clock shows, ms since 1970."""
        return self._floor

    def confirm_time(self, now: int) -> None:
        """Our clock is synchronised."""
        self._see_time(now, now)

    def settle(self, now: int) -> list[Publication]:
        """What time alone changes: deadlines, and a desired state that waited for the clock."""
        trusted = clock_floor.trusted(self._floor, now)
        if self._waiting is not None and trusted:
            taken = desired.take(self.progress, self._waiting, now=now, units=self._units, trusted=True)
            if taken:
                self._keep_progress(taken)
            self._waiting = None
        if not trusted:
            return []
        if desired.overdue(self.progress, now):
            self.advance(State.TIMED_OUT, "deadline")
        late = commands.overdue(self._records.values(), now)
        for record in late:
            self._keep(record)
        return [self._state_of(record) for record in late]

    @property
    def waits_for_clock(self) -> bool:
        """Whether a desired state isn't taken because the clock can't be right."""
        return self._waiting is not None

    # ---- doing ---------------------------------------------------------------------------------------------------

    def begin_next(self, now: int) -> tuple[Command, Publication] | None:
        """The oldest accepted command, which is now executing, durably; None when there is none."""
        accepted = [one for one in self._records.values() if one.state.state is State.ACCEPTED]
        if not accepted:
            return None
        record = min(accepted, key=lambda one: (one.command.issued, one.command.id))
        self._keep(commands.move(record, State.EXECUTING, now))
        return record.command, self._state_of(self._records[record.command.id])

    def end(self, name: str, state: State, now: int, reason: str = "", detail: str = "") -> Publication:
        """What came of it, durably; a command that is final already (its deadline) stays as it is."""
        line = "".join(one if one.isprintable() else " " for one in detail)[: payloads.MAX_TEXT]
        self._keep(commands.move(self._records[name], state, now, reason, line))
        return self._state_of(self._records[name])

    def advance(self, state: State, reason: str = "") -> None:
        """The desired state's own state, durably."""
        self._keep_progress(desired.advance(self.progress, state, reason))

    def states(self) -> list[Publication]:
        """Of all commands that aren't cleared, for a new connection."""
        return [self._state_of(record) for record in self._records.values() if not record.cleared]

    # ---- keeping -------------------------------------------------------------------------------------------------

    def _state_of(self, record: Record) -> Publication:
        """Empty once its requester has cleared it: nothing stays at the broker."""
        said = b"" if record.cleared else payloads.encode(record.state)
        return topics.command_state(self._name, record.command.id), said

    def _keep(self, record: Record) -> None:
        """First on disk, then here: what isn't durable hasn't happened."""
        if self._records.get(record.command.id) == record:
            return
        parts = [payloads.encode(record.command), payloads.encode(record.state), int(record.cleared)]
        self._files.replace(self._commands / record.command.id, _sealed(parts))
        self._records[record.command.id] = record

    def _keep_progress(self, progress: Progress) -> None:
        if progress.desired is None or progress == self.progress:
            return
        parts = [payloads.encode(progress.desired), str(progress.state), progress.reason]
        self._files.replace(self._fleet / "desired", _sealed(parts))
        self.progress = progress

    def _forget(self) -> None:
        for record in commands.surplus(self._records.values()):
            self._files.remove(self._commands / record.command.id)
            del self._records[record.command.id]

    def _load(self, path: Path, read: Callable[[Any], Any]) -> Any:
        """None when there is none, or when it is damaged: said in the log, and forgotten."""
        try:
            return read(_unsealed(self._files.read(path, MAX_RECORD)))
        except FileNotFoundError:
            return None
        except (RemoteProtocolError, ValueError, TypeError) as error:
            _log.error("%s is damaged and counts no more: %s", path, error)
            return None


def _sealed(value: Any) -> bytes:
    data = strict.dumps(value)
    return hashlib.sha256(data).digest()[:_DIGEST] + data


def _unsealed(found: bytes) -> Any:
    digest, data = found[:_DIGEST], found[_DIGEST:]
    if hashlib.sha256(data).digest()[:_DIGEST] != digest:
        raise ValueError("its checksum is wrong")
    return strict.loads(data, limit=MAX_RECORD, what="the record")


def _record_from(found: Any) -> Record:
    command, state, cleared = found
    return Record(
        payloads.decode(Command, command), payloads.decode(CommandState, state), cleared=bool(cleared)
    )


def _progress_from(found: Any) -> Progress:
    wanted, state, reason = found
    return Progress(payloads.decode(Desired, wanted), State(state), str(reason))


def _floor_from(found: Any) -> int:
    return int(found)
