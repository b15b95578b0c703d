"""One MQTT 5 connection over paho, for boards and collectors: paho's thread on one side, asyncio on the other.

A Link lives for one connection; whoever uses it makes a new one after a loss, so that nothing is resent behind its
back. Events pass between the threads through HANDOVER places: when asyncio is slow, paho's thread waits, and TCP slows
the broker.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from edgeagent.errors import ConfigError, EnvironmentFaultError, UnreachableError

HANDOVER = 1024
"""Events between paho's thread and asyncio."""
CONNECT_S = 10.0
"""Longest wait for a connection and its subscriptions."""
KEEPALIVE_S = 30
SHUTDOWN_POLL_S = 0.2
"""How often paho's thread, waiting for a place, looks whether the link is closed."""
MAX_PASSWORD = 4096
FAILURE = 0x80
"""Reason codes from here on are failures (MQTT 5, 2.4)."""
NO_SUBSCRIBERS = 0x10
PORTS = {"mqtt": 1883, "mqtts": 8883}


@dataclass(frozen=True, slots=True)
class Will:
    """What the broker publishes for us, retained, when we are gone without a goodbye (MQTT 5, 3.1.2.5)."""

    topic: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Broker:
    """Where and as whom to connect. session_expiry: seconds that the broker keeps our session; 0 starts clean.

    receive_maximum: messages, maximum_packet: bytes that the broker may send us (MQTT 5, 3.1.2.11).
    """

    url: str
    client_id: str
    user: str = ""
    password_file: Path | None = None
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    session_expiry: int = 0
    receive_maximum: int = 64
    maximum_packet: int = 64 << 10
    will: Will | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """A publication for us; mid and qos are what ``Link.acknowledge`` wants."""

    mid: int
    qos: int
    topic: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Published:
    """The broker answered a publication of ours; code is its reason code."""

    mid: int
    code: int
    words: str


@dataclass(frozen=True, slots=True)
class Lost:
    """The connection is gone; the last event."""

    words: str


Event = Message | Published | Lost


def address(url: str) -> tuple[str, int, bool]:
    """Host, port, and whether it is TLS. ConfigError for anything but mqtt:// and mqtts://."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme not in PORTS or not parts.hostname:
        raise ConfigError(
            f"{url!r} is no broker", remedy="Give mqtt://HOST[:PORT], or mqtts://HOST[:PORT] for TLS."
        )
    return parts.hostname, port or PORTS[parts.scheme], parts.scheme == "mqtts"


def read_password(path: Path) -> str:
    """The first line of a file. EnvironmentFaultError when it can't be read."""
    try:
        with path.open("rb") as file:
            return file.read(MAX_PASSWORD).partition(b"\n")[0].rstrip(b"\r").decode()
    except (OSError, UnicodeDecodeError) as error:
        words = error.strerror if isinstance(error, OSError) else "it is no UTF-8"
        raise EnvironmentFaultError(f"the password file can't be read: {words}", where=str(path)) from error


def _tls(broker: Broker) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=str(broker.ca) if broker.ca else None)
        if broker.certificate:
            context.load_cert_chain(broker.certificate, broker.key)
    except (OSError, ssl.SSLError) as error:
        names = ", ".join(str(path) for path in (broker.ca, broker.certificate, broker.key) if path)
        raise EnvironmentFaultError(
            f"the certificates can't be used: {error.strerror or error}",
            where=names or "system's CA certificates",
        ) from error
    return context


