"""What the supervisor needs of a guest's owner: what goes in, where what comes out goes, who hears of its state."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from edgeagent.vmm.crash import Crash
from edgeagent.vmm.port import Ending

from .events import Event
from .ring import Ring

LOG_LINES = 50
"""Kept of what a guest said last."""
START_FAILED = "start-failed"
"""Kind of a crash before there was a machine: nothing is left of it but words."""


@dataclass(frozen=True, slots=True)
class Hello:
    """The unit, as the guest is told. memory: bytes of guest RAM."""

    unit: str
    memory: int
    config: Mapping[str, Any]


class Saved(Protocol):
    """A guest's state after input seq and output out; no bytes of state let the app begin anew."""

    @property
    def seq(self) -> int:
        """Last input that it has seen."""

    @property
    def out(self) -> int:
        """Last output that it has said."""

    @property
    def state(self) -> bytes:
        """As CheckpointDone gave it."""


@dataclass(frozen=True, slots=True)
class Takeover:
    """States of several guests after input seq. A new one takes its shard (index, count), and says out + 1 next."""

    seq: int
    out: int
    states: tuple[bytes, ...]
    shard: tuple[int, int]


class InputReader(Protocol):
    """Reads durable frames in order."""

    @property
    def last_seq(self) -> int:
        """Of the last frame handed out."""

    def read(self, max_bytes: int) -> bytes:
        """Whole frames, at least one if there is one, whatever its size; b"" for now."""

    def close(self) -> None:
        """The guest is gone: give back what reading took."""


class Owner(Protocol):
    """Of one guest. Calls come from the event loop's thread."""

    def hello(self) -> Hello:
        """Asked before every start."""

    def checkpoint(self) -> Saved | Takeover | None:
        """To restore; asked after the ReadyEvent, which says whose states the guest can take. None: from input 1."""

    def input_after(self, seq: int) -> InputReader:
        """Input from the frame after that one."""

    def on_event(self, event: Event) -> None:
        """What the guest said. A GuestError from here ends the guest as one that broke its contract."""

    def on_state(self, status: Status) -> None:
        """The status is another one."""

    def on_end(self, evidence: Evidence) -> None:
        """The guest ended, and nobody asked it to; another one may be started next."""


class State(enum.StrEnum):
    """Of a supervised guest."""

    STARTING = "starting"
    RUNNING = "running"
    DRAINING = "draining"
    WAITING = "waiting"
    """For its next start."""
    FAILED = "failed"
    """The start budget is used up; ``start_again`` gives a new one."""
    IDLE = "idle"
    """Nothing to do; the next input starts it."""
    STOPPED = "stopped"
    """Until ``start_again``."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is left of a guest that ended: enough to explain it, and to play its input again.

    acked, given: input acked + 1 to given was with the guest.
    """

    crash: Crash
    ending: Ending | None
    """The machine's own end, with exit status, events and stderr; None when the agent ended it."""
    ring: Ring | None
    log: tuple[str, ...]
    acked: int
    given: int
    began: int = 0
    """It went on from here: the input that its state was made after."""
    state_asked: bool = False
    """It was asked for its state, and hadn't answered."""
    memory: bytes = b""
    """Where the log ring lies, as it stood."""
    vmm: str = ""
    """Its version, where it said one."""

    @property
    def last_words(self) -> tuple[str, ...]:
        """The last lines of the log: from the guest's memory, where they are all, else those that were sent."""
        return self.ring.lines[-LOG_LINES:] if self.ring and self.ring.lines else self.log


@dataclass(frozen=True, slots=True)
class Status:
    """A guest, now."""

    state: State
    accelerator: str
    why: str
    """Why this accelerator."""
    app: str = ""
    version: int = 0
    pid: int = 0
    """Of the VMM; 0 while there is none."""
    starts: int = 0
    restarts: int = 0
    """Starts after an end that nobody asked for."""
    since: float = 0.0
    """When the guest was started, or came to rest, monotonic seconds."""
    acked: int = 0
    crash: Crash | None = None
    """The last one."""
    throttled: bool = False
    """It says too much, and is held back."""
    throttled_s: float = 0.0
    """How long it and those before it were held back."""
    jail: tuple[str, ...] = ()
    log: tuple[str, ...] = ()
    """Its last lines."""
