"""Durations as options of commands."""

from __future__ import annotations

import click

from edgeagent.errors import ConfigError
from edgeagent.quantities import duration_ms


def duration(text: str) -> int:
    """A click type: 30s, 5m, 2h; read as milliseconds."""
    try:
        return duration_ms(text)
    except ConfigError as error:
        raise click.BadParameter(str(error)) from None
