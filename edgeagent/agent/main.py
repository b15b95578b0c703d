"""The agent: opens everything, connects rooms, runs until it is told to stop, and ends in order."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, ExitStack
from typing import Any

from edgeagent.config.schema import Config
from edgeagent.control.server import ControlServer
from edgeagent.crash.keeper import Keeper
from edgeagent.crash.store import FOLDER, CrashStore
from edgeagent.errors import EnvironmentFaultError
from edgeagent.fleet.board import Board
from edgeagent.guest.admission import Budget
from edgeagent.guest.pool import Pool
from edgeagent.host.clock import SystemClock
from edgeagent.host.disk import DiskFiles
from edgeagent.host.logs import LogBook
from edgeagent.host.memory import give_back
from edgeagent.seal.keys import lookup
from edgeagent.seal.keystore import load_verifiers
from edgeagent.unit.arrival import ArrivalClock, ClockState
from edgeagent.unit.router import Router
from edgeagent.uplink.mqtt import Uplink
from edgeagent.vmm import cgroup
from edgeagent.vmm.machines import MACHINES
from edgeagent.vmm.qemu import Qemu

from .accelerator import Accelerators
from .admission import admit, needs
from .batches import SealedBatches
from .fleet import FleetLink, Identity
from .fleet_units import FleetUnits
from .images import Choice
from .instance import Shared
from .links import Source, fleet_broker, make_sources, make_uplink
from .metrics import MetricsExport
from .opening import REMEDIES, Opened, open_board, recall
from .snapshot import Parts, snapshot
from .stops import Stops
from .units import UnitRuntime
from .verbs import Verbs
from .writer import WriterThread

STOP_S = 15.0
"""Longest orderly end; what isn't stored by then is replayed at the next start."""
UPLINK_FLUSH_S = 2.0
"""How long a stop waits for the last batches to be acknowledged."""

_log = logging.getLogger("agent")


