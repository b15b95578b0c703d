from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeagent.vmm import bounds
from edgeagent.vmm.bounds import CONTROLLERS, CpuAllowance, files, limits, words
from edgeagent.vmm.procfs import TICKS, parse_sizes, parse_stat

MIB = 1 << 20


def test_limits_of_a_machine() -> None:
    held = limits(12 * MIB, 80, 200)
    assert (held.memory, held.cpu, held.weight, held.tasks) == (52 * MIB, 0.8, 200, 32)
    assert dict(files(held, CONTROLLERS)) == {
        "cpu.max": "80000 100000",
        "cpu.weight": "200",
        "memory.max": str(52 * MIB),
        "pids.max": "32",
    }
    assert dict(files(held, ["pids"])) == {"pids.max": "32"}


def test_words_say_how_each_limit_is_held() -> None:
    assert words(limits(12 * MIB, 80, 200), ["cpu"]) == (
        "at most 80% of a core (cgroup)",
        "at most 52.0 MiB of memory, guest and QEMU (looked at every 1 s)",
        "at most 32 threads (looked at every 1 s)",
    )


def test_flat_keyed_files() -> None:
    text = "usage_usec 1500\nnr_throttled 2\nthrottled_usec 70\n\nodd\nmax max\nneg -3\n"
    assert bounds.keyed(text) == {"usage_usec": 1500, "nr_throttled": 2, "throttled_usec": 70}


@given(
    share=st.floats(0.05, 4),
    demand=st.lists(st.floats(0, 1.5), min_size=1, max_size=200),
)
def test_no_more_than_the_share_and_a_burst(share: float, demand: list[float]) -> None:
    """demand: of a core, between two looks."""
    allowed = CpuAllowance(share, 0.0, 0.0)
    now = used = pause = 0.0
    for wanted in demand:
        run = bounds.SLICE_S if pause else bounds.POLL_S
        now, used = now + run, used + wanted * run
        pause = allowed.pause(used, now)
        assert 0 <= pause <= bounds.MOST_PAUSE_S
        now += pause
        # What was used between two looks is seen afterwards.
        assert used <= share * now + bounds.BURST_S + 1.5 * bounds.POLL_S + 1e-6


@given(share=st.floats(0.05, 4), looks=st.integers(1, 100))
def test_within_its_share_nobody_is_stopped(share: float, looks: int) -> None:
    allowed = CpuAllowance(share, 0.0, 0.0)
    for look in range(1, looks + 1):
        assert allowed.pause(look * share * 0.999, float(look)) == 0


def test_stat_of_a_process_with_an_odd_name() -> None:
    numbers = ["0"] * 49
    numbers[10], numbers[11], numbers[16], numbers[20] = "150", "50", "4", "3"
    seen = parse_stat(f"7 (a) R (b) S {' '.join(numbers)}\n")
    assert seen.cpu_s == pytest.approx(200 / TICKS)
    assert seen.threads == 4
    with pytest.raises(ValueError, match="no /proc/PID/stat"):
        parse_stat("7 (a) S 1 2")


def test_sizes() -> None:
    text = "5611-ffff ---p 00000000 00:00 0  [rollup]\nRss:      884 kB\nPss:   385 kB\nPss_Dirty: x kB\n"
    assert parse_sizes(text) == {"Rss": 884 << 10, "Pss": 385 << 10}
