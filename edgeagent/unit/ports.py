"""What a unit needs of other rooms: the journal's log, checkpoints and spool, the seal, the guest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from edgeagent.wire.messages import Reading


class LogReader(Protocol):
    """Reads durable frames in order."""

    @property
    def last_seq(self) -> int:
        """Of the last frame handed out."""

    def read(self, max_bytes: int) -> bytes:
        """Whole frames, at least one if there is one; b"" at the durable end."""


class InputLog(Protocol):
    """The durable record of a unit's frames. append and commit are called from the writer's thread only."""

    @property
    def next_seq(self) -> int:
        """Of the next frame to append."""

    @property
    def durable_seq(self) -> int:
        """Everything through it survives a power cut (or an agent's death, where durability is memory)."""

    @property
    def full(self) -> bool:
        """Above the cap."""

    def append(self, frames: bytes, count: int) -> None:
        """Add encoded frames of consecutive seqs."""

    def commit(self, *, sync: bool) -> None:
        """Make what was appended durable."""

    def reader(self, after_seq: int) -> LogReader:
        """From the frame after that one."""

    def trim(self, through_seq: int) -> None:
        """Forget frames that no checkpoint needs."""

    def tail(self) -> Iterator[Reading]:
        """The readings of the newest segments."""


@dataclass(frozen=True, slots=True)
class Output:
    """A summary or report that passed the contract: its number, its frame type and its body as the guest sent it."""

    out: int
    type: int
    body: bytes
