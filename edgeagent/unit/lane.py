"""Shell: one guest's part of a unit: its input, its outputs on the way to the spool, its checkpoint."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol

from edgeagent.contract.check import Contract
from edgeagent.wire import messages
from edgeagent.wire.messages import Report, Summary

from .checkpointing import Checkpoint, CheckpointPlan
from .disk import Disk
from .outbox import Counts, Outbox
from .ports import Batches, InputLog, LogReader

MAX_OUTBOX = 20_000
"""Outputs that wait for the spool before the guest gets no more input."""
STOP_CHECKPOINT_S = 5.0
"""How long a stop waits for the guest's last state; without it the next start replays a little more."""
REJECTS_TOLD = 10
REJECTS_STEP = 1000
"""The first so many rejects are logged one by one, later ones each so many."""


class Keeper(Protocol):
    """Where checkpoints of a lane are kept. Calls run in the writer's thread."""

    def keep(self, checkpoint: Checkpoint) -> int:
        """Make it durable; the seq through which this lane doesn't need the log any more."""


class GuestPort(Protocol):
    """The lane's guest, as far as it is asked for something."""

    def request_checkpoint(self) -> bool:
        """Ask for the state; False while there is no running guest."""

    def wake(self) -> None:
        """More input is durable, or may be read again."""


class Upstream(Protocol):
    """The unit that the lane belongs to."""

    @property
    def log(self) -> InputLog:
        """Its input."""

    @property
    def disk(self) -> Disk:
        """What writes, and tries again."""

    def newest_arrival(self) -> int:
        """Nothing that a guest may speak of arrived later; ms since 1970."""

    def trim(self) -> None:
        """Forget input that no lane needs; in the writer's thread."""

    def tell_room(self) -> None:
        """There may be room for the sources again."""


