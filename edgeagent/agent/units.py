"""One unit put together: journal, gate, pipeline, and the instances of its guest, each on a lane of its own."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from typing import Any

from edgeagent.config.schema import Unit
from edgeagent.errors import ConfigError, GuestError
from edgeagent.guest.owner import State
from edgeagent.guest.pool import Spares
from edgeagent.ingest.rate import rate_limit
from edgeagent.ingest.topics import TopicPolicy
from edgeagent.journal.durability import DURABILITY
from edgeagent.unit.checkpointing import Checkpoint, Takeover
from edgeagent.unit.gate import Gate
from edgeagent.unit.lane import Keeper, Lane
from edgeagent.unit.moving import move
from edgeagent.unit.pipeline import Pipeline
from edgeagent.unit.ports import LaneId
from edgeagent.unit.scaling import Backlog, ScalingPlan, ScalingPolicy
from edgeagent.unit.settings import contract_of, guest_config
from edgeagent.unit.sharding import Shard

from .images import Choice
from .instance import Instance, Shared, machine
from .journals import UnitJournal
from .resting import Rest

LOOK_S = 1.0
"""Between two looks at how long the input waits."""


class UnitRuntime:
    """A unit that runs. Implements the router's Place, and the Crew of a move."""

    def __init__(
        self, unit: Unit, journal: UnitJournal, choice: Choice, shared: Shared, *, stopped: bool = False
    ) -> None:
        self.unit = unit
        self.journal = journal
        self.choice = choice
        self.moving = 0
        """Number of instances that the unit is getting right now; 0 while it gets no other one."""
        self.unmoved = ""
        """Why the unit doesn't have the number of instances that it should have; empty when it has."""
        self.late_s = 0.0
        """How long the oldest input has waited that isn't processed."""
        self._policy = TopicPolicy(unit.topics)
        self._shared = shared
        self._logger = logging.getLogger(f"unit.{unit.name}")
        self._group = asyncio.TaskGroup()
        self._running: list[asyncio.Task[None]] = []
        self.settling = False
        self.rest = Rest(unit.name, self, unit.idle_stop / 1000, shared.monotonic, stopped=stopped)
        self._machine = machine(unit, choice, shared.config, unit.name)
        shared.vmm.keep(self._machine, unit.spare)
        self._assemble()

    @property
    def spares(self) -> Spares:
        """Machines that wait for the next start of a guest."""
        return self._shared.vmm.spares(self._machine)

    def _assemble(self) -> None:
        shared, unit, journal = self._shared, self.unit, self.journal
        settings, config = shared.config, journal.starts[0].config
        self.settling = config != guest_config(unit)
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
            span=config["window"] + config["lateness"],
            monotonic=shared.monotonic,
            arrival=shared.arrival,
            heard=shared.heard,
        )
        count = len(journal.starts)
        self.pipeline.lanes = tuple(
            self._lane(LaneId(unit.name, index), keeper, start, Shard(index, count))
            for index, (keeper, start) in enumerate(zip(journal.keepers, journal.starts, strict=True))
        )
        # What was begun is finished first, also for a unit that is stopped.
        rest = State.STOPPED if self.rest.stopped and not self.settling else None
        self.instances = [Instance(unit, lane, self.choice, shared, rest) for lane in self.pipeline.lanes]

    def _lane(
        self, ident: LaneId, keeper: Keeper, start: Checkpoint, shard: Shard, takeover: Takeover | None = None
    ) -> Lane:
        shared, seal = self._shared, self._shared.config.seal
        return Lane(
            self.pipeline,
            ident,
            keeper,
            start,
            contract_of(start.config, _any_topic if self.settling else self._policy.allows),
            shared.batches,
            self.pipeline.counts,
            shard=shard,
            takeover=takeover,
            spooled=max(start.out, shared.spooled(ident)),
            batch_interval=seal.batch_interval / 1000,
            batch_items=seal.batch_items,
            monotonic=shared.monotonic,
        )

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
            first = self.pipeline.lanes[0]
            begin = first.anew(drained.result(), guest_config(self.unit))
            await self.pipeline.disk.write(lambda: self.journal.begin_anew(begin), "checkpoint")
        finally:
            await _end(running, drained)
        self._assemble()

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.rest.run())
            if self.unit.instances > 1 or len(self.instances) > 1:
                tasks.create_task(self._scale())
            await self._run()

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as self._group:
            self._group.create_task(self.pipeline.run())
            self._start()

    async def close(self) -> None:
        """Keep what is under way; before the cancellation of ``run``."""
        await self.pipeline.close()

    # ---- the number of instances -----------------------------------------------------------------------------------

    def lane(self, index: int, keeper: Keeper, seq: int, takeover: Takeover) -> Lane:
        """See Crew."""
        ident, former = LaneId(self.unit.name, index), self.pipeline.lanes[0].checkpoint
        out = self._shared.spooled(ident)
        start = Checkpoint(seq, out, b"", former.app, former.state_version, former.config)
        return self._lane(ident, keeper, start, takeover.shard, takeover)

    def enlist(self, lanes: Sequence[Lane]) -> None:
        """See Crew."""
        self.instances = [Instance(self.unit, lane, self.choice, self._shared) for lane in lanes]
        self._start()

    async def dismiss(self) -> None:
        """See Crew."""
        await _end(*self._running)
        self._running = []

    def _start(self) -> None:
        self._running = [self._group.create_task(instance.run()) for instance in self.instances]

    @property
    def _steady(self) -> bool:
        """Whether everything that waits, waits for the guests to process it."""
        running = all(one.supervisor.status.state is State.RUNNING for one in self.instances)
        return running and not self.pipeline.blocked and not self.pipeline.disk.fault

    async def _scale(self) -> None:
        unit, pipeline, now = self.unit, self.pipeline, self._shared.monotonic
        policy = ScalingPolicy(unit.instances, unit.scale_after / 1000, unit.scale_calm / 1000)
        plan, backlog = ScalingPlan(policy, len(pipeline.lanes), now()), Backlog()
        while True:
            await asyncio.sleep(LOOK_S)
            self.late_s = backlog.age(now(), pipeline.log.durable_seq, pipeline.acked)
            wanted = plan.wanted(now(), self.late_s, steady=self._steady)
            if wanted == plan.count:
                if not plan.resting(now()):
                    self.unmoved = ""
                continue
            try:
                async with self.rest.turn:
                    if not self._steady:
                        continue
                    self.moving = wanted
                    if wanted > plan.count:
                        self._shared.admit(unit.name, wanted)
                    await move(pipeline, self.journal, self, wanted)
            except (ConfigError, GuestError) as error:
                self.unmoved = f"stays at {plan.count}, not {wanted} instances: {error}"
                self._logger.warning("%s", self.unmoved)
                plan.failed(now())
            else:
                self.unmoved = ""
                self._logger.info("instances: %d, %d before", wanted, plan.count)
                plan.moved(wanted, now())
            finally:
                self.moving = 0


def _any_topic(_topic: bytes) -> bool:
    return True


async def _end(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    for task in tasks:
        with contextlib.suppress(asyncio.CancelledError):
            await task
