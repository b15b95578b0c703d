"""What a person stopped is remembered over a power cut at any moment; lines of the log are told apart by unit."""

import errno
import random
from pathlib import Path

import pytest

from edgeagent.agent.stops import FOLDER, Stops
from edgeagent.agent.verbs import is_of
from tests.sim.crashing_files import CrashingFiles, PowerCutError

STATE = Path("/state")


def test_it_is_remembered_until_it_is_started():
    files = CrashingFiles()
    stops = Stops(files, STATE)
    assert "home" not in stops
    for _ in range(2):
        stops.keep("home", stopped=True)
    assert "home" in stops
    assert "home" in Stops(files, STATE)
    assert "garden" not in Stops(files, STATE)
    for _ in range(2):
        stops.keep("home", stopped=False)
    assert "home" not in stops
    assert "home" not in Stops(files, STATE)


@pytest.mark.parametrize("stopped", [True, False])
@pytest.mark.parametrize("mode", ["none", "prefix", "subset", "torn"])
@pytest.mark.parametrize("at", range(6))
def test_a_power_cut_leaves_one_or_the_other(at, mode, stopped):
    files = CrashingFiles()
    stops = Stops(files, STATE)
    stops.keep("home", stopped=not stopped)
    stops.keep("garden", stopped=True)
    files.fail_at(at, "crash")
    done = True
    try:
        stops.keep("home", stopped=stopped)
    except PowerCutError:
        done = False
    files.heal()
    files.power_cut(mode, random.Random(at))
    after = Stops(files, STATE)
    assert "garden" in after
    if done:
        assert ("home" in after) is stopped
    after.keep("home", stopped=stopped)
    assert ("home" in Stops(files, STATE)) is stopped


def test_a_disk_that_refuses_changes_nothing():
    files = CrashingFiles()
    stops = Stops(files, STATE)
    files.fail_at(0, errno.ENOSPC)
    with pytest.raises(OSError):
        stops.keep("home", stopped=True)
    assert "home" not in stops
    assert STATE / FOLDER in files.folders


@pytest.mark.parametrize(
    ("line", "of"),
    [
        ("2026-11-25T00:00:00.000Z info guest.home: running", True),
        ("2026-11-25T00:00:00.000Z info guest.home.2: running", True),
        ("2026-11-25T00:00:00.000Z info unit.home: idle", True),
        ("2026-11-25T00:00:00.000Z info agent: unit home: aggregate.elf on tcg", True),
        ("2026-11-25T00:00:00.000Z warning pool: home: a spare died", True),
        ("2026-11-25T00:00:00.000Z info guest.homes: running", False),
        ("2026-11-25T00:00:00.000Z info guest.garden: home: said the guest", False),
        ("2026-11-25T00:00:00.000Z info agent: unit homes: x", False),
        ("", False),
    ],
)
def test_lines_of_a_unit(line, of):
    assert is_of(line, "home") is of
