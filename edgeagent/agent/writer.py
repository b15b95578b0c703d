"""The writer's thread: the only one in which anything is written or synced."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


class WriterThread:
    """Runs one function at a time, in the order in which they are handed in. Implements unit.ports.Writer."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="writer")

    async def __call__(self, work: Callable[[], T], /) -> T:
        """What work returns, or its exception. A caller that is cancelled doesn't stop it."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    def close(self) -> None:
        """Wait for what is handed in already."""
        self._pool.shutdown()
