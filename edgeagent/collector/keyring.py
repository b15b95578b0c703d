"""The boards' keys as the collector remembers them for a while, so that not every batch asks the database."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from edgeagent.seal.keys import VerifyKey

MAX_BOARDS = 10_000
"""Boards remembered; who was asked for longest ago is forgotten first."""
FRESH_S = 30.0
"""How long keys are believed: a retired key is accepted no longer than that."""
AGAIN_S = 1.0
"""How soon the database is asked again for what it didn't know: a board that was just enrolled waits no longer."""

Keys = dict[bytes, VerifyKey] | None


class KeyRing:
    """load is the store's ``keys``; times are monotonic seconds."""

    def __init__(self, load: Callable[[str], Keys], monotonic: Callable[[], float]) -> None:
        self._load = load
        self._monotonic = monotonic
        self._known: OrderedDict[str, tuple[Keys, float]] = OrderedDict()

    def keys(self, board: str, *, doubtful: bool = False) -> Keys:
        """The board's keys. doubtful: what was remembered didn't fit."""
        now = self._monotonic()
        if found := self._known.get(board):
            keys, at = found
            if now - at < (AGAIN_S if doubtful or keys is None else FRESH_S):
                self._known.move_to_end(board)
                return keys
        keys = self._load(board)
        self._known[board] = (keys, now)
        self._known.move_to_end(board)
        if len(self._known) > MAX_BOARDS:
            self._known.popitem(last=False)
        return keys
