"""`edgeagent run`: the agent, until it is told to stop."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import click

from edgeagent.agent.main import Agent
from edgeagent.config import Config, load
from edgeagent.host.logs import LogBook, start_logging
from edgeagent.host.memory import spare_memory

from .words import examples


@click.command(epilog=examples("edgeagent run --config /etc/edgeagent/agent.toml --check"))
@click.option(
    "--config", "-c", "path", type=click.Path(path_type=Path), default=Path("/etc/edgeagent/agent.toml"),
    show_default=True, help="Configuration; see docs/configuration.md.",
)  # fmt: skip
@click.option("--check", is_flag=True, help="Read the configuration, say whether it is good, and end.")
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    show_default=True,
    help="Least important lines to write.",
)
def run(path: Path, check: bool, log_level: str) -> None:
    """Receive readings, run the guests, send what they make of it. SIGTERM ends it in order."""
    config = load(path)
    if check:
        click.echo(f"{path}: good; {len(config.units)} units")
        return
    spare_memory()
    asyncio.run(_run(config, start_logging(log_level)))


async def _run(config: Config, book: LogBook) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await Agent(config, book).run(stop)
