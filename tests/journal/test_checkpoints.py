"""Two checkpoints in turn: the newest whole one counts."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeagent.errors import DamagedError, LocalProtocolError
from edgeagent.host.disk import DiskFiles
from edgeagent.journal.checkpoints import MAX_STATE, Checkpoint, Checkpoints, parse_checkpoint
from tests.sim.crashing_files import CrashingFiles

FOLDER = Path("/state/unit")


def saved(*seqs: int) -> tuple[CrashingFiles, Checkpoints]:
    files = CrashingFiles()
    checkpoints = Checkpoints(files, FOLDER)
    for seq in seqs:
        checkpoints.save(seq, seq + 1, b"state %d" % seq, "aggregate", 3)
    return files, checkpoints


@pytest.mark.parametrize(
    ("seqs", "newest", "trim"), [((), None, 0), ((5,), 5, 0), ((5, 9), 9, 5), ((5, 9, 12, 20), 20, 12)]
)
def test_newest_counts_and_the_older_one_bounds_trimming(seqs, newest, trim):
    files, checkpoints = saved(*seqs)
    for one in (checkpoints, Checkpoints(files, FOLDER)):
        found = one.load()
        assert (found.seq if found else None, one.trim_seq) == (newest, trim)
    assert found is None or found == Checkpoint(
        len(seqs), newest, newest + 1, "aggregate", 3, b"state %d" % newest
    )


@pytest.mark.parametrize("at", [0, 9, 20, 40, 50, -1])
def test_damaged_newest_falls_back_to_the_older(at):
    files, _ = saved(5, 9)
    files.names_seen[FOLDER / "checkpoint-1"].seen[at] ^= 8
    checkpoints = Checkpoints(files, FOLDER)
    assert checkpoints.load().seq == 5
    assert checkpoints.trim_seq == 0
    assert checkpoints.damaged == ["/state/unit/checkpoint-1"]
    checkpoints.save(11, 12, b"", "aggregate", 3)
    assert checkpoints.trim_seq == 5
    assert Checkpoints(files, FOLDER).load().seq == 11


def test_nothing_that_can_be_read():
    files, _ = saved(5, 9)
    for name in files.names(FOLDER):
        del files.names_seen[FOLDER / name].seen[30:]
    with pytest.raises(
        DamagedError, match=r"checkpoint-0 and .*checkpoint-1: no checkpoint .* move /state/unit"
    ):
        Checkpoints(files, FOLDER)


def test_unknown_version():
    files, _ = saved(5)
    files.names_seen[FOLDER / "checkpoint-0"].seen[5] = 9
    with pytest.raises(DamagedError, match=r"version 9 .* Update the agent"):
        Checkpoints(files, FOLDER)


def test_failed_save_leaves_both():
    files, checkpoints = saved(5, 9)
    files.fail_at(0, errno.ENOSPC)
    with pytest.raises(OSError, match="space"):
        checkpoints.save(12, 12, b"x" * 100, "aggregate", 3)
    assert (checkpoints.load().seq, checkpoints.trim_seq) == (9, 5)
    checkpoints.save(12, 12, b"x" * 100, "aggregate", 3)
    assert (checkpoints.load().seq, checkpoints.trim_seq) == (12, 9)


def test_state_above_the_bound():
    _, checkpoints = saved()
    with pytest.raises(LocalProtocolError, match="above"):
        checkpoints.save(1, 1, bytes(MAX_STATE + 1), "aggregate", 1)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_without_other_errors(data):
    assert parse_checkpoint(b"EACP\0\1" + data, "here", "") is None
    assert parse_checkpoint(data, "here", "") is None


def test_on_the_disk(tmp_path):
    checkpoints = Checkpoints(DiskFiles(), tmp_path)
    checkpoints.save(1, 2, bytes(100_000), "aggregate", 1)
    checkpoints.save(3, 4, bytes(200_000), "aggregate", 1)
    found = Checkpoints(DiskFiles(), tmp_path).load()
    assert (found.seq, len(found.state)) == (3, 200_000)
