"""Durations as options of commands."""

from __future__ import annotations

from collections.abc import Callable

import click

from edgeagent.errors import ConfigError
from edgeagent.quantities import duration_ms


def duration(text: str) -> int:
    """A click type: 30s, 5m, 2h; read as milliseconds."""
    try:
        return duration_ms(text)
    except ConfigError as error:
        raise click.BadParameter(str(error)) from None


def at_least(least: str) -> Callable[[str], int]:
    """A click type: durations that aren't shorter than least."""

    def read(text: str) -> int:
        ms = duration(text)
        if ms < duration_ms(least):
            raise click.BadParameter(f"{text!r} is shorter than {least}")
        return ms

    read.__name__ = duration.__name__  # what help shows
    return read
