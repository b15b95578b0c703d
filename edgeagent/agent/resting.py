"""A unit's guests at rest: stopped by a person, or idle for want of readings. Its log goes on taking readings."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from typing import Protocol

from edgeagent.guest.owner import State
from edgeagent.unit.idle import IdlePlan
from edgeagent.unit.pipeline import Pipeline

from .instance import Instance

LOOK_S = 1.0
"""Between two looks at whether there is anything to do."""
PARK_S = 10.0
"""How long an orderly end may take; what isn't kept by then is replayed at the next start."""


class Guests(Protocol):
    """The unit whose guests these are."""

    @property
    def pipeline(self) -> Pipeline:
        """Its flow."""

    @property
    def instances(self) -> Sequence[Instance]:
        """Its guests."""


class Rest:
    """Ends a unit's guests in order and starts them again. One thing at a time: whoever changes guests holds ``turn``.

    idle_stop: seconds without a reading after which they end by themselves, 0 for never.
    """

    def __init__(
        self, name: str, unit: Guests, idle_stop: float, monotonic: Callable[[], float], *, stopped: bool
    ) -> None:
        self.stopped = stopped
        """A person wants it so."""
        self.turn = asyncio.Lock()
        self._unit = unit
        self._idle_stop = idle_stop
        self._monotonic = monotonic
        self._plan = IdlePlan(idle_stop, monotonic())
        self._logger = logging.getLogger(f"unit.{name}")

    async def stop(self) -> None:
        """End the guests until ``start``; within PARK_S."""
        self.stopped = True
        async with self.turn:
            await self._park(State.STOPPED)

    async def start(self) -> None:
        """Start those that are stopped, idle, failed or waiting, with a new start budget."""
        self.stopped = False
        async with self.turn:
            self._start([one for one in self._unit.instances if not one.supervisor.status.pid])

    async def restart(self) -> None:
        """End them in order and start them anew."""
        self.stopped = False
        async with self.turn:
            await self._park(State.STOPPED)
            self._start(self._unit.instances)

    async def run(self) -> None:
        """Put guests that have nothing to do to rest, until cancelled; ``Lane.wake`` wakes them."""
        if not self._idle_stop:
            return
        while True:
            await asyncio.sleep(LOOK_S)
            readings = self._unit.pipeline.gate.counts.readings
            if self._plan.due(self._monotonic(), readings, done=self._done) and not self.turn.locked():
                async with self.turn:
                    self._logger.info("idle: no reading for %g s", self._idle_stop)
                    await self._park(State.IDLE)

    @property
    def _done(self) -> bool:
        """Whether the guests run, and have nothing left to say."""
        pipeline = self._unit.pipeline
        return (
            pipeline.quiet
            and pipeline.acked >= pipeline.log.durable_seq
            and all(one.supervisor.status.state is State.RUNNING for one in self._unit.instances)
        )

    async def _park(self, state: State) -> None:
        lanes = self._unit.pipeline.lanes
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PARK_S):
                await asyncio.gather(*(lane.park() for lane in lanes))
        for one in self._unit.instances:
            one.supervisor.rest(state)
        # What came meanwhile starts an idle guest at once.
        self._unit.pipeline.wake()

    def _start(self, instances: Sequence[Instance]) -> None:
        self._plan = IdlePlan(self._idle_stop, self._monotonic())
        for one in instances:
            one.supervisor.start_again()
