"""What an MQTT connection reports: a tuple for each message, a small value for everything rare."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

DUP: Final = 8
RETAIN: Final = 1
"""Bits of a message's flags."""

Publish = tuple[bytes, bytes, int, int, int]
"""A message: topic, payload, CoAP content format, packet id (0: QoS 0), flags (DUP, RETAIN)."""


@dataclass(frozen=True, slots=True)
class Connected:
    """CONNACK: accepted. keepalive: seconds, the broker's wish if it has one; client_id: if it gave us one."""

    session_present: bool
    keepalive: int
    client_id: str
    shared_available: bool
    wildcards_available: bool


@dataclass(frozen=True, slots=True)
class Refused:
    """CONNACK: not accepted, or DISCONNECT (version 5). code: reason code of version 5; reason: in words."""

    code: int
    reason: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Subscribed:
    """SUBACK. granted: (filter, QoS); failed: (filter, why)."""

    granted: tuple[tuple[str, int], ...]
    failed: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Unusable:
    """A PUBLISH that can't be handed in, and why: its topic (at most MAX_TOPIC bytes), packet id or 0.

    It isn't an error of the connection: a device made it, and a broker delivers a QoS 1 message until it is
    acknowledged, so hanging up on it would bring it again for ever.
    """

    topic: bytes
    why: str
    packet_id: int


@dataclass(frozen=True, slots=True)
class Unsubscribed:
    """UNSUBACK."""


@dataclass(frozen=True, slots=True)
class Pong:
    """PINGRESP."""


Event = Publish | Connected | Refused | Subscribed | Unsubscribed | Unusable | Pong
