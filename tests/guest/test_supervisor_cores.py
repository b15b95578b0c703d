"""Cores of the supervisor: log ring and start budget."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeagent.errors import DamagedError
from edgeagent.guest import ring
from edgeagent.guest.budget import Budget, RestartPolicy


def memory(
    text: bytes, following: int, wrapped: int = 0, panic: bytes | None = None, size: int = 64
) -> bytes:
    head = struct.pack(">8sIIII192s", b"EDGERING", size, following, wrapped, panic is not None, panic or b"")
    return head + text.ljust(size, b"\0")


def test_ring_in_order() -> None:
    assert ring.parse(memory(b"I one\nW two\n", 12)) == ring.Ring(("I one", "W two"), "")


def test_wrapped_ring_loses_the_beginning_of_its_oldest_line() -> None:
    text = b"new\nxx of an old\nI one\nI two\n"
    parsed = ring.parse(memory(text, 4, wrapped=1, size=len(text)))
    assert parsed.lines == ("I one", "I two", "new")


def test_panic_record() -> None:
    parsed = ring.parse(memory(b"", 0, panic=b"arena\x1b used up\0rest"))
    assert parsed.panic == "arena\ufffd used up"


@pytest.mark.parametrize(
    "damaged",
    [b"", memory(b"x", 1)[:-1], b"x" + memory(b"", 0)[1:], memory(b"", 65), memory(b"", 0, size=2**21)],
    ids=["empty", "short", "magic", "offset", "huge"],
)
def test_damaged_rings(damaged: bytes) -> None:
    with pytest.raises(DamagedError):
        ring.parse(damaged)


@given(st.binary(max_size=400))
def test_any_ring(data: bytes) -> None:
    try:
        parsed = ring.parse(b"EDGERING" + data)
    except DamagedError:
        return
    assert all(line.isprintable() for line in (*parsed.lines, parsed.panic))


POLICY = RestartPolicy(first_delay_s=1, delay_cap_s=5, starts=6, window_s=100, healthy_s=50)


def test_the_wait_doubles_up_to_its_cap_and_the_budget_ends() -> None:
    budget, now, delays = Budget(POLICY), 0.0, []
    while (delay := budget.delay(now)) is not None:
        delays.append(delay)
        now += delay
        budget = budget.started(now).ended(now + 0.1)
    assert delays == [0, 1, 2, 4, 5, 5]


def test_healthy_running_is_a_new_beginning() -> None:
    budget = Budget(POLICY)
    for at in range(5):
        budget = budget.started(at).ended(at)
    budget = budget.started(10).ended(70)
    assert budget.delay(70) == 1
    assert budget.starts == ()


def test_rests_cost_nothing() -> None:
    budget = Budget(POLICY)
    for at in range(3 * POLICY.starts):
        budget = budget.started(at).rested()
    assert budget.delay(3 * POLICY.starts) == 0
    ended = Budget(POLICY).started(0).ended(1)
    assert ended.started(2).rested().starts == ended.starts


def test_starts_are_forgotten_after_the_window() -> None:
    budget = Budget(POLICY)
    for at in range(6):
        budget = budget.started(at).ended(at)
    assert budget.delay(6) is None
    assert budget.delay(101) == 5


@given(st.lists(st.tuples(st.floats(0, 30), st.floats(0, 30)), max_size=60))
def test_never_more_starts_in_a_window_than_allowed(lives: list[tuple[float, float]]) -> None:
    budget, now, starts = Budget(POLICY), 0.0, []
    for wait, lived in lives:
        now += wait
        delay = budget.delay(now)
        if delay is None:
            continue
        assert 0 <= delay <= POLICY.delay_cap_s
        now += delay
        starts.append(now)
        budget = budget.started(now).ended(now + lived)
        now += lived
        assert len(budget.starts) <= POLICY.starts
    for first, last in zip(starts, starts[POLICY.starts :], strict=False):
        assert last - first >= POLICY.window_s - 1e-6
