"""Core: puts the blocks of large CoAP requests together (RFC 7959, Block1), within bounds.

aiocoap would do it, but without any bound on what a sender may make us hold.
"""

from __future__ import annotations

import enum
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final

from edgeagent.wire.messages import MAX_PAYLOAD

MAX_TRANSFERS: Final = 64
"""Transfers under way; together at most MAX_TRANSFERS * MAX_PAYLOAD bytes. One more throws out the one idle longest."""
IDLE_S: Final = 93.0
"""MAX_TRANSMIT_WAIT (RFC 7252 4.8.2): a sender that was silent so long doesn't go on."""


class Outcome(enum.Enum):
    """What to answer to a block that doesn't complete a request."""

    CONTINUE = "2.31"
    INCOMPLETE = "4.08"
    TOO_LARGE = "4.13"


@dataclass(slots=True)
class _Transfer:
    payload: bytearray
    last: float


class Blocks:
    """Transfers by key: endpoint, method, path and format. Time is an argument, in seconds."""

    def __init__(self) -> None:
        self._transfers: dict[Hashable, _Transfer] = {}

    @property
    def held(self) -> int:
        """Bytes of transfers under way."""
        return sum(len(one.payload) for one in self._transfers.values())

    def feed(self, key: Hashable, start: int, payload: bytes, now: float, *, more: bool) -> bytes | Outcome:
        """The whole payload after the last block. start: where in it this block stands."""
        if start + len(payload) > MAX_PAYLOAD:
            self._transfers.pop(key, None)
            return Outcome.TOO_LARGE
        if start == 0:
            transfer = self._begin(key, now)
        else:
            known = self._transfers.get(key)
            if known is None or now - known.last > IDLE_S or start != len(known.payload):
                self._transfers.pop(key, None)
                return Outcome.INCOMPLETE
            transfer = known
        transfer.payload += payload
        transfer.last = now
        if more:
            return Outcome.CONTINUE
        del self._transfers[key]
        return bytes(transfer.payload)

    def _begin(self, key: Hashable, now: float) -> _Transfer:
        self._transfers.pop(key, None)
        if len(self._transfers) >= MAX_TRANSFERS:
            oldest = min(self._transfers, key=lambda one: self._transfers[one].last)
            del self._transfers[oldest]
        transfer = self._transfers[key] = _Transfer(bytearray(), now)
        return transfer
