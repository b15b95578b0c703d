"""A control server in a thread of its own, for commands that ask it."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

from edgeagent.control.server import ControlServer, Verb


@contextlib.contextmanager
def serving(folder: Path, verbs: Mapping[str, Verb], group: str = "") -> Iterator[None]:
    """Answers while the block runs."""
    started, over = threading.Event(), threading.Event()

    async def main() -> None:
        server = ControlServer(folder, verbs, group)
        await server.start()
        started.set()
        await asyncio.to_thread(over.wait)
        await server.stop()

    thread = threading.Thread(target=asyncio.run, args=(main(),))
    thread.start()
    try:
        assert started.wait(60)
        yield
    finally:
        over.set()
        thread.join()
