"""The power fails at every file operation of a unit's work: gate, log, guest, contract, outbox, spool, checkpoint.

The guest is the Python reference of `aggregate`, the disk is CrashingFiles, broker and collector are lists that
remember what was acknowledged. After each cut everything starts again from what the disk kept; in the end the collector
must have every window once, with the numbers that an undisturbed run gives.
"""

import asyncio
import contextlib
import errno
import json
import pickle
import random
from collections import Counter
from pathlib import Path

import cbor2
import pytest

from edgeagent.agent.journals import open_journal
from edgeagent.config import parse
from edgeagent.contract.check import Contract
from edgeagent.ingest.intake import Taken
from edgeagent.journal.spool import Spool
from edgeagent.unit import checkpointing
from edgeagent.unit import disk as disk_module
from edgeagent.unit.arrival import EARLIEST_MS
from edgeagent.unit.gate import Gate
from edgeagent.unit.lane import Lane
from edgeagent.unit.pipeline import Pipeline
from edgeagent.unit.settings import guest_config
from edgeagent.wire import messages
from edgeagent.wire.decimals import to_wire
from edgeagent.wire.frame import Decoder, FrameType
from tests.guest.reference import Reference
from tests.sim.crashing_files import CrashingFiles, PowerCutError

START = EARLIEST_MS + 10_000_000
UNIT = parse(
    '[board]\nname="b"\n[coap]\n[[unit]]\nname="u"\ntopics=["#"]\nwindow="1s"\nlateness="0s"\nahead="0s"\n'
    '[seal]\nrecipients=["r"]\n[uplink]\nurl="mqtt://b"\nacknowledge="broker"\n',
    name="",
    folder=Path("/"),
).units[0]
CONTRACT = Contract(1000, 0, UNIT.quantiles, (), 60, lambda topic: True)
READINGS = [json.dumps({"ts": START + 170 * i, "v": i * i % 17}).encode() for i in range(24)]
MODES = ("none", "prefix", "subset", "torn")


class World:
    """What outlives the agent: disk, broker, collector."""

    def __init__(self):
        self.files = CrashingFiles()
        self.acknowledged = 0
        self.delivered = 0
        self.collected = {}
        self.time = START
        self.deaths = 0

    def sums(self):
        """(start, count, sum) of every window, and how many payloads were reported; both as the collector has them."""
        windows = Counter(
            (body[5], body[7], tuple(body[10])) for body in self.collected.values() if len(body) == 18
        )
        return windows, sum(body[4] for body in self.collected.values() if len(body) == 7)


class Batches:
    """Spools outputs in the clear, and sends them."""

    def __init__(self, world, spool):
        self.world, self.spool = world, spool

    @property
    def full(self):
        return self.spool.full

    async def store(self, unit, outputs):
        await asyncio.sleep(0)
        data = cbor2.dumps([one.body for one in outputs])
        self.spool.append(unit, outputs[0].out, outputs[-1].out, outputs[-1].seq, data)
        self.spool.commit(sync=True)
        self.spool.trim()

    def send(self):
        """The collector takes what waits, and acknowledges it."""
        with contextlib.closing(self.spool.reader()) as reader:
            while batch := reader.read():
                for body in map(cbor2.loads, cbor2.loads(batch.data)):
                    before = self.world.collected.setdefault(body[0], body)
                    # Said again with the same number, it must be the same: replay is exact.
                    assert before == body
                self.spool.acknowledge([batch.number])


class Guest:
    """Runs the reference on what the lane feeds."""

    def __init__(self, lane):
        self.lane = lane
        start = lane.checkpoint
        self.app = pickle.loads(start.state) if start.state else Reference(start.config)
        self.app.seq, self.app.out = start.seq, start.out
        self.reader = lane.input_after(start.seq)
        self.asked = False

    def request_checkpoint(self):
        self.asked = True
        return True

    def wake(self):
        pass

    async def run(self):
        while True:
            frames = Decoder().feed(self.reader.read(600))
            for frame in frames:
                self._take(frame)
            if frames:
                self.lane.processed(self.app.seq)
            if self.asked:
                self.asked = False
                self.lane.stated(self.app.seq, self.app.out, pickle.dumps(self.app), "reference", 1)
            await asyncio.sleep(0)

    def _take(self, frame):
        app = self.app
        values = cbor2.loads(frame.body)
        assert values[0] == app.seq + 1
        if frame.type == FrameType.READING:
            app.reading(values[0], values[1], values[6], values[5].decode())
        elif frame.type == FrameType.DRAIN:
            app.drain(values[0], values[1])
        else:
            raise AssertionError(frame.type)
        said, app.said = app.said, []
        for one in said:
            if isinstance(one, messages.Reject):
                self.lane.rejected(one.seq, one.reason, 0)
                continue
            kind = FrameType.SUMMARY if isinstance(one, messages.Summary) else FrameType.REPORT
            self.lane.said(one, kind, body_of(one))


