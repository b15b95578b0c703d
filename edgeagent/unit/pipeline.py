"""Shell: moves a unit's input between gate, log and lanes; each lane is one guest's (lane.py). The cores decide.

Everything that syncs runs in the writer's thread; everything else runs in the event loop's. A fault of the disk stops
the flow, is shown, and is tried again until it is gone: nothing that was taken is given up.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable

from edgeagent.wire import messages

from .disk import Disk
from .gate import MAX_PENDING, Gate
from .lane import Lane
from .outbox import Counts
from .ports import InputLog, Writer
from .ticks import INTERVAL_MS, TickPlan

ENOUGH_FRAMES = 512
"""Waiting frames that are committed without waiting longer for others."""
NEVER_MS = 1 << 62


class Pipeline:
    """One unit's intake, log and clock, and the lanes that read it.

    ``run`` until cancelled; ``close`` before that for an orderly end. span: ms, window and lateness.
    """

    def __init__(
        self,
        name: str,
        log: InputLog,
        gate: Gate,
        writer: Writer,
        *,
        sync: bool,
        group_interval: float,
        span: int,
        monotonic: Callable[[], float],
        arrival: Callable[[], int],
        heard: Callable[[], bool],
    ) -> None:
        self.gate = gate
        self.log = log
        self.counts = Counts()
        self.lanes: tuple[Lane, ...] = ()
        self.monotonic = monotonic
        self._sync = sync
        self._group_interval = group_interval
        self._arrival = arrival
        self._heard = heard
        self._ticks = TickPlan(span)
        self._roomy: list[Callable[[], None]] = []
        self._first = asyncio.Event()
        self._enough = asyncio.Event()
        self._committing = asyncio.Lock()
        self.disk = Disk(writer, logging.getLogger(f"unit.{name}"), self.tell_room)
        gate.wake, gate.enough = self._first.set, self._enough.set
        gate.enough_frames = ENOUGH_FRAMES

    # ---- seen from the sources ----

    @property
    def full(self) -> bool:
        """Whether the sources must wait."""
        return self.log.full or bool(self.disk.fault) or self.gate.pending > MAX_PENDING

    def when_roomy(self, done: Callable[[], None]) -> None:
        """Call done as soon as the sources needn't wait."""
        if self.full:
            self._roomy.append(done)
        else:
            done()

    def tell_room(self) -> None:
        """There may be room for the sources again."""
        if self._roomy and not self.full:
            waiting, self._roomy = self._roomy, []
            for done in waiting:
                done()

    # ---- seen from the lanes ----

    def newest_arrival(self) -> int:
        """See Upstream. Nothing lies ahead of a clock that isn't set."""
        return NEVER_MS if self.gate.clock_unset() else self.gate.newest_arrival or self._arrival()

    def trim(self) -> None:
        """See Upstream."""
        self.log.trim(min(lane.trimmable for lane in self.lanes))

    @property
    def acked(self) -> int:
        """Input through which every lane's guest is."""
        return min(lane.acked for lane in self.lanes)

    @property
    def blocked(self) -> bool:
        """Whether a guest gets no input, because there is no room for what it would say."""
        return any(lane.blocked for lane in self.lanes)

    @property
    def waiting(self) -> int:
        """Outputs that are in no batch yet."""
        return sum(lane.outbox.waiting for lane in self.lanes)

    @property
    def quiet(self) -> bool:
        """Whether no window can be open any more, and nothing waits for the log."""
        return self._ticks.quiet and not self.gate.pending

    def wake(self) -> None:
        """There may be something to read for the guests."""
        for lane in self.lanes:
            lane.wake()

    # ---- tasks ----

    async def run(self) -> None:
        """Commit and tick until cancelled; lanes run beside it."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._commit())
            tasks.create_task(self._tick())

    async def _commit(self) -> None:
        while True:
            await self._first.wait()
            self._first.clear()
            if self._group_interval and self.gate.waiting < ENOUGH_FRAMES:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._enough.wait(), self._group_interval)
            self._enough.clear()
            await self._commit_group()

    async def _commit_group(self) -> None:
        async with self._committing:
            group = self.gate.take()
            if group.frames:
                data, count = b"".join(group.frames), len(group.frames)

                def work() -> None:
                    self.log.append(data, count)
                    self.log.commit(sync=self._sync)

                await self.disk.write(work, "input log")
            self.gate.committed()
        self.wake()
        self.tell_room()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(INTERVAL_MS / 1000)
            self.gate.forget_index()
            for lane in self.lanes:
                lane.look()
            if self._ticks.due(self.gate.counts.readings, heard=self._heard() and not self.full):
                self.gate.stamp(messages.tick)

    # ---- orderly ends ----

    async def drained(self) -> int:
        """Close every window of the guests and store what they say: the input after which everything begins anew."""
        seq = self.gate.stamp(messages.drain)
        for lane in self.lanes:
            await lane.reached(seq)
            await lane.store()
        return seq

    async def close(self) -> None:
        """Commit what waits, and try to keep last states, so that the next start has little to replay."""
        await self._commit_group()
        await asyncio.gather(*(lane.close() for lane in self.lanes))
