"""Shell: receives batches over MQTT, stores a bunch of them in one commit, then acknowledges.

The order is what keeps data: commit, signed acknowledgement to the board, acknowledgement to the broker. A collector
that dies between any two of them makes the board or the broker send again, and the database knows what it has.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgeagent.errors import ConfigError, DamagedError, EdgeAgentError
from edgeagent.host.clock import Clock, SystemClock
from edgeagent.host.disk import DiskFiles
from edgeagent.seal.ack import make_acks
from edgeagent.seal.batch import MAX_SEALED
from edgeagent.seal.cose import Agree
from edgeagent.seal.keys import SigningKey, agree_with
from edgeagent.seal.keystore import KeyStore
from edgeagent.uplink import topics
from edgeagent.uplink.link import Broker, Link, Lost, Message

from .keyring import KeyRing
from .receive import Received, Refusal, Refused, board_of, receive
from .store import Store, Written

BUNCH = 64
"""Batches of one commit at most."""
RECEIVE_MAXIMUM = 128
"""Batches that the broker may send before the first is acknowledged: the queue in front of the database."""
RETRY_FIRST_S, RETRY_LONGEST_S = 1.0, 30.0
"""Waits for a database or broker that is away."""
STATUS_S = 60.0
REFUSED_EVERY_S = 10.0
"""How often each reason of refusal is told."""
GAPS_MS = 86_400_000
"""The status counts gaps among the batches of this long."""
MAX_PACKET = MAX_SEALED + 1024
"""Bytes of a packet that the broker may send: a batch, its topic and properties."""
SESSION_S = 7 * 86_400
"""How long the broker keeps the session of a collector with a name."""

Emit = Callable[[dict[str, Any]], None]
"""Takes an event for people or machines: {"event": ..., ...}."""


@dataclass(frozen=True, slots=True)
class CollectorConfig:
    """database and broker are URLs; keys is a folder that `edgeagent keys init --role collector` made."""

    database: str
    broker: Broker
    keys: Path
    emit: Emit
    clock: Clock = field(default_factory=SystemClock)
    status_every: float = STATUS_S


def broker_of(url: str, name: str = "", **access: Any) -> Broker:
    """How a collector connects; access: user, password_file, ca, certificate, key.

    With a name the broker keeps its session, so that it may be away where boards trust the broker to keep batches.
    Without one it leaves nothing behind, and the other collectors get all at once.
    """
    return Broker(
        url,
        f"edgeagent-collector-{name or secrets.token_hex(8)}",
        session_expiry=SESSION_S if name else 0,
        receive_maximum=RECEIVE_MAXIMUM,
        maximum_packet=MAX_PACKET,
        **access,
    )


@dataclass(slots=True)
class Counts:
    """Since the start."""

    batches: int = 0
    repeated: int = 0
    summaries: int = 0
    reports: int = 0
    bytes: int = 0
    refused: Counter[Refusal] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class _Outcome:
    written: Written
    stored: Sequence[Received]
    refused: Sequence[Refused]


class Collector:
    """Moves batches from a Link into a Store. One connection at a time; ``run`` lasts until it is cancelled."""

    def __init__(self, config: CollectorConfig, store: Store, signer: SigningKey, agree: Agree) -> None:
        self.counts = Counts()
        self._config = config
        self._store = store
        self._signer = signer
        self._agree = agree
        self._ring = KeyRing(store.keys, time.monotonic)
        self._told: dict[Refusal, tuple[float, int]] = {}
        self._connected = False

    def _emit(self, event: str, **values: Any) -> None:
        self._config.emit({"event": event, "time_ms": self._config.clock.now_ms(), **values})

    async def run(self) -> None:
        """The first connection must succeed (UnreachableError); later ones are tried for ever."""
        link = await self._connect()
        status = asyncio.create_task(self._report())
        try:
            while True:
                try:
                    await self._serve(link)
                finally:
                    self._connected = False
                    await asyncio.shield(link.close())
                link = await self._reconnect()
        finally:
            status.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await status

    async def _connect(self) -> Link:
        link = await Link.connect(self._config.broker, [topics.SHARED_BATCHES])
        self._connected = True
        self._emit("connected", broker=link.where)
        return link

    async def _reconnect(self) -> Link:
        wait = RETRY_FIRST_S
        while True:
            await asyncio.sleep(wait)
            try:
                return await self._connect()
            except ConfigError:
                raise
            except EdgeAgentError as error:
                self._emit("broker", error=str(error))
                wait = min(2 * wait, RETRY_LONGEST_S)

    async def _serve(self, link: Link) -> None:
        while True:
            events = [await link.event(), *link.events_now(BUNCH - 1)]
            messages = [event for event in events if isinstance(event, Message)]
            if messages:
                outcome = await self._stored(messages)
                self._acknowledge(link, outcome)
                for message in messages:
                    link.acknowledge(message)
            for event in events:
                if isinstance(event, Lost):
                    self._emit("broker", error=event.words)
                    return

    async def _stored(self, messages: Sequence[Message]) -> _Outcome:
        """Store a bunch, however long the database is away; the broker keeps the rest meanwhile."""
        wait = RETRY_FIRST_S
        while True:
            work = asyncio.ensure_future(asyncio.to_thread(self._store_bunch, messages))
            try:
                outcome = await asyncio.shield(work)
            except asyncio.CancelledError:
                # A commit can't be cancelled: let it end before the store is closed.
                with contextlib.suppress(EdgeAgentError):
                    await work
                raise
            except EdgeAgentError as error:
                self._emit("database", error=str(error))
                await asyncio.sleep(wait)
                wait = min(2 * wait, RETRY_LONGEST_S)
            else:
                return outcome

    def _store_bunch(self, messages: Sequence[Message]) -> _Outcome:
        results = [self._open(message) for message in messages]
        received = [one for one in results if isinstance(one, Received)]
        refused = [one for one in results if isinstance(one, Refused)]
        written = Written(0, 0, 0, 0)
        now = self._config.clock.now_ms()
        if received:
            try:
                written = self._store.write(received, now)
            except DamagedError:
                # Something in one batch can't be stored: it must not keep the others out.
                kept, parts = [], []
                for one in received:
                    try:
                        parts.append(self._store.write([one], now))
                        kept.append(one)
                    except DamagedError as error:
                        refused.append(Refused(Refusal.DAMAGED, one.batch.head.board, str(error)))
                received, written = kept, _total(parts)
        return _Outcome(written, received, refused)

    def _open(self, message: Message) -> Received | Refused:
        board = board_of(message.topic)
        keys = self._ring.keys(board) if board else None
        result = receive(message.topic, message.payload, agree=self._agree, keys=keys)
        if (
            board
            and isinstance(result, Refused)
            and result.reason in (Refusal.UNKNOWN_BOARD, Refusal.UNKNOWN_KEY)
        ):
            again = self._ring.keys(board, doubtful=True)
            if again is not keys:
                result = receive(message.topic, message.payload, agree=self._agree, keys=again)
        return result

    def _acknowledge(self, link: Link, outcome: _Outcome) -> None:
        spools: dict[tuple[str, bytes], list[int]] = {}
        for one in outcome.stored:
            head = one.batch.head
            spools.setdefault((head.board, head.spool_id), []).append(head.number)
        for (board, spool_id), numbers in spools.items():
            topic = topics.ack(board)
            for ack in make_acks(board, spool_id, numbers, signer=self._signer, topic=topic):
                link.publish(topic, ack)
        written, counts = outcome.written, self.counts
        counts.batches += written.batches
        counts.repeated += written.repeated
        counts.summaries += written.summaries
        counts.reports += written.reports
        size = sum(one.size for one in outcome.stored)
        counts.bytes += size
        if outcome.stored:
            self._emit(
                "stored",
                batches=written.batches,
                repeated=written.repeated,
                summaries=written.summaries,
                reports=written.reports,
                bytes=size,
            )
        for refused in outcome.refused:
            self._tell(refused)

    def _tell(self, refused: Refused) -> None:
        self.counts.refused[refused.reason] += 1
        now = time.monotonic()
        at, before = self._told.get(refused.reason, (float("-inf"), 0))
        if now - at >= REFUSED_EVERY_S:
            count = self.counts.refused[refused.reason]
            self._told[refused.reason] = (now, count)
            self._emit(
                "refused",
                reason=refused.reason.value,
                board=refused.board,
                detail=refused.detail,
                count=count - before,
            )

    async def _report(self) -> None:
        while True:
            await asyncio.sleep(self._config.status_every)
            with contextlib.suppress(EdgeAgentError):  # the writer tells what is wrong with the database
                since = self._config.clock.now_ms() - GAPS_MS
                gaps = await asyncio.to_thread(self._store.gaps, since)
                counts = self.counts
                self._emit(
                    "status",
                    connected=self._connected,
                    batches=counts.batches,
                    repeated=counts.repeated,
                    summaries=counts.summaries,
                    reports=counts.reports,
                    bytes=counts.bytes,
                    refused={reason.value: count for reason, count in counts.refused.items()},
                    gaps=len(gaps),
                )


def _total(parts: Iterable[Written]) -> Written:
    rows = [(one.batches, one.repeated, one.summaries, one.reports) for one in parts]
    return Written(*map(sum, zip(*rows, strict=True))) if rows else Written(0, 0, 0, 0)


async def run_collector(config: CollectorConfig) -> None:
    """Collect until cancelled; everything is closed when it returns.

    Raises EdgeAgentError when it can't begin: no keys, wrong database, unreachable broker.
    """
    keys = KeyStore(DiskFiles(), config.keys)
    signer, agree = keys.signer(), agree_with(keys.opening_keys())
    store = await asyncio.to_thread(Store, config.database)
    try:
        await Collector(config, store, signer, agree).run()
    finally:
        store.close()
