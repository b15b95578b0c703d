"""A unit's lives between power cuts: what outlives the agent, and the agent's parts put together over it.

The guests are the Python reference of `aggregate`, the disk is CrashingFiles, broker and collector are lists that
remember what was acknowledged.
"""

import asyncio
import contextlib
import json
import pickle
from collections import Counter
from pathlib import Path

import cbor2

from edgeagent.agent.journals import open_journal
from edgeagent.config import parse
from edgeagent.contract.check import Contract
from edgeagent.ingest.intake import Taken
from edgeagent.journal.spool import Spool
from edgeagent.unit import checkpointing
from edgeagent.unit.arrival import EARLIEST_MS
from edgeagent.unit.checkpointing import Checkpoint
from edgeagent.unit.gate import Gate
from edgeagent.unit.lane import Lane
from edgeagent.unit.moving import move
from edgeagent.unit.pipeline import Pipeline
from edgeagent.unit.ports import LaneId
from edgeagent.unit.settings import guest_config
from edgeagent.unit.sharding import Shard
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
READINGS = [
    (b"t/%d" % (i * i % 5), json.dumps({"ts": START + 170 * i, "v": i * i % 17}).encode()) for i in range(24)
]
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
        self.moves = 0

    def sums(self):
        """(source, start, count, sum) of every window, how many payloads were reported; as the collector has them."""
        windows = Counter(
            (body[2], body[5], body[7], tuple(body[10]))
            for body in self.collected.values()
            if len(body) == 18
        )
        return windows, sum(body[4] for body in self.collected.values() if len(body) == 7)


class Batches:
    """Spools outputs in the clear, and sends them."""

    def __init__(self, world, spool):
        self.world, self.spool = world, spool

    @property
    def full(self):
        return self.spool.full

    async def store(self, lane, outputs):
        await asyncio.sleep(0)
        data = cbor2.dumps([one.body for one in outputs])
        self.spool.append(str(lane), outputs[0].out, outputs[-1].out, outputs[-1].seq, data)
        self.spool.commit(sync=True)
        with contextlib.suppress(OSError):
            self.spool.trim()

    def send(self):
        """The collector takes what waits, and acknowledges it."""
        with contextlib.closing(self.spool.reader()) as reader:
            while batch := reader.read():
                for body in map(cbor2.loads, cbor2.loads(batch.data)):
                    before = self.world.collected.setdefault((batch.unit, body[0]), body)
                    # Said again with the same number, it must be the same: replay is exact.
                    assert before == body
                self.spool.acknowledge([batch.number])


class Guest:
    """Runs the reference on what the lane feeds."""

    def __init__(self, lane):
        self.lane = lane
        start, takes = lane.checkpoint, lane.takeover
        if takes is not None:
            states = [pickle.loads(state) for state in takes.states if state]
            self.app = Reference.taken_over(start.config, states, takes.shard.index, takes.shard.count)
        else:
            self.app = pickle.loads(start.state) if start.state else Reference(start.config)
        self.app.seq, self.app.out = start.seq, start.out
        self.reader = lane.input_after(start.seq)
        self.asked = False
        lane.guest = self
        lane.began()

    def request_checkpoint(self):
        self.asked = True
        return True

    def wake(self):
        pass

    def rise(self):
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
        if frame.type == FrameType.SKIP:
            app.seq = values[1]
            return
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


