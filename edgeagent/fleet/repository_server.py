"""Shell: hands out parts of a repository's published files to boards that ask over MQTT.

Only regular files below metadata/ and targets/ are read; links that lead out are refused. Nothing is retained: what a
board doesn't get it asks for again. What is handed out is as trustworthy as the folder: boards verify it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import stat
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

from edgeagent.errors import EdgeAgentError, EnvironmentFaultError, RemoteProtocolError
from edgeagent.uplink.link import FAILURE, Broker, Link, Lost, Message, Published

from . import payloads, topics
from .payloads import FetchAnswer, FetchRequest

SERVED = ("metadata", "targets")
MISSING, REFUSED, BUSY = "missing", "refused", "busy"
"""Errors in answers."""
RATE = 256 << 10
"""Bytes a second for one board, and BURST of them at once."""
BURST = 1 << 20
MAX_BOARDS = 20_000
"""Whose rates are remembered; who asked longest ago is forgotten."""
RECONNECT_FIRST_S, RECONNECT_LONGEST_S = 1.0, 60.0

_log = logging.getLogger("repository")


class Shelf:
    """A repository folder, read part by part."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()
        if not all((self._folder / one).is_dir() for one in SERVED):
            raise EnvironmentFaultError(
                "the folder has no metadata and targets",
                where=str(folder),
                remedy="Make one with `edgeagent repo init` and `publish`.",
            )

    def answer(self, request: FetchRequest) -> FetchAnswer:
        """The part, or why not."""
        path = (self._folder / request.path).resolve()
        if not any(path.is_relative_to(self._folder / one) for one in SERVED):
            return FetchAnswer(id=request.id, error=REFUSED)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            return FetchAnswer(id=request.id, error=MISSING)
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode) or found.st_size > payloads.MAX_FILE:
                return FetchAnswer(id=request.id, error=REFUSED)
            data = os.pread(descriptor, request.length, request.offset)
        except OSError:
            return FetchAnswer(id=request.id, error=MISSING)
        finally:
            os.close(descriptor)
        return FetchAnswer(id=request.id, offset=request.offset, size=found.st_size, data=data)


class Rates:
    """A token bucket for each board."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, board: str, size: int) -> bool:
        """Whether a board may have so many bytes now."""
        now = self._monotonic()
        left, since = self._left.pop(board, (float(BURST), now))
        left = min(float(BURST), left + (now - since) * RATE)
        allowed = size <= left
        self._left[board] = (left - size if allowed else left, now)
        if len(self._left) > MAX_BOARDS:
            self._left.popitem(last=False)
        return allowed


class RepositoryServer:
    """``run`` lasts until it is cancelled. Several may serve the same boards."""

    def __init__(self, shelf: Shelf, broker: Broker, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._shelf = shelf
        self._broker = broker
        self._rates = Rates(monotonic)

    def answer(self, topic: str, data: bytes) -> tuple[str, bytes] | None:
        """Topic and payload of what is said to a request; None for what is none."""
        said = topics.parse(topic)
        if said is None or said.kind != topics.FETCH_REQUEST:
            return None
        try:
            request = payloads.decode(FetchRequest, data)
        except RemoteProtocolError as error:
            _log.warning("%s: %s", said.board, error)
            return None
        allowed = self._rates.take(said.board, request.length)
        found = self._shelf.answer(request) if allowed else FetchAnswer(id=request.id, error=BUSY)
        return topics.topic(said.board, topics.FETCH_ANSWER), payloads.encode(found)

    async def run(self) -> None:
        """Connect, serve, and again."""
        wait = RECONNECT_FIRST_S
        while True:
            try:
                link = await Link.connect(self._broker, [topics.SHARED_REQUESTS])
            except EdgeAgentError as error:
                _log.warning("%s", error)
                wait = min(2 * wait, RECONNECT_LONGEST_S)
            else:
                _log.info("connected to %s", link.where)
                wait = RECONNECT_FIRST_S
                try:
                    await self._serve(link)
                finally:
                    await asyncio.shield(link.close())
            await asyncio.sleep(wait)

    async def _serve(self, link: Link) -> None:
        while True:
            match await link.event():
                case Message(topic=topic, payload=data) as message:
                    if said := await asyncio.to_thread(self.answer, topic, data):
                        link.publish(*said)
                    link.acknowledge(message)
                case Published(code=code, words=words) if code >= FAILURE:
                    _log.warning("the broker refuses answers: %s", words)
                case Lost(words):
                    _log.warning("%s", words)
                    return