def body_of(said):
    if isinstance(said, messages.Report):
        fields = (said.out, said.seq, said.start, said.length, said.payloads, said.values)
        return cbor2.dumps([*fields, dict(said.reasons)])
    numbers = [to_wire(one) for one in (said.min, said.max, said.sum, said.first, said.last, said.sq)]
    head = [said.out, said.seq, said.source, said.field, said.unit, said.start, said.length, said.count]
    return cbor2.dumps(
        [*head, *numbers, [to_wire(q) for q in said.quantiles], said.error, said.skipped, said.flags]
    )


async def live(world):
    """One life of the agent: until everything is collected, or the power goes."""
    spool = Spool.open(world.files, Path("/s/spool"), new_id=bytes(16), cap_bytes=64_000, segment_bytes=700)
    journal = open_journal(
        world.files, Path("/s/u"), cap=64_000, lossy=False, spooled=spool.last("u"), config=guest_config(UNIT)
    )
    batches = Batches(world, spool)

    def arrival():
        world.time += 1
        return world.time

    async def writer(work):
        await asyncio.sleep(0)
        return work()

    gate = Gate(journal.log.next_seq, arrival, lambda: 0.0, journal.log.tail, None)
    one = Pipeline(
        "u", journal.log, gate, writer, sync=True, group_interval=0.0, span=1000,
        monotonic=lambda: 0.0, arrival=arrival, heard=lambda: False,
    )  # fmt: skip
    lane = Lane(
        one, "u", journal, journal.start, CONTRACT, batches, one.counts,
        spooled=max(journal.start.out, spool.last("u").out), batch_interval=0.0, batch_items=3,
        monotonic=lambda: 0.0,
    )  # fmt: skip
    one.lanes = (lane,)
    guest = Guest(lane)
    lane.guest = guest
    async with asyncio.TaskGroup() as tasks:
        work = [tasks.create_task(part.run()) for part in (one, lane, guest)]
        await play(world, one, batches)
        for task in work:
            task.cancel()


async def play(world, one, batches):
    item = messages.topic_item(b"t")
    # A broker redelivers what wasn't acknowledged, marked as a duplicate if it was delivered before.
    for number in range(world.acknowledged, len(READINGS)):
        again = number < world.delivered
        world.delivered = max(world.delivered, number + 1)
        taken = one.gate.add(item, b"t", READINGS[number], 50, number + 1, maybe_duplicate=again)
        assert taken is not Taken.DROPPED

        def acknowledge(number=number):
            world.acknowledged = max(world.acknowledged, number + 1)

        one.gate.when_durable(acknowledge)
        for _ in range(number % 4):
            await asyncio.sleep(0)
        if number % 5 == 4:
            one.lanes[0].plan.fed += checkpointing.MIN_LOG_BYTES
        batches.send()
    await one.drained()
    while one.waiting:
        await asyncio.sleep(0)
    batches.send()
    await one.close()


def run(world, chance, mode, cut):
    """Live until done, with the power going at operation ``cut`` of the first life."""
    world.files.fail_at(cut, "crash")
    while True:
        try:
            asyncio.run(live(world))
        except BaseExceptionGroup as group:
            if not group.subgroup(PowerCutError):
                raise
            world.deaths += 1
        except PowerCutError:
            world.deaths += 1
        else:
            return
        world.files.power_cut(mode, chance)


def undisturbed():
    world = World()
    world.files.fail_at(10**9, "crash")
    asyncio.run(live(world))
    return world


def test_an_undisturbed_run_is_complete():
    windows, payloads = undisturbed().sums()
    assert payloads == len(READINGS)
    assert sum(count * times for (_, count, _), times in windows.items()) == len(READINGS)
    assert max(windows.values()) == 1


@pytest.mark.parametrize("mode", MODES)
def test_power_cut_at_every_file_operation(mode):
    expected = undisturbed()
    operations = expected.files.operations
    assert operations > 80
    chance = random.Random(mode)
    deaths = 0
    for cut in range(operations):
        world = World()
        run(world, chance, mode, cut)
        assert world.sums() == expected.sums(), f"cut at {cut}"
        deaths += world.deaths
    assert deaths >= operations - 20


@pytest.mark.parametrize("fault", [errno.ENOSPC, errno.EIO, errno.EROFS])
def test_a_disk_that_fails_for_a_while_loses_nothing(fault, monkeypatch):
    monkeypatch.setattr(disk_module, "RETRY_S", (0.0,))
    expected = undisturbed()
    # A fault while opening ends the start with one line, and the next start goes on; later ones are waited for.
    for at in range(0, expected.files.operations, 3):
        world = World()
        world.files.fail_at(at, fault, until=7)
        for _ in range(10):
            with contextlib.suppress(OSError):
                asyncio.run(live(world))
                break
        assert world.sums() == expected.sums(), f"fault at {at}"
