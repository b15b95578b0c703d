"""The agent: opens everything, connects rooms, runs until it is told to stop, and ends in order."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import logging
import os
import time
from collections.abc import AsyncIterator, Coroutine, Iterable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from edgeagent.config.schema import Config, Unit
from edgeagent.control.server import ControlServer
from edgeagent.errors import EnvironmentFaultError
from edgeagent.host.clock import SystemClock
from edgeagent.host.disk import DiskFiles, FolderLock, remove_leftovers
from edgeagent.host.logs import LogBook
from edgeagent.host.memory import give_back
from edgeagent.ingest.delivery import newest_mqtt
from edgeagent.journal.chain import Recovery
from edgeagent.journal.spool import Spool
from edgeagent.probe.live import host_arch
from edgeagent.seal.keystore import KeyStore, load_recipients, load_verifiers
from edgeagent.unit.arrival import ArrivalClock
from edgeagent.unit.router import Router
from edgeagent.unit.settings import guest_config
from edgeagent.uplink.mqtt import Uplink
from edgeagent.vmm.machines import MACHINES
from edgeagent.vmm.qemu import Qemu

from .accelerator import Accelerators
from .batches import SealedBatches, Sealing
from .images import Choice, check_state, read_image
from .journals import UnitJournal, open_journal
from .links import Source, make_sources, make_uplink
from .metrics import MetricsExport
from .snapshot import Parts, snapshot
from .units import Shared, UnitRuntime
from .writer import WriterThread

STOP_S = 15.0
"""Longest orderly end; what isn't stored by then is replayed at the next start."""
UPLINK_FLUSH_S = 2.0
"""How long a stop waits for the last batches to be acknowledged."""

