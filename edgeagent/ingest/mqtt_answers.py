"""What a broker answers to a receiving client's packets, read into events: CONNACK, SUBACK, DISCONNECT."""

from __future__ import annotations

from typing import Final

from edgeagent.errors import RemoteProtocolError

from . import mqtt_packets as packets
from . import mqtt_properties as properties
from .mqtt_events import Connected, Refused, Subscribed
from .mqtt_packets import MQTT_5, Connect, Subscription

MAX_REASON: Final = 200
"""Characters of the broker's own words that are kept."""

_OLD_CONNACK: Final = {1: 0x84, 2: 0x85, 3: 0x88, 4: 0x86, 5: 0x87}
"""3.1.1's return codes (3.2.2.3) as those of 5."""


def connack(data: bytes, at: int, end: int, options: Connect) -> Connected | Refused:
    """CONNACK; RemoteProtocolError if it isn't well-formed or can't answer what was asked."""
    present, code, found = _read_connack(data, at, end, options.version)
    if code:
        said = _words(found)
        reason = packets.word(code)
        return Refused(code, f"{reason} ({said})" if said else reason, packets.remedy(code))
    if present and options.clean_start:
        raise RemoteProtocolError("CONNACK with a session that we asked to be forgotten")
    keepalive = found.get(properties.SERVER_KEEPALIVE, options.keepalive)
    client_id = found.get(properties.ASSIGNED_CLIENT_ID, b"")
    return Connected(
        present,
        keepalive if isinstance(keepalive, int) else options.keepalive,
        client_id.decode("utf-8", "replace") if isinstance(client_id, bytes) else "",
        bool(found.get(properties.SHARED_AVAILABLE, 1)),
        bool(found.get(properties.WILDCARDS_AVAILABLE, 1)),
    )


def subscribed(asked: tuple[Subscription, ...], packet_id: int, codes: bytes) -> Subscribed:
    """SUBACK's codes, set against what was asked for with this packet id."""
    if not asked or len(codes) != len(asked):
        raise RemoteProtocolError(f"SUBACK {packet_id} with {len(codes)} codes answers no SUBSCRIBE of ours")
    if any(1 < code < 0x80 for code in codes):
        raise RemoteProtocolError(f"SUBACK {packet_id} grants more than was asked for")
    answers = list(zip(asked, codes, strict=True))
    return Subscribed(
        tuple((one.filter, code) for one, code in answers if code < 0x80),
        tuple((one.filter, packets.word(code)) for one, code in answers if code >= 0x80),
    )


def disconnect(data: bytes, at: int, end: int) -> Refused:
    """DISCONNECT by the broker."""
    code, said = _read_disconnect(data, at, end)
    return Refused(code, said or packets.word(code), packets.remedy(code))


def _words(found: dict[int, properties.Value]) -> str:
    said = found.get(properties.REASON_STRING, b"")
    return said.decode("utf-8", "replace")[:MAX_REASON] if isinstance(said, bytes) else ""


def _read_connack(
    data: bytes, at: int, end: int, version: int
) -> tuple[bool, int, dict[int, properties.Value]]:
    """Session present, reason code (in those of version 5; 0 is success), properties."""
    if end - at < 2:
        raise RemoteProtocolError(f"CONNACK of {end - at} bytes")
    flags, code = data[at], data[at + 1]
    if flags > 1:
        raise RemoteProtocolError(f"CONNACK with reserved flags 0x{flags:02x}")
    found: dict[int, properties.Value] = {}
    at += 2
    if version == MQTT_5 and at < end:
        # A broker that refuses version 5 altogether answers in the form of 3.1.1, without properties.
        found, at = properties.read(data, at, end, "CONNACK")
    elif code:
        code = _OLD_CONNACK.get(code, 0x80)
    elif version == MQTT_5:
        raise RemoteProtocolError("CONNACK without properties")
    if at != end:
        raise RemoteProtocolError(f"CONNACK with {end - at} bytes too many")
    if code and flags:
        raise RemoteProtocolError("CONNACK that refuses and claims a session")
    return bool(flags), code, found


def read_suback(data: bytes, at: int, end: int, version: int) -> tuple[int, bytes]:
    """Packet id and one reason code for each filter."""
    if end - at < 3:
        raise RemoteProtocolError(f"SUBACK of {end - at} bytes")
    packet_id = data[at] << 8 | data[at + 1]
    at += 2
    if version == MQTT_5:
        _, at = properties.read(data, at, end, "SUBACK")
    return packet_id, data[at:end]


def _read_disconnect(data: bytes, at: int, end: int) -> tuple[int, str]:
    """Reason code and the broker's own words ("" if none); version 5 only."""
    if at == end:
        return 0, ""
    code = data[at]
    found: dict[int, properties.Value] = {}
    if end - at > 1:
        found, at = properties.read(data, at + 1, end, "DISCONNECT")
        if at != end:
            raise RemoteProtocolError(f"DISCONNECT with {end - at} bytes too many")
    return code, _words(found)
