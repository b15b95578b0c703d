"""Between a lane and the supervisor of its guest."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from edgeagent.config.schema import Unit
from edgeagent.errors import GuestError
from edgeagent.guest.events import (
    AckEvent,
    CheckpointDone,
    ContractBreach,
    Event,
    HungEvent,
    LogEvent,
    OutputEvent,
    ReadyEvent,
    RefusedEvent,
    RejectEvent,
    RunningEvent,
    ThrottledEvent,
)
from edgeagent.guest.owner import START_FAILED, Evidence, Hello, State, Status, Takeover
from edgeagent.unit.checkpointing import Checkpoint
from edgeagent.unit.lane import Lane
from edgeagent.unit.ports import LogReader

_LEVELS = (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR)


class GuestOwner:
    """Implements guest.Owner over a lane. image: for messages to people; ended: what to do with a guest's remains."""

    def __init__(self, unit: Unit, lane: Lane, image: Path, ended: Callable[[Evidence], None]) -> None:
        self.status: Status | None = None
        self._ended = ended
        self._unit = unit
        self._lane = lane
        self._image = image
        self._app, self._state_version = "", 0
        self._logger = logging.getLogger(f"guest.{lane.ident}")

    def hello(self) -> Hello:
        """The unit as the guest is told, with the configuration that its checkpoint was made with."""
        return Hello(self._unit.name, self._unit.memory, self._lane.checkpoint.config)

    def checkpoint(self) -> Checkpoint | Takeover | None:
        """What the guest goes on from; None for the very beginning."""
        saved, takes = self._lane.checkpoint, self._lane.takeover
        if takes is not None:
            return Takeover(saved.seq, saved.out, takes.states, (takes.shard.index, takes.shard.count))
        return saved if saved.seq or saved.out or saved.state else None

    def input_after(self, seq: int) -> LogReader:
        """The log, from there."""
        return self._lane.input_after(seq)

    def on_event(self, event: Event) -> None:
        """Sort what the guest said. GuestError when it can't be."""
        lane = self._lane
        match event:
            case OutputEvent(message, kind, body):
                lane.said(message, kind, body)
            case AckEvent(seq, _):
                lane.processed(seq)
            case RejectEvent(seq, reason, offset):
                lane.rejected(seq, reason, offset)
            case CheckpointDone(_, seq, out, state):
                lane.stated(seq, out, state, self._app, self._state_version)
            case LogEvent(level, text, dropped):
                if dropped:
                    self._logger.warning("(%d lines were too many)", dropped)
                self._logger.log(_LEVELS[min(level, 3)], "%s", text)
            case ThrottledEvent(words):
                self._logger.warning("throttled: %s", words)
            case RunningEvent():
                lane.began()
            case ReadyEvent(ready):
                saved = lane.checkpoint
                if (
                    (saved.state or lane.takeover)
                    and saved.app
                    and (saved.app, saved.state_version) != (ready.app, ready.state_version)
                ):
                    raise GuestError(
                        f"{self._image} says that it is {ready.app} with state {ready.state_version}; "
                        f"the checkpoint is of {saved.app} with state {saved.state_version}"
                    )
                self._app, self._state_version = ready.app, ready.state_version
            case ContractBreach() | HungEvent() | RefusedEvent():
                lane.guest_lost()

    def on_state(self, status: Status) -> None:
        """Remember it for `edgeagent status`."""
        before, self.status = self.status, status
        if before is None or before.state is not status.state:
            self._logger.info("%s", status.state)
        if not status.pid:
            self._lane.guest_lost()
        if status.state in (State.WAITING, State.FAILED):
            self._lane.ended(str(status.crash or "the guest ended"))

    def on_end(self, evidence: Evidence) -> None:
        """Keep what is left of it."""
        if evidence.crash.kind != START_FAILED:
            self._ended(evidence)
