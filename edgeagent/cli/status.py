"""`edgeagent status`: what a running agent does, for people and for programs."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from edgeagent.control.client import ControlClient
from edgeagent.quantities import show_size

from .words import RUNTIME, RUNTIME_HELP, examples

WATCH_S = 1.0
GOOD = ("running", "idle", "connected", "listening", "ok")
"""States that nobody needs to look at."""


@click.command(epilog=examples("edgeagent status --watch", "edgeagent status --json"))
@click.option(
    "--runtime", type=click.Path(path_type=Path), default=RUNTIME, show_default=True, help=RUNTIME_HELP
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object; with --watch one on each line.")
@click.option("--watch", "-w", is_flag=True, help="Show it anew every second until interrupted.")
def status(runtime: Path, as_json: bool, watch: bool) -> int:
    """Show units and their guests, sources, uplink and spool.

    Exit code 1: something is degraded, and lines that begin with ! say what.
    """
    with ControlClient(runtime) as agent:
        snapshot = agent.ask("status")
        if watch:
            _watch(agent, snapshot, as_json=as_json)
        elif as_json:
            click.echo(json.dumps(snapshot, indent=2, ensure_ascii=False))
        else:
            Console(highlight=False).print(render(snapshot))
    return 1 if snapshot["degraded"] else 0


def _watch(agent: ControlClient, snapshot: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        while True:
            click.echo(json.dumps(snapshot, ensure_ascii=False))
            time.sleep(WATCH_S)
            snapshot = agent.ask("status")
    console = Console(highlight=False)
    with Live(render(snapshot), console=console, auto_refresh=False, screen=console.is_terminal) as live:
        while True:
            time.sleep(WATCH_S)
            live.update(render(agent.ask("status")), refresh=True)


def render(snapshot: dict[str, Any]) -> Group:
    """A snapshot of the agent (agent/snapshot.py): a line on the board, what is wrong, then a row for each part.

    Three columns, of which the last one wraps, so that it reads well in 80 columns too.
    """
    head = Text.assemble(
        (snapshot["board"], "bold"),
        f"  edgeagent {snapshot['version']}, up {uptime(snapshot['uptime_s'])}, "
        f"{show_size(snapshot['memory_bytes'])} of memory, clock {snapshot['clock']['state']}",
    )
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold", overflow="fold")
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, state, lines in _rows(snapshot):
        colour = "" if not state else "green" if state in GOOD else "yellow"
        table.add_row(Text(name), Text(state, style=colour), Text("\n".join(lines)))
    return Group(head, *(Text(f"! {line}", style="bold red") for line in snapshot["degraded"]), Text(), table)


def _rows(snapshot: dict[str, Any]) -> Iterator[tuple[str, str, list[str]]]:
    """Name, state, and what else there is to say."""
    for unit in snapshot["units"]:
        yield unit["name"], unit["guest"]["state"], _unit(unit)
    # Units mostly share a reason; it is long.
    for why, names in _reasons(snapshot["units"]).items():
        yield ", ".join(names), "", [why]
    for source in snapshot["sources"]:
        yield source["kind"], source["state"], [f"{source['where']}, {_count(source['messages'], 'message')}"]
    uplink, spool = snapshot["uplink"], snapshot["spool"]
    acknowledged = (
        f"{uplink['acknowledged']:,} of {_count(uplink['stored'], 'batch', 'batches')} acknowledged"
    )
    yield (
        "uplink",
        uplink["state"],
        [f"{uplink['where']}, {acknowledged}, {show_size(uplink['bytes_out'])}"],
    )
    profile = snapshot["profile"]
    if profile["settings"]:
        given = ", ".join(f"{setting} {value}" for setting, value in profile["settings"].items())
        yield "profile", "", [f"{profile['name']} gives {given}"]
    full = "full" if spool["full"] else "ok"
    waiting = f"{_count(spool['batches'], 'batch', 'batches')} waiting"
    yield "spool", full, [f"{waiting}, {show_size(spool['bytes'])} of {show_size(spool['cap'])}"]


def _unit(unit: dict[str, Any]) -> list[str]:
    guest, log = unit["guest"], unit["log"]
    stored = f"log {show_size(log['bytes'])}, {log['last'] - log['acked']:,} behind"
    lines = [
        f"{unit['app']} on {guest['accelerator']}, {_starts(guest['starts'])}",
        f"{_count(unit['readings'], 'reading')}, {show_size(unit['bytes_in'])}; {stored}",
        f"{_count(unit['summaries'], 'summary', 'summaries')} of {_count(unit['values'], 'value')}",
    ]
    if unit["not_counted"]:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in unit["not_counted"].items())
        lines.append(f"not counted: {reasons}")
    if unit["dropped_rate"]:
        lines.append(f"dropped, for they came too fast: {unit['dropped_rate']:,}")
    if guest["crash"]:
        lines.append(f"last crash: {guest['crash']}")
    return lines


def _reasons(units: list[dict[str, Any]]) -> dict[str, list[str]]:
    """Why guests run on what they run on: names of accelerators by reason."""
    found: dict[str, list[str]] = {}
    for unit in units:
        names = found.setdefault(unit["guest"]["why"], [])
        if unit["guest"]["accelerator"] not in names:
            names.append(unit["guest"]["accelerator"])
    return found


def _count(count: int, one: str, many: str = "") -> str:
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def _starts(count: int) -> str:
    return "started once" if count == 1 else f"started {count:,} times"


def uptime(seconds: float) -> str:
    """A time that passed, in two parts."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}d{hours:02}h"
    if hours:
        return f"{hours}h{minutes:02}m"
    return f"{minutes}m{rest:02}s" if minutes else f"{rest}s"
