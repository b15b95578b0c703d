"""The pipeline over in-memory ports: what is durable before what, faults of the disk, checkpoints, drain."""

import asyncio
import contextlib
import errno
from dataclasses import replace
from pathlib import Path

import pytest

from edgeagent.config import parse
from edgeagent.contract.check import Contract
from edgeagent.ingest.intake import Taken
from edgeagent.unit import pipeline as module
from edgeagent.unit.checkpointing import Checkpoint
from edgeagent.unit.gate import Gate
from edgeagent.unit.pipeline import Pipeline
from edgeagent.wire import messages
from edgeagent.wire.frame import HEADER, Decoder, FrameType
from tests.unit.given import GOOD, NOW, put

UNIT = parse(
    '[board]\nname="b"\n[coap]\n[[unit]]\nname="u"\ntopics=["#"]\n[seal]\nrecipients=["r"]\n'
    '[uplink]\nurl="mqtt://b"\nacknowledge="broker"\n',
    name="",
    folder=Path("/"),
).units[0]
CONTRACT = Contract(60_000, 3_600_000, (500, 950), (), 60, lambda topic: True)


class Disk:
    """Log, checkpoints and spool in memory, with a fault that a test switches on and an order of events."""

    def __init__(self):
        self.frames, self.durable_seq, self.full = [], 0, False
        self.fault, self.events, self.batches, self.kept = None, [], [], []
        self.trimmed, self.first_seq = 0, 1
        self.spool_full = False

    # input log
    @property
    def next_seq(self):
        return len(self.frames) + 1

    def append(self, frames, count):
        self._fail()
        new = Decoder().feed(frames)
        assert len(new) == count
        assert [messages.sequence_of(f.body) for f in new] == [len(self.frames) + 1 + i for i in range(count)]
        self.frames += new

    def commit(self, sync):
        self.durable_seq = len(self.frames)
        self.events.append(("commit", self.durable_seq, sync))

    def reader(self, after_seq):
        return Reader(self, after_seq)

    def trim(self, through_seq):
        self.trimmed = through_seq
        self.events.append(("trim", through_seq))

    def tail(self):
        return iter(())

    # keeper
    def keep(self, checkpoint):
        self._fail()
        self.kept.append(checkpoint)
        self.events.append(("keep", checkpoint.seq, checkpoint.out))
        return checkpoint.seq

    # batches
    async def store(self, unit, outputs):
        self._fail()
        self.batches.append([o.out for o in outputs])
        self.events.append(("store", outputs[-1].out))

    def _fail(self):
        if self.fault:
            raise self.fault


class Spool:
    """The spool's side of the disk."""

    def __init__(self, disk):
        self.disk, self.store = disk, disk.store

    @property
    def full(self):
        return self.disk.spool_full


class Reader:
    def __init__(self, disk, after):
        self.disk, self.last_seq = disk, after

    def read(self, max_bytes):
        data = b""
        while self.last_seq < self.disk.durable_seq and not data:
            frame = self.disk.frames[self.last_seq]
            data += bytes(HEADER.size) + frame.body
            self.last_seq += 1
        return data


class Guest:
    """Counts what the pipeline asks of it."""

    def __init__(self):
        self.asked, self.wakes, self.answers = 0, 0, True

    def request_checkpoint(self):
        self.asked += 1
        return self.answers

    def wake(self):
        self.wakes += 1


@contextlib.asynccontextmanager
async def running(disk, guest, **changes):
    async def writer(work):
        await asyncio.sleep(0)
        return work()

    gate = Gate(1, lambda: NOW, lambda: 0.0, disk.tail, None)
    start = Checkpoint(0, 0, b"", "", 0, {"window": 60_000, "lateness": 0})
    settings = {"spooled": 0, "sync": True, "group_interval": 0.0, "batch_interval": 0.0, "batch_items": 100}
    one = Pipeline(
        UNIT, disk, disk, start, gate, CONTRACT, Spool(disk), writer,
        **settings | changes, monotonic=lambda: 0.0, arrival=lambda: NOW, heard=lambda: True,
    )  # fmt: skip
    one.guest = guest
    task = asyncio.create_task(one.run())
    try:
        yield one
        assert not task.done(), task.exception()
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def until(condition):
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.001)


def summary(out, seq=1):
    return replace(GOOD, out=out, seq=seq, field="temperature")


def drive(body):
    asyncio.run(body())


def test_acknowledged_means_durable_and_the_guest_is_woken_after():
    async def body():
        disk, guest = Disk(), Guest()
        async with running(disk, guest) as one:
            put(one.gate, b"1")
            put(one.gate, b"2")
            one.gate.when_durable(lambda: disk.events.append("acknowledged"))
            await until(lambda: "acknowledged" in disk.events)
            assert disk.events == [("commit", 2, True), "acknowledged"]
            await until(lambda: guest.wakes)

    drive(body)


def test_a_full_disk_holds_everything_back_and_loses_nothing(monkeypatch):
    monkeypatch.setattr(module, "RETRY_S", (0.001,))

    async def body():
        disk, guest, roomy = Disk(), Guest(), []
        disk.fault = OSError(errno.ENOSPC, "No space left on device")
        async with running(disk, guest) as one:
            put(one.gate, b"1")
            one.gate.when_durable(lambda: disk.events.append("acknowledged"))
            await until(lambda: one.faults.disk)
            assert one.full
            assert "No space left" in one.faults.disk
            one.when_roomy(lambda: roomy.append(True))
            put(one.gate, b"2")
            assert disk.events == []
            disk.fault = None
            await until(lambda: disk.durable_seq == 2)
            assert not one.faults.disk
            assert not one.full
            assert roomy == [True]
            assert "acknowledged" in disk.events

    drive(body)


