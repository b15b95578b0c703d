"""Shell: moves a unit's frames and outputs between gate, log, guest and spool. The cores beside it decide.

Everything that syncs runs in the writer's thread; everything else runs in the event loop's. A fault of the disk stops
the flow, is shown, and is tried again until it is gone: nothing that was taken is given up.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Protocol

from edgeagent.config.schema import Unit
from edgeagent.contract.check import Contract
from edgeagent.wire import messages
from edgeagent.wire.messages import Report, Summary

from .checkpointing import Checkpoint, CheckpointPlan
from .gate import MAX_PENDING, Gate
from .outbox import Outbox
from .ports import Batches, InputLog, LogReader, Writer
from .ticks import INTERVAL_MS, TickPlan

ENOUGH_FRAMES = 512
"""Waiting frames that are committed without waiting longer for others."""
NEVER_MS = 1 << 62
MAX_OUTBOX = 20_000
"""Outputs that wait for the spool before the guest gets no more input."""
RETRY_S = (1.0, 2.0, 5.0, 10.0, 30.0)
"""Between tries at a disk that fails; the last one again and again."""
STOP_CHECKPOINT_S = 5.0
"""How long a stop waits for the guest's last state; without it the next start replays a little more."""


class Keeper(Protocol):
    """Where checkpoints are kept. Calls run in the writer's thread."""

    def keep(self, checkpoint: Checkpoint) -> int:
        """Make it durable; the seq through which the log may now be trimmed."""


class GuestPort(Protocol):
    """The unit's guest, as far as the pipeline asks something of it."""

    def request_checkpoint(self) -> bool:
        """Ask for the state; False while there is no running guest."""

    def wake(self) -> None:
        """More input is durable, or may be read again."""


@dataclass(slots=True)
class Faults:
    """What is wrong with a unit right now, in words; empty when nothing is."""

    disk: str = ""


