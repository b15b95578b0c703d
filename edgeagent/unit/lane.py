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
from edgeagent.errors import GuestError
from edgeagent.wire import messages
from edgeagent.wire.messages import Report, Summary

from .checkpointing import Checkpoint, CheckpointPlan, Takeover
from .disk import Disk
from .outbox import Counts, Outbox
from .ports import Batches, InputLog, LaneId, LogReader
from .sharding import WHOLE, Shard, share, through

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

    def rise(self) -> None:
        """Start it if it is idle."""

    async def drain(self) -> bool:
        """Give it no more input, and wait until it is through with what it has; False when it isn't."""


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

    spooled: newest output in the spool. takeover: the guest begins with this instead of the checkpoint's state, until
    it has given a state of its own.
    """

    def __init__(
        self,
        unit: Upstream,
        ident: LaneId,
        keeper: Keeper,
        checkpoint: Checkpoint,
        contract: Contract,
        batches: Batches,
        counts: Counts,
        *,
        shard: Shard = WHOLE,
        takeover: Takeover | None = None,
        spooled: int,
        batch_interval: float,
        batch_items: int,
        monotonic: Callable[[], float],
    ) -> None:
        self.ident = ident
        self.shard = shard
        self.takeover = takeover
        self.stop: int | None = None
        """The guest gets no input behind this one for now."""
        self.given = checkpoint.seq
        """Newest input that a guest was given."""
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
        self._trouble = ""
        self._last_reject = checkpoint.seq
        self._hurry = False
        """What was said is stored without waiting for more."""
        self._outputs = asyncio.Event()
        self._moved = asyncio.Event()
        self._storing = asyncio.Lock()
        self._logger = logging.getLogger(f"unit.{ident}")

    # ---- seen from the guest ----

    def input_after(self, seq: int) -> LogReader:
        """The log, as long as there is room for what the guest will say."""
        return _Feed(self, self._unit.log, seq)

    def record_after(self, seq: int) -> LogReader:
        """What the guest is given after that one, to be read by somebody else; also in another thread."""
        reader = self._unit.log.reader(seq)
        return reader if self.shard.count == 1 else Shared(reader, self.shard)

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

    def began(self) -> None:
        """The guest takes input, and can be asked for its state."""
        self._moved.set()

    def ended(self, words: str) -> None:
        """The guest ended, and may be started again. words: why."""
        self._trouble = words
        self._moved.set()

    def guest_lost(self) -> None:
        """The guest is gone; a state that was asked for won't come."""
        self.plan.lost()

    # ---- seen from the unit ----

    def wake(self) -> None:
        """More input is durable, or may be read again."""
        if self.guest is not None:
            if self._unit.log.durable_seq > self.acked:
                self.guest.rise()
            self.guest.wake()

    async def run(self) -> None:
        """Store outputs and keep states until cancelled."""
        while True:
            due = 0.0 if self._checkpoint_due or self._hurry else self.outbox.due_in(self._monotonic())
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
            self._hurry = False
            while outputs := self.outbox.batch():
                step = functools.partial(self._batches.store, self.ident, outputs)
                await self._unit.disk.steady(step, "spool")
                self.outbox.stored(outputs[-1].out, self._monotonic())
            await self._keep_pending()
        self._moved.set()
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
        self.takeover = None
        self.plan.kept(len(checkpoint.state))
        self._moved.set()
        self._unit.tell_room()

    async def reached(self, seq: int) -> None:
        """Wait until input through seq is processed."""
        await self._until(lambda: self.acked >= seq)

    async def at(self, seq: int) -> None:
        """Wait until the guest's state after input seq is kept; seq is where it was told to stop.

        GuestError when the guest ends meanwhile.
        """
        self._trouble = ""
        while self.takeover is not None or self.checkpoint.seq < seq:
            if self._trouble:
                raise GuestError(self._trouble)
            if self.acked >= seq and self.guest is not None and self.guest.request_checkpoint():
                self.plan.ask(self._monotonic())
            self._moved.clear()
            await self._moved.wait()

    def anew(self, seq: int, config: dict[str, Any]) -> Checkpoint:
        """What an app begins anew from after input seq, with the numbers going on."""
        return replace(self.checkpoint, seq=seq, out=self.outbox.spooled, state=b"", config=config)

    async def park(self) -> None:
        """Give the guest no more input; wait until what it said, and its state, are kept. The caller bounds the wait.

        What follows is the guest's rest.
        """
        if self.guest is not None:
            if self.acked > self.checkpoint.seq or self.takeover is not None:
                self.guest.request_checkpoint()
            await self.guest.drain()
        # Storing isn't cancelled with the wait: what was stored in part would be stored again.
        self._hurry = True
        self._outputs.set()
        await self._until(lambda: not self.outbox.waiting and self._pending is None)

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


class Shared:
    """A reader of the log that gives what is a shard's, and skips for the rest."""

    def __init__(self, reader: LogReader, shard: Shard) -> None:
        self._reader = reader
        self._shard = shard

    @property
    def last_seq(self) -> int:
        """Of the last frame handed out, or skipped."""
        return self._reader.last_seq

    def read(self, max_bytes: int) -> bytes:
        """Whole frames; b"" for now."""
        return share(self._reader.read(max_bytes), self._shard)

    def close(self) -> None:
        """Give the descriptor back."""
        self._reader.close()


class _Feed:
    """What a lane's guest is given: silent while the spool takes nothing, and behind the input where it is to stop."""

    def __init__(self, lane: Lane, log: InputLog, after: int) -> None:
        self._lane = lane
        self._log = log
        self._reader = log.reader(after)

    @property
    def last_seq(self) -> int:
        """Of the last frame handed out, or skipped."""
        return self._reader.last_seq

    def read(self, max_bytes: int) -> bytes:
        """Whole frames; b"" for now."""
        lane, stop = self._lane, self._lane.stop
        if lane.blocked or (stop is not None and self.last_seq >= stop):
            return b""
        data = self._reader.read(max_bytes)
        if stop is not None and self.last_seq > stop:
            data = through(data, stop)
            self._reader.close()
            self._reader = self._log.reader(stop)
        lane.given = max(lane.given, self.last_seq)
        data = share(data, lane.shard)
        lane.plan.fed += len(data)
        return data

    def close(self) -> None:
        """Give the descriptor back."""
        self._reader.close()
