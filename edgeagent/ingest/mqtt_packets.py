"""MQTT packets that a receiving client sends, for 3.1.1 (level 4) and 5.0 (level 5), and the words for reason codes."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from edgeagent.errors import LocalProtocolError

from . import mqtt_properties as properties
from .mqtt_properties import text, variable

MQTT_311: Final = 4
MQTT_5: Final = 5

CONNACK: Final = 2
PUBLISH: Final = 3
SUBACK: Final = 9
UNSUBACK: Final = 11
PINGRESP: Final = 13
DISCONNECT: Final = 14
NAMES: Final = (
    "reserved packet 0", "CONNECT", "CONNACK", "PUBLISH", "PUBACK", "PUBREC", "PUBREL", "PUBCOMP",
    "SUBSCRIBE", "SUBACK", "UNSUBSCRIBE", "UNSUBACK", "PINGREQ", "PINGRESP", "DISCONNECT", "AUTH",
)  # fmt: skip

PINGREQ: Final = b"\xc0\x00"
GOODBYE: Final = b"\xe0\x00"
"""DISCONNECT, in both versions: normal; the session stays as long as CONNECT said."""

MAX_FIELD: Final = 65_535
FILTERS_PER_PACKET: Final = 64


@dataclass(frozen=True, slots=True)
class Connect:
    """What CONNECT says. Times are seconds; receive_maximum, maximum_packet and session_expiry need version 5.

    receive_maximum isn't held against the broker: Mosquitto 2.0.11 goes beyond it after the first acknowledgements,
    and what bounds our memory is that nothing is read while the intake is full.
    """

    client_id: str
    version: int = MQTT_5
    user: str | None = None
    password: bytes | None = None
    clean_start: bool = False
    keepalive: int = 60
    session_expiry: int = 0
    receive_maximum: int = 2048
    maximum_packet: int = 262_144


@dataclass(frozen=True, slots=True)
class Subscription:
    """A topic filter and the QoS (0, 1) asked for it."""

    filter: str
    qos: int = 1


_CODES: Final = {
    # MQTT 5, table 2-6: what a broker may answer, in words
    0x80: "unspecified error", 0x81: "malformed packet", 0x82: "protocol error", 0x83: "implementation error",
    0x84: "protocol version not supported", 0x85: "client id not valid", 0x86: "bad user name or password",
    0x87: "not authorised", 0x88: "server unavailable", 0x89: "server busy", 0x8A: "banned",
    0x8B: "server shutting down", 0x8C: "bad authentication method", 0x8D: "keepalive timeout",
    0x8E: "session taken over by another client with our client id", 0x8F: "topic filter invalid",
    0x90: "topic name invalid", 0x93: "receive maximum exceeded", 0x94: "topic alias invalid",
    0x95: "packet too large", 0x96: "message rate too high", 0x97: "quota exceeded",
    0x98: "administrative action", 0x99: "payload format invalid", 0x9A: "retain not supported",
    0x9B: "QoS not supported", 0x9C: "use another server", 0x9D: "server moved",
    0x9E: "shared subscriptions not supported", 0x9F: "connection rate exceeded", 0xA0: "maximum connect time",
    0xA1: "subscription identifiers not supported", 0xA2: "wildcard subscriptions not supported",
}  # fmt: skip
_REMEDIES: Final = {
    0x84: "Set mqtt.version to what the broker speaks",
    0x85: "Choose another mqtt.client_id",
    0x86: "Check mqtt.user and the file that mqtt.password_file names",
    0x87: "Give this user or client id the right at the broker (ACL), or set mqtt.user and mqtt.password_file",
    0x8E: "Give every board its own mqtt.client_id",
}


def word(code: int) -> str:
    """A reason code in words."""
    return _CODES.get(code, f"reason code 0x{code:02x}")


def remedy(code: int) -> str:
    """What a person can do about a reason code; "" where nothing is known."""
    return _REMEDIES.get(code, "")


def connect(options: Connect) -> bytes:
    """CONNECT without a will. LocalProtocolError if a field is too long or a password stands without a user (3.1.1)."""
    if options.password is not None and options.user is None and options.version == MQTT_311:
        raise LocalProtocolError("a password needs a user in MQTT 3.1.1")
    flags = options.clean_start << 1 | (options.user is not None) << 7 | (options.password is not None) << 6
    body = bytearray(text(b"MQTT"))
    body += struct.pack(">BBH", options.version, flags, options.keepalive)
    if options.version == MQTT_5:
        # No topic alias maximum: 0, so the broker must not use aliases. They'd save bytes between two programs that
        # stand mostly on one machine or LAN, and cost a table and a look-up for each message.
        body += properties.write(
            {
                properties.SESSION_EXPIRY: options.session_expiry,
                properties.RECEIVE_MAXIMUM: options.receive_maximum,
                properties.MAXIMUM_PACKET_SIZE: options.maximum_packet,
            }
        )
    fields = [options.client_id.encode()]
    fields += [options.user.encode()] if options.user is not None else []
    fields += [options.password] if options.password is not None else []
    for field in fields:
        if len(field) > MAX_FIELD:
            raise LocalProtocolError(f"a field of CONNECT has {len(field)} bytes, more than {MAX_FIELD}")
        body += text(field)
    return b"\x10" + variable(len(body)) + body


def subscribe(
    packet_id: int, subscriptions: Sequence[Subscription], version: int, *, retained: bool
) -> bytes:
    """SUBSCRIBE. Version 5 can say that retained messages are wanted when a subscription is new, or never."""
    body = bytearray(packet_id.to_bytes(2, "big"))
    if version == MQTT_5:
        body.append(0)
    for one in subscriptions:
        shared = one.filter.startswith("$share/")
        handling = 0 if shared else 0x10 if retained else 0x20
        body += text(one.filter.encode())
        body.append(one.qos | (handling if version == MQTT_5 else 0))
    return b"\x82" + variable(len(body)) + body


def unsubscribe(packet_id: int, filters: Sequence[str], version: int) -> bytes:
    """UNSUBSCRIBE."""
    body = packet_id.to_bytes(2, "big") + (b"\0" if version == MQTT_5 else b"")
    body += b"".join(text(one.encode()) for one in filters)
    return b"\xa2" + variable(len(body)) + body


def pubacks(packet_ids: Sequence[int]) -> bytes:
    """One PUBACK (success) for each packet id, in order."""
    count = len(packet_ids)
    ids = struct.pack(f">{count}H", *packet_ids)
    out = bytearray(b"\x40\x02\0\0" * count)
    out[2::4] = ids[0::2]
    out[3::4] = ids[1::2]
    return bytes(out)
