"""Opens a unit's log and its lanes' checkpoints, and finds out from where its guests go on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgeagent.errors import DamagedError
from edgeagent.host.files import Files
from edgeagent.journal.batches import Last
from edgeagent.journal.checkpoints import Checkpoints
from edgeagent.journal.generations import MAX_LANES, Generations
from edgeagent.journal.input_log import InputLog
from edgeagent.unit.checkpointing import Checkpoint, unpack
from edgeagent.unit.ports import LaneId


class LaneFiles:
    """Where a lane's checkpoints are kept. Implements unit.lane.Keeper."""

    def __init__(self, checkpoints: Checkpoints, *, new: bool) -> None:
        self._checkpoints = checkpoints
        self._new = new
        """Nothing older is left to fall back to, so the first checkpoint is written twice."""

    def keep(self, checkpoint: Checkpoint) -> int:
        """See Keeper."""
        one, blob = checkpoint, checkpoint.pack()
        for _ in range(2 if self._new else 1):
            self._checkpoints.save(one.seq, one.out, blob, one.app, one.state_version)
        self._new = False
        return self._checkpoints.trim_seq


class UnitJournal:
    """A unit's log, and for each lane where its checkpoints are kept and the one that its guest starts from.

    Implements unit.moving.LaneFiles.
    """

    def __init__(self, log: InputLog, generations: Generations, lanes: tuple[Checkpoints, ...]) -> None:
        self.log = log
        self.generations = generations
        self.damaged = [*generations.damaged, *(one for lane in lanes for one in lane.damaged)]
        """Files that can't be read; others are used."""
        self.keepers = tuple(LaneFiles(lane, new=False) for lane in lanes)
        self.starts: tuple[Checkpoint, ...] = ()

    def begin(self, count: int) -> tuple[LaneFiles, ...]:
        """See unit.moving.LaneFiles."""
        return tuple(LaneFiles(one, new=True) for one in self.generations.begin(count))

    def commit(self, count: int, seq: int) -> None:
        """See unit.moving.LaneFiles."""
        self.generations.commit(count, seq)

    def begin_anew(self, start: Checkpoint) -> None:
        """One lane counts from now on, whose guest begins with that. In the writer's thread, or before it runs."""
        self.keepers = self.begin(1)
        self.keepers[0].keep(start)
        self.commit(1, start.seq)
        self.starts = (start,)


def open_journal(
    files: Files,
    folder: Path,
    *,
    unit: str,
    cap: int,
    lossy: bool,
    spooled: Callable[[str], Last],
    config: dict[str, Any],
) -> UnitJournal:
    """Recover what is in the folder. spooled: a lane's newest output in the spool, and its input.

    Guests start from the newest checkpoints. Where there are none, one starts from the very beginning if the log
    reaches back so far and one guest said all that was said; else anew behind the last input that anything was said
    of (durability = "memory" after a power cut; a folder that was removed).
    Raises DamagedError, whose remedy says what to move away and what is lost with it.
    """
    checkpoints = folder / "checkpoints"
    generations = Generations(files, checkpoints)
    lanes = generations.lanes()
    kept = tuple(_load(lane) for lane in lanes)
    last = [spooled(str(LaneId(unit, index))) for index in range(MAX_LANES)]
    said = max(one.seq for one in last)
    known = max(said, *(one.seq for one in kept if one), 0)
    log = InputLog.open(files, folder / "log", cap_bytes=cap, known_seq=known, lossy=lossy)
    journal = UnitJournal(log, generations, lanes)
    usable = [one for one in kept if one is not None and log.first_seq <= one.seq + 1]
    if len(usable) == len(lanes):
        journal.starts = tuple(usable)
    elif usable:
        log.close()
        raise DamagedError(
            f"{len(lanes) - len(usable)} of {len(lanes)} lanes have no checkpoint that the log goes on from",
            where=str(checkpoints),
            remedy=f"Stop the agent, move {checkpoints} away and start it again: this unit's open windows are lost",
        )
    elif log.first_seq == 1 and not generations.number and not any(one.out for one in last[1:]):
        journal.starts = (Checkpoint(0, 0, b"", "", 0, config),)
        journal.keepers[0].keep(journal.starts[0])
    else:
        out = max(last[0].out, kept[0].out if kept[0] else 0)
        journal.begin_anew(Checkpoint(max(log.first_seq - 1, said), out, b"", "", 0, config))
    return journal


def _load(lane: Checkpoints) -> Checkpoint | None:
    saved = lane.load()
    return unpack(saved.seq, saved.out, saved.state, saved.app, saved.state_version) if saved else None
