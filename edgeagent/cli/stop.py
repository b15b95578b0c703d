"""`edgeagent stop`: stop the guests of units, until they are started again."""

from __future__ import annotations

from pathlib import Path

import click

from .asking import Row, change, no_wait_option, runtime_option, units_argument
from .words import examples


@click.command(epilog=examples("edgeagent stop home"))
@runtime_option
@no_wait_option
@units_argument
def stop(runtime: Path, units: tuple[str, ...], no_wait: bool) -> None:
    """Stop the guests of units, in order: what they have is processed and their state kept.

    A stopped unit stays stopped when the agent or the board is restarted. Its readings are taken and wait in its log,
    up to journal.log_cap; then its sources wait.
    """
    change("stop", runtime, units, _reached, wait=not no_wait)


def _reached(row: Row, _: int) -> bool:
    return bool(row["state"] == "stopped")