class Link:
    """A connection that stands, from ``connect`` to ``close``. All methods are called on the event loop."""

    def __init__(self, broker: Broker, loop: asyncio.AbstractEventLoop) -> None:
        host, port, secure = address(broker.url)
        self._broker = broker
        self._host, self._port = host, port
        self._loop = loop
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        self._places = threading.Semaphore(HANDOVER)
        self._closed = threading.Event()
        self._ready: asyncio.Future[None] = loop.create_future()
        self._filters: Sequence[str] = ()
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            broker.client_id,
            protocol=MQTTProtocolVersion.MQTTv5,
            reconnect_on_failure=False,
            manual_ack=True,
        )
        client.connect_timeout = CONNECT_S
        client.max_inflight_messages_set(0xFFFF)
        if broker.user:
            client.username_pw_set(
                broker.user, read_password(broker.password_file) if broker.password_file else None
            )
        if broker.will:
            client.will_set(broker.will.topic, broker.will.payload, qos=1, retain=True)
        if secure:
            client.tls_set_context(_tls(broker))
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        client.on_publish = self._on_publish
        client.on_disconnect = self._on_disconnect
        self._client = client

    @property
    def where(self) -> str:
        """For messages to people."""
        return f"{self._host}:{self._port}"

    @classmethod
    async def connect(cls, broker: Broker, filters: Sequence[str]) -> Link:
        """Connect and subscribe at QoS 1. UnreachableError within CONNECT_S seconds when that doesn't work."""
        link = cls(broker, asyncio.get_running_loop())
        link._filters = filters
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = broker.session_expiry
        properties.ReceiveMaximum = broker.receive_maximum
        properties.MaximumPacketSize = broker.maximum_packet

        def start() -> None:
            link._client.connect(
                link._host,
                link._port,
                keepalive=KEEPALIVE_S,
                clean_start=not broker.session_expiry,
                properties=properties,
            )
            if link._closed.is_set():  # it took longer than anybody waited
                link._client.disconnect()
            else:
                link._client.loop_start()

        try:
            async with asyncio.timeout(CONNECT_S + 1):
                await asyncio.to_thread(start)
                await link._ready
        except TimeoutError as error:
            await link.close()
            raise UnreachableError("the broker doesn't answer", where=link.where) from error
        except (OSError, ValueError) as error:
            await link.close()
            words = getattr(error, "strerror", None) or str(error)
            raise UnreachableError(f"the broker can't be reached: {words}", where=link.where) from error
        except BaseException:
            await link.close()
            raise
        return link

    # ---- on the event loop ---------------------------------------------------------------------------------------

    async def event(self) -> Event:
        """The next event."""
        found = await self._events.get()
        self._places.release()
        return found

    def events_now(self, most: int) -> list[Event]:
        """Events that are there already, at most that many."""
        found: list[Event] = []
        while len(found) < most and not self._events.empty():
            found.append(self._events.get_nowait())
            self._places.release()
        return found

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> int:
        """Publish at QoS 1; the mid that Published will name."""
        return self._client.publish(topic, payload, qos=1, retain=retain).mid

    def acknowledge(self, message: Message) -> None:
        """Tell the broker that a message is done with."""
        if message.qos:
            self._client.ack(message.mid, message.qos)

    async def close(self) -> None:
        """Say goodbye and end paho's thread; safe to call twice."""
        self._closed.set()

        def stop() -> None:
            with contextlib.suppress(OSError, ValueError):
                self._client.disconnect()
            self._client.loop_stop()

        await asyncio.to_thread(stop)

    # ---- in paho's thread ----------------------------------------------------------------------------------------

    def _hand(self, event: Event) -> None:
        while not self._places.acquire(timeout=SHUTDOWN_POLL_S):
            if self._closed.is_set():
                return
        self._call(self._events.put_nowait, event)

    def _call(self, function: Any, *arguments: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits for this any more
            self._loop.call_soon_threadsafe(function, *arguments)

    def _fail(self, error: Exception) -> None:
        if not self._ready.done():
            self._ready.set_exception(error)

    def _stand(self) -> None:
        if not self._ready.done():
            self._ready.set_result(None)

    def _on_connect(
        self, client: paho.Client, _data: Any, _flags: Any, code: ReasonCode, _properties: Any
    ) -> None:
        if code.is_failure:
            self._call(
                self._fail,
                UnreachableError(
                    f"the broker refuses us: {code}",
                    where=self.where,
                    remedy="Check user, password and its ACL.",
                ),
            )
        elif self._filters:
            client.subscribe([(one, SubscribeOptions(qos=1)) for one in self._filters])
        else:
            self._call(self._stand)

    def _on_subscribe(
        self, _client: paho.Client, _data: Any, _mid: int, codes: list[ReasonCode], _properties: Any
    ) -> None:
        refused = [str(code) for code in codes if code.is_failure]
        if refused:
            error = UnreachableError(
                f"the broker refuses the subscription to {', '.join(self._filters)}: {refused[0]}",
                where=self.where,
            )
            self._call(self._fail, error)
        else:
            self._call(self._stand)

    def _on_message(self, _client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        self._hand(Message(message.mid, message.qos, message.topic, bytes(message.payload)))

    def _on_publish(
        self, _client: paho.Client, _data: Any, mid: int, code: ReasonCode, _properties: Any
    ) -> None:
        self._hand(Published(mid, code.value, str(code)))

    def _on_disconnect(
        self, _client: paho.Client, _data: Any, _flags: Any, code: ReasonCode, _properties: Any
    ) -> None:
        words = f"the connection is lost: {code}"
        self._call(self._fail, UnreachableError(words, where=self.where))
        self._hand(Lost(words))
