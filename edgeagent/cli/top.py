"""`edgeagent top`: guests and what they use, live."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from edgeagent.quantities import show_size

from .asking import Follower, Row, runtime_option
from .keyboard import keys
from .ps import COLUMNS, Column, guests_table
from .status import uptime
from .words import examples

ORDERS = {
    "cpu": lambda row: -(row["cpu_percent"] or 0.0),
    "memory": lambda row: -(row["usage"]["rss"] if row["usage"] else 0),
    "readings": lambda row: -row["rate"],
    "waiting": lambda row: -row["waiting"],
    "unit": lambda _: 0,
}
"""What rows can be sorted by; where they are alike they keep the configuration's order."""

_SHOWN = ("UNIT", "STATE", "ON", "PID", "CPU%", "MEM", "RESTARTS", "WAITING")


def _throttled(row: Row) -> str:
    held = row["throttled_s"] + (row["usage"]["throttled_s"] if row["usage"] else 0.0)
    return f"{held:.1f}s" if held else "-"


TOP_COLUMNS: tuple[Column, ...] = (
    *(column for column in COLUMNS if column[0] in _SHOWN),
    ("READ/S", "right", lambda row: f"{row['rate']:,.1f}" if not row["instance"] else ""),
    ("THROTTLED", "right", _throttled),
)


@click.command(epilog=examples("edgeagent top --sort memory", "edgeagent top --once"))
@runtime_option
@click.option(
    "--sort", type=click.Choice(list(ORDERS)), default="cpu", show_default=True, help="What comes first."
)
@click.option(
    "--every", type=click.FloatRange(0.2, 3600), default=2.0, show_default=True, metavar="SECONDS",
    help="Time between two looks, over which CPU and readings are counted.",
)  # fmt: skip
@click.option("--once", is_flag=True, help="Look twice, print once, and end; so also without a terminal.")
def top(runtime: Path, sort: str, every: float, once: bool) -> None:
    """Watch guests and what they use; q or Ctrl-C ends it.

    READ/S are readings that the unit takes in a second, THROTTLED is how long its limits held a guest back. The other
    columns are those of ps, but CPU% is of the time since the last look.
    """
    console = Console(highlight=False)
    told: list[str] = []
    with Follower(runtime, told.append) as agent, keys() as key:
        before = agent.ask("ps")
        if once or not console.is_terminal:
            time.sleep(every)
            console.print(render(before, agent.ask("ps"), sort))
            return
        first = render(before, before, sort)
        with Live(first, console=console, auto_refresh=False, screen=True) as live:
            while key(every) != "q":
                now = agent.ask("ps")
                live.update(render(before, now, sort), refresh=True)
                before = now


def render(before: dict[str, Any], now: dict[str, Any], sort: str) -> Group:
    """Two looks (agent/listing.py) as a screen: a line on the agent, then a row for each guest."""
    rows = rates(before, now)
    rows.sort(key=ORDERS[sort])
    usage = now["agent"]["usage"]
    head = Text.assemble(
        (now["board"], "bold"),
        f"  up {uptime(now['uptime_s'])}, agent {show_size(usage['pss'] or usage['rss']) if usage else '?'}, "
        f"{sum(row['rate'] for row in rows if not row['instance']):,.1f} readings/s",
    )
    return Group(head, Text(), guests_table(rows, TOP_COLUMNS))


def rates(before: dict[str, Any], now: dict[str, Any]) -> list[Row]:
    """The newer rows, with what happened between the two looks: cpu_percent of one core, rate in readings a second."""
    passed = now["at"] - before["at"]
    # Another process of the agent, or the first look: nothing to compare with.
    same = passed > 0 and now["agent"]["pid"] == before["agent"]["pid"]
    earlier = {row["name"]: row for row in before["guests"]} if same else {}
    rows = []
    for row in now["guests"]:
        old = earlier.get(row["name"])
        rate, percent = 0.0, row["cpu_percent"]
        if old is not None:
            rate = (row["readings"] - old["readings"]) / passed
            if row["usage"] and old["usage"] and row["pid"] == old["pid"]:
                percent = 100 * (row["usage"]["cpu_s"] - old["usage"]["cpu_s"]) / passed
        rows.append(row | {"rate": rate, "cpu_percent": percent})
    return rows
