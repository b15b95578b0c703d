"""The calibration loop: long enough, not too long, and right though single runs are disturbed."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeagent.probe import speed

MOST_RUNS = 40


def measure(per_iteration: float, disturbance: list[float]) -> tuple[list[speed.Run], float]:
    """Runs on a guest of that speed; each is delayed by the next of the disturbances, over and over."""
    runs: list[speed.Run] = []
    while (count := speed.next_count(runs)) is not None:
        delay = disturbance[len(runs) % len(disturbance)]
        runs.append((count, count * per_iteration + delay))
        assert len(runs) < MOST_RUNS
    return runs, speed.nanoseconds("x86_64", runs)


@given(st.floats(1e-10, 1e-4), st.floats(0, 0.05))
def test_what_all_runs_have_in_common_falls_out(per_iteration: float, overhead: float) -> None:
    runs, ns = measure(per_iteration, [overhead])
    assert ns == pytest.approx(per_iteration * 1e9 / 3, rel=1e-3)
    assert max(count for count, _ in runs) * per_iteration < 64 * speed.ENOUGH_S, (
        "slow machines aren't made to wait"
    )


@pytest.mark.parametrize("per_iteration", [1e-10, 2e-9, 5e-6])
def test_a_busy_board_is_measured(per_iteration: float) -> None:
    """One of three runs loses up to 0.2 s to others, as seen on emulated boards (0.001 ns and 5,851 ns for 2 ns)."""
    wrong = 0
    for seed in range(500):
        dice = random.Random(seed)
        delays = [0.001 if dice.random() < 2 / 3 else dice.uniform(0, 0.2) for _ in range(MOST_RUNS)]
        _, ns = measure(per_iteration, delays)
        wrong += not 0.5 < ns * 3e-9 / per_iteration < 2
    assert wrong <= 3


@pytest.mark.parametrize("per_iteration", [1e-8, 1e-6])
def test_a_slow_channel_isnt_taken_for_a_slow_guest(per_iteration: float) -> None:
    """A message takes 0.1 to 0.3 s both ways, as on an emulated Malta (7,408 ns for 6 ns)."""
    for seed in range(100):
        dice = random.Random(seed)
        _, ns = measure(per_iteration, [dice.uniform(0.1, 0.3) for _ in range(MOST_RUNS)])
        assert 0.5 < ns * 3e-9 / per_iteration < 2


def test_a_disturbed_first_run_isnt_taken_for_a_slow_guest() -> None:
    runs, ns = measure(1e-9, [0.3, 0.001, 0.001, 0.001])
    assert ns == pytest.approx(1 / 3, rel=0.1)
    assert len(runs) > 6


def test_instructions_of_an_iteration() -> None:
    runs, _ = measure(1e-9, [0.0])
    assert speed.nanoseconds("mips64el", runs) == pytest.approx(1 / 4)
