"""The estimate against what was measured on ext4, and what the settings mean."""

from __future__ import annotations

import pytest

from edgeagent.journal.durability import DAY_S, DURABILITY, Load, appended, estimate

HOME = Load(
    readings=20,
    reading_bytes=144,
    batches=0.1,
    batch_bytes=3000,
    checkpoints=1 / 600,
    checkpoint_bytes=20_000,
)


@pytest.mark.parametrize(("size", "measured"), [(144, 16_968), (7_200, 34_406), (72_001, 98_836)])
def test_commit_as_measured(size, measured):
    assert appended(1, size, 1, sync=True) == pytest.approx(measured, rel=0.05)


def test_checkpoint_as_measured():
    load = Load(0, 0, 0, 0, checkpoints=1, checkpoint_bytes=20_000)
    written = estimate(load, DURABILITY["disk"], 0.25)
    assert written.total == written.checkpoints == pytest.approx(89_539 * DAY_S, rel=0.05)


def test_longer_groups_and_memory_write_less():
    often = estimate(HOME, DURABILITY["disk"], 0.25)
    seldom = estimate(HOME, DURABILITY["disk"], 5)
    memory = estimate(HOME, DURABILITY["memory"], 0.25)
    assert often.log > 8 * seldom.log > 8 * memory.log > 0
    assert often.spool == seldom.spool == memory.spool
    # No setting writes less than the readings themselves.
    assert memory.log > HOME.readings * HOME.reading_bytes * DAY_S


def test_no_more_groups_than_readings():
    slow = Load(0.01, 144, 0, 0, 0, 0)
    assert estimate(slow, DURABILITY["disk"], 0.25) == estimate(slow, DURABILITY["disk"], 60)
    assert estimate(slow, DURABILITY["disk"], 0) == estimate(slow, DURABILITY["disk"], 60)
    assert estimate(Load(0, 0, 0, 0, 0, 0), DURABILITY["disk"], 0.25).total == 0


def test_only_memory_is_lossy():
    assert {name: (one.sync_log, one.lossy) for name, one in DURABILITY.items()} == {
        "disk": (True, False),
        "memory": (False, True),
    }
    assert all(one.loses for one in DURABILITY.values())
