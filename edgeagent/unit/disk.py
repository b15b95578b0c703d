"""Shell: takes steps that the disk may refuse, again and again until it lets them, and says what is wrong meanwhile."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from .ports import T, Writer

RETRY_S = (1.0, 2.0, 5.0, 10.0, 30.0)
"""Between tries at a disk that fails; the last one again and again."""


class Disk:
    """One unit's access to the writer's thread. mended: called when a fault is gone."""

    def __init__(self, writer: Writer, logger: logging.Logger, mended: Callable[[], None]) -> None:
        self._writer = writer
        self._logger = logger
        self._mended = mended
        self._faults: dict[str, str] = {}

    @property
    def fault(self) -> str:
        """What is wrong right now, in words; empty when nothing is."""
        return next(iter(self._faults.values()), "")

    async def write(self, work: Callable[[], T], what: str) -> T:
        """Do the work in the writer's thread; what it returns."""
        return await self.steady(lambda: self._writer(work), what)

    async def steady(self, step: Callable[[], Awaitable[T]], what: str) -> T:
        """Take the step until the disk lets it. what: names it to people."""
        tries = 0
        while True:
            try:
                done = await step()
            except OSError as error:
                self._faults[what] = (
                    f"{what}: {error.strerror or error}; nothing new is taken until this is mended"
                )
                self._logger.warning("%s: %s (try %d)", what, error, tries + 1)
                await asyncio.sleep(RETRY_S[min(tries, len(RETRY_S) - 1)])
                tries += 1
            else:
                if tries:
                    self._faults.pop(what, None)
                    self._logger.info("%s: works again", what)
                    self._mended()
                return done