class Lane:
    """A guest's way through its unit. ``run`` until cancelled.

    key: names the numbering of its outputs in the spool. spooled: newest output there.
    """

    def __init__(
        self,
        unit: Upstream,
        key: str,
        keeper: Keeper,
        checkpoint: Checkpoint,
        contract: Contract,
        batches: Batches,
        counts: Counts,
        *,
        spooled: int,
        batch_interval: float,
        batch_items: int,
        monotonic: Callable[[], float],
    ) -> None:
        self.key = key
        self.outbox = Outbox(contract, counts, spooled, batch_interval, batch_items)
        self.plan = CheckpointPlan(monotonic())
        self.checkpoint = checkpoint
        self.guest: GuestPort | None = None
        self.acked = checkpoint.seq
        self.trimmable = 0
        """This lane doesn't need the log through this input any more."""
        self._unit = unit
        self._keeper = keeper
        self._batches = batches
        self._counts = counts
        self._monotonic = monotonic
        self._pending: Checkpoint | None = None
        self._last_reject = checkpoint.seq
        self._outputs = asyncio.Event()
        self._moved = asyncio.Event()
        self._storing = asyncio.Lock()
        self._logger = logging.getLogger(f"unit.{key}")

    # ---- seen from the guest ----

    def input_after(self, seq: int) -> LogReader:
        """The log, as long as there is room for what the guest will say."""
        return _Feed(self, self.record_after(seq))

    def record_after(self, seq: int) -> LogReader:
        """What the guest is given after that one, to be read by somebody else; also in another thread."""
        return self._unit.log.reader(seq)

    @property
    def blocked(self) -> bool:
        """Whether the guest gets no input, because there is no room for what it would say.

        What it says of input that it has already still goes into a full spool: that is bounded by the session's window.
        """
        return self._batches.full or self.outbox.waiting >= MAX_OUTBOX

    def said(self, message: Summary | Report, kind: int, body: bytes) -> None:
        """The guest said something for the cloud. GuestError when it can't be true."""
        if self.outbox.take(message, kind, body, self._unit.newest_arrival(), self._monotonic()):
            self._outputs.set()

    def processed(self, seq: int) -> None:
        """The guest acknowledged input through seq."""
        self.acked = max(self.acked, seq)
        self._moved.set()
        self.look()

    def look(self) -> None:
        """Ask the guest for its state when it is time."""
        # A full log takes nothing more, so nothing more would ever be fed: then only what can be trimmed counts.
        pressed = self._unit.log.full and self.acked > self.trimmable
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
            self._counts.rejects += 1
            count = self._counts.rejects
            if count <= REJECTS_TOLD or count % REJECTS_STEP == 0:
                words = messages.reason_word(reason)
                self._logger.info("reading %d: %s at byte %d (%d rejected so far)", seq, words, offset, count)

    def stated(self, seq: int, out: int, state: bytes, app: str, state_version: int) -> None:
        """The guest gave its state; it is kept once everything it said before is in the spool."""
        self._pending = replace(
            self.checkpoint, seq=seq, out=out, state=state, app=app, state_version=state_version
        )
        self._outputs.set()

    def guest_lost(self) -> None:
        """The guest is gone; a state that was asked for won't come."""
        self.plan.lost()

    # ---- seen from the unit ----

    def wake(self) -> None:
        """More input is durable, or may be read again."""
        if self.guest is not None:
            self.guest.wake()

    async def run(self) -> None:
        """Store outputs and keep states until cancelled."""
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
                await self.store()

    @property
    def _checkpoint_due(self) -> bool:
        """Whether a state waits and something can be done about it: keep it, or first store what it waits for."""
        waiting = self._pending
        return waiting is not None and (waiting.out <= self.outbox.spooled or self.outbox.waiting > 0)

    async def store(self) -> None:
        """Everything that was said goes into the spool, then a state that waited for it is kept."""
        async with self._storing:
            while outputs := self.outbox.batch():
                step = functools.partial(self._batches.store, self.key, outputs)
                await self._unit.disk.steady(step, "spool")
                self.outbox.stored(outputs[-1].out, self._monotonic())
            await self._keep_pending()
        self.wake()

    async def _keep_pending(self) -> None:
        checkpoint = self._pending
        if checkpoint is None or checkpoint.out > self.outbox.spooled:
            return
        self._pending = None
        await self.keep(checkpoint)

    async def keep(self, checkpoint: Checkpoint) -> None:
        """Make a checkpoint the one that the next guest starts from."""

        def work() -> None:
            self.trimmable = self._keeper.keep(checkpoint)
            self._unit.trim()

        await self._unit.disk.write(work, "checkpoint")
        self.checkpoint = checkpoint
        self.plan.kept(len(checkpoint.state))
        self._moved.set()
        self._unit.tell_room()

    async def reached(self, seq: int) -> None:
        """Wait until input through seq is processed."""
        await self._until(lambda: self.acked >= seq)

    def anew(self, seq: int, config: dict[str, Any]) -> Checkpoint:
        """What an app begins anew from after input seq, with the numbers going on."""
        return replace(self.checkpoint, seq=seq, out=self.outbox.spooled, state=b"", config=config)

    async def close(self) -> None:
        """Try to keep a last state, so that the next start has little to replay."""
        if self.guest is not None and self.acked > self.checkpoint.seq and self.guest.request_checkpoint():
            before = self.checkpoint
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STOP_CHECKPOINT_S):
                    await self._until(lambda: self.checkpoint is not before)
        await self.store()

    async def _until(self, reached: Callable[[], bool]) -> None:
        while not reached():
            self._moved.clear()
            await self._moved.wait()


class _Feed:
    """The log's reader, silent while the spool takes nothing."""

    def __init__(self, lane: Lane, reader: LogReader) -> None:
        self._lane = lane
        self._reader = reader

    @property
    def last_seq(self) -> int:
        """Of the last frame handed out."""
        return self._reader.last_seq

    def read(self, max_bytes: int) -> bytes:
        """Whole frames; b"" for now."""
        data = b"" if self._lane.blocked else self._reader.read(max_bytes)
        self._lane.plan.fed += len(data)
        return data

    def close(self) -> None:
        """Give the descriptor back."""
        self._reader.close()
