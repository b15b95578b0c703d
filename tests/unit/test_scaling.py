"""How many instances: enough under load, one when it is calm, and no coming and going."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from edgeagent.unit import scaling
from edgeagent.unit.scaling import CALM_S, LATE_S, REST_S, RETRY_S, Backlog, ScalingPlan, ScalingPolicy

POLICY = ScalingPolicy(most=4, after=5.0, calm=600.0)
LATE, CALM, BETWEEN = LATE_S + 1, 0.0, (LATE_S + CALM_S) / 2


def drive(plan, begin, ages, steady=True):
    """One look a second; every wish comes true at once. (time, count) of each change."""
    found, now = [], begin
    for age in ages:
        now += 1
        wanted = plan.wanted(now, age, steady=steady)
        if wanted != plan.count:
            plan.moved(wanted, now)
            found.append((now, wanted))
    return found


def test_grows_one_by_one_while_input_is_late_and_no_further_than_allowed():
    plan = ScalingPlan(POLICY, 1, 0.0)
    changes = drive(plan, 0.0, [LATE] * 100)
    assert [count for _, count in changes] == [2, 3, 4]
    assert changes[0][0] == 1 + POLICY.after
    assert all(later - earlier >= REST_S for (earlier, _), (later, _) in itertools.pairwise(changes))


def test_a_moment_late_is_no_reason():
    plan = ScalingPlan(POLICY, 1, 0.0)
    assert drive(plan, 0.0, ([LATE] * 5 + [BETWEEN]) * 50) == []


def test_shrinks_after_calm_down_to_one():
    plan = ScalingPlan(POLICY, 3, 0.0)
    changes = drive(plan, 0.0, [CALM] * 2000)
    assert [count for _, count in changes] == [2, 1]
    assert changes[0][0] >= POLICY.calm


def test_what_waits_for_something_else_is_no_reason():
    plan = ScalingPlan(POLICY, 2, 0.0)
    assert drive(plan, 0.0, [LATE] * 1000, steady=False) == []
    assert drive(plan, 1000.0, [CALM] * 1000, steady=False) == []


def test_a_step_down_that_was_wrong_needs_more_calm_next_time():
    plan, now, waits = ScalingPlan(POLICY, 2, 0.0), 0.0, []
    for _ in range(4):
        down = drive(plan, now, [CALM] * 10_000)
        assert [count for _, count in down] == [1]
        waits.append(down[0][0] - now)
        now = down[0][0]
        up = drive(plan, now, [LATE] * 12)
        assert [count for _, count in up] == [2]
        now = up[0][0]
    assert waits == sorted(waits)
    assert waits[3] > 7 * waits[0]


def test_a_lower_limit_is_kept_at_once_and_jumps_there():
    plan = ScalingPlan(ScalingPolicy(1, 5.0, 600.0), 3, 0.0)
    assert plan.wanted(1.0, CALM, steady=False) == 3
    assert plan.wanted(2.0, LATE, steady=True) == 1


def test_after_a_failure_it_waits_longer_each_time():
    plan, now, tries = ScalingPlan(POLICY, 1, 0.0), 0.0, []
    while now < 20_000:
        now += 1
        if plan.wanted(now, LATE, steady=True) != plan.count:
            tries.append(now)
            plan.failed(now)
    waits = [later - earlier for earlier, later in itertools.pairwise(tries)]
    assert waits[0] >= RETRY_S
    assert waits == sorted(waits)
    assert max(waits) <= scaling.RETRY_MOST_S + POLICY.after + 1


@given(
    st.integers(1, 6),
    st.integers(1, 6),
    st.lists(st.tuples(st.sampled_from([LATE, CALM, BETWEEN]), st.integers(1, 900))),
)
def test_never_out_of_bounds_and_never_flapping(most, count, phases):
    policy = ScalingPolicy(most, 5.0, 60.0)
    plan = ScalingPlan(policy, count, 0.0)
    changes = drive(plan, 0.0, [age for age, seconds in phases for _ in range(seconds)])
    counts = [count, *(number for _, number in changes)]
    assert all(1 <= number <= max(most, 1) for number in counts[1:])
    assert all(abs(a - b) == 1 or a > most for a, b in itertools.pairwise(counts))
    assert all(later - earlier >= REST_S for (earlier, _), (later, _) in itertools.pairwise(changes))
    total = sum(seconds for _, seconds in phases)
    downs = sum(b < a <= most for a, b in itertools.pairwise(counts))
    assert downs <= total / policy.calm


def test_the_age_of_what_waits():
    backlog = Backlog()
    assert backlog.age(0.0, 0, 0) == 0.0
    assert backlog.age(1.0, 10, 0) == 0.0
    assert backlog.age(4.0, 20, 5) == 3.0
    assert backlog.age(5.0, 30, 10) == 1.0
    assert backlog.age(9.0, 30, 30) == 0.0


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=400))
def test_the_age_is_that_of_the_oldest_within_a_look(steps):
    backlog, durable, processed, reached = Backlog(), 0, 0, {}
    for now, (more, done) in enumerate(steps):
        durable += more
        processed = min(durable, processed + done)
        for seq in range(durable - more + 1, durable + 1):
            reached[seq] = float(now)
        age = backlog.age(float(now), durable, processed)
        expected = now - reached[processed + 1] if processed < durable else 0.0
        # What comes after a full memory is taken for as old as the last that was remembered.
        assert age >= expected
        if now < scaling.SAMPLES:
            assert age == expected
