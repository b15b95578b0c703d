"""`edgeagent start`: start the guests of units that are stopped, idle or failed."""

from __future__ import annotations

from pathlib import Path

import click

from .asking import GOING, Row, change, no_wait_option, runtime_option, units_argument
from .words import examples


@click.command(epilog=examples("edgeagent start home"))
@runtime_option
@no_wait_option
@units_argument
def start(runtime: Path, units: tuple[str, ...], no_wait: bool) -> None:
    """Start the guests of units that are stopped, idle or failed, with a new start budget.

    They go on where they were, with the readings that wait.
    """
    change("start", runtime, units, _reached, wait=not no_wait)


def _reached(row: Row, _: int) -> bool:
    return bool(row["state"] in GOING)
