"""The pipeline over in-memory ports: what is durable before what, faults of the disk, checkpoints, drain."""

import asyncio
import contextlib
import errno
from dataclasses import replace

import pytest

from edgeagent.contract.check import Contract
from edgeagent.ingest.intake import Taken
from edgeagent.unit import disk as disk_module
from edgeagent.unit import lane as lane_module
from edgeagent.unit.checkpointing import Checkpoint
from edgeagent.unit.gate import Gate
from edgeagent.unit.lane import Lane
from edgeagent.unit.pipeline import Pipeline
from edgeagent.unit.ports import LaneId
from edgeagent.wire import messages
from edgeagent.wire.frame import HEADER, Decoder, FrameType
from tests.unit.given import GOOD, NOW, put

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
    async def store(self, lane, outputs):
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
        self.asked, self.wakes, self.rises, self.answers = 0, 0, 0, True

    def request_checkpoint(self):
        self.asked += 1
        return self.answers

    def wake(self):
        self.wakes += 1

    def rise(self):
        self.rises += 1

    async def drain(self):
        return True


@contextlib.asynccontextmanager
async def running(disk, guest, group_interval=0.0, batch_interval=0.0):
    async def writer(work):
        await asyncio.sleep(0)
        return work()

    gate = Gate(1, lambda: NOW, lambda: 0.0, disk.tail, None)
    start = Checkpoint(0, 0, b"", "", 0, {"window": 60_000, "lateness": 0})
    one = Pipeline(
        "u", disk, gate, writer, sync=True, group_interval=group_interval, span=60_000,
        monotonic=lambda: 0.0, arrival=lambda: NOW, heard=lambda: True,
    )  # fmt: skip
    lane = Lane(
        one, LaneId("u"), disk, start, CONTRACT, Spool(disk), one.counts,
        spooled=0, batch_interval=batch_interval, batch_items=100, monotonic=lambda: 0.0,
    )  # fmt: skip
    one.lanes = (lane,)
    lane.guest = guest
    tasks = asyncio.gather(one.run(), lane.run())
    try:
        yield one, lane
        assert not tasks.done(), tasks.exception()
    finally:
        tasks.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await tasks


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
        async with running(disk, guest) as (one, _lane):
            put(one.gate, b"1")
            put(one.gate, b"2")
            one.gate.when_durable(lambda: disk.events.append("acknowledged"))
            await until(lambda: "acknowledged" in disk.events)
            assert disk.events == [("commit", 2, True), "acknowledged"]
            await until(lambda: guest.wakes)

    drive(body)


def test_a_full_disk_holds_everything_back_and_loses_nothing(monkeypatch):
    monkeypatch.setattr(disk_module, "RETRY_S", (0.001,))

    async def body():
        disk, guest, roomy = Disk(), Guest(), []
        disk.fault = OSError(errno.ENOSPC, "No space left on device")
        async with running(disk, guest) as (one, _lane):
            put(one.gate, b"1")
            one.gate.when_durable(lambda: disk.events.append("acknowledged"))
            await until(lambda: one.disk.fault)
            assert one.full
            assert "No space left" in one.disk.fault
            one.when_roomy(lambda: roomy.append(True))
            put(one.gate, b"2")
            assert disk.events == []
            disk.fault = None
            await until(lambda: disk.durable_seq == 2)
            assert not one.disk.fault
            assert not one.full
            assert roomy == [True]
            assert "acknowledged" in disk.events

    drive(body)


def test_a_checkpoint_waits_for_what_was_said_before_it():
    async def body():
        disk, guest = Disk(), Guest()
        async with running(disk, guest, batch_interval=3600.0) as (one, lane):
            put(one.gate)
            await until(lambda: disk.durable_seq == 1)
            lane.said(summary(1), FrameType.SUMMARY, b"x")
            await asyncio.sleep(0.01)
            assert disk.batches == []  # the batch waits for others
            lane.stated(1, 1, b"state", "aggregate", 1)
            await until(lambda: disk.kept)
            order = [event[0] for event in disk.events]
            assert order == ["commit", "store", "keep", "trim"]
            assert lane.checkpoint == Checkpoint(
                1, 1, b"state", "aggregate", 1, {"window": 60_000, "lateness": 0}
            )

    drive(body)


def test_parked_means_stored_and_kept_without_waiting_for_more():
    class Slow(Guest):
        async def drain(self):
            self.lane.processed(1)
            self.lane.said(summary(1), FrameType.SUMMARY, b"x")
            self.lane.stated(1, 1, b"state", "aggregate", 1)
            return True

    async def body():
        disk, guest = Disk(), Slow()
        async with running(disk, guest, batch_interval=3600.0) as (one, lane):
            guest.lane = lane
            put(one.gate)
            await until(lambda: disk.durable_seq == 1)
            assert guest.rises, "there is something to read"
            await lane.park()
            assert disk.batches == [[1]]
            assert lane.checkpoint.seq == lane.acked == 1
            rises = guest.rises
            one.wake()
            assert guest.rises == rises, "there is nothing to read any more"
            await lane.park()  # with nothing to do
            assert disk.batches == [[1]]

    drive(body)


