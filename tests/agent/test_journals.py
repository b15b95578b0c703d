"""From where a unit's guests go on, whatever is left of its folder."""

import shutil
from pathlib import Path

import pytest

from edgeagent.agent.journals import open_journal
from edgeagent.errors import DamagedError
from edgeagent.host.disk import DiskFiles
from edgeagent.journal.batches import Last
from edgeagent.unit.checkpointing import Checkpoint
from edgeagent.wire import messages

CONFIG = {"window": 1000, "lateness": 0}


def opened(folder: Path, spooled: dict[str, Last] | None = None):
    return open_journal(
        DiskFiles(), folder, unit="u", cap=8 << 20, lossy=False, config=CONFIG,
        spooled=lambda lane: (spooled or {}).get(lane, Last(0, 0)),
    )  # fmt: skip


def written(folder: Path, count: int):
    """A log of so many ticks."""
    journal = opened(folder)
    journal.log.append(b"".join(messages.tick(seq, seq) for seq in range(1, count + 1)), count)
    journal.log.commit(sync=True)
    return journal


def moved(journal, count: int, seq: int) -> None:
    for index, keeper in enumerate(journal.begin(count)):
        keeper.keep(Checkpoint(seq, 0, b"lane %d" % index, "aggregate", 1, CONFIG))
    journal.commit(count, seq)


def test_a_new_unit_begins_with_one_guest_at_the_first_input(tmp_path: Path):
    assert opened(tmp_path).starts == (Checkpoint(0, 0, b"", "", 0, CONFIG),)


def test_after_a_move_every_lane_has_its_own_state(tmp_path: Path):
    journal = written(tmp_path, 9)
    moved(journal, 3, 5)
    journal.log.close()
    again = opened(tmp_path)
    assert [one.state for one in again.starts] == [b"lane 0", b"lane 1", b"lane 2"]
    assert [one.seq for one in again.starts] == [5, 5, 5]
    # Both copies of a new lane's first checkpoint are there, so the log may go as far.
    assert again.keepers[1].keep(Checkpoint(9, 0, b"x", "aggregate", 1, CONFIG)) == 5


def test_without_checkpoints_one_guest_replays_what_one_guest_said(tmp_path: Path):
    written(tmp_path, 9).log.close()
    shutil.rmtree(tmp_path / "checkpoints")
    assert opened(tmp_path, {"u": Last(4, 8)}).starts[0].seq == 0


def test_without_checkpoints_what_several_guests_said_is_not_said_again(tmp_path: Path):
    journal = written(tmp_path, 9)
    moved(journal, 2, 5)
    journal.log.close()
    shutil.rmtree(tmp_path / "checkpoints")
    again = opened(tmp_path, {"u": Last(4, 6), "u.1": Last(2, 7)})
    assert again.starts == (Checkpoint(7, 4, b"", "", 0, CONFIG),)
    again.log.close()
    assert opened(tmp_path).starts == again.starts


def test_a_lane_without_its_checkpoint_is_told(tmp_path: Path):
    journal = written(tmp_path, 9)
    moved(journal, 2, 5)
    journal.log.close()
    for one in (tmp_path / "checkpoints").glob("checkpoint-1.1-*"):
        one.unlink()
    with pytest.raises(DamagedError, match=r"1 of 2 lanes have no checkpoint .* move .*checkpoints away"):
        opened(tmp_path)
