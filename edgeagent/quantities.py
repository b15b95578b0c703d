"""Durations and sizes as people write them: 250ms, 30s, 5m, 2h, 1d; 512KiB, 64MiB, 1GB."""

from __future__ import annotations

import re

from edgeagent.errors import ConfigError

MILLISECONDS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
BYTES = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "kB": 10**3, "MB": 10**6, "GB": 10**9}

_QUANTITY = re.compile(r"(\d{1,12})(?:\.(\d{1,6}))? ?([A-Za-z]{1,3})")


def _parse(text: str, units: dict[str, int], example: str) -> int:
    match = _QUANTITY.fullmatch(text.strip())
    if not match or match[3] not in units:
        raise ConfigError(f"{text!r} is no {example}")
    fraction = match[2] or ""
    scaled = int(match[1] + fraction) * units[match[3]]
    whole, rest = divmod(scaled, int(10 ** len(fraction)))
    if rest:
        raise ConfigError(f"{text!r} is finer than the smallest unit, which is {next(iter(units))}")
    return whole


def duration_ms(text: str) -> int:
    """Milliseconds. ConfigError for what is no duration."""
    return _parse(text, MILLISECONDS, "duration such as 250ms, 30s, 5m, 2h or 1d")


def size_bytes(text: str) -> int:
    """Bytes. ConfigError for what is no size."""
    return _parse(text, BYTES, "size such as 512KiB, 64MiB or 1GiB")


def show_duration(ms: int) -> str:
    """The shortest exact way to write it."""
    for unit in ("d", "h", "m", "s"):
        if ms and ms % MILLISECONDS[unit] == 0:
            return f"{ms // MILLISECONDS[unit]}{unit}"
    return f"{ms}ms"


def show_size(count: float) -> str:
    """Three digits and a binary unit."""
    for unit in ("B", "KiB", "MiB"):
        if abs(count) < 1024:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"
