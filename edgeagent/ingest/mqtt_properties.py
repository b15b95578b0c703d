"""MQTT 5 properties: the table of section 2.2.2.2, read and written by it."""

from __future__ import annotations

from typing import Final

from edgeagent.errors import RemoteProtocolError
from edgeagent.wire.messages import FORMAT_UNKNOWN

Value = int | bytes | list[bytes]

CONTENT_TYPE: Final = 0x03
SESSION_EXPIRY: Final = 0x11
ASSIGNED_CLIENT_ID: Final = 0x12
SERVER_KEEPALIVE: Final = 0x13
REASON_STRING: Final = 0x1F
RECEIVE_MAXIMUM: Final = 0x21
TOPIC_ALIAS: Final = 0x23
USER_PROPERTY: Final = 0x26
MAXIMUM_PACKET_SIZE: Final = 0x27
WILDCARDS_AVAILABLE: Final = 0x28
SHARED_AVAILABLE: Final = 0x2A

_VARIABLE, _TEXT, _PAIR = 0, -1, -2
_SHAPES: Final = {
    # identifier: bytes of an integer, or one of the shapes above
    0x01: 1,  # payload format indicator
    0x02: 4,  # message expiry interval
    CONTENT_TYPE: _TEXT,
    0x08: _TEXT,  # response topic
    0x09: _TEXT,  # correlation data
    0x0B: _VARIABLE,  # subscription identifier
    SESSION_EXPIRY: 4,
    ASSIGNED_CLIENT_ID: _TEXT,
    SERVER_KEEPALIVE: 2,
    0x15: _TEXT,  # authentication method
    0x16: _TEXT,  # authentication data
    0x1A: _TEXT,  # response information
    0x1C: _TEXT,  # server reference
    REASON_STRING: _TEXT,
    RECEIVE_MAXIMUM: 2,
    0x22: 2,  # topic alias maximum
    TOPIC_ALIAS: 2,
    0x24: 1,  # maximum QoS
    0x25: 1,  # retain available
    USER_PROPERTY: _PAIR,
    MAXIMUM_PACKET_SIZE: 4,
    WILDCARDS_AVAILABLE: 1,
    0x29: 1,  # subscription identifiers available
    SHARED_AVAILABLE: 1,
}
_REPEATED: Final = {USER_PROPERTY, 0x0B}

CONTENT_FORMATS: Final = {
    # CoAP Content-Formats (IANA core-parameters) of what sensors send
    b"text/plain": 0,
    b"application/json": 50,
    b"application/cbor": 60,
    b"application/senml+json": 110,
    b"application/senml+cbor": 112,
}
MAX_CONTENT_TYPE: Final = 128
"""Bytes of a content type that is looked at; longer ones are unknown."""


def content_format(content_type: bytes) -> int:
    """The CoAP Content-Format of a media type; parameters and case don't matter; FORMAT_UNKNOWN if not ours."""
    if len(content_type) > MAX_CONTENT_TYPE:
        return FORMAT_UNKNOWN
    return CONTENT_FORMATS.get(content_type.split(b";", 1)[0].strip().lower(), FORMAT_UNKNOWN)


def variable(number: int) -> bytes:
    """A variable byte integer (1.5.5): 0..268,435,455."""
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def read_variable(data: bytes, at: int, end: int, what: str) -> tuple[int, int]:
    """The integer at ``at`` and where it ends; RemoteProtocolError if it's longer than four bytes or cut."""
    number = 0
    for shift in (0, 7, 14, 21):
        if at >= end:
            break
        byte = data[at]
        at += 1
        number |= (byte & 127) << shift
        if byte < 128:
            return number, at
    raise RemoteProtocolError(f"{what}: malformed variable byte integer")


def text(value: bytes) -> bytes:
    """A string or binary field: two bytes of length before it; callers keep to 65,535 bytes."""
    return len(value).to_bytes(2, "big") + value


def write(values: dict[int, int | bytes]) -> bytes:
    """Properties of one packet with their length."""
    body = bytearray()
    for identifier, value in values.items():
        body.append(identifier)
        body += text(value) if isinstance(value, bytes) else value.to_bytes(_SHAPES[identifier], "big")
    return variable(len(body)) + body


def read(data: bytes, at: int, end: int, what: str) -> tuple[dict[int, Value], int]:
    """The properties that begin with their length at ``at`` in a packet that ends at ``end``; where they end.

    User properties are skipped. RemoteProtocolError names ``what`` for anything that the table doesn't allow.
    """
    size, at = read_variable(data, at, end, what)
    stop = at + size
    if stop > end:
        raise RemoteProtocolError(f"{what}: properties run beyond the packet")
    found: dict[int, Value] = {}
    while at < stop:
        identifier = data[at]
        shape = _SHAPES.get(identifier)
        if shape is None:
            raise RemoteProtocolError(f"{what}: unknown property 0x{identifier:02x}")
        if identifier in found and identifier not in _REPEATED:
            raise RemoteProtocolError(f"{what}: property 0x{identifier:02x} twice")
        at += 1
        if shape == _VARIABLE:
            found[identifier], at = read_variable(data, at, stop, what)
        elif shape > 0:
            found[identifier] = int.from_bytes(data[at : at + shape], "big")
            at += shape
        else:
            for _ in range(-shape):
                begin = at + 2
                at = begin + int.from_bytes(data[at:begin], "big")
            if shape == _TEXT:
                found[identifier] = data[begin:at]
        if at > stop:
            raise RemoteProtocolError(f"{what}: property 0x{identifier:02x} runs beyond the others")
    return found, stop
