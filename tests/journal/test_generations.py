"""Which checkpoints count: those of the former lanes or those of the new ones, never some of both."""

import random
from pathlib import Path

import pytest

from edgeagent.errors import DamagedError
from edgeagent.journal.generations import Generations
from tests.sim.crashing_files import CrashingFiles, PowerCutError

FOLDER = Path("/state/unit")


def save(lanes, seq):
    for index, lane in enumerate(lanes):
        lane.save(seq, index, b"state %d" % index, "aggregate", 1)


def found(files):
    """(generation, seqs of its lanes), as a start would have it."""
    generations = Generations(files, FOLDER)
    seqs = [one.seq if (one := lane.load()) else None for lane in generations.lanes()]
    return generations.number, seqs


def grown(files, *counts):
    """Generations with so many lanes each; input 10, 20 ... is where they begin."""
    generations = Generations(files, FOLDER)
    for seq, count in enumerate(counts, 1):
        save(generations.begin(count), 10 * seq)
        generations.commit(count, 10 * seq)
    return generations


def test_it_begins_with_one_lane():
    files = CrashingFiles()
    save(Generations(files, FOLDER).lanes(), 7)
    assert files.names(FOLDER) == ["checkpoint-0"]
    assert found(files) == (0, [7])


def test_a_new_generation_takes_the_place_of_the_former_one():
    files = CrashingFiles()
    grown(files, 3, 2)
    assert found(files) == (2, [20, 20])
    assert files.names(FOLDER) == ["checkpoint-2.0-0", "checkpoint-2.1-0", "lanes-0", "lanes-1"]


def test_what_was_begun_and_never_committed_is_forgotten():
    files = CrashingFiles()
    save(grown(files, 2).begin(4), 99)
    assert found(files) == (1, [10, 10])
    assert not any("-2." in name for name in files.names(FOLDER))


def test_an_attempt_that_follows_on_a_failed_one_finds_nothing_of_it():
    files = CrashingFiles()
    generations = grown(files, 2)
    save(generations.begin(4), 99)
    assert [lane.load() for lane in generations.begin(4)] == [None] * 4


@pytest.mark.parametrize("mode", ["none", "prefix", "subset", "torn"])
def test_a_power_cut_leaves_one_generation_whole(mode):
    chance = random.Random(mode)
    counted = CrashingFiles()
    grown(counted, 2)
    counted.fail_at(10**9, "crash")
    grown_on(counted)
    seen = set()
    for cut in range(counted.operations):
        files = CrashingFiles()
        grown(files, 2)
        files.fail_at(cut, "crash")
        with pytest.raises(PowerCutError):
            grown_on(files)
        files.power_cut(mode, chance)
        seen.add(number := found(files)[0])
        assert found(files) == {1: (1, [10, 10]), 2: (2, [20, 20, 20])}[number]
    assert seen == {1, 2}


def grown_on(files):
    generations = Generations(files, FOLDER)
    save(generations.begin(3), 20)
    generations.commit(3, 20)


@pytest.mark.parametrize("name", ["lanes-0", "lanes-1"])
def test_one_damaged_file_is_no_loss(name):
    files = CrashingFiles()
    grown(files, 2, 3)
    files.names_seen[FOLDER / name].seen[20] ^= 1
    assert found(files) == (2, [20, 20, 20])
    assert Generations(files, FOLDER).damaged == [f"{FOLDER}/{name}"]


def test_both_damaged_is_told():
    files = CrashingFiles()
    grown(files, 2)
    for name in ("lanes-0", "lanes-1"):
        files.names_seen[FOLDER / name].seen[20] ^= 1
    with pytest.raises(DamagedError, match="no checkpoint can be read"):
        Generations(files, FOLDER)


def test_after_a_commit_that_was_cut_in_two_both_files_say_the_same():
    """Before any input is fed, so that a file that can't be read later doesn't bring the former lanes back."""
    files = CrashingFiles()
    generations = grown(files, 2)
    save(generations.begin(3), 20)
    generations._which.save(20, 2, (3).to_bytes(2, "big"), "lanes", 1)
    Generations(files, FOLDER)
    for name in ("lanes-0", "lanes-1"):
        copy = files.names_seen[FOLDER / name].seen
        copy[20] ^= 1
        assert found(files) == (2, [20, 20, 20])
        copy[20] ^= 1
