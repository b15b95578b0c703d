"""What a simulated or replayed sensor says: the bytes, and what a reader should make of them."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

TEXT, SENML_JSON, SENML_CBOR, JSON = 0, 110, 112, 50
"""CoAP Content-Format numbers (RFC 7252 section 12.3, RFC 8428 section 12.3)."""


class Via(enum.Enum):
    """How a message travels."""

    MQTT = "mqtt"
    COAP = "coap"


@dataclass(frozen=True, slots=True)
class Value:
    """One number in a payload. ``time``: event time in ms since 1970, None where the payload has none."""

    field: str
    unit: str
    number: Decimal
    time: int | None


@dataclass(frozen=True, slots=True)
class Message:
    """One payload. ``due``: when to send it, ms since 1970, 0 for at once; ``fault``: why nobody can read it, or ""."""

    due: int
    via: Via
    topic: str
    payload: bytes
    content_format: int
    values: tuple[Value, ...]
    fault: str = ""


def json_text(value: Any) -> str:
    """JSON with Decimals exactly as they are written, which the standard library's encoder can't do."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case Decimal():
            return format(value, "f")
        case int():
            return str(value)
        case str():
            return _quoted(value)
        case list():
            return f"[{','.join(map(json_text, value))}]"
        case dict():
            return "{" + ",".join(f"{_quoted(name)}:{json_text(one)}" for name, one in value.items()) + "}"
    raise TypeError(f"{type(value).__name__} has no place in a payload")


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