class Agent:
    """One board's agent. ``run`` until stop is set or something that can't be mended here happens."""

    def __init__(self, config: Config, book: LogBook) -> None:
        self._config = config
        self._book = book
        self._files = DiskFiles()
        self._clock = SystemClock()
        self._writer = WriterThread()
        self._started = time.monotonic()
        self._sources: list[Source] = []

    async def run(self, stop: asyncio.Event) -> None:
        """Start, serve, stop. EdgeAgentError with one clear line when it can't start."""
        try:
            await self._run(stop)
        except OSError as error:
            # Whatever is retried has its own place; what comes here failed while opening.
            raise EnvironmentFaultError(
                f"the agent can't start: {error.strerror or error}",
                where=str(error.filename or ""),
                remedy=REMEDIES.get(error.errno or 0, ""),
            ) from error

    async def _run(self, stop: asyncio.Event) -> None:
        async with AsyncExitStack() as stack:
            config, board = self._config, self._config.board
            memory = admit(config)
            opened = open_board(config, self._files, stack.enter_context(ExitStack()))
            stack.callback(self._writer.close)  # before the files that it may still be writing
            apps = {place.unit.name: place.image.declaration.app for place in opened.places}
            batches = SealedBatches(opened.spool, opened.sealing, self._writer, apps)
            newest, tag = recall(opened.places)
            arrival = ArrivalClock(newest, self._clock.monotonic())
            crashes = Keeper(CrashStore(self._files, board.state / FOLDER, board.crash_cap), self._writer)
            await stack.enter_async_context(running(crashes.run()))
            pool, stops = Pool(Qemu(MACHINES, cgroup.enter())), Stops(self._files, board.state)
            units = await self._units(opened, batches, arrival, newest, crashes, pool, stops, memory)
            await stack.enter_async_context(running(pool.run()))
            router = Router(units)
            uplink = make_uplink(config, opened.spool.spool_id, batches, opened.verifiers, self._writer)
            batches.on_new = uplink.wake
            batches.on_room = functools.partial(_soon, asyncio.get_running_loop(), units)
            self._sources = make_sources(config, router, tag, self._files)
            fleet = self._fleet(units, stops)
            parts = Parts(
                config,
                self._started,
                arrival,
                units,
                router,
                self._sources,
                opened.spool,
                batches,
                uplink,
                fleet,
            )
            verbs = Verbs(parts, self._book, stops, self._writer)
            stack.push_async_callback(verbs.close)
            control = ControlServer(board.runtime, verbs.table(), board.group)
            await control.start()
            stack.push_async_callback(control.stop)
            metrics = MetricsExport(config.metrics, lambda: snapshot(parts))
            await self._serve(units, uplink, fleet, metrics, stop)

    def _fleet(self, units: list[UnitRuntime], stops: Stops) -> FleetLink | None:
        settings, board = self._config.fleet, self._config.board
        if settings is None:
            return None
        keys = lookup(load_verifiers(self._files, settings.keys))
        kept = Board(self._files, board.state, board.name, keys, [unit.unit.name for unit in units])
        kept.open(self._clock.now_ms())
        who = Identity(
            board.name, units[0].choice.arch, self._config.from_profile.profile, tuple(settings.tags)
        )
        doer = FleetUnits(units, stops, self._writer)
        return FleetLink(who, fleet_broker(self._config, settings), kept, doer, self._writer, self._clock)

    async def _units(
        self,
        opened: Opened,
        batches: SealedBatches,
        arrival: ArrivalClock,
        newest: int,
        crashes: Keeper,
        pool: Pool,
        stops: Stops,
        memory: Budget,
    ) -> list[UnitRuntime]:
        clock = self._clock
        units: list[UnitRuntime] = []

        def room(name: str, count: int) -> None:
            guests = {one.unit.name: max(len(one.instances), one.moving) for one in units}
            memory.check(needs(self._config.units, guests | {name: count}))

        shared = Shared(
            self._config,
            pool,
            batches,
            self._writer,
            lambda lane: opened.spool.last(str(lane)).out,
            lambda: arrival.read(clock.now_ms(), clock.monotonic(), clock.synchronised),
            clock.monotonic,
            newest,
            lambda: arrival.state is ClockState.BEHIND,
            lambda: bool(self._sources) and all(one.heard for one in self._sources),
            crashes,
            room,
        )
        accelerators = Accelerators(self._config.board, pool, self._files, self._config.from_profile)
        for place in opened.places:
            accelerator, why = await accelerators.choose(place.unit)
            choice = Choice(place.path, place.image, place.image.arch, accelerator, why)
            stopped = place.unit.name in stops
            units.append(UnitRuntime(place.unit, place.journal, choice, shared, stopped=stopped))
            _log.info("unit %s: %s on %s: %s", place.unit.name, place.path, accelerator, why)
        return units

    async def _serve(
        self,
        units: list[UnitRuntime],
        uplink: Uplink,
        fleet: FleetLink | None,
        metrics: MetricsExport,
        stop: asyncio.Event,
    ) -> None:
        async with running(uplink.run()) as linked:
            stopped = asyncio.create_task(stop.wait())
            settled = asyncio.create_task(_settle(units))
            await _first(stopped, settled, linked)
            if stop.is_set():
                await _cancel(settled)
                return
            async with contextlib.AsyncExitStack() as work:
                tasks = [linked]
                tasks += [await work.enter_async_context(running(unit.run())) for unit in units]
                sources = contextlib.AsyncExitStack()
                await work.enter_async_context(sources)
                tasks += [
                    await sources.enter_async_context(running(one.runner.run())) for one in self._sources
                ]
                if self._config.metrics.file or self._config.metrics.port:
                    tasks.append(await work.enter_async_context(running(metrics.run())))
                if fleet is not None:
                    tasks.append(await work.enter_async_context(running(fleet.run())))
                _log.info("running: %d units", len(units))
                give_back()
                await _first(stopped, *tasks)
                _log.info("stopping")
                await sources.aclose()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(STOP_S):
                        await asyncio.gather(*(unit.close() for unit in units))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(UPLINK_FLUSH_S):
                    while uplink.status.state == "connected" and uplink.status.under_way:  # noqa: ASYNC110
                        await asyncio.sleep(0.05)


def _soon(loop: asyncio.AbstractEventLoop, units: list[UnitRuntime]) -> None:
    """Wake the guests; called in the writer's thread."""

    def wake() -> None:
        for unit in units:
            unit.wake()

    loop.call_soon_threadsafe(wake)


async def _settle(units: list[UnitRuntime]) -> None:
    for unit in units:
        await unit.settle()


async def _first(*tasks: asyncio.Task[Any]) -> None:
    """Wait for the first one; an exception of any that is done is raised."""
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        task.result()


async def _cancel(task: asyncio.Task[Any]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


@contextlib.asynccontextmanager
async def running(work: Coroutine[Any, Any, None]) -> AsyncIterator[asyncio.Task[None]]:
    """A task that ends with the block."""
    task = asyncio.create_task(work)
    try:
        yield task
    finally:
        await _cancel(task)
