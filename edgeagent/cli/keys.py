"""`edgeagent keys`: make, show and rotate keys. Nothing private is ever printed."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path

import click

from edgeagent.errors import ConfigError
from edgeagent.host.clock import SystemClock
from edgeagent.host.disk import DiskFiles
from edgeagent.seal.keystore import ROLES, Entry, KeyStore
from edgeagent.uplink import topics

from .words import examples

FOLDER = Path("/var/lib/edgeagent/keys")

_folder = click.option(
    "--folder",
    type=click.Path(path_type=Path),
    default=FOLDER,
    show_default=True,
    help="Folder of the keys.",
)
_json = click.option("--json", "as_json", is_flag=True, help="One JSON object instead of a table.")


@click.group(epilog=examples("edgeagent keys init --role board", "edgeagent keys public > board.pem"))
def keys() -> None:
    """Make, show and rotate the keys of a board or collector."""


def _print(role: str, entries: Iterable[Entry], *, as_json: bool) -> None:
    if as_json:
        shown = [
            {
                "name": one.name,
                "algorithm": one.algorithm,
                "kid": one.kid,
                "state": one.state,
                "path": str(one.path),
            }
            for one in entries
        ]
        click.echo(json.dumps({"role": role, "keys": shown}))
        return
    for one in entries:
        click.echo(f"{role:9}  {one.name:7}  {one.algorithm:7}  {one.kid}  {one.state:7}  {one.path}")


@keys.command(epilog=examples("edgeagent keys init --role board --folder /var/lib/edgeagent/keys"))
@click.option("--role", type=click.Choice(sorted(ROLES)), required=True, help="Who will own the keys.")
@_folder
@_json
def init(role: str, folder: Path, as_json: bool) -> None:
    """Make keys; never overwrites any."""
    _print(role, KeyStore(DiskFiles(), folder).init(role, os.urandom), as_json=as_json)


@keys.command(epilog=examples("edgeagent keys show --json"))
@_folder
@_json
def show(folder: Path, as_json: bool) -> None:
    """Show identifiers, algorithms and files."""
    store = KeyStore(DiskFiles(), folder)
    _print(store.role, store.entries(), as_json=as_json)


@keys.command(
    epilog=examples("edgeagent keys public --folder /var/lib/edgeagent/collector-keys > collector.pem")
)
@_folder
def public(folder: Path) -> None:
    """Print the public keys (PEM).

    A board's is for `collect enroll`, a collector's for seal.recipients and uplink.collector_keys.
    """
    sys.stdout.write(KeyStore(DiskFiles(), folder).public().decode())


@keys.command(epilog=examples("edgeagent keys rotate --board attic"))
@_folder
@click.option("--board", default="", help="The board's name, as enrolled; only for a board's keys.")
def rotate(folder: Path, board: str) -> None:
    """Make successors of the keys.

    A board goes on signing with the old key until `edgeagent keys retire`; enroll the statement before that.

    A collector opens with old and new keys; give its new public keys to the boards before `keys retire`.
    """
    store = KeyStore(DiskFiles(), folder)
    if store.role == "board":
        if not board:
            raise ConfigError("these are a board's keys", where=str(folder), remedy="Give --board, its name.")
        topics.check_board(board)
    statement = store.rotate(board, SystemClock().now_ms(), os.urandom)
    if statement:
        click.echo(f"Enroll it: edgeagent collect enroll --database URL {board} {statement}")
    else:
        click.echo("Give the boards what `edgeagent keys public` prints now.")
    click.echo(f"Then finish: edgeagent keys retire --folder {folder}")


@keys.command(epilog=examples("edgeagent keys retire"))
@_folder
@_json
def retire(folder: Path, as_json: bool) -> None:
    """Replace keys by their successors.

    They are used from the next start on; the old keys are gone for good.
    """
    store = KeyStore(DiskFiles(), folder)
    role = store.role
    _print(role, store.retire(), as_json=as_json)
