"""`edgeagent run`: the agent, until it is told to stop."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import click

from edgeagent.agent.admission import admit
from edgeagent.agent.images import read_image
from edgeagent.agent.main import Agent
from edgeagent.agent.opening import read_keys
from edgeagent.boards import library
from edgeagent.boards.here import this_machine
from edgeagent.config import Config, load
from edgeagent.errors import ConfigError
from edgeagent.host.disk import DiskFiles
from edgeagent.host.logs import LogBook, start_logging
from edgeagent.host.memory import spare_memory
from edgeagent.probe.live import host_arch

from .words import examples


@click.command(epilog=examples("edgeagent run --config /etc/edgeagent/agent.toml --check"))
@click.option(
    "--config", "-c", "path", type=click.Path(path_type=Path), default=Path("/etc/edgeagent/agent.toml"),
    show_default=True, help="Configuration; see docs/configuration.md.",
)  # fmt: skip
@click.option(
    "--check",
    is_flag=True,
    help="Read the configuration and the files it names, say whether they are good, and end.",
)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    show_default=True,
    help="Least important lines to write.",
)
def run(path: Path, check: bool, log_level: str) -> None:
    """Run the agent on this board.

    It receives readings, runs the guests, and sends what they make of it. SIGTERM ends it in order.
    """
    config = load(path, lambda profile: library.defaults(profile, this_machine()))
    if check:
        _look_at_files(config)
        units = len(config.units)
        board = f"; board profile {config.from_profile.profile}" if config.from_profile.profile else ""
        click.echo(f"{path}: good; {units} unit{'s' if units > 1 else ''}{board}")
        return
    spare_memory()
    asyncio.run(_run(config, start_logging(log_level)))


def _look_at_files(config: Config) -> None:
    """What would stop a start or a connection, told before it: memory, keys, images, passwords, certificates."""
    admit(config)
    read_keys(config, DiskFiles())
    for unit in config.units:
        read_image(unit, config.board, host_arch())
    for link in (config.mqtt, config.uplink):
        for path in (link.password_file, link.ca, link.certificate, link.key) if link else ():
            if path is None:
                continue
            try:
                path.open("rb").close()
            except OSError as error:
                raise ConfigError(f"cannot be read: {error.strerror}", where=str(path)) from None


async def _run(config: Config, book: LogBook) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await Agent(config, book).run(stop)
