"""CBOR of which every byte is checked before anyone is trusted: preferred encoding only (RFC 8949, 4.1).

A sealed batch is opened before its sender is known. So this reader, unlike a general one, takes exactly what COSE needs
(integers, byte and text strings, arrays, maps, tags of one level), bounded in items and depth, and refuses any second
way of writing the same thing: long forms, indefinite lengths, repeated keys, trailing bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edgeagent.errors import RemoteProtocolError

MAX_DEPTH = 8
MAX_ITEMS = 4096
"""Items of one message, keys of maps included."""
MAX_KEYS = 32
"""Keys of one map: so few that hash collisions cost nothing."""

_WIDTHS = {24: 1, 25: 2, 26: 4, 27: 8}
_LEAST = {24: 24, 25: 1 << 8, 26: 1 << 16, 27: 1 << 32}


@dataclass(frozen=True, slots=True)
class Tagged:
    """A tag and its item."""

    tag: int
    item: Any


class _Reader:
    def __init__(self, data: bytes, what: str) -> None:
        self.data = data
        self.at = 0
        self.items = 0
        self.what = what

    def fault(self, why: str) -> RemoteProtocolError:
        return RemoteProtocolError(f"{self.what} is malformed at byte {self.at}: {why}")

    def take(self, size: int) -> bytes:
        end = self.at + size
        if end > len(self.data):
            raise self.fault("it ends too early")
        piece = self.data[self.at : end]
        self.at = end
        return piece

    def head(self) -> tuple[int, int]:
        first = self.take(1)[0]
        major, info = first >> 5, first & 31
        if info < 24:
            return major, info
        if info not in _WIDTHS:
            raise self.fault("a length is indefinite or reserved")
        value = int.from_bytes(self.take(_WIDTHS[info]), "big")
        if value < _LEAST[info]:
            raise self.fault("a number isn't written in its shortest form")
        return major, value

    def item(self, depth: int) -> Any:
        self.items += 1
        if depth > MAX_DEPTH or self.items > MAX_ITEMS:
            raise self.fault("it is nested too deep or has too many items")
        major, value = self.head()
        match major:
            case 0:
                return value
            case 1:
                return -1 - value
            case 2:
                return self.take(value)
            case 3:
                return self.text(value)
            case 4:
                return [self.item(depth + 1) for _ in range(value)]
            case 5:
                return self.map(value, depth)
            case 6:
                return Tagged(value, self.item(depth + 1))
        if value == 22 and self.data[self.at - 1] == 0xF6:
            return None
        raise self.fault("a simple value or float stands where none may")

    def text(self, size: int) -> str:
        try:
            return self.take(size).decode()
        except UnicodeDecodeError as error:
            raise self.fault("a text is no UTF-8") from error

    def map(self, size: int, depth: int) -> dict[Any, Any]:
        found: dict[Any, Any] = {}
        if size > MAX_KEYS:
            raise self.fault(f"a map has more than {MAX_KEYS} keys")
        for _ in range(size):
            key = self.item(depth + 1)
            if not isinstance(key, int | str):
                raise self.fault("a key is neither number nor text")
            if key in found:
                raise self.fault("a key of a map is repeated")
            found[key] = self.item(depth + 1)
        return found


def loads(data: bytes, *, limit: int, what: str) -> Any:
    """Decode one item of at most limit bytes; null, integers, strings, lists, dicts and Tagged come out.

    Raises RemoteProtocolError that names ``what``.
    """
    if len(data) > limit:
        raise RemoteProtocolError(f"{what} of {len(data)} bytes is above the limit of {limit}")
    reader = _Reader(data, what)
    value = reader.item(0)
    if reader.at != len(data):
        raise reader.fault(f"{len(data) - reader.at} bytes follow its end")
    return value


def _head(major: int, value: int) -> bytes:
    if value < 24:
        return bytes((major << 5 | value,))
    for info, width in _WIDTHS.items():
        if value < 1 << 8 * width:
            return bytes((major << 5 | info,)) + value.to_bytes(width, "big")
    raise ValueError(f"{value} needs more than 64 bits")


def dumps(value: Any) -> bytes:
    """Encode deterministically what ``loads`` gives. ValueError or TypeError for anything else: a defect here."""
    match value:
        case None:
            return b"\xf6"
        case bool():
            pass
        case int():
            return _head(0, value) if value >= 0 else _head(1, -1 - value)
        case bytes():
            return _head(2, len(value)) + value
        case str():
            encoded = value.encode()
            return _head(3, len(encoded)) + encoded
        case list():
            return _head(4, len(value)) + b"".join(map(dumps, value))
        case dict():
            pairs = sorted((dumps(key), dumps(of)) for key, of in value.items())
            return _head(5, len(value)) + b"".join(key + of for key, of in pairs)
        case Tagged():
            return _head(6, value.tag) + dumps(value.item)
    raise TypeError(f"{type(value).__name__} has no place in COSE")
