"""Remembers on disk which filters our session at the broker holds, so that those no longer wanted can be taken back.

A session outlives a change of the configuration. What it was once subscribed to, it stays subscribed to, and where an
old filter overlaps a new one every message would come twice.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from edgeagent.host.files import Files

MAX_BYTES = 1 << 20


class FilterMemory:
    """One small file, written only when the set changes."""

    def __init__(self, files: Files, path: Path) -> None:
        self._files = files
        self._path = path
        self.held = self._read()

    def _read(self) -> frozenset[str]:
        try:
            value = json.loads(self._files.read(self._path, MAX_BYTES))
        except FileNotFoundError:
            return frozenset()
        except ValueError:
            # It was replaced atomically, so this isn't ours; without it we only can't take back what is not wanted.
            return frozenset()
        return (
            frozenset(one for one in value if isinstance(one, str))
            if isinstance(value, list)
            else frozenset()
        )

    def hold(self, filters: Iterable[str]) -> None:
        """The session holds these at most; durable when it returns. OSError if the disk is full."""
        now = frozenset(filters)
        if now != self.held:
            self._files.replace(self._path, json.dumps(sorted(now)).encode())
            self.held = now