def test_a_checkpoint_waits_for_what_was_said_before_it():
    async def body():
        disk, guest = Disk(), Guest()
        async with running(disk, guest, batch_interval=3600.0) as one:
            put(one.gate)
            await until(lambda: disk.durable_seq == 1)
            one.said(summary(1), FrameType.SUMMARY, b"x")
            await asyncio.sleep(0.01)
            assert disk.batches == []  # the batch waits for others
            one.stated(1, 1, b"state", "aggregate", 1)
            await until(lambda: disk.kept)
            order = [event[0] for event in disk.events]
            assert order == ["commit", "store", "keep", "trim"]
            assert one.checkpoint == Checkpoint(
                1, 1, b"state", "aggregate", 1, {"window": 60_000, "lateness": 0}
            )

    drive(body)


def test_a_state_ahead_of_its_outputs_is_not_kept():
    async def body():
        disk, guest = Disk(), Guest()
        async with running(disk, guest) as one:
            one.said(summary(1), FrameType.SUMMARY, b"x")
            one.stated(5, 2, b"state", "aggregate", 1)  # output 2 is still on its way
            await until(lambda: disk.batches)
            await asyncio.sleep(0.01)
            assert disk.kept == []
            one.said(summary(2), FrameType.SUMMARY, b"x")
            await until(lambda: disk.kept)
            assert disk.batches == [[1], [2]]

    drive(body)


def test_a_checkpoint_is_asked_for_when_enough_was_fed():
    async def body():
        disk, guest = Disk(), Guest()
        async with running(disk, guest) as one:
            one.processed(1)
            assert guest.asked == 0
            for _ in range(9):
                put(one.gate, bytes(131_000))
            await until(lambda: disk.durable_seq == 9)
            feed = one.input_after(0)
            while feed.read(1 << 20):
                pass
            one.processed(9)
            one.processed(10)
            assert guest.asked == 1
            one.guest_lost()
            put(one.gate, bytes(131_000))
            await until(lambda: disk.durable_seq == 10)
            one.plan.fed = 1 << 21
            one.processed(11)
            assert guest.asked == 2

    drive(body)


def test_a_full_log_is_reason_enough_for_a_checkpoint():
    """After a restart the guest may be through with a full log: nothing more is fed until it is trimmed."""

    async def body():
        disk, guest = Disk(), Guest()
        disk.full = True
        async with running(disk, guest) as one:
            one.processed(7)
            assert guest.asked == 1
            one.processed(7)
            assert guest.asked == 1
            one.stated(7, 0, b"state", "aggregate", 1)
            await until(lambda: disk.trimmed == 7)
            # What can be trimmed is trimmed; asking again would bring nothing.
            one.processed(7)
            assert guest.asked == 1

    drive(body)


def test_a_full_spool_stops_the_guest_not_the_sources():
    async def body():
        disk, guest = Disk(), Guest()
        async with running(disk, guest, batch_interval=3600.0) as one:
            feed = one.input_after(0)
            put(one.gate)
            await until(lambda: disk.durable_seq == 1)
            disk.spool_full = True
            assert one.blocked
            assert feed.read(1000) == b""
            assert not one.full
            disk.spool_full = False
            assert feed.read(1000)
            assert feed.last_seq == 1

    drive(body)


def test_drained_ends_with_a_state_of_no_bytes_after_everything_is_stored():
    async def body():
        disk, guest = Disk(), Guest()
        async with running(disk, guest, batch_interval=3600.0) as one:
            put(one.gate)
            drained = asyncio.create_task(one.drained())
            await until(lambda: disk.durable_seq == 2)
            assert disk.frames[1].type == FrameType.DRAIN
            one.said(summary(1, seq=2), FrameType.SUMMARY, b"x")
            one.processed(2)
            assert await drained == Checkpoint(2, 1, b"", "", 0, {"window": 60_000, "lateness": 0})
            assert disk.batches == [[1]]

    drive(body)


def test_close_keeps_a_last_state_if_the_guest_gives_one(monkeypatch):
    monkeypatch.setattr(module, "STOP_CHECKPOINT_S", 0.01)

    async def body():
        disk, guest = Disk(), Guest()
        async with running(disk, guest, group_interval=60.0) as one:
            assert put(one.gate) is Taken.LOGGED
            await one.close()
            assert disk.durable_seq == 1  # not waiting for the group's interval
            assert guest.asked == 0  # nothing was processed yet
            one.processed(1)
            await one.close()  # asks, gets none, and ends all the same
            assert guest.asked == 1
            closing = asyncio.create_task(one.close())
            await asyncio.sleep(0)
            one.stated(1, 0, b"last", "aggregate", 1)
            await closing
            assert disk.kept[-1].state == b"last"

    drive(body)


def test_rejects_are_counted_once_though_a_restarted_guest_repeats_them():
    async def body():
        async with running(Disk(), Guest()) as one:
            for seq in (1, 2, 2, 1, 3):
                one.rejected(seq, 1, 0)
            assert one.rejects == 3
            one.rejected(4, 200, 0)  # a reason that this agent doesn't know yet

    drive(body)


@pytest.mark.parametrize(("reason", "word"), [(1, "malformed-json"), (200, "reason-200")])
def test_reason_words(reason, word):
    assert messages.reason_word(reason) == word


def test_a_source_in_a_hurry_isnt_kept_for_the_groups_interval():
    async def body():
        disk, guest = Disk(), Guest()
        async with running(disk, guest, group_interval=3600.0) as one:
            put(one.gate)
            await asyncio.sleep(0.01)
            assert disk.durable_seq == 0
            one.gate.enough()
            await until(lambda: disk.durable_seq == 1)

    drive(body)
