"""Shell: our standard input and output, neither blocking the loop nor changed for others who have them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import queue
import threading
from collections.abc import Callable

CHUNK = 65_536
PENDING = 8
"""Pieces that wait to be written."""
CLOSE_S = 2.0
"""How long the last of them may take."""


class Output:
    """Writes in a thread of its own: a reader that is slow, or a terminal that is held, stops only what it reads."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._loop = asyncio.get_running_loop()
        self._queue: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._room = asyncio.Semaphore(PENDING)
        self._done = asyncio.Event()
        self._failure: OSError | None = None
        # A daemon: a write that never ends doesn't keep the process.
        threading.Thread(target=self._write, name="console", daemon=True).start()

    async def put(self, data: bytes) -> None:
        """Hand it over; waits for room. BrokenPipeError or another OSError when nobody reads any more."""
        await self._room.acquire()
        if self._failure:
            raise self._failure
        self._queue.put(data)

    async def close(self) -> None:
        """Wait until everything is written, CLOSE_S at most."""
        self._queue.put(b"")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                await self._done.wait()

    def _write(self) -> None:
        try:
            while data := self._queue.get():
                view = memoryview(data)
                while view and not self._failure:
                    view = view[os.write(self._fd, view) :]
                self._tell(self._room.release)
        except OSError as error:
            self._failure = error
            self._tell(self._room.release)
        self._tell(self._done.set)

    def _tell(self, what: Callable[[], object]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
            self._loop.call_soon_threadsafe(what)


class Input:
    """Reads a terminal, a pipe or a file."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._loop = asyncio.get_running_loop()

    async def read(self) -> bytes:
        """What has come; b"" at the end."""
        ready = asyncio.Event()
        try:
            self._loop.add_reader(self._fd, ready.set)
        except PermissionError:
            # A file, for which there is no waiting.
            await asyncio.sleep(0)
        else:
            try:
                await ready.wait()
            finally:
                self._loop.remove_reader(self._fd)
        try:
            return os.read(self._fd, CHUNK)
        except OSError:
            return b""
