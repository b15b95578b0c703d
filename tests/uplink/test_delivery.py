"""Delivery: window, order, repetition, acknowledgements of any order; a machine of hypothesis that loses messages."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from edgeagent.uplink.delivery import Delivery, Limits
from tests.uplink.spools import MemorySpool

LIMITS = Limits(batches=3, bytes=100, first_wait=10, longest_wait=40, patience=100)


def numbers(found: list[tuple[int, bytes]]) -> list[int]:
    return [number for number, _ in found]


@pytest.fixture
def spool() -> MemorySpool:
    return MemorySpool((number, bytes(10)) for number in range(1, 8))


@pytest.fixture
def delivery(spool) -> Delivery:
    made = Delivery(spool, LIMITS)
    made.connected(0)
    return made


def test_nothing_without_connection(spool):
    delivery = Delivery(spool, LIMITS)
    assert delivery.due(0) == []
    assert delivery.next_due() is None


def test_window_slides(delivery, spool):
    assert numbers(delivery.due(0)) == [1, 2, 3]
    assert delivery.due(1) == []
    delivery.acknowledged(lambda number: number == 2, 2)
    assert spool.acknowledged == [2]
    assert numbers(delivery.due(2)) == [4]
    delivery.acknowledged(lambda number: number <= 4, 3)
    assert numbers(delivery.due(3)) == [5, 6, 7]
    assert spool.acknowledged == [2, 1, 3, 4]


def test_bytes_bound_the_window_but_one_batch_always_goes():
    spool = MemorySpool({1: bytes(500), 2: bytes(60), 3: bytes(60)}.items())
    delivery = Delivery(spool, LIMITS)
    delivery.connected(0)
    assert numbers(delivery.due(0)) == [1]
    delivery.acknowledged(lambda _: True, 1)
    assert numbers(delivery.due(1)) == [2]


def test_waits_double_to_their_limit(delivery):
    delivery.due(0)
    now, waits = 0.0, []
    for _ in range(5):
        due = delivery.next_due()
        waits.append(due - now)
        now = due
        assert delivery.due(now - 0.001) == []
        assert numbers(delivery.due(now)) == [1, 2, 3]
    assert waits == [10, 20, 40, 40, 40]
    assert delivery.counts.repeated == 15


def test_an_acknowledgement_shortens_the_waits(delivery):
    delivery.due(0)
    for now in (10, 30):
        delivery.due(now)
    assert delivery.next_due() == 70
    delivery.acknowledged(lambda number: number == 1, 31)
    delivery.due(31)
    assert delivery.next_due() == 41


def test_reconnect_sends_again_at_once(delivery):
    delivery.due(0)
    delivery.disconnected()
    assert delivery.due(100) == []
    delivery.connected(101)
    assert numbers(delivery.due(101)) == [1, 2, 3]


def test_acknowledgement_of_what_was_never_sent(delivery, spool):
    delivery.due(0)
    assert delivery.acknowledged(lambda _: True, 1) == 3
    assert delivery.acknowledged(lambda _: True, 1) == 0
    assert spool.acknowledged == [1, 2, 3]


def test_what_the_spool_gave_up_is_forgotten(delivery, spool):
    delivery.due(0)
    del spool.batches[1], spool.batches[2]
    assert numbers(delivery.due(10)) == [3, 4, 5]
    assert delivery.counts.dropped == 2


def test_what_nobody_wants_keeps_nothing_back():
    spool = MemorySpool((number, bytes(10)) for number in range(1, 12))
    delivery = Delivery(
        spool, Limits(batches=3, bytes=100, first_wait=10, longest_wait=40, patience=2, aside=4)
    )
    delivery.connected(0)
    now = 0.0
    for _ in range(40):
        delivery.due(now)
        delivery.acknowledged(lambda number: number > 3, now)
        now += 10
    assert set(spool.batches) == {1, 2, 3}
    assert (delivery.under_way, delivery.aside) == (3, 3)
    # Others being acknowledged doesn't make it cost more.
    sent = delivery.counts.sent
    for number in range(12, 32):
        spool.batches[number] = bytes(10)
        delivery.due(now)
        delivery.acknowledged(lambda number: number > 3, now)
        now += 10
    assert delivery.counts.sent - sent == 20 + 3 * 6


def test_what_was_put_aside_in_a_silence_goes_soon_after_it():
    spool = MemorySpool((number, bytes(10)) for number in range(1, 12))
    delivery = Delivery(
        spool, Limits(batches=3, bytes=100, first_wait=10, longest_wait=40, patience=2, aside=4)
    )
    delivery.connected(0)
    for now in range(0, 1000, 10):
        delivery.due(now)
    assert delivery.under_way == 7
    first = min(spool.batches)
    delivery.acknowledged(lambda number: number == first, 1000)
    assert delivery.next_due() <= 1010
    delivery.due(1010)
    assert delivery.counts.acknowledged == 1
    delivery.acknowledged(lambda _: True, 1011)
    while spool.batches:
        delivery.due(1012)
        delivery.acknowledged(lambda _: True, 1012)
    assert delivery.under_way == 0


LOSSY = Limits(batches=3, bytes=100, first_wait=10, longest_wait=40, patience=2, aside=2)


class Lossy(RuleBasedStateMachine):
    """A link that loses anything at any time: in the end everything was delivered, and nothing left the spool early."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.made = 0
        self.spool = MemorySpool()
        self.arrived: set[int] = set()
        self.delivery = Delivery(self.spool, LOSSY)

    @rule(size=st.integers(1, 60))
    def add(self, size):
        self.made += 1
        self.spool.batches[self.made] = bytes(size)

    @rule(lost=st.booleans(), wait=st.sampled_from([0, 1, 10, 50]))
    def send(self, lost, wait):
        self.now += wait
        for number, _ in self.delivery.due(self.now):
            if not lost:
                self.arrived.add(number)

    @rule(lost=st.booleans())
    def acknowledge(self, lost):
        if not lost:
            known = frozenset(self.arrived)
            self.delivery.acknowledged(lambda number: number in known, self.now)

    @rule(up=st.booleans())
    def link(self, up):
        if up:
            self.delivery.connected(self.now)
        else:
            self.delivery.disconnected()

    @invariant()
    def nothing_leaves_early(self):
        assert set(self.spool.acknowledged) <= self.arrived
        assert set(self.spool.acknowledged) | set(self.spool.batches) == set(range(1, self.made + 1))

    @invariant()
    def bounded(self):
        assert self.delivery.under_way <= LOSSY.batches + LOSSY.aside
        assert self.delivery.aside <= LOSSY.aside
        count, size = self.delivery._window()
        assert count <= LOSSY.batches
        assert size <= LOSSY.bytes

    def teardown(self):
        self.delivery.connected(self.now)
        for _ in range(self.made + 1):
            self.send(lost=False, wait=50)
            self.acknowledge(lost=False)
        assert not self.spool.batches
        assert self.delivery.under_way == 0


TestLossy = Lossy.TestCase
TestLossy.settings = settings(max_examples=60, stateful_step_count=30)
