"""A second implementation of the intake port: in memory, durable when the test says so."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from edgeagent.ingest.intake import Taken


class Handed(NamedTuple):
    topic: bytes
    payload: bytes
    content_format: int
    tag: int
    maybe_duplicate: bool


class MemoryIntake:
    """Keeps all. limit: messages until it is full; with ``hold`` nothing becomes durable until ``commit``."""

    def __init__(self, *, limit: int = 10_000_000, hold: bool = False) -> None:
        self.all: list[Handed] = []
        self.hold = hold
        self.room = limit
        self.refuse: frozenset[bytes] = frozenset()
        self.error: Exception | None = None
        self._seen: set[tuple[int, bytes, bytes]] = set()
        self._waiting: list[Callable[[], None]] = []
        self._roomy: list[Callable[[], None]] = []

    def add(
        self, topic: bytes, payload: bytes, content_format: int, tag: int, *, maybe_duplicate: bool = False
    ) -> Taken:
        if self.error:
            raise self.error
        if topic in self.refuse:
            return Taken.DROPPED
        key = (tag, topic, payload)
        if maybe_duplicate and key in self._seen:
            return Taken.DUPLICATE
        if tag:
            self._seen.add(key)
        self.all.append(Handed(topic, payload, content_format, tag, maybe_duplicate))
        self.room -= 1
        return Taken.LOGGED

    def when_durable(self, done: Callable[[], None]) -> None:
        self._waiting.append(done)
        if not self.hold:
            self.commit()

    def hurry(self) -> None:
        self.hurried = getattr(self, "hurried", 0) + 1

    def commit(self) -> None:
        waiting, self._waiting = self._waiting, []
        for done in waiting:
            done()

    @property
    def full(self) -> bool:
        return self.room <= 0

    def make_room(self, messages: int) -> None:
        self.room = messages
        roomy, self._roomy = self._roomy, []
        for done in roomy:
            done()

    def when_roomy(self, done: Callable[[], None]) -> None:
        if self.full:
            self._roomy.append(done)
        else:
            done()
