"""What a unit needs of other rooms: the journal's log and checkpoints, a place for batches, its guest."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from edgeagent.wire.messages import Reading

T = TypeVar("T")


class LogReader(Protocol):
    """Reads durable frames in order."""

    @property
    def last_seq(self) -> int:
        """Of the last frame handed out."""

    def read(self, max_bytes: int) -> bytes:
        """Whole frames, at least one if there is one; b"" at the durable end."""

    def close(self) -> None:
        """Give the descriptor back."""


class InputLog(Protocol):
    """The durable record of a unit's frames. append, commit and trim run in the writer's thread only."""

    @property
    def first_seq(self) -> int:
        """Of the oldest frame that is still there."""

    @property
    def next_seq(self) -> int:
        """Of the next frame to append."""

    @property
    def durable_seq(self) -> int:
        """Everything through it survives a power cut (an agent's death, where durability is memory)."""

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
    """A summary or report that kept the contract: its number, the input it came from, frame type and body as sent."""

    out: int
    seq: int
    type: int
    body: bytes


@dataclass(frozen=True, slots=True)
class LaneId:
    """One of a unit's lanes, 0 to n - 1. It names a numbering of outputs, which goes on from move to move."""

    unit: str
    index: int = 0

    def __str__(self) -> str:
        """The first lane is called as its unit; no unit's name has a dot."""
        return f"{self.unit}.{self.index}" if self.index else self.unit


class Batches(Protocol):
    """Seals and spools, for all units."""

    @property
    def full(self) -> bool:
        """Whether the spool has no room and must not drop anything."""

    async def store(self, lane: LaneId, outputs: Sequence[Output]) -> None:
        """Durable in the spool when it returns. OSError when the disk can't take it."""


class Writer(Protocol):
    """Runs a function in the writer's thread, where everything that syncs happens, and waits for it."""

    async def __call__(self, work: Callable[[], T], /) -> T:
        """What work returns, or its exception."""
