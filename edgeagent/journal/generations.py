"""The checkpoints of a unit's lanes. How many lanes there are changes at once for all: by a new generation.

Generation 0 has one lane, whose files are ``checkpoint-0`` and ``-1``; those of later ones are called
``checkpoint-GENERATION.LANE-0`` and ``-1``. The files ``lanes-0`` and ``-1`` say which generation counts. The first
replacement of one of them is what makes a new generation count; the second is there for the day when one can't be read.
"""

from __future__ import annotations

from pathlib import Path

from edgeagent.errors import DamagedError
from edgeagent.host.files import Files

from .checkpoints import Checkpoints

MAX_LANES = 64
_LANES = "lanes"
_VERSION = 1


class Generations:
    """One thread at a time. count: lanes of the generation that counts."""

    def __init__(self, files: Files, folder: Path) -> None:
        """Raises DamagedError where it can't be read which generation counts."""
        self._files = files
        self._folder = folder
        self._which = Checkpoints(files, folder, _LANES)
        found = self._which.load()
        self.number, self.count = (found.out, int.from_bytes(found.state, "big")) if found else (0, 1)
        if found and not (found.state_version == _VERSION and 1 <= self.count <= MAX_LANES and self.number):
            raise DamagedError(
                f"lanes of version {found.state_version} are not known to this agent", where=str(folder),
                remedy="Update the agent.",
            )  # fmt: skip
        if found and self._others():
            # The last step of a commit is missing.
            self._which.save(found.seq, found.out, found.state, _LANES, _VERSION)
        self._remove_others()

    @property
    def damaged(self) -> list[str]:
        """Files that can't be read; the next commit writes over them."""
        return self._which.damaged

    def lanes(self) -> tuple[Checkpoints, ...]:
        """Of the generation that counts. DamagedError where a lane has checkpoints but none can be read."""
        return tuple(self._open(self.number, lane) for lane in range(self.count))

    def begin(self, count: int) -> tuple[Checkpoints, ...]:
        """Of the next generation, which doesn't count yet. What an earlier beginning left is removed."""
        self._remove_others()
        return tuple(self._open(self.number + 1, lane) for lane in range(count))

    def commit(self, count: int, seq: int) -> None:
        """From now on the next generation counts, of so many lanes that begin behind input seq.

        Each of its lanes has a checkpoint by now. After OSError it is open which generation counts: commit again.
        """
        following, state = self.number + 1, count.to_bytes(2, "big")
        for _ in range(2):
            self._which.save(seq, following, state, _LANES, _VERSION)
        self.number, self.count = following, count
        self._remove_others()

    def _open(self, number: int, lane: int) -> Checkpoints:
        return Checkpoints(self._files, self._folder, _name(number, lane))

    def _others(self) -> list[str]:
        mine = {f"{_name(self.number, lane)}-{i}" for lane in range(self.count) for i in (0, 1)}
        return [
            name
            for name in self._files.names(self._folder)
            if name not in mine and not name.startswith(f"{_LANES}-")
        ]

    def _remove_others(self) -> None:
        for name in self._others():
            self._files.remove(self._folder / name)


def _name(number: int, lane: int) -> str:
    return f"checkpoint-{number}.{lane}" if number else "checkpoint"
