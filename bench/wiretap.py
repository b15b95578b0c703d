"""A wire between broker and agent that notes when each reading passes and when the agent acknowledges it.

MQTT 3.1.1, QoS 1: PUBLISH to the agent carries the time of sending in its payload (last_seen, ms); PUBACK comes back
with the same packet identifier once the reading is durable in the agent's log.
"""

from __future__ import annotations

import re
import socket
import threading
import time
from types import TracebackType
from typing import Self

PUBLISH, PUBACK = 3, 4
READ = 65536
STAMP = re.compile(rb'"last_seen":(\d{13})')


class Packets:
    """Cuts a stream into (type, body); holds at most one incomplete packet."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """The packets that are complete."""
        data = self._rest + data
        at, found = 0, []
        while (parsed := _length(data, at + 1)) is not None:
            size, start = parsed
            if len(data) < start + size:
                break
            found.append((data[at] >> 4, data[start : start + size]))
            at = start + size
        self._rest = data[at:]
        return found


def _length(data: bytes, at: int) -> tuple[int, int] | None:
    size = shift = 0
    while at < len(data):
        byte = data[at]
        size |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return size, at
    return None


class Wiretap:
    """Listens on ``port``, passes everything on to the broker's port. ``latencies``: seconds, publish to PUBACK."""

    def __init__(self, broker: int) -> None:
        self._broker = broker
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.latencies: list[float] = []
        self._sent_at: dict[int, float] = {}
        self._sockets: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for one in (self._listener, *self._sockets):
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # closed by its peer
        for thread in self._threads:
            thread.join(5)
        for one in (self._listener, *self._sockets):
            one.close()

    def _accept(self) -> None:
        while True:
            try:
                agent, _ = self._listener.accept()
            except OSError:
                return
            broker = socket.create_connection(("127.0.0.1", self._broker))
            for one in (agent, broker):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._sockets += [agent, broker]
            for source, target, look in ((broker, agent, self._to_agent), (agent, broker, self._from_agent)):
                thread = threading.Thread(target=self._pump, args=(source, target, look), daemon=True)
                self._threads.append(thread)
                thread.start()

    @staticmethod
    def _pump(source: socket.socket, target: socket.socket, look: object) -> None:
        packets = Packets()
        try:
            while data := source.recv(READ):
                target.sendall(data)
                look(packets.feed(data))  # type: ignore[operator]
        except OSError:
            return

    def _to_agent(self, packets: list[tuple[int, bytes]]) -> None:
        for kind, body in packets:
            if kind == PUBLISH and (stamp := STAMP.search(body)):
                topic = int.from_bytes(body[:2], "big")
                ident = int.from_bytes(body[2 + topic : 4 + topic], "big")
                self._sent_at[ident] = int(stamp[1]) / 1000

    def _from_agent(self, packets: list[tuple[int, bytes]]) -> None:
        now = time.time()
        for kind, body in packets:
            if kind == PUBACK:
                sent = self._sent_at.pop(int.from_bytes(body[:2], "big"), None)
                if sent is not None:
                    self.latencies.append(now - sent)
