"""`edgeagent ps`: a row for each guest."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from edgeagent.control.client import ControlClient
from edgeagent.quantities import show_size

from .asking import GOING, Row, runtime_option
from .status import uptime
from .words import examples

HEADINGS = """\b
ON        accelerator
CPU%      of one core, on the average since the guest's start
MEM       of the VMM with its guest; shared pages count in part (PSS)
RAM       the guest's
RESTARTS  after crashes
SINCE     the guest was started, or came to rest
WAITING   readings and ticks that it has yet to process
"""


@click.command(epilog=examples("edgeagent ps", "edgeagent ps --json", more=HEADINGS))
@runtime_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def ps(runtime: Path, as_json: bool) -> None:
    """List the guests of all units, and what they use."""
    with ControlClient(runtime) as agent:
        listing = agent.ask("ps")
    if as_json:
        click.echo(json.dumps(listing, indent=2, ensure_ascii=False))
    else:
        Console(highlight=False).print(guests_table(listing["guests"], COLUMNS))


Column = tuple[str, str, Callable[[Row], str]]


def cpu(row: Row) -> str:
    """Percent of one core."""
    return "-" if row["cpu_percent"] is None else f"{row['cpu_percent']:.1f}"


def memory(row: Row) -> str:
    """PSS, RSS where the kernel doesn't say the other."""
    usage = row["usage"]
    return show_size(usage["pss"] or usage["rss"]) if usage else "-"


COLUMNS: tuple[Column, ...] = (
    ("UNIT", "left", lambda row: row["name"]),
    ("APP", "left", lambda row: row["app"]),
    ("STATE", "left", lambda row: row["state"]),
    ("ON", "left", lambda row: row["accelerator"]),
    ("PID", "right", lambda row: str(row["pid"] or "-")),
    ("CPU%", "right", cpu),
    ("MEM", "right", memory),
    ("RAM", "right", lambda row: show_size(row["memory"])),
    ("RESTARTS", "right", lambda row: str(row["restarts"])),
    ("SINCE", "right", lambda row: uptime(row["since_s"])),
    ("WAITING", "right", lambda row: f"{row['waiting']:,}"),
)
"""Heading, side, and what stands below it."""


def guests_table(rows: list[Row], columns: tuple[Column, ...]) -> Table:
    """For people; it fits 80 columns where names are short."""
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="bold")
    for heading, side, _ in columns:
        justify: Any = side
        table.add_column(heading, justify=justify, no_wrap=side == "right", overflow="fold")
    for row in rows:
        cells = [Text(show(row)) for _, _, show in columns]
        state = next(index for index, column in enumerate(columns) if column[0] == "STATE")
        cells[state].stylize("green" if row["state"] in GOING else "yellow")
        table.add_row(*cells)
    return table
