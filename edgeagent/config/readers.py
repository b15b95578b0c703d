"""Readers: a TOML value in, a checked value out. Each raises ConfigError without `where`; load.py adds it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from edgeagent.errors import ConfigError
from edgeagent.quantities import duration_ms, show_duration, show_size, size_bytes

Reader = Callable[[Any], Any]

MAX_TEXT = 4096
MAX_ITEMS = 1000


def _fail(value: Any, wanted: str) -> ConfigError:
    return ConfigError(f"{value!r} is no {wanted}")


def text(pattern: str = r".+", wanted: str = "text") -> Reader:
    """A string that matches the pattern in full."""
    compiled = re.compile(pattern, re.DOTALL)

    def read(value: Any) -> str:
        if not isinstance(value, str) or len(value) > MAX_TEXT or not compiled.fullmatch(value):
            raise _fail(value, wanted)
        return value

    return read


name = text(r"[a-z0-9][a-z0-9_-]{0,62}", "name: 1 to 63 of a-z 0-9 _ -, beginning with a letter or digit")


def choice(*words: str) -> Reader:
    """One of the words."""

    def read(value: Any) -> str:
        if value not in words:
            raise ConfigError(f"{value!r} is none of {', '.join(words)}")
        return str(value)

    return read


def whole(low: int, high: int) -> Reader:
    """An integer within bounds."""

    def read(value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise _fail(value, f"whole number from {low} to {high}")
        return value

    return read


def duration(low: str, high: str) -> Reader:
    """A duration such as 30s, read as ms."""
    least, most = duration_ms(low), duration_ms(high)

    def read(value: Any) -> int:
        if not isinstance(value, str):
            raise _fail(value, 'duration such as "30s"')
        ms = duration_ms(value)
        if not least <= ms <= most:
            raise ConfigError(f"{value} is not within {show_duration(least)} to {show_duration(most)}")
        return ms

    return read


def size(low: str, high: str) -> Reader:
    """A size such as 64MiB, read as bytes."""
    least, most = size_bytes(low), size_bytes(high)

    def read(value: Any) -> int:
        if not isinstance(value, str):
            raise _fail(value, 'size such as "64MiB"')
        count = size_bytes(value)
        if not least <= count <= most:
            raise ConfigError(f"{value} is not within {show_size(least)} to {show_size(most)}")
        return count

    return read


@dataclass(frozen=True, slots=True)
class Amount:
    """Of the board's memory: bytes, or percent of it, or neither: somebody else says it."""

    bytes: int = 0
    percent: int = 0


def amount(low: str, high: str) -> Reader:
    """A size within bounds, a share such as 25%, or auto."""
    sized = size(low, high)

    def read(value: Any) -> Amount:
        if value == "auto":
            return Amount()
        if isinstance(value, str) and value.endswith("%"):
            share = value.removesuffix("%").strip()
            if not share.isdecimal() or not 1 <= int(share) <= 100:
                raise _fail(value, 'share such as "25%" (1% to 100%)')
            return Amount(percent=int(share))
        return Amount(bytes=sized(value))

    return read


def path(value: Any) -> Path:
    """A path; relative ones are resolved against the configuration file's folder by load.py."""
    if not isinstance(value, str) or not value or "\0" in value or len(value) > MAX_TEXT:
        raise _fail(value, "path")
    return Path(value)


def per_mille(value: Any) -> int:
    """A quantile from 0 to 1 with at most three digits, as per mille."""
    scaled = number(value) * 1000
    if not 0 <= scaled <= 1000 or scaled != int(scaled):
        raise _fail(value, "quantile such as 0.95 (from 0 to 1, at most three digits)")
    return int(scaled)


def number(value: Any) -> Decimal:
    """A number, exactly as written."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise _fail(value, "number")
    try:
        exact = Decimal(str(value))
    except InvalidOperation:
        raise _fail(value, "number") from None
    if not exact.is_finite():
        raise _fail(value, "number")
    return exact


def url(*schemes: str) -> Reader:
    """scheme://host[:port] without user or password, which have settings of their own."""

    def read(value: Any) -> str:
        wanted = " or ".join(f"{scheme}://HOST[:PORT]" for scheme in schemes)
        if not isinstance(value, str) or len(value) > MAX_TEXT:
            raise _fail(value, f"address such as {wanted}")
        try:
            parts = urlsplit(value)
            port = parts.port
        except ValueError:
            raise _fail(value, f"address such as {wanted}") from None
        if parts.scheme not in schemes or not parts.hostname or port == 0 or parts.path.strip("/"):
            raise _fail(value, f"address such as {wanted}")
        if parts.username or parts.password:
            raise ConfigError(
                "the address holds a user or password", remedy="Use user and password_file instead."
            )
        return value

    return read


def many(item: Reader, *, least: int = 0, most: int = MAX_ITEMS) -> Reader:
    """An array of items."""

    def read(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list) or not least <= len(value) <= most:
            wanted = f"array of at least {least} items" if least else "array"
            raise _fail(value, wanted if most == MAX_ITEMS else f"{wanted} of at most {most} items")
        return tuple(item(one) for one in value)

    return read


def optional(item: Reader) -> Reader:
    """The item; None stands for a missing key."""

    def read(value: Any) -> Any:
        return None if value is None else item(value)

    return read
