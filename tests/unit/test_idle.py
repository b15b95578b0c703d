"""When a unit may rest."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeagent.unit.idle import IdlePlan
from edgeagent.unit.ticks import INTERVAL_MS, MARGIN_MS, TickPlan


@pytest.mark.parametrize(
    ("now", "readings", "done", "due"),
    [(9.9, 0, True, False), (10, 0, True, True), (10, 0, False, False), (15, 1, True, False)],
)
def test_after_so_long_without_a_reading(now, readings, done, due):
    assert IdlePlan(10, 0).due(now, readings, done=done) is due


def test_a_reading_begins_the_wait_anew():
    plan = IdlePlan(10, 0)
    assert not plan.due(9, 1, done=False)
    assert not plan.due(18, 1, done=True)
    assert plan.due(19, 1, done=True)


def test_never():
    assert not IdlePlan(0, 0).due(1e9, 0, done=True)


@given(st.lists(st.tuples(st.floats(0, 30), st.booleans(), st.booleans()), max_size=50))
def test_never_earlier_and_never_before_all_is_done(steps):
    plan, now, readings, last = IdlePlan(10, 0), 0.0, 0, 0.0
    for passed, reads, done in steps:
        now += passed
        if reads:
            readings, last = readings + 1, now
        if plan.due(now, readings, done=done):
            assert done
            assert now - last >= 10


@given(st.integers(0, 20_000), st.lists(st.tuples(st.booleans(), st.booleans()), max_size=80))
def test_ticks_are_quiet_when_none_would_follow(span, steps):
    plan, readings, ticks = TickPlan(span), 0, 0
    for reads, heard in steps:
        if reads:
            readings, ticks = readings + 1, 0
        ticks += plan.due(readings, heard=heard)
        assert plan.quiet is (ticks * INTERVAL_MS >= span + MARGIN_MS)
        if plan.quiet:
            assert not plan.due(readings, heard=True)
