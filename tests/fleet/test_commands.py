"""The cores: a command has one end and a second copy does nothing; a desired state never goes back; the time floor."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeagent.fleet import clock_floor, commands, desired
from edgeagent.fleet.payloads import FINAL, Command, Desired, DesiredUnit, Kind, State

NOW = 1_000_000
UNITS = ("home", "attic")


def command(name="c", kind="restart", unit="home", deadline=NOW + 1000):
    return Command(id=name, kind=kind, unit=unit, issued=NOW - 10, deadline=deadline)


def take(one, records=(), *, now=NOW, trusted=True):
    return commands.take(one, records, now=now, units=UNITS, trusted=trusted)


@pytest.mark.parametrize(
    ("one", "trusted", "state", "reason"),
    [
        (command(), True, State.ACCEPTED, ""),
        (command(kind="refresh", unit=""), True, State.ACCEPTED, ""),
        (command(), False, State.REJECTED, "clock"),
        (command(deadline=NOW), True, State.TIMED_OUT, "deadline"),
        (command(kind="dance"), True, State.REJECTED, "unsupported"),
        (command(unit="cellar"), True, State.REJECTED, "unknown-unit"),
        (command(unit=""), True, State.REJECTED, "unknown-unit"),
    ],
)
def test_what_becomes_of_a_new_command(one, trusted, state, reason):
    said = take(one, trusted=trusted).state
    assert (said.state, said.reason) == (state, reason)


def test_too_many_at_once():
    open_ones = [take(command(f"c{number}")) for number in range(commands.MAX_OPEN)]
    assert take(command("more"), open_ones).state.reason == "busy"
    assert take(command("more"), open_ones[1:]).state.state is State.ACCEPTED


@pytest.mark.parametrize("kind", list(Kind))
def test_after_a_restart_only_what_may_be_repeated_is(kind):
    executing = commands.move(take(command(kind=kind)), State.EXECUTING, NOW)
    again = commands.resumed(executing, NOW).state
    if kind is Kind.ROLLBACK:
        assert (again.state, again.reason) == (State.FAILED, "interrupted")
    else:
        assert again.state is State.ACCEPTED


def test_taken_back():
    accepted = take(command())
    assert commands.cancelled(accepted, NOW).state.state is State.CANCELLED
    executing = commands.move(accepted, State.EXECUTING, NOW)
    assert commands.cancelled(executing, NOW).state.state is State.EXECUTING
    assert commands.cancelled(executing, NOW).cleared


STEPS = {
    "end": commands.move,
    "cancel": lambda record, _state, now: commands.cancelled(record, now),
    "restart": lambda record, _state, now: commands.resumed(record, now),
    "late": lambda record, _state, now: next(iter(commands.overdue([record], now)), record),
}


@given(
    st.lists(
        st.tuples(
            st.sampled_from(list(STEPS)), st.sampled_from(list(State)), st.integers(NOW - 9000, NOW + 9000)
        )
    ),
    st.sampled_from(list(Kind)),
)
def test_a_final_state_stays(steps, kind):
    record = take(command(kind=kind))
    ended = None
    for step, state, now in steps:
        record = STEPS[step](record, state, now)
        if ended:
            assert record.state == ended
        elif record.final:
            ended = record.state
    assert bool(commands.overdue([record], NOW + 9999)) == (ended is None)


@given(st.lists(st.tuples(st.sampled_from(list(State)), st.booleans()), max_size=120))
def test_what_is_forgotten_is_final_and_no_more_than_needed(states):
    records = [
        commands.Record(
            command(f"c{at}"), commands.CommandState(id=f"c{at}", state=state, time=at), cleared=cleared
        )
        for at, (state, cleared) in enumerate(states)
    ]
    gone = commands.surplus(records)
    final = [one for one in records if one.state.state in FINAL]
    assert len(gone) == min(len(final), max(0, len(records) - commands.MAX_KEPT))
    assert all(one in final for one in gone)


def wanted(version, *, deadline=NOW + 1000, units=("home",)):
    asked = tuple(DesiredUnit(name=one, target="t", sequence=version) for one in units)
    return Desired(version=version, operation="op", issued=NOW, deadline=deadline, units=asked)


def want(progress, new, *, trusted=True):
    return desired.take(progress, new, now=NOW, units=UNITS, trusted=trusted)


def test_a_desired_state_is_taken_once_and_never_goes_back():
    first = want(desired.Progress(), wanted(5))
    assert (first.version, first.state, first.open) == (5, State.ACCEPTED, True)
    assert want(first, wanted(5)) is want(first, wanted(4)) is None
    assert want(first, wanted(6)).version == 6
    assert want(desired.Progress(), wanted(5), trusted=False) is None


def test_a_desired_state_that_cant_be_followed_is_used_up():
    assert want(desired.Progress(), wanted(5, deadline=NOW)).reason == "deadline"
    refused = want(desired.Progress(), wanted(5, units=("home", "cellar")))
    assert (refused.state, refused.reason) == (State.REJECTED, "unknown-unit cellar")
    assert desired.advance(refused, State.SUCCESSFUL) == refused
    assert not desired.overdue(refused, NOW + 9999)


def test_only_what_differs_is_changed():
    asked = wanted(5, units=UNITS)
    assert [unit.name for unit in desired.to_change(asked, {"home": 5, "attic": 4})] == ["attic"]
    assert desired.to_change(asked, {"home": 5, "attic": 5}) == []


@given(st.lists(st.integers(0, 1 << 45)), st.integers(0, 1 << 45))
def test_the_floor_only_grows(seen, floor):
    for one in seen:
        higher = clock_floor.raised(floor, one)
        assert higher >= floor
        assert clock_floor.trusted(higher, one) or higher == floor
        floor = higher


def test_the_floor_is_kept_seldom_but_at_once_when_the_clock_is_wrong():
    hour = clock_floor.STEP_MS
    assert clock_floor.worth_keeping(0, hour, 2 * hour)
    assert not clock_floor.worth_keeping(hour, hour + 1, 2 * hour)
    assert clock_floor.worth_keeping(hour, hour + 1, hour)
    assert not clock_floor.worth_keeping(hour, hour + 1, 0)
