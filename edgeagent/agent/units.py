"""One unit put together: journal, gate, pipeline, and the instances of its guest, each on a lane of its own."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from edgeagent.config.schema import Config, Unit
from edgeagent.guest.budget import RestartPolicy
from edgeagent.guest.limits import Limits
from edgeagent.guest.supervisor import Plan, Supervisor
from edgeagent.ingest.rate import rate_limit
from edgeagent.ingest.topics import TopicPolicy
from edgeagent.journal.durability import DURABILITY
from edgeagent.unit.gate import Gate
from edgeagent.unit.lane import Lane
from edgeagent.unit.pipeline import Pipeline
from edgeagent.unit.ports import Batches, Writer
from edgeagent.unit.settings import contract_of, guest_config
from edgeagent.vmm.port import MachineSpec, Vmm

from .images import Choice
from .journals import UnitJournal
from .owner import GuestOwner

FRAMES = 10_000
"""That a guest may say between two acknowledgements, beside a summary for every open window."""


@dataclass(frozen=True, slots=True)
class Shared:
    """What all units use. arrival: ms since 1970; monotonic: seconds."""

    config: Config
    vmm: Vmm
    batches: Batches
    writer: Writer
    arrival: Callable[[], int]
    monotonic: Callable[[], float]
    newest: int
    """The newest arrival time in any log at the start, ms."""
    clock_unset: Callable[[], bool]
    heard: Callable[[], bool]
    """Whether every source can be heard now."""


class Instance:
    """One of a unit's guests, and its lane."""

    def __init__(self, unit: Unit, lane: Lane, choice: Choice, shared: Shared) -> None:
        self.lane = lane
        self.owner = GuestOwner(unit, lane, choice.path)
        spec = MachineSpec(
            lane.key, choice.arch, choice.accelerator, unit.memory, choice.path, shared.config.board.vm_user
        )
        policy = RestartPolicy(starts=unit.starts)
        limits = Limits(frame_burst=FRAMES + 2 * unit.windows)
        plan = Plan(spec, choice.image.log_ring, choice.why, limits, policy)
        self.supervisor = Supervisor(shared.vmm, plan, self.owner)
        lane.guest = self.supervisor

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.lane.run())
            tasks.create_task(self.supervisor.run())


class UnitRuntime:
    """A unit that runs. Implements the router's Place."""

    def __init__(self, unit: Unit, journal: UnitJournal, choice: Choice, shared: Shared) -> None:
        self.unit = unit
        self.journal = journal
        self.choice = choice
        self._policy = TopicPolicy(unit.topics)
        self._shared = shared
        self.settling = False
        self._assemble(journal, choice)

    def _assemble(self, journal: UnitJournal, choice: Choice) -> None:
        shared, unit = self._shared, self.unit
        settings = shared.config
        start = journal.start
        self.settling = start.config != guest_config(unit)
        allows = _any_topic if self.settling else self._policy.allows
        self.gate = Gate(
            journal.log.next_seq,
            shared.arrival,
            shared.monotonic,
            journal.log.tail,
            rate_limit(unit.rate, unit.source_rate),
            shared.newest,
            shared.clock_unset,
        )
        self.pipeline = Pipeline(
            unit.name,
            journal.log,
            self.gate,
            shared.writer,
            sync=DURABILITY[settings.journal.durability].sync_log,
            group_interval=settings.journal.group_interval / 1000,
            span=start.config["window"] + start.config["lateness"],
            monotonic=shared.monotonic,
            arrival=shared.arrival,
            heard=shared.heard,
        )
        lane = Lane(
            self.pipeline,
            unit.name,
            journal,
            start,
            contract_of(start.config, allows),
            shared.batches,
            self.pipeline.counts,
            spooled=max(start.out, choice.spooled),
            batch_interval=settings.seal.batch_interval / 1000,
            batch_items=settings.seal.batch_items,
            monotonic=shared.monotonic,
        )
        self.pipeline.lanes = (lane,)
        self.instances = [Instance(unit, lane, choice, shared)]

    # ---- seen from the router ------------------------------------------------------------------------------------

    @property
    def full(self) -> bool:
        """See Place."""
        return self.settling or self.pipeline.full

    def wants(self, topic: bytes) -> bool:
        """See Place."""
        return self._policy.allows(topic)

    def when_roomy(self, done: Callable[[], None]) -> None:
        """See Place."""
        self.pipeline.when_roomy(done)

    # ---- seen from the spool -------------------------------------------------------------------------------------

    def wake(self) -> None:
        """The spool has room again."""
        self.pipeline.wake()

    # ---- life ----------------------------------------------------------------------------------------------------

    async def settle(self) -> None:
        """After a change of configuration: run the log to its end with the former one, drain, begin anew."""
        if not self.settling:
            return
        running = asyncio.create_task(self._run())
        drained = asyncio.create_task(self.pipeline.drained())
        try:
            await asyncio.wait((running, drained), return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                running.result()
            lane = self.instances[0].lane
            begin = lane.anew(drained.result(), guest_config(self.unit))
            await lane.keep(begin)
        finally:
            await _end(running, drained)
        self.journal = replace(self.journal, start=begin)
        self._assemble(self.journal, replace(self.choice, spooled=begin.out))

    async def run(self) -> None:
        """Until cancelled."""
        await self._run()

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.pipeline.run())
            for instance in self.instances:
                tasks.create_task(instance.run())

    async def close(self) -> None:
        """Keep what is under way; before the cancellation of ``run``."""
        await self.pipeline.close()


def _any_topic(_topic: bytes) -> bool:
    return True


async def _end(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    for task in tasks:
        with contextlib.suppress(asyncio.CancelledError):
            await task
