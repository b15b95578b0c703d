"""MQTT shell: keeps one connection to the broker and moves what it brings into the intake."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from edgeagent.errors import ConfigError, EdgeAgentError, UnreachableError

from . import mqtt_errors
from .backoff import Backoff
from .delivery import DeliveryNumbers
from .intake import Intake, Taken
from .mqtt_core import MqttReceiver
from .mqtt_events import DUP, RETAIN, Connected, Oversized, Pong, Publish, Refused, Subscribed
from .mqtt_packets import MQTT_5, Connect, Subscription

CHUNK = 65_536
"""Bytes taken from the socket at once: the most that is handed in after the intake became full."""
CONNECT_TIMEOUT_S = 15.0
"""For the name, TCP and TLS, and again for CONNACK."""
PING_AFTER = 0.75
"""Of the keepalive; twice this without a byte means that the broker is gone."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class MqttSettings:
    """Broker and subscriptions. Times are seconds; the rest is as in [mqtt] of the configuration."""

    url: str
    client_id: str
    subscriptions: tuple[Subscription, ...]
    version: int = MQTT_5
    user: str = ""
    password_file: Path | None = None
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    keepalive: int = 60
    session_expiry: int = 7 * 86_400
    receive_maximum: int = 2048
    take_retained: bool = False


@dataclass(slots=True)
class MqttStatus:
    """Counted since the source was made."""

    broker: str
    state: str = "idle"
    """idle, connecting, connected, paused (the input log is full), waiting (for the next attempt), stopped."""
    last_error: str = ""
    messages: int = 0
    bytes: int = 0
    """Off the connection, after TLS."""
    duplicates: int = 0
    dropped: int = 0
    """By the intake's policy, of those handed in."""
    oversized: int = 0
    retained: int = 0
    """Old values that were not wanted."""
    connects: int = 0
    sessions_lost: int = 0
    unacknowledged: int = 0
    """QoS 1 messages of this connection that wait to be durable."""
    refused_filters: dict[str, str] = field(default_factory=dict)
    """Topic filters that the broker refused, and why."""


