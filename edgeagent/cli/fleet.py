"""`edgeagent fleet`: what a fleet's brokers and servers need."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import click

from edgeagent.fleet import topics
from edgeagent.fleet.repository_server import RepositoryServer, Shelf
from edgeagent.uplink.link import Broker

from .words import examples

_file = click.Path(path_type=Path, dir_okay=False)


@click.group(
    epilog=examples(
        "edgeagent fleet acl > /etc/mosquitto/acl",
        "edgeagent fleet serve repository --broker mqtts://broker.example",
    )
)
def fleet() -> None:
    """Manage boards over MQTT."""


@fleet.command(epilog=examples("edgeagent fleet acl > /etc/mosquitto/acl"))
@click.option(
    "--controller",
    metavar="USER",
    default="controller",
    show_default=True,
    help="Who publishes desired states and commands.",
)
@click.option(
    "--repository", metavar="USER", default="repository", show_default=True, help="Who serves the repository."
)
@click.option(
    "--collector", metavar="USER", default="collector", show_default=True, help="Who receives batches."
)
def acl(controller: str, repository: str, collector: str) -> None:
    """Print an ACL file for Mosquitto.

    Each board has its own topics only. A user is the common name of a client certificate: set require_certificate and
    use_identity_as_username. No board may have the name of one of the three users.
    """
    roles = {"controller": controller, "repository": repository, "collector": collector}
    click.echo(topics.acl(roles), nl=False)


@fleet.command(epilog=examples("edgeagent fleet serve repository --broker mqtts://broker.example"))
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--broker",
    metavar="URL",
    default="mqtt://localhost",
    show_default=True,
    help="mqtt:// or mqtts:// address.",
)
@click.option("--user", metavar="USER", default="", help="User at the broker.")
@click.option("--password-file", type=_file, help="File whose first line is the password.")
@click.option("--ca", type=_file, help="CA certificates; default: the system's.")
@click.option("--certificate", type=_file, help="Client certificate.")
@click.option("--key", type=_file, help="Client key.")
def serve(
    folder: Path,
    broker: str,
    user: str,
    password_file: Path | None,
    ca: Path | None,
    certificate: Path | None,
    key: Path | None,
) -> None:
    """Serve a repository over MQTT.

    Until interrupted. Only what is published is read: FOLDER/metadata and FOLDER/targets.
    """
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    where = Broker(
        broker,
        f"edgeagent-repository-{socket.gethostname()}-{os.getpid()}",
        user=user,
        password_file=password_file,
        ca=ca,
        certificate=certificate,
        key=key,
    )
    asyncio.run(_until_signal(RepositoryServer(Shelf(folder), where).run()))


async def _until_signal(work: Coroutine[Any, Any, None]) -> None:
    task = asyncio.ensure_future(work)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
    await asyncio.gather(task, return_exceptions=True)
    if not task.cancelled() and (error := task.exception()):
        raise error