class Life:
    """One life of the agent: everything put together from what the disk kept. Implements the Crew of a move."""

    kind = Guest
    move = staticmethod(move)

    def __init__(self, world):
        files = world.files
        self.spool = Spool.open(
            files, Path("/s/spool"), new_id=bytes(16), cap_bytes=64_000, segment_bytes=700
        )
        self.journal = open_journal(
            files, Path("/s/u"), unit="u", cap=64_000, lossy=False, spooled=self.spool.last,
            config=guest_config(UNIT),
        )  # fmt: skip
        self.world = world
        self.batches = Batches(world, self.spool)
        self.gate = Gate(self.journal.log.next_seq, self._arrival, lambda: 0.0, self.journal.log.tail, None)
        self.pipeline = Pipeline(
            "u", self.journal.log, self.gate, self._write, sync=True, group_interval=0.0, span=1000,
            monotonic=lambda: 0.0, arrival=self._arrival, heard=lambda: False,
        )  # fmt: skip
        self.guests = []
        count = len(self.journal.starts)
        self.pipeline.lanes = tuple(
            self._lane(index, keeper, start, Shard(index, count), None)
            for index, (keeper, start) in enumerate(
                zip(self.journal.keepers, self.journal.starts, strict=True)
            )
        )

    def _arrival(self):
        self.world.time += 1
        return self.world.time

    async def _write(self, work):
        await asyncio.sleep(0)
        return work()

    def _lane(self, index, keeper, start, shard, takeover):
        ident = LaneId("u", index)
        return Lane(
            self.pipeline, ident, keeper, start, CONTRACT, self.batches, self.pipeline.counts,
            shard=shard, takeover=takeover, spooled=max(start.out, self.spool.last(str(ident)).out),
            batch_interval=0.0, batch_items=3, monotonic=lambda: 0.0,
        )  # fmt: skip

    # ---- Crew ----

    def lane(self, index, keeper, seq, takeover):
        former = self.pipeline.lanes[0].checkpoint
        out = self.spool.last(str(LaneId("u", index))).out
        start = Checkpoint(seq, out, b"", former.app, former.state_version, former.config)
        return self._lane(index, keeper, start, takeover.shard, takeover)

    def enlist(self, lanes):
        self.guests = [
            self.tasks.create_task(part.run()) for lane in lanes for part in (lane, self.kind(lane))
        ]

    async def dismiss(self):
        for task in self.guests:
            task.cancel()
        await asyncio.gather(*self.guests, return_exceptions=True)

    # ---- a life ----

    async def live(self, moves):
        """Until everything is collected, or the power goes. moves: after which readings to how many guests."""
        async with asyncio.TaskGroup() as self.tasks:
            pipeline = self.tasks.create_task(self.pipeline.run())
            self.enlist(self.pipeline.lanes)
            await self._play(moves)
            pipeline.cancel()
            await self.dismiss()

    async def _play(self, moves):
        world, one = self.world, self.pipeline
        # A broker redelivers what wasn't acknowledged, marked as a duplicate if it was delivered before.
        for number in range(world.acknowledged, len(READINGS)):
            topic, payload = READINGS[number]
            again = number < world.delivered
            world.delivered = max(world.delivered, number + 1)
            taken = one.gate.add(
                messages.topic_item(topic), topic, payload, 50, number + 1, maybe_duplicate=again
            )
            assert taken is not Taken.DROPPED

            def acknowledge(number=number):
                world.acknowledged = max(world.acknowledged, number + 1)

            one.gate.when_durable(acknowledge)
            for _ in range(number % 4):
                await asyncio.sleep(0)
            if number % 5 == 4:
                for lane in one.lanes:
                    lane.plan.fed += checkpointing.MIN_LOG_BYTES
            if (count := moves.get(number)) and count != len(one.lanes):
                await self.move(one, self.journal, self, count)
                world.moves += len(one.lanes) == count
            self.batches.send()
        await one.drained()
        while one.waiting:
            await asyncio.sleep(0)
        self.batches.send()
        await one.close()


async def live(world, moves):
    """One life of the agent."""
    await Life(world).live(moves)


def run(world, chance, mode, cut, moves):
    """Live until done, with the power going at operation ``cut`` of the first life."""
    world.files.fail_at(cut, "crash")
    while True:
        try:
            asyncio.run(live(world, moves))
        except BaseExceptionGroup as group:
            if not group.subgroup(PowerCutError):
                raise
            world.deaths += 1
        except PowerCutError:
            world.deaths += 1
        else:
            return
        world.files.power_cut(mode, chance)


def undisturbed(moves):
    """A world in which nothing happened."""
    world = World()
    world.files.fail_at(10**9, "crash")
    asyncio.run(live(world, moves))
    return world
