"""MQTT receive client without I/O: bytes in, events out; commands give bytes to send. MQTT 3.1.1 and 5.0.

Receiving is the agent's hottest path, so a message is a plain tuple and one loop takes a whole chunk of packets apart.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Final

from edgeagent.errors import LocalProtocolError, RemoteProtocolError
from edgeagent.wire.messages import FORMAT_UNKNOWN, MAX_PAYLOAD, MAX_TOPIC

from . import mqtt_answers as answers
from . import mqtt_packets as packets
from . import mqtt_properties as properties
from .mqtt_events import Connected, Event, Pong, Unsubscribed, Unusable
from .mqtt_packets import MQTT_5, Connect, Subscription

MAX_PACKET: Final = 262_144
"""Bytes of a packet that we hold at most; a longer PUBLISH is skipped and reported, anything else is an error."""
MAX_TOPICS: Final = 16_384
"""Topic names remembered as valid; more are checked each time they come."""
MAX_FORMATS: Final = 256
"""Property blocks of PUBLISH whose content format is remembered, each of at most MAX_REMEMBERED bytes."""
MAX_REMEMBERED: Final = 127
LONGEST_START: Final = 5 + 2 + packets.MAX_FIELD + 2
"""Bytes of the longest fixed header, topic and packet id: what must be seen of a packet that is skipped."""


class Phase(enum.Enum):
    """Of a connection."""

    NEW = "new"
    CONNECTING = "connecting"
    OPEN = "open"
    CLOSED = "closed"


_ALLOWED: Final = {
    # what the broker may send; everything else ends the connection
    Phase.NEW: frozenset[int](),
    Phase.CONNECTING: frozenset({packets.CONNACK}),
    Phase.OPEN: frozenset(
        {packets.PUBLISH, packets.SUBACK, packets.UNSUBACK, packets.PINGRESP, packets.DISCONNECT}
    ),
    Phase.CLOSED: frozenset[int](),
}


_COMMON: Final = frozenset({0x30, 0x31, 0x32, 0x33, 0x3A, 0x3B})
"""First bytes of a PUBLISH of QoS 0 or 1; DUP goes with QoS 1 only (MQTT-3.3.1-2)."""
_NONE: Final = frozenset[int]()
_BEYOND: Final = "PUBLISH: its fields run beyond the packet"
_NO_ID: Final = "PUBLISH: QoS 1 with packet id 0"


class MqttReceiver:
    """One connection. Commands give bytes and raise LocalProtocolError in a wrong phase.

    After a fault of the broker ``failure`` says what and why; what came before it was given as events, and every
    further ``receive`` raises it.
    """

    def __init__(self, options: Connect, *, max_packet: int = MAX_PACKET) -> None:
        self.phase = Phase.NEW
        self.failure: RemoteProtocolError | None = None
        self._options = options
        self._v5 = options.version == MQTT_5
        self._max_packet = max_packet
        self._held = bytearray()
        self._wanted = 0
        self._skip = 0
        self._topics: dict[bytes, bytes] = {}
        self._formats: dict[bytes, int] = {b"\0": FORMAT_UNKNOWN}
        self._subscribing: dict[int, tuple[Subscription, ...]] = {}
        self._unsubscribing: set[int] = set()
        self._last_id = 0

    # ---- commands ------------------------------------------------------------------------------------------------

    def connect(self) -> bytes:
        """CONNECT; the first thing to send."""
        self._require(Phase.NEW, "CONNECT")
        self.phase = Phase.CONNECTING
        return packets.connect(self._options)

    def subscribe(self, subscriptions: Sequence[Subscription], *, retained: bool = True) -> bytes:
        """SUBSCRIBE packets of at most FILTERS_PER_PACKET filters each; answered by as many Subscribed.

        retained: whether the broker shall send old values when a subscription is new; version 3.1.1 can't be told.
        """
        self._require(Phase.OPEN, "SUBSCRIBE")
        out = []
        for at in range(0, len(subscriptions), packets.FILTERS_PER_PACKET):
            some = tuple(subscriptions[at : at + packets.FILTERS_PER_PACKET])
            self._subscribing[self._next_id()] = some
            out.append(packets.subscribe(self._last_id, some, self._options.version, retained=retained))
        return b"".join(out)

    def unsubscribe(self, filters: Sequence[str]) -> bytes:
        """UNSUBSCRIBE packets, answered by as many Unsubscribed."""
        self._require(Phase.OPEN, "UNSUBSCRIBE")
        out = []
        for at in range(0, len(filters), packets.FILTERS_PER_PACKET):
            self._unsubscribing.add(self._next_id())
            some = filters[at : at + packets.FILTERS_PER_PACKET]
            out.append(packets.unsubscribe(self._last_id, some, self._options.version))
        return b"".join(out)

    @property
    def settled(self) -> bool:
        """Whether every SUBSCRIBE and UNSUBSCRIBE was answered."""
        return not self._subscribing and not self._unsubscribing

    def _next_id(self) -> int:
        self._last_id = self._last_id % 65_535 + 1
        return self._last_id

    def acknowledge(self, packet_ids: Sequence[int]) -> bytes:
        """PUBACKs, in the order of the messages."""
        self._require(Phase.OPEN, "PUBACK")
        return packets.pubacks(packet_ids)

    def ping(self) -> bytes:
        """PINGREQ."""
        self._require(Phase.OPEN, "PINGREQ")
        return packets.PINGREQ

    def disconnect(self) -> bytes:
        """DISCONNECT: the end of this connection, not of the session."""
        self._require(Phase.OPEN, "DISCONNECT")
        self.phase = Phase.CLOSED
        return packets.GOODBYE

    def _require(self, phase: Phase, what: str) -> None:
        if self.phase is not phase:
            raise LocalProtocolError(f"{what} while the connection is {self.phase.value}")

    # ---- receiving -----------------------------------------------------------------------------------------------

    @property
    def held(self) -> int:
        """Bytes held of a packet that isn't complete: fewer than the longer of max_packet + 5 and LONGEST_START."""
        return len(self._held)

    def receive(self, data: bytes) -> list[Event]:
        """Take bytes in any pieces; give what is complete. Raises RemoteProtocolError once ``failure`` is set."""
        if self.failure is not None:
            raise self.failure
        if self.phase is Phase.CLOSED:
            return []
        if self._skip:
            skipped = min(self._skip, len(data))
            self._skip -= skipped
            data = data[skipped:]
        if self._held:
            self._held += data
            if len(self._held) < self._wanted:
                return []
            data = bytes(self._held)
            self._held = bytearray()
        events: list[Event] = []
        try:
            at = self._decode(data, events)
        except RemoteProtocolError as error:
            self._fail(error)
        except IndexError:
            # Packets are looked at only when they are complete, so a read beyond the data is a read beyond a packet.
            self._fail(RemoteProtocolError(_BEYOND))
        else:
            if at < len(data):
                self._held += data[at:]
        return events

    def _fail(self, error: RemoteProtocolError) -> None:
        self.failure = error
        self.phase = Phase.CLOSED

    def _decode(self, data: bytes, events: list[Event]) -> int:
        """Append what is complete; where the first incomplete packet begins, with _wanted bytes until a look pays."""
        at, end = 0, len(data)
        give = events.append
        known = self._topics.get
        v5 = self._v5
        limit = self._max_packet
        common = _COMMON if self.phase is Phase.OPEN else _NONE
        self._wanted = 2
        while end - at > 1:
            head = data[at]
            size = data[at + 1]
            body = at + 2
            if size > 127:
                if end - at < 3:
                    self._wanted = 3
                    break
                high = data[at + 2]
                if high < 128:
                    size += (high << 7) - 128
                    body = at + 3
                else:
                    size, body = self._long_size(data, at, end)
                    if not body:
                        self._wanted = end - at + 1
                        break
            stop = body + size
            if head not in common or stop > end or size > limit:
                if size > limit:
                    at = self._too_long(data, at, body, size, events)
                    if at < 0:
                        at = -at - 1
                        break
                    continue
                self._check_kind(head)
                if stop > end:
                    self._wanted = stop - at
                    break
                self._control(head, data, body, stop, events)
                common = _COMMON if self.phase is Phase.OPEN else _NONE
                at = stop
                continue
            # The common shape: a complete PUBLISH of QoS 0 or 1.
            payload_at = body + 2 + (data[body] << 8) + data[body + 1]
            name = data[body + 2 : payload_at]
            packet_id = 0
            if head & 2:
                packet_id = data[payload_at] << 8 | data[payload_at + 1]
                payload_at += 2
                if not packet_id:
                    raise RemoteProtocolError(_NO_ID if payload_at <= stop else _BEYOND)
            content_format = FORMAT_UNKNOWN
            if v5:
                if data[payload_at]:
                    content_format, payload_at = self._format(data, payload_at, stop)
                else:
                    payload_at += 1
            if payload_at > stop:
                raise RemoteProtocolError(_BEYOND)
            topic = known(name)
            if topic is None or size > MAX_PAYLOAD:
                why = _unusable(name, stop - payload_at)
                if why:
                    give(Unusable(name[:MAX_TOPIC], why, packet_id))
                    at = stop
                    continue
                topic = self._remember(name)
            give((topic, data[payload_at:stop], content_format, packet_id, head & 9))
            at = stop
        return at

    def _long_size(self, data: bytes, at: int, end: int) -> tuple[int, int]:
        """Size and place of a body with three or four bytes of length; 0, 0 if they aren't all here."""
        if end - at < 5 and data[end - 1] > 127:
            return 0, 0
        return properties.read_variable(data, at + 1, end, packets.NAMES[data[at] >> 4])

    def _format(self, data: bytes, at: int, end: int) -> tuple[int, int]:
        """Content format from the properties at ``at``, and where they end."""
        if at >= end:
            raise RemoteProtocolError(_BEYOND)
        size = data[at]
        block = data[at : at + 1 + size] if size <= MAX_REMEMBERED else b""
        remembered = self._formats.get(block)
        if remembered is not None:
            return remembered, at + 1 + size
        found, after = properties.read(data, at, end, "PUBLISH")
        if properties.TOPIC_ALIAS in found:
            raise RemoteProtocolError("PUBLISH: topic alias, though we allowed none")
        kind = found.get(properties.CONTENT_TYPE, b"")
        content_format = properties.content_format(kind) if isinstance(kind, bytes) else FORMAT_UNKNOWN
        if block and len(self._formats) < MAX_FORMATS:
            self._formats[block] = content_format
        return content_format, after

    def _remember(self, name: bytes) -> bytes:
        """A valid name; equal ones are the same object, so that whoever looks it up finds its hash made."""
        if len(self._topics) < MAX_TOPICS:
            self._topics[name] = name
        return name

    def _too_long(self, data: bytes, at: int, body: int, size: int, events: list[Event]) -> int:
        """Report and skip a PUBLISH above the limit; where to go on, or -1 - at if more of it must be seen first."""
        head = data[at]
        if self.phase is not Phase.OPEN or head not in _COMMON:
            raise RemoteProtocolError(
                f"{packets.NAMES[head >> 4]} of {size} bytes, more than {self._max_packet}"
            )
        topic_at = body + 2
        id_at = topic_at + int.from_bytes(data[body:topic_at], "big")
        if id_at + 2 > len(data) or topic_at > len(data):
            self._wanted = max(topic_at, id_at + 2) - at
            return -1 - at
        if id_at + 2 > body + size:
            raise RemoteProtocolError("PUBLISH: its topic runs beyond the packet")
        packet_id = int.from_bytes(data[id_at : id_at + 2], "big") if head & 2 else 0
        why = f"packet of {size} bytes, more than {self._max_packet}"
        events.append(Unusable(data[topic_at : min(id_at, topic_at + MAX_TOPIC)], why, packet_id))
        stop = body + size
        self._skip = max(0, stop - len(data))
        return min(stop, len(data))

    def _check_kind(self, head: int) -> None:
        """RemoteProtocolError, before the rest of the packet is waited for, if the first byte can't come now."""
        kind, flags = head >> 4, head & 15
        if kind not in _ALLOWED[self.phase] or (kind == packets.DISCONNECT and not self._v5):
            raise RemoteProtocolError(f"{packets.NAMES[kind]} while the connection is {self.phase.value}")
        if flags and head not in _COMMON:
            fault = (
                "QoS 2 wasn't asked for, and DUP needs QoS 1" if kind == packets.PUBLISH else "it has none"
            )
            raise RemoteProtocolError(f"{packets.NAMES[kind]} with flags 0x{flags:x}: {fault}")

    def _control(self, head: int, data: bytes, at: int, end: int, events: list[Event]) -> None:
        """A complete packet, of a kind that may come now, other than PUBLISH."""
        kind = head >> 4
        if kind == packets.CONNACK:
            event = answers.connack(data, at, end, self._options)
            self.phase = Phase.OPEN if isinstance(event, Connected) else Phase.CLOSED
            events.append(event)
        elif kind == packets.SUBACK:
            packet_id, codes = answers.read_suback(data, at, end, self._options.version)
            events.append(answers.subscribed(self._subscribing.pop(packet_id, ()), packet_id, codes))
        elif kind == packets.UNSUBACK:
            packet_id = int.from_bytes(data[at : at + 2], "big") if end - at > 1 else 0
            if packet_id not in self._unsubscribing:
                raise RemoteProtocolError(f"UNSUBACK {packet_id} answers no UNSUBSCRIBE of ours")
            self._unsubscribing.discard(packet_id)
            events.append(Unsubscribed())
        elif kind == packets.PINGRESP:
            if at != end:
                raise RemoteProtocolError(f"PINGRESP of {end - at} bytes")
            events.append(Pong())
        else:
            self.phase = Phase.CLOSED
            events.append(answers.disconnect(data, at, end))


def _unusable(name: bytes, size: int) -> str:
    """Why a message with this topic name (4.7.3, 1.5.4) and payload size can't be handed in; "" if it can."""
    if size > MAX_PAYLOAD:
        return f"payload of {size} bytes, more than {MAX_PAYLOAD}"
    if not 0 < len(name) <= MAX_TOPIC:
        return f"topic of {len(name)} bytes, not 1..{MAX_TOPIC}"
    if any(byte in name for byte in b"\0+#"):
        return "topic with a wildcard or NUL"
    try:
        name.decode()
    except UnicodeDecodeError:
        return "topic that is not UTF-8"
    return ""
