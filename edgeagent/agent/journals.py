"""Opens a unit's log and checkpoints, and finds out from where its guest goes on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeagent.host.files import Files
from edgeagent.journal.batches import Last
from edgeagent.journal.checkpoints import Checkpoints
from edgeagent.journal.input_log import InputLog
from edgeagent.unit.checkpointing import Checkpoint, unpack


@dataclass(frozen=True, slots=True)
class UnitJournal:
    """A unit's log, where its checkpoints are kept, and the one that its guest starts from."""

    log: InputLog
    checkpoints: Checkpoints
    start: Checkpoint

    def keep(self, checkpoint: Checkpoint) -> int:
        """See unit.pipeline.Keeper."""
        self.checkpoints.save(
            checkpoint.seq, checkpoint.out, checkpoint.pack(), checkpoint.app, checkpoint.state_version
        )
        return self.checkpoints.trim_seq


def open_journal(
    files: Files, folder: Path, *, cap: int, lossy: bool, spooled: Last, config: dict[str, Any]
) -> UnitJournal:
    """Recover what is in the folder. spooled: the unit's newest output in the spool, and its input.

    The guest starts from the newest checkpoint; where there is none, from the very beginning if the log reaches back
    so far, else anew with the numbers going on (durability = "memory" after a power cut; a folder that was removed).
    Raises DamagedError, whose remedy says what to move away and what is lost with it.
    """
    checkpoints = Checkpoints(files, folder / "checkpoints")
    saved = checkpoints.load()
    kept = unpack(saved.seq, saved.out, saved.state, saved.app, saved.state_version) if saved else None
    known = max(spooled.seq, kept.seq if kept else 0)
    log = InputLog.open(files, folder / "log", cap_bytes=cap, known_seq=known, lossy=lossy)
    if kept is not None and log.first_seq <= kept.seq + 1:
        start = kept
    elif log.first_seq == 1:
        start = Checkpoint(0, 0, b"", "", 0, config)
    else:
        start = Checkpoint(log.first_seq - 1, max(spooled.out, kept.out if kept else 0), b"", "", 0, config)
    journal = UnitJournal(log, checkpoints, start)
    if start is not kept:
        journal.keep(start)
    return journal