_FULL = "Make room on its disk, then start the agent again."
_REMEDIES = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EROFS: "Check its disk (`dmesg`), mount it writable, or set board.state to another folder.",
}
"""What to do about a disk that lets nothing be opened."""

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
                remedy=_REMEDIES.get(error.errno or 0, ""),
            ) from error

    async def _run(self, stop: asyncio.Event) -> None:
        async with AsyncExitStack() as stack:
            config, board = self._config, self._config.board
            lock = self._take_folder(board.state)
            stack.callback(lock.release)
            stack.callback(self._writer.close)
            keys = KeyStore(self._files, config.seal.keys or board.state / "keys")
            sealing = Sealing(
                board.name,
                keys.signer(),
                load_recipients(self._files, config.seal.recipients),
                config.seal.cipher,
            )
            verifiers = load_verifiers(self._files, config.uplink.collector_keys)
            spool = Spool.open(
                self._files,
                board.state / "spool",
                new_id=os.urandom(16),
                cap_bytes=config.journal.spool_cap,
                when_full="drop-oldest" if config.journal.when_full == "drop-oldest" else "block",
                on_damage="skip" if config.journal.on_damage == "skip" else "stop",
            )
            stack.callback(spool.close)
            images = {unit.name: read_image(unit, board, host_arch()) for unit in config.units}
            apps = {name: info.declaration.app for name, (_, info) in images.items()}
            batches = SealedBatches(spool, sealing, self._writer, apps)
            _tell("spool", spool.recovery)
            journals = {unit.name: self._journal(unit, spool) for unit in config.units}
            for unit in config.units:
                stack.callback(journals[unit.name].log.close)
                path, info = images[unit.name]
                check_state(path, info, journals[unit.name].start, self._folder(unit))
            newest, tag = recall(journals.values())
            arrival = ArrivalClock(newest, self._clock.monotonic())
            vmm = Qemu(MACHINES)
            accelerators = Accelerators(board, vmm, self._files)
            shared = Shared(
                config,
                vmm,
                batches,
                self._writer,
                lambda: arrival.read(self._clock.now_ms(), self._clock.monotonic(), self._clock.synchronised),
                self._clock.monotonic,
                newest,
                lambda: self._heard,
            )
            units: list[UnitRuntime] = []
            for unit in config.units:
                path, info = images[unit.name]
                accelerator, why = await accelerators.choose(unit.accelerator)
                spooled = spool.last(unit.name).out
                choice = Choice(path, info, info.arch, accelerator, why, spooled)
                units.append(UnitRuntime(unit, journals[unit.name], choice, shared))
                _log.info("unit %s: %s on %s: %s", unit.name, path, accelerator, why)
            router = Router(units)
            uplink = make_uplink(config, spool.spool_id, batches, verifiers, self._writer)
            batches.on_new = uplink.wake
            loop = asyncio.get_running_loop()
            batches.on_room = functools.partial(_soon, loop, units)
            self._sources = make_sources(config, router, tag, self._files)
            parts = Parts(
                config, self._started, arrival, units, router, self._sources, spool, batches, uplink
            )
            control = ControlServer(
                board.runtime,
                {"status": lambda _: snapshot(parts), "logs": self._logs},
            )
            await control.start()
            stack.push_async_callback(control.stop)
            metrics = MetricsExport(config.metrics, lambda: snapshot(parts))
            await self._serve(units, uplink, metrics, stop)

    async def _serve(
        self, units: list[UnitRuntime], uplink: Uplink, metrics: MetricsExport, stop: asyncio.Event
    ) -> None:
        async with running(uplink.run()):
            stopped = asyncio.create_task(stop.wait())
            settled = asyncio.create_task(_settle(units))
            await _first(stopped, settled)
            if stop.is_set():
                await _cancel(settled)
                return
            async with contextlib.AsyncExitStack() as work:
                tasks = [await work.enter_async_context(running(unit.run())) for unit in units]
                sources = contextlib.AsyncExitStack()
                await work.enter_async_context(sources)
                tasks += [
                    await sources.enter_async_context(running(one.runner.run())) for one in self._sources
                ]
                if self._config.metrics.file or self._config.metrics.port:
                    tasks.append(await work.enter_async_context(running(metrics.run())))
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

    @property
    def _heard(self) -> bool:
        return bool(self._sources) and all(one.heard for one in self._sources)

    # ---- parts ---------------------------------------------------------------------------------------------------

    def _take_folder(self, folder: Path) -> FolderLock:
        try:
            self._files.make_folder(folder)
            lock = FolderLock(folder)
            remove_leftovers(folder)
        except OSError as error:
            raise EnvironmentFaultError(
                f"the state folder can't be used: {error.strerror}",
                where=str(folder),
                remedy=_REMEDIES.get(
                    error.errno or 0, "Set board.state to a folder that the agent may write."
                ),
            ) from error
        return lock

    def _folder(self, unit: Unit) -> Path:
        """In a tmpfs, as /run is, where durability is memory: a power cut loses it, and flash is spared."""
        board = self._config.board
        base = board.state if self._config.journal.durability == "disk" else board.runtime / "journal"
        return base / "units" / unit.name

    def _journal(self, unit: Unit, spool: Spool) -> UnitJournal:
        journal = open_journal(
            self._files,
            self._folder(unit),
            cap=self._config.journal.log_cap,
            lossy=self._config.journal.durability == "memory",
            spooled=spool.last(unit.name),
            config=guest_config(unit),
        )
        _tell(f"unit {unit.name}", journal.log.recovery)
        for path in journal.checkpoints.damaged:
            _log.warning("unit %s: %s can't be read; the other checkpoint is used", unit.name, path)
        return journal

    def _logs(self, request: dict[str, object]) -> dict[str, object]:
        after, most = request.get("after"), request.get("most")
        number, lines = self._book.after(
            after if isinstance(after, int) else 0, most if isinstance(most, int) else 100
        )
        return {"number": number, "lines": lines}


def _tell(what: str, recovery: Recovery) -> None:
    if recovery.cut:
        _log.warning(
            "%s: %d bytes that were never committed are cut off, %d records among them",
            what,
            recovery.cut,
            recovery.behind,
        )


def recall(journals: Iterable[UnitJournal]) -> tuple[int, int]:
    """What the newest segments of the logs remember: the newest arrival time (ms) and the newest MQTT tag."""
    newest, tag = 0, 0
    for journal in journals:
        for one in journal.log.tail():
            newest = max(newest, one.time_ms)
            tag = max(tag, newest_mqtt((one.tag,)))
    return newest, tag


def _soon(loop: asyncio.AbstractEventLoop, units: list[UnitRuntime]) -> None:
    """Wake the guests; called in the writer's thread."""

    def wake() -> None:
        for unit in units:
            unit.supervisor.wake()

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
