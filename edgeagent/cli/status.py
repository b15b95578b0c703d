"""`edgeagent status`: what a running agent does, for people and for programs."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import click
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from edgeagent.control.client import ControlClient
from edgeagent.quantities import show_size

WATCH_S = 1.0


@click.command(epilog="Example: edgeagent status --watch")
@click.option(
    "--runtime",
    type=click.Path(path_type=Path),
    default=Path("/run/edgeagent"),
    show_default=True,
    help="The agent's board.runtime.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of tables.")
@click.option("--watch", "-w", is_flag=True, help="Show it anew every second until interrupted.")
def status(runtime: Path, as_json: bool, watch: bool) -> int:
    """Show units and their guests, sources, spool and uplink. Exit code 1: something is degraded."""
    console = Console()
    with ControlClient(runtime) as agent:
        snapshot = agent.ask("status")
        if as_json:
            click.echo(json.dumps(snapshot, indent=2, ensure_ascii=False))
        elif watch:
            with Live(render(snapshot), console=console, auto_refresh=False) as live:
                while True:
                    time.sleep(WATCH_S)
                    snapshot = agent.ask("status")
                    live.update(render(snapshot), refresh=True)
        else:
            console.print(render(snapshot))
    return 1 if snapshot["degraded"] else 0


def render(snapshot: dict[str, Any]) -> Group:
    """A snapshot of the agent (agent/snapshot.py) as tables."""
    parts: list[Any] = [
        Text.assemble(
            (snapshot["board"], "bold"),
            f"  edgeagent {snapshot['version']}  up {_uptime(snapshot['uptime_s'])}",
            f"  clock {snapshot['clock']['state']}",
            f"  {show_size(snapshot['memory_bytes'])} of memory",
        ),
        _units(snapshot["units"]),
        _sources(snapshot),
    ]
    parts += [Text(f"! {line}", style="bold red") for line in snapshot["degraded"]]
    return Group(*parts)


def _uptime(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m" if hours else f"{minutes}m{rest:02}s"


def _units(units: list[dict[str, Any]]) -> Table:
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    for column in ("unit", "guest", "accelerator", "starts"):
        table.add_column(column, no_wrap=True)
    for column in ("readings", "values", "not counted", "summaries", "log", "behind"):
        table.add_column(column, justify="right", no_wrap=True)
    for unit in units:
        guest = unit["guest"]
        table.add_row(
            unit["name"],
            Text(guest["state"], style="green" if guest["state"] == "running" else "yellow"),
            guest["accelerator"],
            str(guest["starts"]),
            f"{unit['readings']:,}",
            f"{unit['values']:,}",
            f"{sum(unit['not_counted'].values()):,}",
            f"{unit['summaries']:,}",
            show_size(unit["log"]["bytes"]),
            f"{unit['log']['last'] - unit['log']['acked']:,}",
        )
    return table


def _sources(snapshot: dict[str, Any]) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for source in snapshot["sources"]:
        table.add_row(
            source["kind"],
            source["state"],
            f"{source['where']}",
            f"{source['messages']:,} messages",
            source["error"],
        )
    spool, uplink = snapshot["spool"], snapshot["uplink"]
    table.add_row(
        "spool",
        "full" if spool["full"] else "ok",
        f"{spool['batches']} batches, {show_size(spool['bytes'])} of {show_size(spool['cap'])}",
        f"{spool['dropped']} dropped" if spool["dropped"] else "",
        "",
    )
    table.add_row(
        "uplink",
        uplink["state"],
        uplink["where"],
        f"{uplink['acknowledged']:,} of {uplink['stored']:,} batches acknowledged, {show_size(uplink['bytes_out'])}",
        uplink["error"],
    )
    return table
