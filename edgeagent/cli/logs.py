"""`edgeagent logs`: the newest lines of a running agent."""

from __future__ import annotations

import time
from pathlib import Path

import click

from edgeagent.control.client import ControlClient

from .words import RUNTIME, RUNTIME_HELP, examples

FOLLOW_S = 0.5
"""Between questions while following."""


@click.command(epilog=examples("edgeagent logs --lines 50 --follow"))
@click.option(
    "--runtime", type=click.Path(path_type=Path), default=RUNTIME, show_default=True, help=RUNTIME_HELP
)
@click.option(
    "--lines",
    "-n",
    type=click.IntRange(1, 2000),
    default=100,
    show_default=True,
    metavar="COUNT",
    help="How many.",
)
@click.option("--follow", "-f", is_flag=True, help="Go on until interrupted.")
def logs(runtime: Path, lines: int, follow: bool) -> None:
    """Print the newest log lines: the agent's own and its guests'."""
    with ControlClient(runtime) as agent:
        answer = agent.ask("logs", after=0, most=lines)
        while True:
            for line in answer["lines"]:
                click.echo(line)
            if not follow:
                return
            time.sleep(FOLLOW_S)
            answer = agent.ask("logs", after=answer["number"], most=2000)
