"""Moves that fail: the former guests go on, and nothing is lost or doubled."""

import asyncio
import errno

import pytest

from edgeagent.errors import GuestError
from edgeagent.unit import disk as disk_module
from edgeagent.unit import moving
from edgeagent.unit.moving import move
from tests.sim import lives
from tests.sim.lives import READINGS, Life, World, undisturbed


class Stubborn(lives.Guest):
    """Doesn't take over: it gives no state, and ends when it is told how."""

    ends = False

    async def run(self):
        await asyncio.sleep(0)
        if self.ends:
            self.lane.ended("the guest refuses: too much")
        await asyncio.Event().wait()


class Failing(Life):
    """Guests that take over are of another kind for the first moves."""

    left = 1

    async def _play(self, moves):
        self.words = []

        async def tried(pipeline, files, crew, count):
            before = pipeline.lanes
            try:
                await move(pipeline, files, crew, count)
            except GuestError as error:
                self.words.append(error.what)
                assert pipeline.lanes is before
                assert all(lane.stop is None for lane in before)

        self.move = tried
        await super()._play(moves)

    def enlist(self, lanes):
        takes = any(lane.takeover for lane in lanes) and self.left > 0
        self.left -= takes
        self.kind = Stubborn if takes else lives.Guest
        super().enlist(lanes)


def lived(moves, left=1):
    world = World()
    life = Failing(world)
    life.left = left
    asyncio.run(life.live(moves))
    return world, life.words


MOVES = {4: 3, 12: 2}


def test_a_guest_that_refuses_leaves_the_former_ones(monkeypatch):
    monkeypatch.setattr(Stubborn, "ends", True)
    world, words = lived(MOVES)
    assert words == ["the guest refuses: too much"]
    assert world.sums() == undisturbed({}).sums()


def test_a_guest_that_takes_forever_leaves_the_former_ones(monkeypatch):
    monkeypatch.setattr(moving, "MOVE_S", 0.05)
    world, words = lived(MOVES, left=2)
    assert words == ["it took longer than 0.05 s"] * 2
    assert world.sums() == undisturbed({}).sums()


@pytest.mark.parametrize("times", [1, 3])
def test_a_commit_that_the_disk_refuses_is_tried_until_it_is_decided(monkeypatch, times):
    monkeypatch.setattr(disk_module, "RETRY_S", (0.0,))
    world = World()
    life = Life(world)
    commit, left = life.journal.commit, [times]

    def refuse(count, seq):
        if left[0]:
            left[0] -= 1
            raise OSError(errno.ENOSPC, "No space left on device")
        commit(count, seq)

    life.journal.commit = refuse
    asyncio.run(life.live(MOVES))
    assert world.moves == 2
    assert sum(world.sums()[0][key] * key[2] for key in world.sums()[0]) == len(READINGS)
    assert world.sums() == undisturbed({}).sums()
