"""`edgeagent restart`: end the guests of units in order, and start them anew."""

from __future__ import annotations

from pathlib import Path

import click

from .asking import GOING, Row, change, no_wait_option, runtime_option, units_argument
from .words import examples


@click.command(epilog=examples("edgeagent restart home garden"))
@runtime_option
@no_wait_option
@units_argument
def restart(runtime: Path, units: tuple[str, ...], no_wait: bool) -> None:
    """End the guests of units in order, and start them anew, with a new start budget.

    No reading is lost or counted twice. A unit that was stopped is started.
    """
    change("restart", runtime, units, _reached, wait=not no_wait)


def _reached(row: Row, starts: int) -> bool:
    return bool(row["state"] in GOING and row["starts"] > starts)
