"""Shell: the uplink over MQTT. Publishes what delivery.py says, hands acknowledgements back, connects again."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol, TypeVar

from edgeagent.errors import ConfigError, EdgeAgentError, RemoteProtocolError
from edgeagent.seal.ack import read_ack
from edgeagent.seal.keys import VerifyKey, lookup

from . import topics
from .delivery import Delivery, Limits, Spool
from .link import FAILURE, NO_SUBSCRIBERS, Broker, Event, Link, Lost, Message, Published

RECONNECT_FIRST_S = 1.0
RECONNECT_LONGEST_S = 60.0
IDLE_S = 60.0
"""Longest sleep; everything has an event, this only bounds what a lost one could cost."""
EVENTS_AT_ONCE = 256
LOG_EVERY_S = 60.0
"""How often the same kind of trouble is logged."""

log = logging.getLogger(__name__)

T = TypeVar("T")


class Writer(Protocol):
    """Runs a function where the spool may be read and changed, and waits for it."""

    async def __call__(self, work: Callable[[], T], /) -> T:
        """What work returns, or its exception."""


@dataclass(frozen=True, slots=True)
class UplinkConfig:
    """board and spool_id name the spool; acknowledge is "collector" or "broker" (see [uplink] of the configuration)."""

    broker: Broker
    board: str
    spool_id: bytes
    acknowledge: str = "collector"
    collector_keys: tuple[VerifyKey, ...] = ()
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, slots=True)
class UplinkStatus:
    """For `edgeagent status`. error is the last trouble, one line, "" while all is well.

    aside: batches under way that were repeated in vain and keep no others back (delivery.py).
    silent_s: seconds that batches under way have waited for any acknowledgement.
    """

    state: str
    error: str
    sent: int
    repeated: int
    acknowledged: int
    under_way: int
    aside: int
    bytes_out: int
    refused_acks: int
    silent_s: float

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


class Uplink:
    """One board's uplink. ``run`` lasts until it is cancelled; ``wake`` says that the spool has something new."""

    def __init__(
        self,
        config: UplinkConfig,
        spool: Spool,
        writer: Writer,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config = config
        self._writer = writer
        self._monotonic = monotonic
        self._delivery = Delivery(spool, config.limits)
        self._key_of = lookup(config.collector_keys)
        self._batch_topic = topics.batch(config.board)
        self._ack_topic = topics.ack(config.board)
        self._wake = asyncio.Event()
        self._by_mid: dict[int, int] = {}
        self._state = "connecting"
        self._error = ""
        self._refused_acks = 0
        self._heard_at = monotonic()
        self._logged_at = float("-inf")

    def wake(self) -> None:
        """A batch was added to the spool. On the event loop."""
        self._wake.set()

    @property
    def status(self) -> UplinkStatus:
        """Now."""
        counts = self._delivery.counts
        return UplinkStatus(
            self._state,
            self._error,
            counts.sent,
            counts.repeated,
            counts.acknowledged,
            self._delivery.under_way,
            self._delivery.aside,
            counts.bytes,
            self._refused_acks,
            self._monotonic() - self._heard_at if self._delivery.under_way else 0.0,
        )

    async def run(self) -> None:
        """Connect, deliver, and again, until cancelled. Only a ConfigError ends it."""
        wait = RECONNECT_FIRST_S
        while True:
            self._state = "connecting"
            before = self._delivery.counts.acknowledged
            try:
                link = await Link.connect(self._config.broker, [self._ack_topic])
            except EdgeAgentError as error:
                if isinstance(error, ConfigError):
                    raise
                self._trouble(str(error))
            else:
                try:
                    await self._deliver(link)
                except (OSError, EdgeAgentError) as error:
                    self._trouble(f"the spool can't be used: {error}")
                finally:
                    self._delivery.disconnected()
                    await asyncio.shield(link.close())
            # A connection that brought nothing is no reason to hurry: what it sent may be what ends it.
            if self._delivery.counts.acknowledged > before:
                wait = RECONNECT_FIRST_S
            self._state = "waiting"
            await asyncio.sleep(wait)
            wait = min(2 * wait, RECONNECT_LONGEST_S)

    def _trouble(self, words: str) -> None:
        self._error = words
        now = self._monotonic()
        if now - self._logged_at >= LOG_EVERY_S:
            self._logged_at = now
            log.warning("uplink: %s", words)

    async def _deliver(self, link: Link) -> None:
        self._by_mid.clear()
        self._delivery.connected(self._monotonic())
        self._state, self._error = "connected", ""
        log.info("uplink: connected to %s", link.where)
        next_event: asyncio.Task[Event] = asyncio.create_task(link.event())
        try:
            while True:
                self._wake.clear()
                await self._send(link)
                woken = asyncio.create_task(self._wake.wait())
                try:
                    await asyncio.wait(
                        (next_event, woken), timeout=self._sleep(), return_when=asyncio.FIRST_COMPLETED
                    )
                finally:
                    woken.cancel()
                if next_event.done():
                    events = [next_event.result(), *link.events_now(EVENTS_AT_ONCE)]
                    next_event = asyncio.create_task(link.event())
                    await self._take(link, events)
                    if any(isinstance(event, Lost) for event in events):
                        return
        finally:
            next_event.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await next_event

    def _sleep(self) -> float:
        due = self._delivery.next_due()
        return IDLE_S if due is None else min(IDLE_S, max(0.0, due - self._monotonic()))

    async def _send(self, link: Link) -> None:
        now = self._monotonic()
        if not self._delivery.under_way:
            self._heard_at = now
        for number, data in await self._writer(lambda: self._delivery.due(now)):
            self._by_mid[link.publish(self._batch_topic, data)] = number

    async def _take(self, link: Link, events: Sequence[Event]) -> None:
        done: list[Callable[[int], bool]] = []
        for event in events:
            match event:
                case Published():
                    done += self._published(event)
                case Message():
                    done += self._acked(event.payload)
                    link.acknowledge(event)
                case Lost(words):
                    self._trouble(words)
        if done:
            now = self._monotonic()
            await self._writer(
                lambda: self._delivery.acknowledged(
                    lambda number: any(covers(number) for covers in done), now
                )
            )
            self._error, self._heard_at = "", now

    def _published(self, event: Published) -> list[Callable[[int], bool]]:
        number = self._by_mid.pop(event.mid, None)
        if event.code >= FAILURE:
            self._trouble(f"the broker refuses batches on {self._batch_topic}: {event.words}")
        elif self._config.acknowledge == "broker":
            if event.code == NO_SUBSCRIBERS:
                self._trouble("no collector is subscribed, so the broker keeps nothing")
            elif number is not None:
                return [number.__eq__]
        return []

    def _acked(self, data: bytes) -> list[Callable[[int], bool]]:
        if self._config.acknowledge == "broker":
            return []
        try:
            ack = read_ack(data, board=self._config.board, key_of=self._key_of, topic=self._ack_topic)
        except RemoteProtocolError as error:
            self._refused_acks += 1
            self._trouble(f"an acknowledgement is refused: {error}")
            return []
        # An old spool's numbers say nothing about this one's.
        return [ack.covers] if ack.spool_id == self._config.spool_id else []
