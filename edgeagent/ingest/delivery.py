"""Tags: numbers that tell a delivery from all others, so that the input log can recognise it when it comes again."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from typing import Final

COAP: Final = 1 << 63
"""Set in tags of CoAP, clear in tags of MQTT."""
_HALF: Final = 0x8000


class DeliveryNumbers:
    """MQTT packet ids go round at 65,535; counted on, they don't: the number nearest to the newest that ends in the id.

    A broker that redelivers means one of the newest ids. A plain id could be taken for a message of 65,535 messages
    ago with the same topic and payload, which is common with values that don't change, and a reading would be lost.
    newest: greatest MQTT tag in the input log, 0 for none.
    """

    def __init__(self, newest: int) -> None:
        self.newest = max(newest, 1 << 16)

    def of(self, packet_id: int) -> int:
        """The number of a packet id (1..65535)."""
        number = self.newest + ((packet_id - self.newest + _HALF) & 0xFFFF) - _HALF
        self.newest = max(self.newest, number)
        return number

    def forget(self) -> None:
        """The broker begins a new session: its ids mean nothing of before."""
        self.newest = ((self.newest >> 16) + 2) << 16


def coap_tag(remote: str, token: bytes, message_id: int) -> int:
    """The tag of a request: RFC 7252 4.4, 4.5: a message id is unique for its endpoint within EXCHANGE_LIFETIME."""
    digest = blake2b(b"\0".join((remote.encode(), message_id.to_bytes(2, "big"), token)), digest_size=8)
    return int.from_bytes(digest.digest(), "big") | COAP


def newest_mqtt(tags: Iterable[int]) -> int:
    """What DeliveryNumbers begins with after a restart: the greatest MQTT tag among those in the log; 0 for none."""
    return max((tag for tag in tags if not tag & COAP), default=0)
