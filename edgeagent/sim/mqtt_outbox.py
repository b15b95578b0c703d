"""Messages into an MQTT broker through paho, over a few connections, bounded in flight."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Any, Self
from zlib import crc32

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from edgeagent.errors import UnreachableError

from .address import Address
from .message import Message

IN_FLIGHT = 1000
"""Messages that the broker hasn't confirmed, over all connections."""
PATIENCE_S = 60
"""Longest wait for a broker that takes nothing."""


class MqttOutbox:
    """Sends over several connections; messages of one topic keep to one of them, and so in order."""

    def __init__(self, address: Address, *, name: str, qos: int = 1, connections: int = 4) -> None:
        self._address, self._qos = address, qos
        self._room = threading.BoundedSemaphore(IN_FLIGHT)
        self._confirmed = threading.Condition()
        self._sent = self.acknowledged = 0
        self._clients = [self._client(f"{name}-{index}") for index in range(connections)]

    def _client(self, ident: str) -> mqtt.Client:
        client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=ident)
        client.max_inflight_messages_set(IN_FLIGHT)
        client.on_publish = self._published
        if self._address.scheme == "mqtts":
            client.tls_set()
        return client

    def __enter__(self) -> Self:
        for client in self._clients:
            connected = threading.Event()
            client.on_connect = lambda *_, event=connected: event.set()
            try:
                client.connect(self._address.host, self._address.port)
            except OSError as error:
                raise self._unreachable(f"the broker doesn't answer: {error.strerror or error}") from error
            client.loop_start()
            if not connected.wait(PATIENCE_S):
                raise self._unreachable(f"the broker didn't accept the connection in {PATIENCE_S} s")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for client in self._clients:
            client.disconnect()
            client.loop_stop()

    def send(self, message: Message) -> None:
        """Publish; waits while IN_FLIGHT messages are unconfirmed."""
        if not self._room.acquire(timeout=PATIENCE_S):
            raise self._unreachable(f"the broker has confirmed nothing for {PATIENCE_S} s")
        self._sent += 1
        client = self._clients[crc32(message.topic.encode()) % len(self._clients)]
        client.publish(message.topic, message.payload, self._qos)

    def _published(self, *_: Any) -> None:
        self._room.release()
        with self._confirmed:
            self.acknowledged += 1
            self._confirmed.notify()

    def finish(self) -> None:
        """Wait for the last confirmations."""
        with self._confirmed:
            if not self._confirmed.wait_for(lambda: self.acknowledged == self._sent, PATIENCE_S):
                missing = self._sent - self.acknowledged
                raise self._unreachable(
                    f"{missing} of {self._sent} messages weren't confirmed in {PATIENCE_S} s"
                )

    def _unreachable(self, what: str) -> UnreachableError:
        return UnreachableError(what, where=str(self._address), remedy="Is it running and reachable?")