class MqttSource:
    """Receives from one broker until cancelled.

    newest_tag: the greatest MQTT tag in the input logs (delivery.newest_mqtt), 0 for none; jitter: numbers in [0, 1).
    ConfigError if a file that the settings name can't be used.
    """

    def __init__(
        self, settings: MqttSettings, intake: Intake, *, newest_tag: int, jitter: Callable[[], float]
    ) -> None:
        parts = urlsplit(settings.url)
        self._tls = parts.scheme == "mqtts"
        try:
            self._host, self._port = parts.hostname or "", parts.port or (8883 if self._tls else 1883)
        except ValueError as error:
            raise ConfigError("no broker's address", where=settings.url, remedy="Correct mqtt.url") from error
        if parts.scheme not in {"mqtt", "mqtts"} or not self._host:
            raise ConfigError("no broker's address", where=settings.url, remedy="Write mqtt://HOST[:PORT]")
        self._settings = settings
        self._context = (
            mqtt_errors.tls_context(settings.ca, settings.certificate, settings.key) if self._tls else None
        )
        if settings.password_file:
            mqtt_errors.read_password(settings.password_file)
        self._backoff = Backoff(jitter)
        self.status = MqttStatus(f"{parts.scheme}://{self._host}:{self._port}")
        self.intake = intake
        self.numbers = DeliveryNumbers(newest_tag)
        self.buffer = bytearray(CHUNK)
        self.subscriptions = settings.subscriptions
        self.take_retained = settings.take_retained
        self.session_expected = newest_tag > 0 and settings.session_expiry > 0
        self.subscribed = False

    async def run(self) -> None:
        """Connect, receive, and connect again, until cancelled; what the intake raises ends it too."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                await self._until_roomy()
                began = loop.time()
                try:
                    await self._connection()
                except (EdgeAgentError, OSError, EOFError) as raised:
                    error = mqtt_errors.explain(raised, self.status.broker, tls=self._tls)
                    lived = loop.time() - began if self.status.state in {"connected", "paused"} else 0.0
                    self.status.state = "waiting"
                    if str(error) != self.status.last_error or lived:
                        _log.warning("%s", error)
                    self.status.last_error = str(error)
                    await asyncio.sleep(self._backoff.after(lived))
        finally:
            self.status.state = "stopped"

    async def _until_roomy(self) -> None:
        if self.intake.full:
            self.status.state = "paused"
            roomy = asyncio.Event()
            self.intake.when_roomy(roomy.set)
            await roomy.wait()

    def _options(self) -> Connect:
        one = self._settings
        return Connect(
            one.client_id,
            version=one.version,
            user=one.user or None,
            password=mqtt_errors.read_password(one.password_file) if one.password_file else None,
            clean_start=one.session_expiry == 0,
            keepalive=one.keepalive,
            session_expiry=one.session_expiry,
            receive_maximum=one.receive_maximum,
        )

    async def _connection(self) -> None:
        """One connection, from its making to its end, which is always an exception."""
        self.status.state = "connecting"
        loop = asyncio.get_running_loop()
        link = _Link(self, MqttReceiver(self._options()), loop)
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            transport, _ = await loop.create_connection(
                lambda: link, self._host, self._port, ssl=self._context or None
            )
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                keepalive = await link.accepted
            await link.keep_alive(keepalive)
        finally:
            link.close()
            transport.close()

    def take_connected(self, event: Connected) -> bool:
        """Note what CONNACK says; whether to subscribe."""
        status, settings = self.status, self._settings
        status.state, status.last_error = "connected", ""
        status.connects += 1
        if not event.session_present:
            self.numbers.forget()
            if self.session_expected:
                status.sessions_lost += 1
                _log.warning(
                    "%s: the broker forgot our session: messages sent while we were away may be lost. Check its "
                    "persistence and session limits, and that no other client uses the client id %s",
                    status.broker,
                    settings.client_id,
                )
        self.session_expected = settings.session_expiry > 0
        # Subscribing again in 3.1.1 would bring retained messages again; in 5 Retain Handling says not to.
        return not (event.session_present and self.subscribed and settings.version != MQTT_5)

    def take_subscribed(self, event: Subscribed) -> None:
        """Note what SUBACK says."""
        self.subscribed = True
        self.status.refused_filters.update(event.failed)
        for topic_filter, why in event.failed:
            self.status.last_error = f"{self.status.broker}: the broker refuses {topic_filter}: {why}"
            _log.error("%s", self.status.last_error)
        asked = {one.filter: one.qos for one in self.subscriptions}
        for topic_filter, qos in event.granted:
            self.status.refused_filters.pop(topic_filter, None)
            if qos < asked[topic_filter]:
                _log.warning("%s: only QoS %d for %s", self.status.broker, qos, topic_filter)


class _Link(asyncio.BufferedProtocol):
    """One connection: moves bytes to the core, messages to the intake and acknowledgements back."""

    transport: asyncio.Transport

    def __init__(self, source: MqttSource, core: MqttReceiver, loop: asyncio.AbstractEventLoop) -> None:
        self.accepted: asyncio.Future[int] = loop.create_future()
        self._lost: asyncio.Future[None] = loop.create_future()
        self._source = source
        self._core = core
        self._view = memoryview(source.buffer)
        self._paused = False
        self._heard = True
        self._closed = False

    def close(self) -> None:
        """Say goodbye if that's still possible; acknowledgements that come later are not sent."""
        if not self._closed and self.accepted.done() and not self._core.failure:
            self._send(self._core.disconnect)
        self._closed = True
        self._source.status.unacknowledged = 0
        for future in (self.accepted, self._lost):
            if future.done() and not future.cancelled():
                future.exception()
            future.cancel()

    async def keep_alive(self, keepalive: int) -> None:
        """Ping until the connection is lost; raises why."""
        period = keepalive * PING_AFTER or None
        while True:
            done, _ = await asyncio.wait((self._lost,), timeout=period)
            if done:
                return self._lost.result()
            # Paused, we don't read, so we can't know that the broker is silent.
            if not self._heard and not self._paused:
                raise UnreachableError(
                    f"no answer for {2 * PING_AFTER * keepalive:.0f} s",
                    where=self._source.status.broker,
                    remedy="Check the network and the broker",
                )
            self._heard = False
            self._send(self._core.ping)

    # ---- asyncio -------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send CONNECT."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101
        self.transport = transport
        self._send(self._core.connect)

    def connection_lost(self, exc: Exception | None) -> None:
        """End, with the reason."""
        self._end(exc or EOFError())

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002
        """Where the next bytes go; one buffer for all connections of the source."""
        return self._view

    def buffer_updated(self, nbytes: int) -> None:
        """Take a chunk apart; hand its messages in; acknowledge them once they're durable."""
        self._heard = True
        try:
            self._take(bytes(self._view[:nbytes]))
        except Exception as error:  # noqa: BLE001  # it ends run(), not just this callback
            self._end(error)

    # ---- the hot path --------------------------------------------------------------------------------------------

    def _take(self, data: bytes) -> None:
        source, core = self._source, self._core
        status, intake, number_of = source.status, source.intake, source.numbers.of
        add, logged, take_retained = intake.add, Taken.LOGGED, source.take_retained
        acknowledge: list[int] = []
        status.bytes += len(data)
        for event in core.receive(data):
            if type(event) is not tuple:
                self._rare(event, acknowledge)
                continue
            topic, payload, content_format, packet_id, flags = event
            status.messages += 1
            if packet_id:
                acknowledge.append(packet_id)
            if not flags:
                became = add(topic, payload, content_format, packet_id and number_of(packet_id))
            elif flags & RETAIN and not take_retained:
                status.retained += 1
                continue
            else:
                tag = packet_id and number_of(packet_id)
                became = add(topic, payload, content_format, tag, maybe_duplicate=bool(flags & DUP))
            if became is not logged:
                self._not_logged(became)
        if acknowledge:
            status.unacknowledged += len(acknowledge)
            answer, count = core.acknowledge(acknowledge), len(acknowledge)
            intake.when_durable(lambda: self._acknowledge(answer, count))
        if core.failure:
            raise core.failure
        if intake.full and not self._paused:
            self._paused = True
            status.state = "paused"
            self.transport.pause_reading()
            intake.when_roomy(self._resume)

    def _acknowledge(self, answer: bytes, count: int) -> None:
        # After the end of this connection the broker delivers them again, to the next one.
        if not self._closed:
            self._source.status.unacknowledged -= count
            self.transport.write(answer)

    def _resume(self) -> None:
        if self._closed:
            return
        if self._source.intake.full:
            self._source.intake.when_roomy(self._resume)
            return
        self._paused = False
        self._heard = True
        self._source.status.state = "connected"
        self.transport.resume_reading()

    # ---- the rest ------------------------------------------------------------------------------------------------

    def _not_logged(self, became: Taken) -> None:
        if became is Taken.DUPLICATE:
            self._source.status.duplicates += 1
        else:
            self._source.status.dropped += 1

    def _rare(
        self, event: Connected | Refused | Subscribed | Oversized | Pong | Publish, acknowledge: list[int]
    ) -> None:
        source = self._source
        match event:
            case Connected():
                if source.take_connected(event):
                    self.transport.write(self._core.subscribe(source.subscriptions))
                if not self.accepted.done():
                    self.accepted.set_result(event.keepalive)
            case Subscribed():
                source.take_subscribed(event)
            case Oversized():
                source.status.oversized += 1
                _log.warning("%s: dropped %d bytes of %.80r", source.status.broker, event.size, event.topic)
                if event.packet_id:
                    acknowledge.append(event.packet_id)
            case Refused():
                self._end(mqtt_errors.refused(event, source.status.broker))

    def _send(self, command: Callable[[], bytes]) -> None:
        if not self.transport.is_closing():
            self.transport.write(command())

    def _end(self, error: Exception) -> None:
        """Let run() see why, and stop reading."""
        self._closed = True
        for future in (self.accepted, self._lost):
            if not future.done():
                future.set_exception(error)
        self.transport.close()
