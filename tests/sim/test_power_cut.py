"""The power fails at every file operation of a unit's work: gate, log, guest, outbox, spool, checkpoint, move.

After each cut everything starts again from what the disk kept; in the end the collector must have every window once,
with the numbers that an undisturbed run gives, whatever number of guests there was at any time.
"""

import asyncio
import contextlib
import errno
import random

import pytest

from edgeagent.unit import disk as disk_module
from tests.sim.lives import MODES, READINGS, World, live, run, undisturbed

STAYS: dict[int, int] = {}
MOVES = {4: 3, 9: 2, 14: 4, 19: 1}
"""After which readings to how many guests."""


@pytest.mark.parametrize("moves", [STAYS, MOVES], ids=["one", "several"])
def test_an_undisturbed_run_is_complete(moves):
    world = undisturbed(moves)
    windows, payloads = world.sums()
    assert payloads == len(READINGS)
    assert sum(count * times for (_, _, count, _), times in windows.items()) == len(READINGS)
    assert max(windows.values()) == 1
    assert world.moves == len(moves)
    assert world.sums() == undisturbed(STAYS).sums()


@pytest.mark.parametrize("moves", [STAYS, MOVES], ids=["one", "several"])
@pytest.mark.parametrize("mode", MODES)
def test_power_cut_at_every_file_operation(mode, moves):
    expected = undisturbed(moves)
    operations = expected.files.operations
    assert operations > 80 + 50 * len(moves)
    chance = random.Random(mode)
    deaths = 0
    for cut in range(operations):
        world = World()
        run(world, chance, mode, cut, moves)
        assert world.sums() == expected.sums(), f"cut at {cut}"
        deaths += world.deaths
    assert deaths >= operations - 20


@pytest.mark.parametrize("moves", [STAYS, MOVES], ids=["one", "several"])
@pytest.mark.parametrize("fault", [errno.ENOSPC, errno.EIO, errno.EROFS])
def test_a_disk_that_fails_for_a_while_loses_nothing(fault, moves, monkeypatch):
    monkeypatch.setattr(disk_module, "RETRY_S", (0.0,))
    expected = undisturbed(moves)
    # A fault while opening ends the start with one line, and the next start goes on; later ones are waited for.
    for at in range(0, expected.files.operations, 3):
        world = World()
        world.files.fail_at(at, fault, until=7)
        for _ in range(10):
            with contextlib.suppress(OSError):
                asyncio.run(live(world, moves))
                break
        assert world.sums() == expected.sums(), f"fault at {at}"
