"""Recognises a message that a source delivers again, by what the input log says of it."""

from __future__ import annotations

from collections.abc import Iterable

from edgeagent.wire.messages import Reading

MAX_INDEX = 262_144
"""Messages remembered at most; about 30 MB. Two segments of a log hold fewer."""
KEEP_S = 300.0
"""An index that nobody asked for this long is given up: redelivery comes in bursts, and CoAP's ends after 247 s."""


class DuplicateIndex:
    """(tag, topic, payload) of the newest messages. Made when a source first asks, kept while it asks."""

    def __init__(self, readings: Iterable[Reading], now: float) -> None:
        self._seen: dict[int, None] = {}
        self._asked = now
        for one in readings:
            self.add(one.tag, one.topic, one.payload)

    def add(self, tag: int, topic: bytes, payload: bytes) -> None:
        """Remember a message."""
        if tag:
            if len(self._seen) >= MAX_INDEX:
                del self._seen[next(iter(self._seen))]
            self._seen[hash((tag, topic, payload))] = None

    def knows(self, tag: int, topic: bytes, payload: bytes, now: float) -> bool:
        """Whether exactly this delivery is in the log; now: monotonic seconds."""
        self._asked = now
        return bool(tag) and hash((tag, topic, payload)) in self._seen

    def stale(self, now: float) -> bool:
        """Whether it can be given up."""
        return now - self._asked > KEEP_S