class Pipeline:
    """One unit's flow. ``run`` until cancelled; ``close`` before that for an orderly end."""

    def __init__(
        self,
        unit: Unit,
        log: InputLog,
        keeper: Keeper,
        checkpoint: Checkpoint,
        gate: Gate,
        contract: Contract,
        batches: Batches,
        writer: Writer,
        *,
        spooled: int,
        sync: bool,
        group_interval: float,
        batch_interval: float,
        batch_items: int,
        monotonic: Callable[[], float],
        arrival: Callable[[], int],
        heard: Callable[[], bool],
    ) -> None:
        self.unit = unit
        self.gate = gate
        self.log = log
        self.outbox = Outbox(contract, spooled, batch_interval, batch_items)
        self.plan = CheckpointPlan(monotonic())
        self.faults = Faults()
        self.checkpoint = checkpoint
        self.guest: GuestPort | None = None
        self.acked = checkpoint.seq
        self.rejects = 0
        self._keeper = keeper
        self._batches = batches
        self._writer = writer
        self._sync = sync
        self._group_interval = group_interval
        self._monotonic = monotonic
        self._arrival = arrival
        self._heard = heard
        config = checkpoint.config
        self._ticks = TickPlan(config["window"] + config["lateness"])
        self._pending_checkpoint: Checkpoint | None = None
        self._trimmable = 0
        """The log was trimmed as far as this input allows."""
        self._last_reject = checkpoint.seq
        self._roomy: list[Callable[[], None]] = []
        self._first = asyncio.Event()
        self._enough = asyncio.Event()
        self._outputs = asyncio.Event()
        self._moved = asyncio.Event()
        self._committing = asyncio.Lock()
        self._storing = asyncio.Lock()
        self._logger = logging.getLogger(f"unit.{unit.name}")
        gate.wake, gate.enough = self._first.set, self._enough.set
        gate.enough_frames = ENOUGH_FRAMES

    # ---- seen from the sources ----

    @property
    def full(self) -> bool:
        """Whether the sources must wait."""
        return self.log.full or bool(self.faults.disk) or self.gate.pending > MAX_PENDING

    def when_roomy(self, done: Callable[[], None]) -> None:
        """Call done as soon as the sources needn't wait."""
        if self.full:
            self._roomy.append(done)
        else:
            done()

    def _tell_room(self) -> None:
        if self._roomy and not self.full:
            waiting, self._roomy = self._roomy, []
            for done in waiting:
                done()

    # ---- seen from the guest ----

    def input_after(self, seq: int) -> LogReader:
        """The log, as long as there is room for what the guest will say."""
        return _Feed(self, self.log.reader(seq))

    @property
    def blocked(self) -> bool:
        """Whether the guest gets no input, because there is no room for what it would say.

        What it says of input that it has already still goes into a full spool: that is bounded by the session's window.
        """
        return self._batches.full or self.outbox.waiting >= MAX_OUTBOX

    def said(self, message: Summary | Report, kind: int, body: bytes) -> None:
        """The guest said something for the cloud. GuestError when it can't be true."""
        # Nothing lies ahead of a clock that isn't set.
        arrived = NEVER_MS if self.gate.clock_unset() else self.gate.newest_arrival or self._arrival()
        if self.outbox.take(message, kind, body, arrived, self._monotonic()):
            self._outputs.set()

    def processed(self, seq: int) -> None:
        """The guest acknowledged input through seq."""
        self.acked = max(self.acked, seq)
        self._moved.set()
        self._ask_for_state()

    def _ask_for_state(self) -> None:
        # A full log takes nothing more, so nothing more would ever be fed: then only what can be trimmed counts.
        pressed = self.log.full and self.acked > self._trimmable
        now = self._monotonic()
        if (
            self.guest is not None
            and self.plan.wants(now, pressed=pressed)
            and self.guest.request_checkpoint()
        ):
            self.plan.ask(now)

    def rejected(self, seq: int, reason: int, offset: int) -> None:
        """The guest could make nothing of a payload. It says so again after a restart; it is counted once."""
        if seq > self._last_reject:
            self._last_reject = seq
            self.rejects += 1
            if self.rejects <= 10 or self.rejects % 1000 == 0:
                words = messages.reason_word(reason)
                self._logger.info(
                    "reading %d: %s at byte %d (%d rejected so far)", seq, words, offset, self.rejects
                )

    def stated(self, seq: int, out: int, state: bytes, app: str, state_version: int) -> None:
        """The guest gave its state; it is kept once everything it said before is in the spool."""
        self._pending_checkpoint = replace(
            self.checkpoint, seq=seq, out=out, state=state, app=app, state_version=state_version
        )
        self._outputs.set()

    def guest_lost(self) -> None:
        """The guest is gone; a state that was asked for won't come."""
        self.plan.lost()

    # ---- tasks ----

    async def run(self) -> None:
        """Commit, tick and store until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._commit())
            tasks.create_task(self._tick())
            tasks.create_task(self._store())

    async def _retrying(self, step: Callable[[], Awaitable[object]], what: str) -> None:
        """Take the step until the disk lets it."""
        tries = 0
        while True:
            try:
                await step()
            except OSError as error:
                self.faults.disk = (
                    f"{what}: {error.strerror or error}; nothing new is taken until this is mended"
                )
                self._logger.warning("%s: %s (try %d)", what, error, tries + 1)
                await asyncio.sleep(RETRY_S[min(tries, len(RETRY_S) - 1)])
                tries += 1
            else:
                break
        if tries:
            self.faults.disk = ""
            self._logger.info("%s: works again", what)
            self._tell_room()

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

                await self._retrying(lambda: self._writer(work), "input log")
            self.gate.committed()
        if self.guest is not None:
            self.guest.wake()
        self._tell_room()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(INTERVAL_MS / 1000)
            self.gate.forget_index()
            self._ask_for_state()
            if self._ticks.due(self.gate.counts.readings, heard=self._heard() and not self.full):
                self.gate.stamp(messages.tick)

    async def _store(self) -> None:
        while True:
            due = 0.0 if self._checkpoint_due else self.outbox.due_in(self._monotonic())
            if due is None:
                await self._outputs.wait()
                self._outputs.clear()
            elif due > 0:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._outputs.wait(), due)
                self._outputs.clear()
            else:
                await self._store_now()

    @property
    def _checkpoint_due(self) -> bool:
        """Whether a state waits and something can be done about it: keep it, or first store what it waits for."""
        waiting = self._pending_checkpoint
        return waiting is not None and (waiting.out <= self.outbox.spooled or self.outbox.waiting > 0)

    async def _store_now(self) -> None:
        async with self._storing:
            while outputs := self.outbox.batch():
                step = functools.partial(self._batches.store, self.unit.name, outputs)
                await self._retrying(step, "spool")
                self.outbox.stored(outputs[-1].out, self._monotonic())
            await self._keep_checkpoint()
        if self.guest is not None:
            self.guest.wake()

    async def _keep_checkpoint(self) -> None:
        checkpoint = self._pending_checkpoint
        if checkpoint is None or checkpoint.out > self.outbox.spooled:
            return
        self._pending_checkpoint = None
        await self.keep(checkpoint)

    async def keep(self, checkpoint: Checkpoint) -> None:
        """Make a checkpoint the one that the next guest starts from."""

        def work() -> None:
            self._trimmable = self._keeper.keep(checkpoint)
            self.log.trim(self._trimmable)

        await self._retrying(lambda: self._writer(work), "checkpoint")
        self.checkpoint = checkpoint
        self.plan.kept(len(checkpoint.state))
        self._moved.set()
        self._tell_room()

    # ---- orderly ends ----

    async def drained(self) -> Checkpoint:
        """Close every window of the guest, store what it says, and give the checkpoint that begins anew after it."""
        seq = self.gate.stamp(messages.drain)
        await self._until(lambda: self.acked >= seq)
        await self._store_now()
        return replace(self.checkpoint, seq=seq, out=self.outbox.spooled, state=b"")

    async def close(self) -> None:
        """Commit what waits, and try to keep a last state, so that the next start has little to replay."""
        await self._commit_group()
        if self.guest is not None and self.acked > self.checkpoint.seq and self.guest.request_checkpoint():
            before = self.checkpoint
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STOP_CHECKPOINT_S):
                    await self._until(lambda: self.checkpoint is not before)
        await self._store_now()

    async def _until(self, reached: Callable[[], bool]) -> None:
        while not reached():
            self._moved.clear()
            await self._moved.wait()


class _Feed:
    """The log's reader, silent while the spool takes nothing."""

    def __init__(self, pipeline: Pipeline, reader: LogReader) -> None:
        self._pipeline = pipeline
        self._reader = reader

    @property
    def last_seq(self) -> int:
        """Of the last frame handed out."""
        return self._reader.last_seq

    def read(self, max_bytes: int) -> bytes:
        """Whole frames; b"" for now."""
        data = b"" if self._pipeline.blocked else self._reader.read(max_bytes)
        self._pipeline.plan.fed += len(data)
        return data
