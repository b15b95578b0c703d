"""Sends messages when they are due, and knows what was sent."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from edgeagent.host.clock import Clock

from .message import Message, Via


class Outbox(AbstractContextManager["Outbox"], Protocol):
    """Where messages go in: a broker, a CoAP server. Entering connects, leaving disconnects."""

    acknowledged: int
    """Messages that the other side has confirmed (QoS 0: that the socket took)."""

    def send(self, message: Message) -> None:
        """Hand in one message; waits while the bound of unconfirmed ones is reached. UnreachableError if it lasts."""

    def finish(self) -> None:
        """Wait until everything sent is confirmed. UnreachableError names how many weren't."""


@dataclass(slots=True)
class Progress:
    """What was sent so far. ``behind``: the most that a message was sent after it was due, ms."""

    messages: int = 0
    values: int = 0
    bytes: int = 0
    behind: int = 0


def play(
    messages: Iterable[Message],
    outboxes: Mapping[Via, Outbox],
    *,
    clock: Clock,
    stop: threading.Event,
    sent: Callable[[Message], None],
    progress: Progress,
) -> None:
    """Send each message at its time, in order, until they end or stop is set.

    ``sent`` is told of each message that was handed in. Returns when all of them are confirmed.
    """
    for message in messages:
        wait = message.due - clock.now_ms() if message.due else 0
        if stop.wait(wait / 1000) if wait > 0 else stop.is_set():
            break
        outboxes[message.via].send(message)
        sent(message)
        progress.messages += 1
        progress.values += len(message.values)
        progress.bytes += len(message.payload)
        progress.behind = max(progress.behind, -wait)
    for outbox in set(outboxes.values()):
        outbox.finish()
