"""Which units a person has stopped: one file each in the state folder, so that they stay stopped."""

from __future__ import annotations

from pathlib import Path

from edgeagent.host.files import Files

FOLDER = "stopped"
"""In board.state."""


class Stops:
    """Remembers. ``keep`` runs in the writer's thread."""

    def __init__(self, files: Files, state: Path) -> None:
        self._files = files
        self._folder = state / FOLDER
        files.make_folder(self._folder)
        self._stopped = set(files.names(self._folder))

    def __contains__(self, unit: str) -> bool:
        return unit in self._stopped

    def keep(self, unit: str, *, stopped: bool) -> None:
        """Make it durable; the same again does no harm. OSError when the disk can't take it."""
        path = self._folder / unit
        if stopped:
            self._files.replace(path, b"")
            self._stopped.add(unit)
        else:
            self._files.remove(path)
            self._files.sync_folder(self._folder)
            self._stopped.discard(unit)
