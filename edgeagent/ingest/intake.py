"""Where sources hand readings in: the port between a source's shell and a unit's input log."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Protocol


class Taken(enum.Enum):
    """What became of a message that was handed in."""

    LOGGED = "logged"
    """In the input log's buffer; durable when ``when_durable`` calls back."""
    DUPLICATE = "duplicate"
    """In the log already: acknowledge it, count it, do no more."""
    DROPPED = "dropped"
    """Against the topic policy or the rate limit of its unit: acknowledge it; it is counted and shown."""


class Intake(Protocol):
    """Takes readings in order of arrival. All calls come from the event loop's thread and never block."""

    def add(
        self, topic: bytes, payload: bytes, content_format: int, tag: int, *, maybe_duplicate: bool = False
    ) -> Taken:
        """Hand in one message.

        topic: 1..1024 bytes; payload: 0..131072 bytes (the source refuses longer ones and counts them);
        content_format: CoAP Content-Format number, messages.FORMAT_UNKNOWN if none was given;
        tag: what tells this delivery from others of its source (MQTT packet identifier, CoAP endpoint and message id),
        0 for none; maybe_duplicate: the source can't tell whether it delivered this before (MQTT DUP flag), so the
        tail of the log is searched for the same tag, topic and payload.
        """

    def when_durable(self, done: Callable[[], None]) -> None:
        """Call done once, in the loop's thread, after everything handed in so far is durable."""

    def hurry(self) -> None:
        """Don't wait for others to share the next sync: the source can't send much more until it is answered."""

    @property
    def full(self) -> bool:
        """True while the log has no room: hand nothing in; what is already read may still be."""

    def when_roomy(self, done: Callable[[], None]) -> None:
        """Call done once, as soon as the log isn't full."""
