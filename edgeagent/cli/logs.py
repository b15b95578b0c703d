"""`edgeagent logs`: the newest lines of a running agent."""

from __future__ import annotations

import time
from pathlib import Path

import click

from .asking import Follower, runtime_option, unit_names
from .words import examples

FOLLOW_S = 0.5
"""Between questions while following."""
MOST = 2000


@click.command(epilog=examples("edgeagent logs --lines 50 --follow", "edgeagent logs --follow home"))
@runtime_option
@click.option(
    "--lines",
    "-n",
    type=click.IntRange(1, MOST),
    default=100,
    show_default=True,
    metavar="COUNT",
    help="How many.",
)
@click.option(
    "--follow", "-f", is_flag=True, help="Go on until interrupted, also when the agent is restarted."
)
@click.argument("unit", required=False, default="", shell_complete=unit_names)
def logs(runtime: Path, lines: int, follow: bool, unit: str) -> None:
    """Print the newest log lines: the agent's own and its guests', or those about one unit."""
    with Follower(runtime, _tell) as agent:
        answer = agent.ask("logs", after=0, most=lines, unit=unit)
        while True:
            for line in answer["lines"]:
                click.echo(line)
            if not follow:
                return
            time.sleep(FOLLOW_S)
            newer = agent.ask("logs", after=answer["number"], most=MOST, unit=unit)
            if newer["agent"] != answer["agent"]:
                newer = agent.ask("logs", after=0, most=MOST, unit=unit)
            answer = newer


def _tell(words: str) -> None:
    click.echo(f"edgeagent: {words}", err=True)