def test_a_guest_that_gives_nothing_is_parked_all_the_same():
    async def body():
        disk, guest = Disk(), Guest()
        async with running(disk, guest) as (one, lane):
            put(one.gate)
            await until(lambda: disk.durable_seq == 1)
            await lane.park()
            assert guest.asked == 0, "it acknowledged nothing"

    drive(body)


def test_a_state_ahead_of_its_outputs_is_not_kept():
    async def body():
        disk, guest = Disk(), Guest()
        async with running(disk, guest) as (_one, lane):
            lane.said(summary(1), FrameType.SUMMARY, b"x")
            lane.stated(5, 2, b"state", "aggregate", 1)  # output 2 is still on its way
            await until(lambda: disk.batches)
            await asyncio.sleep(0.01)
            assert disk.kept == []
            lane.said(summary(2), FrameType.SUMMARY, b"x")
            await until(lambda: disk.kept)
            assert disk.batches == [[1], [2]]

    drive(body)


def test_a_checkpoint_is_asked_for_when_enough_was_fed():
    async def body():
        disk, guest = Disk(), Guest()
        async with running(disk, guest) as (one, lane):
            lane.processed(1)
            assert guest.asked == 0
            for _ in range(9):
                put(one.gate, bytes(131_000))
            await until(lambda: disk.durable_seq == 9)
            feed = lane.input_after(0)
            while feed.read(1 << 20):
                pass
            lane.processed(9)
            lane.processed(10)
            assert guest.asked == 1
            lane.guest_lost()
            put(one.gate, bytes(131_000))
            await until(lambda: disk.durable_seq == 10)
            lane.plan.fed = 1 << 21
            lane.processed(11)
            assert guest.asked == 2

    drive(body)


def test_a_full_log_is_reason_enough_for_a_checkpoint():
    """After a restart the guest may be through with a full log: nothing more is fed until it is trimmed."""

    async def body():
        disk, guest = Disk(), Guest()
        disk.full = True
        async with running(disk, guest) as (_one, lane):
            lane.processed(7)
            assert guest.asked == 1
            lane.processed(7)
            assert guest.asked == 1
            lane.stated(7, 0, b"state", "aggregate", 1)
            await until(lambda: disk.trimmed == 7)
            # What can be trimmed is trimmed; asking again would bring nothing.
            lane.processed(7)
            assert guest.asked == 1

    drive(body)


def test_a_full_spool_stops_the_guest_not_the_sources():
    async def body():
        disk, guest = Disk(), Guest()
        async with running(disk, guest, batch_interval=3600.0) as (one, lane):
            feed = lane.input_after(0)
            put(one.gate)
            await until(lambda: disk.durable_seq == 1)
            disk.spool_full = True
            assert lane.blocked
            assert feed.read(1000) == b""
            assert not one.full
            disk.spool_full = False
            assert feed.read(1000)
            assert feed.last_seq == 1

    drive(body)


def test_drained_ends_with_a_state_of_no_bytes_after_everything_is_stored():
    async def body():
        disk, guest = Disk(), Guest()
        async with running(disk, guest, batch_interval=3600.0) as (one, lane):
            put(one.gate)
            drained = asyncio.create_task(one.drained())
            await until(lambda: disk.durable_seq == 2)
            assert disk.frames[1].type == FrameType.DRAIN
            lane.said(summary(1, seq=2), FrameType.SUMMARY, b"x")
            lane.processed(2)
            assert await drained == 2
            assert lane.anew(2, {"window": 1000}) == Checkpoint(2, 1, b"", "", 0, {"window": 1000})
            assert disk.batches == [[1]]

    drive(body)


def test_close_keeps_a_last_state_if_the_guest_gives_one(monkeypatch):
    monkeypatch.setattr(lane_module, "STOP_CHECKPOINT_S", 0.01)

    async def body():
        disk, guest = Disk(), Guest()
        async with running(disk, guest, group_interval=60.0) as (one, lane):
            assert put(one.gate) is Taken.LOGGED
            await one.close()
            assert disk.durable_seq == 1  # not waiting for the group's interval
            assert guest.asked == 0  # nothing was processed yet
            lane.processed(1)
            await one.close()  # asks, gets none, and ends all the same
            assert guest.asked == 1
            closing = asyncio.create_task(one.close())
            await asyncio.sleep(0)
            lane.stated(1, 0, b"last", "aggregate", 1)
            await closing
            assert disk.kept[-1].state == b"last"

    drive(body)


def test_rejects_are_counted_once_though_a_restarted_guest_repeats_them():
    async def body():
        async with running(Disk(), Guest()) as (one, lane):
            for seq in (1, 2, 2, 1, 3):
                lane.rejected(seq, 1, 0)
            assert one.counts.rejects == 3
            lane.rejected(4, 200, 0)  # a reason that this agent doesn't know yet

    drive(body)


@pytest.mark.parametrize(("reason", "word"), [(1, "malformed-json"), (200, "reason-200")])
def test_reason_words(reason, word):
    assert messages.reason_word(reason) == word


def test_a_source_in_a_hurry_isnt_kept_for_the_groups_interval():
    async def body():
        disk, guest = Disk(), Guest()
        async with running(disk, guest, group_interval=3600.0) as (one, _lane):
            put(one.gate)
            await asyncio.sleep(0.01)
            assert disk.durable_seq == 0
            one.gate.enough()
            await until(lambda: disk.durable_seq == 1)

    drive(body)
