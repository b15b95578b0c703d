"""Shell: gives a unit another number of guests: stops all at one input, and lets new ones take over from their states.

Nothing is lost or doubled: the states are of the same input, everything said before it is in the spool, and the new
lanes count from one moment on, which is a single replacement of a file (journal/generations.py). Until then the former
lanes count, and go on if anything fails. See docs/adr/0006.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Protocol

from edgeagent.errors import GuestError

from .checkpointing import Takeover
from .lane import Keeper, Lane
from .pipeline import Pipeline
from .sharding import Shard

MOVE_S = 120.0
"""How long the guests may take to come to one input and give their states, and the new ones to take over."""


class LaneFiles(Protocol):
    """Where the checkpoints of a unit's lanes are kept. Calls run in the writer's thread."""

    def begin(self, count: int) -> Sequence[Keeper]:
        """Places for lanes that don't count yet."""

    def commit(self, count: int, seq: int) -> None:
        """From now on those lanes count, which begin behind input seq. After OSError: again."""


class Crew(Protocol):
    """Starts and ends the guests of lanes."""

    def lane(self, index: int, keeper: Keeper, seq: int, takeover: Takeover) -> Lane:
        """A new lane, whose guest takes over behind input seq."""

    def enlist(self, lanes: Sequence[Lane]) -> None:
        """Start a guest on each."""

    async def dismiss(self) -> None:
        """End all guests; nothing of them is left when it returns."""


async def move(pipeline: Pipeline, files: LaneFiles, crew: Crew, count: int) -> None:
    """Give the unit that many guests. GuestError says why it didn't come to that; then it has the former number."""
    lanes = pipeline.lanes
    seq = max(lane.given for lane in lanes)
    dismissed = False
    try:
        _stop(lanes, seq)
        async with asyncio.timeout(MOVE_S):
            await _all([lane.at(seq) for lane in lanes])
        dismissed = True
        await crew.dismiss()
        states = tuple(lane.checkpoint.state for lane in lanes if lane.checkpoint.state) or (b"",)
        keepers = await pipeline.disk.write(lambda: files.begin(count), "checkpoint")
        takers = tuple(
            crew.lane(index, keeper, seq, Takeover(Shard(index, count), states))
            for index, keeper in enumerate(keepers)
        )
        _stop(takers, seq)
        crew.enlist(takers)
        async with asyncio.timeout(MOVE_S):
            await _all([lane.at(seq) for lane in takers])
    except (TimeoutError, GuestError) as error:
        _stop(lanes, None)
        if dismissed:
            await crew.dismiss()
            crew.enlist(lanes)
        pipeline.wake()
        raise GuestError(str(error) or f"it took longer than {MOVE_S:g} s") from error
    # Which lanes count is open after a fault of the disk, so this goes on until it is decided.
    await pipeline.disk.write(lambda: files.commit(count, seq), "checkpoint")
    pipeline.lanes = takers
    _stop(takers, None)
    pipeline.wake()


def _stop(lanes: Sequence[Lane], seq: int | None) -> None:
    for lane in lanes:
        lane.stop = seq


async def _all(waits: Sequence[Awaitable[None]]) -> None:
    """Wait for all, but no longer when one fails."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
