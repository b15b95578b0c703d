"""Shell: takes crashes from the event loop and has them written in the writer's thread, piece by piece."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterator

from edgeagent.unit.ports import Writer

from .record import Record
from .store import CrashStore, Draft

MAX_WAITING = 8
"""Crashes that wait to be written; more come only in a storm, and are told in the log alone."""

_log = logging.getLogger("crash")


class Keeper:
    """Nobody waits for it: a guest is started again at once, and a disk that takes nothing is only told of."""

    def __init__(self, store: CrashStore, writer: Writer) -> None:
        self._store = store
        self._writer = writer
        self._waiting: deque[Draft] = deque()
        self._came = asyncio.Event()

    def keep(self, draft: Draft) -> None:
        """Have it written soon."""
        if len(self._waiting) >= MAX_WAITING:
            _log.warning("a crash of unit %s isn't kept: too many at once", draft.record.unit)
            return
        self._waiting.append(draft)
        self._came.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._came.wait()
            self._came.clear()
            while self._waiting:
                await self._write(self._waiting.popleft())

    async def _write(self, draft: Draft) -> None:
        steps, record, more = self._store.adding(draft), None, True
        try:
            # A step at a time, so that readings needn't wait long for theirs.
            while more:
                more, made = await self._writer(lambda: _next(steps))
                record = made or record
        except OSError as error:
            _log.warning("a crash of unit %s isn't kept: %s", draft.record.unit, error)
            return
        if record is not None and record.times > 1:
            _log.info(
                "crash %d of unit %s came again, %d times so far", record.number, record.unit, record.times
            )
        elif record is not None:
            _log.info(
                "crash %d of unit %s is kept: edgeagent crash show %d",
                record.number,
                record.unit,
                record.number,
            )


def _next(steps: Iterator[Record | None]) -> tuple[bool, Record | None]:
    """Whether there was one, and what it gave."""
    for step in steps:
        return True, step
    return False, None
