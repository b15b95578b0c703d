"""Seals a unit's outputs and puts them into the spool; shows the spool to the uplink."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256

from edgeagent.journal.spool import Spool
from edgeagent.seal.batch import CIPHERS, Head, seal_batch
from edgeagent.seal.keys import BoxKey, SigningKey
from edgeagent.unit.ports import LaneId, Output, Writer
from edgeagent.uplink import topics

_log = logging.getLogger("spool")


def epoch_of(spool_id: bytes, lane: int) -> int:
    """Names a lane's numbering of outputs: a new spool begins new ones. 63 bits, as databases have them."""
    name = sha256(spool_id + lane.to_bytes(2, "big")).digest() if lane else spool_id
    return int.from_bytes(name[:8], "big") >> 1


@dataclass(frozen=True, slots=True)
class Sealing:
    """As whom and for whom batches are sealed."""

    board: str
    signer: SigningKey
    recipients: Sequence[BoxKey]
    cipher: str


class SealedBatches:
    """Implements the pipelines' Batches and the uplink's Spool. apps: image's app by unit."""

    def __init__(self, spool: Spool, sealing: Sealing, writer: Writer, apps: dict[str, str]) -> None:
        self.stored = 0
        self.bytes_sealed = 0
        self.on_new: Callable[[], None] = lambda: None
        """Called in the loop's thread when a batch was added."""
        self.on_room: Callable[[], None] = lambda: None
        """Called in the writer's thread when acknowledged batches were removed."""
        self._spool = spool
        self._sealing = sealing
        self._writer = writer
        self._apps = apps

    @property
    def full(self) -> bool:
        """See unit.ports.Batches."""
        return self._spool.full

    async def store(self, lane: LaneId, outputs: Sequence[Output]) -> None:
        """See unit.ports.Batches."""
        self.bytes_sealed += await self._writer(lambda: self._append(lane, outputs))
        self.stored += 1
        self.on_new()

    def _append(self, lane: LaneId, outputs: Sequence[Output]) -> int:
        spool, sealing = self._spool, self._sealing
        first, last = outputs[0], outputs[-1]
        head = Head(
            sealing.board,
            spool.spool_id,
            spool.last_number + 1,
            lane.unit,
            self._apps[lane.unit],
            epoch_of(spool.spool_id, lane.index),
        )
        data = seal_batch(
            head,
            outputs,
            signer=sealing.signer,
            recipients=sealing.recipients,
            topic=topics.batch(sealing.board),
            entropy=os.urandom,
            cipher=CIPHERS[sealing.cipher],
        )
        spool.append(str(lane), first.out, last.out, last.seq, data)
        spool.commit(sync=True)
        with contextlib.suppress(OSError):
            spool.trim()
        return len(data)

    # ---- seen from the uplink, in the writer's thread ------------------------------------------------------------

    def pending(self, after: int) -> Iterable[tuple[int, bytes]]:
        """See uplink.delivery.Spool."""
        return self._spool.pending(after)

    def acknowledge(self, numbers: Iterable[int]) -> None:
        """See uplink.delivery.Spool. A disk that can't take the note is asked again with the next batch."""
        self._spool.acknowledge(numbers)
        try:
            # Not synced: the note may be lost, and then a batch is sent again. The next batch's sync takes it along.
            self._spool.commit(sync=False)
            self._spool.trim()
        except OSError as error:
            _log.warning("acknowledgements can't be written down: %s", error)
        self.on_room()
