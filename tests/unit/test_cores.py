"""The unit's cores: numbering, duplicates, batches, ticks, checkpoints, arrival time."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeagent.contract.check import breach
from edgeagent.errors import DamagedError, GuestError
from edgeagent.ingest.intake import Taken
from edgeagent.unit import checkpointing
from edgeagent.unit.arrival import ArrivalClock, ClockState
from edgeagent.unit.gate import Gate
from edgeagent.unit.outbox import MAX_BATCH_BYTES, Counts, Outbox
from edgeagent.unit.router import Router
from edgeagent.unit.ticks import TickPlan
from edgeagent.wire import messages
from edgeagent.wire.frame import Decoder, FrameType
from tests.unit.given import CONTRACT, GOOD, NOW, START, put

REPORT = messages.Report(2, 10, START, 60_000, 5, 12, {1: 1})

LIES = [
    {"source": "no"}, {"source": "ü" * 600}, {"field": "humidity"}, {"field": "ENERGY"}, {"unit": "x" * 33},
    {"length": 30_000}, {"start": START + 1}, {"start": START + 3_600_000 * 2}, {"count": 0}, {"count": 1 << 33},
    {"min": Decimal(23)}, {"first": Decimal(20)}, {"last": Decimal(23)}, {"sum": Decimal(10**9)},
    {"sum": Decimal("-63.5")}, {"sq": Decimal(-1)}, {"quantiles": ()}, {"quantiles": (Decimal(21), Decimal(99))},
    {"quantiles": (Decimal(22), Decimal(21))}, {"error": 1001}, {"skipped": 61}, {"flags": 4},
]  # fmt: skip


def test_the_truth_keeps_the_contract():
    assert breach(CONTRACT, GOOD, NOW) is None
    assert breach(CONTRACT, replace(GOOD, field="ENERGY.Power"), NOW) is None
    assert breach(CONTRACT, replace(GOOD, flags=2, sum=Decimal(10**9)), NOW) is None
    assert breach(CONTRACT, REPORT, NOW) is None


@pytest.mark.parametrize("lie", LIES, ids=str)
def test_a_lie_breaks_the_contract(lie):
    assert breach(CONTRACT, replace(GOOD, **lie), NOW)


@pytest.mark.parametrize(
    "lie",
    [{"length": 1}, {"start": 7}, {"payloads": 1 << 32}, {"reasons": {0: 1}}, {"reasons": {1: 1 << 32}}],
    ids=str,
)
def test_a_lying_report(lie):
    assert breach(CONTRACT, replace(REPORT, **lie), NOW)


def outbox(spooled=0, most=10):
    return Outbox(CONTRACT, Counts(), spooled, 10.0, most)


def take(box, out, now=0.0, body=b"x"):
    return box.take(replace(GOOD, out=out), FrameType.SUMMARY, body, NOW, now)


def test_outputs_said_again_are_known_and_gaps_are_a_breach():
    box = outbox(spooled=2)
    assert [take(box, n) for n in (1, 2, 3, 3, 4)] == [False, False, True, False, True]
    assert (box.counts.repeated, box.last, box.waiting) == (3, 4, 2)
    with pytest.raises(GuestError, match="said output 6 after 4"):
        take(box, 6)
    with pytest.raises(GuestError, match="broke its contract in output 5: count"):
        box.take(replace(GOOD, out=5, count=0), FrameType.SUMMARY, b"", NOW, 0)


@given(st.lists(st.integers(1, MAX_BATCH_BYTES), max_size=30), st.integers(1, 10))
def test_batches_are_bounded_and_hold_everything_once(sizes, most):
    box = outbox(most=most)
    for number, size in enumerate(sizes, 1):
        take(box, number, body=bytes(size))
    seen = []
    while items := box.batch():
        assert len(items) <= most
        assert len(items) == 1 or sum(len(item.body) for item in items) <= MAX_BATCH_BYTES
        seen += [item.out for item in items]
        box.stored(items[-1].out, 0)
    assert seen == list(range(1, len(sizes) + 1))
    assert box.spooled == len(sizes)


def test_a_batch_is_due_by_age_or_size():
    box = outbox(most=2)
    assert box.due_in(0) is None
    take(box, 1, now=5.0)
    assert box.due_in(6.0) == 9.0
    assert box.due_in(99.0) == 0.0
    take(box, 2, now=6.0)
    assert box.due_in(6.0) == 0.0


class Times:
    """Arrival and monotonic time that a test sets."""

    ms, s = NOW, 0.0


def gate(tail=list, rate=None, next_seq=1):
    return Gate(next_seq, lambda: Times.ms, lambda: Times.s, tail, rate)


def test_a_gate_numbers_and_groups():
    one, called = gate(next_seq=7), []
    one.wake = lambda: called.append("wake")
    one.when_durable(lambda: called.append("nothing waits"))
    assert [put(one, b"1"), put(one, b"2")] == [Taken.LOGGED] * 2
    assert one.stamp(messages.tick) == 9
    one.when_durable(lambda: called.append("first group"))
    group = one.take()
    assert called == ["nothing waits", "wake"]
    put(one, b"3")
    one.when_durable(lambda: called.append("second group"))
    assert group.last_seq == 9
    frames = Decoder().feed(b"".join(group.frames))
    assert [(f.type, messages.sequence_of(f.body)) for f in frames] == [(0x10, 7), (0x10, 8), (0x11, 9)]
    one.committed()
    assert called == ["nothing waits", "wake", "wake", "first group"]
    assert one.take().last_seq == 10
    one.committed()
    assert called[-1] == "second group"
    assert one.pending == 0
    assert (one.counts.readings, one.counts.bytes_in) == (3, 6)


def test_redelivery_is_found_in_the_log_the_group_in_commit_and_the_one_that_grows():
    logged = [messages.Reading(1, NOW, 0, 0, 5, b"t", b"old")]
    one = gate(tail=lambda: logged, next_seq=2)
    put(one, b"in commit", tag=6)
    one.take()
    put(one, b"growing", tag=7)
    again = [(b"old", 5), (b"in commit", 6), (b"growing", 7)]
    assert [put(one, p, t, maybe_duplicate=True) for p, t in again] == [Taken.DUPLICATE] * 3
    # Another payload under a number that was used again is news, and so is the same payload under another number.
    assert put(one, b"other", 5, maybe_duplicate=True) is Taken.LOGGED
    assert put(one, b"old", 8, maybe_duplicate=True) is Taken.LOGGED
    assert put(one, b"old", 8, maybe_duplicate=True) is Taken.DUPLICATE
    assert put(one, b"old", 0, maybe_duplicate=True) is Taken.LOGGED
    assert one.counts.duplicates == 4


class Never:
    """A rate that is used up."""

    def allows(self, topic, now):
        return False


def test_what_the_rate_drops_gets_no_number():
    one = gate(rate=Never())
    assert put(one) is Taken.DROPPED
    assert (one.counts.dropped_rate, one.waiting, one.stamp(messages.drain)) == (1, 0, 1)


class Place:
    """A unit for the router."""

    def __init__(self, *topics):
        self.gate, self.topics, self.full, self.roomy = gate(), topics, False, []

    def wants(self, topic):
        return topic in self.topics

    def when_roomy(self, done):
        self.roomy.append(done)


def test_a_router_sends_to_all_who_want_and_waits_for_all():
    left, right, called = Place(b"a", b"both"), Place(b"both"), []
    router = Router([left, right])
    assert router.add(b"a", b"1", 0, 0) is Taken.LOGGED
    assert router.add(b"both", b"2", 0, 0) is Taken.LOGGED
    assert router.add(b"neither", b"3", 0, 0) is Taken.DROPPED
    assert (left.gate.waiting, right.gate.waiting, router.unrouted) == (2, 1, 1)
    router.when_durable(lambda: called.append("durable"))
    left.gate.take()
    left.gate.committed()
    assert called == []
    right.gate.take()
    right.gate.committed()
    assert called == ["durable"]
    left.full = True
    assert router.full
    router.when_roomy(lambda: called.append("room"))
    assert called == ["durable"]
    left.full = False
    left.roomy.pop()()
    assert called == ["durable", "room"]


def test_ticks_go_on_until_no_window_can_be_open():
    plan = TickPlan(3_000)
    assert [plan.due(0, heard=True) for _ in range(6)] == [True] * 5 + [False]  # after a start too
    assert plan.due(1, heard=True)
    assert [plan.due(1, heard=True) for _ in range(5)] == [True] * 4 + [False]


def test_silence_counts_only_while_the_sources_can_be_heard():
    plan = TickPlan(0)
    assert [plan.due(7, heard=False) for _ in range(9)] == [False] * 9
    assert [plan.due(7, heard=True) for _ in range(3)] == [True, True, False]


def test_checkpoint_plan():
    plan = checkpointing.CheckpointPlan(at=0.0)
    assert not plan.wants(10**6)  # nothing was fed
    plan.fed = 10
    assert not plan.wants(599.0)
    assert plan.wants(600.0)
    plan.ask(600.0)
    plan.fed = 10 << 20
    assert not plan.wants(10**6)  # one at a time
    plan.kept(state_bytes=1 << 20)
    assert plan.wants(601.0)
    plan.fed = (4 << 20) - 1
    assert not plan.wants(601.0)


def test_a_checkpoint_comes_back_and_damage_is_named():
    one = checkpointing.Checkpoint(5, 3, b"state", "aggregate", 1, {"window": 1})
    assert checkpointing.unpack(5, 3, one.pack(), "aggregate", 1) == one
    with pytest.raises(DamagedError):
        checkpointing.unpack(5, 3, b"\x01", "aggregate", 1)


def yes():
    return True


def no():
    return False


def test_time_runs_on_from_the_floor_until_the_clock_is_set():
    clock = ArrivalClock(NOW, 100.0)
    assert clock.read(0, 100.0, no) == NOW  # 1970
    assert clock.read(1_500, 101.5, no) == NOW + 1_500
    assert clock.state is ClockState.BEHIND
    assert clock.read(NOW + 50_000, 102.0, no) == NOW + 50_000
    assert clock.state is ClockState.GOOD


def test_a_clock_that_was_ahead_is_followed_back_only_when_it_is_synchronised():
    clock = ArrivalClock(0, 0.0)
    clock.read(NOW + 10**9, 0.0, no)
    assert clock.read(NOW, 1.0, no) == NOW + 10**9 + 1_000
    assert clock.read(NOW, 1.0, yes) == NOW
    assert (clock.set_back, clock.state) == (1, ClockState.GOOD)
    assert clock.read(5, 2.0, yes) == NOW + 1_000  # synchronised to 1970: nobody's time


@given(st.lists(st.tuples(st.integers(0, 2 * NOW), st.floats(0, 100))))
def test_arrival_never_goes_back_unsynchronised(reads):
    clock, monotonic, last = ArrivalClock(0, 0.0), 0.0, 0
    for wall, passed in reads:
        monotonic += passed
        now = clock.read(wall, monotonic, no)
        assert now >= last >= 0
        last = now


def test_the_newest_arrival_stays_though_the_clock_is_set_back():
    one = Gate(1, lambda: Times.ms, lambda: 0.0, list, None, newest=NOW + 5)
    put(one)
    assert one.newest_arrival == NOW + 5
    Times.ms = NOW + 9
    try:
        put(one)
        assert one.newest_arrival == NOW + 9
        Times.ms = NOW
        put(one)
        assert one.newest_arrival == NOW + 9
    finally:
        Times.ms = NOW
