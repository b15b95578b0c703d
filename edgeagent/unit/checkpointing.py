"""When to ask a guest for its state, and when a state may be kept.

A checkpoint lets the log be trimmed, so it must not be kept before every output up to it is in the spool.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from edgeagent.errors import DamagedError
from edgeagent.wire import cbor

from .sharding import Shard

MIN_LOG_BYTES = 1 << 20
"""Of new log before a checkpoint is worth it; replaying them takes well below a second."""
STATE_FACTOR = 4
"""New log must be this many times the state, so that checkpoints add a quarter to what is written at most."""
MAX_AGE_S = 600.0
MAX_STATE = 64 << 20


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A guest's state after input seq and output out, and the configuration it was run with.

    A state of no bytes lets the app begin anew with the numbers going on.
    """

    seq: int
    out: int
    state: bytes
    app: str
    state_version: int
    config: dict[str, Any] = field(default_factory=dict)

    def pack(self) -> bytes:
        """Configuration and state as one blob for the journal."""
        return cbor.dumps([self.config, self.state])


def unpack(seq: int, out: int, blob: bytes, app: str, state_version: int) -> Checkpoint:
    """The reverse of pack. DamagedError if the blob is none."""
    match cbor.loads(blob, limit=MAX_STATE, what="checkpoint"):
        case [Mapping() as config, bytes(state)]:
            return Checkpoint(seq, out, state, app, state_version, dict(config))
    raise DamagedError("the checkpoint holds no configuration and state")


@dataclass(frozen=True, slots=True)
class Takeover:
    """States after the same input of all the guests that a unit had; a guest takes its shard of each."""

    shard: Shard
    states: tuple[bytes, ...]


@dataclass(slots=True)
class CheckpointPlan:
    """Decides. Byte counts are of log fed to the guest; times are monotonic seconds."""

    at: float
    state_bytes: int = 0
    fed: int = 0
    asked: bool = False

    def wants(self, now: float, *, pressed: bool = False) -> bool:
        """Whether to ask now. pressed: the log is full, and a state would let it be trimmed."""
        if self.asked or not (self.fed or pressed):
            return False
        return (
            pressed
            or self.fed >= max(MIN_LOG_BYTES, STATE_FACTOR * self.state_bytes)
            or now - self.at >= MAX_AGE_S
        )

    def ask(self, now: float) -> None:
        """The guest was asked."""
        self.asked, self.fed, self.at = True, 0, now

    def kept(self, state_bytes: int) -> None:
        """The state is on disk."""
        self.asked, self.state_bytes = False, state_bytes

    def lost(self) -> None:
        """The guest died before it answered."""
        self.asked = False
