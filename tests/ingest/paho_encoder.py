"""PUBLISH packets as paho encodes them: a second opinion on the format, taken off a socket of our own."""

from __future__ import annotations

import socket

import paho.mqtt.client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties


class PahoEncoder:
    """What paho sends for a message. version: 4 or 5."""

    def __init__(self, version: int) -> None:
        self._version = version
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id="x", protocol=version)
        ours, theirs = socket.socketpair()
        for end in (ours, theirs):
            end.setblocking(False)
        self._client._sock = theirs
        self._socket = ours
        self._theirs = theirs

    def close(self) -> None:
        self._client._sock = None
        self._socket.close()
        self._theirs.close()

    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int = 0,
        packet_id: int = 0,
        dup: bool = False,
        retain: bool = False,
        properties: dict[str, object] | None = None,
    ) -> bytes:
        given = None
        if self._version == 5 and properties:
            given = Properties(PacketTypes.PUBLISH)
            for name, value in properties.items():
                setattr(given, name, value)
        self._client._send_publish(
            packet_id,
            topic.encode(),
            payload,
            qos=qos,
            retain=retain,
            dup=dup,
            info=paho.MQTTMessageInfo(packet_id),
            properties=given,
        )
        out = self._socket.recv(1 << 20)
        while self._client.want_write():
            self._client.loop_write()
            out += self._socket.recv(1 << 20)
        return out
