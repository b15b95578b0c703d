"""`edgeagent repo`: the signed repository that a fleet's boards take bundles from."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from edgeagent.host.disk import DiskFiles
from edgeagent.update import key_files
from edgeagent.update.repository import MAX_TARGET, Repository
from edgeagent.update.roles import ONLINE, ROOT, SNAPSHOT, TARGETS, TIMESTAMP, TOP
from edgeagent.update.tuf_keys import TufSigner, tuf_key

from .inputs import read_file
from .words import examples

ROOT_KEYS, ROOT_THRESHOLD = 3, 2
KEYS = {
    **{f"root-{number}": ROOT for number in range(1, ROOT_KEYS + 1)},
    "targets": TARGETS,
    "snapshot": SNAPSHOT,
    "timestamp": TIMESTAMP,
}
"""Files that ``init`` makes: the role that each may sign."""

_FILES = DiskFiles()
_folder = click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
_keys = click.option(
    "--keys",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Folder of the online keys.",
)
_file = click.Path(path_type=Path, dir_okay=False)


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def _signers(folder: Path) -> list[TufSigner]:
    found = [TufSigner(key_files.read(_FILES, folder / f"{role}.pem")) for role in ONLINE]
    return list({one.public_key.keyid: one for one in found}.values())


@click.group(epilog=examples("edgeagent repo init fleet --keys keys", "edgeagent repo status fleet"))
def repo() -> None:
    """Keep the repository that boards take bundles from (TUF).

    A change is staged, signed by those who may, and published. What a board installs must be signed here and by the
    bundle's author.
    """


@repo.command(epilog=examples("edgeagent repo init fleet --keys keys"))
@_folder
@click.option("--keys", type=click.Path(path_type=Path), required=True, help="Folder for the new keys.")
def init(folder: Path, keys: Path) -> None:
    """Make keys, and publish a first version.

    Three root keys, of which two must sign; one for targets; one each for snapshot and timestamp. Take the root keys
    and the targets key off this machine afterwards; publishing needs the other two.
    """
    repository = Repository(_FILES, folder)
    repository.require_new()
    made = {name: key_files.make(_FILES, keys / f"{name}.pem", os.urandom) for name in KEYS}
    by_role = {role: [tuf_key(made[name].public) for name, of in KEYS.items() if of == role] for role in TOP}
    repository.init(by_role, {role: ROOT_THRESHOLD if role == ROOT else 1 for role in TOP}, _now())
    for name in ("root-1", "root-2", "targets"):
        repository.sign(TufSigner(made[name]))
    repository.publish([TufSigner(made[role]) for role in ONLINE], _now())
    click.echo(f"published: {folder}; give boards {folder / 'metadata' / '1.root.json'}")
    offline = ", ".join(f"{name}.pem" for name, role in KEYS.items() if role not in ONLINE)
    click.echo(f"take these off this machine, each to a place of its own: {offline}")


@repo.command(epilog=examples("edgeagent repo key team-heating.pem"))
@click.argument("file", type=_file)
def key(file: Path) -> None:
    """Make a key to sign with.

    FILE is private: keep it. FILE.pub is public: give it.
    """
    made = key_files.make(_FILES, file, os.urandom)
    click.echo(f"{tuf_key(made.public).keyid}  {key_files.public_path(file)}")


@repo.command(
    epilog=examples("edgeagent repo delegate fleet heating --key heating.pem.pub --paths 'heating/*'")
)
@_folder
@click.argument("team")
@click.option("--key", "public", type=_file, multiple=True, required=True, help="A public key; repeat it.")
@click.option("--threshold", type=click.IntRange(1), default=1, show_default=True, help="Signatures needed.")
@click.option(
    "--paths", multiple=True, required=True, metavar="PATTERN", help="Targets that it may name; repeat it."
)
def delegate(
    folder: Path, team: str, public: tuple[Path, ...], threshold: int, paths: tuple[str, ...]
) -> None:
    """Stage a team with targets of its own."""
    keys = [tuf_key(key_files.read_public(_FILES, one)) for one in public]
    Repository(_FILES, folder).delegate(team, keys, threshold, paths, _now())
    _staged(folder)


@repo.command(epilog=examples("edgeagent repo add fleet home.suit --team heating --as heating/home-7.suit"))
@_folder
@click.argument("file", type=_file)
@click.option("--team", default=TARGETS, help="Who names it.  [default: the repository's own role]")
@click.option("--as", "path", default="", help="Its path in the repository.  [default: the file's name]")
def add(folder: Path, file: Path, team: str, path: str) -> None:
    """Stage a file that boards may then be given."""
    data = read_file(file, MAX_TARGET)
    Repository(_FILES, folder).add(team, path or file.name, data, {}, _now())
    _staged(folder)


@repo.command(epilog=examples("edgeagent repo remove fleet heating/home-6.suit --team heating"))
@_folder
@click.argument("path")
@click.option("--team", default=TARGETS, help="Who names it.  [default: the repository's own role]")
def remove(folder: Path, path: str, team: str) -> None:
    """Stage that a target isn't offered any more."""
    Repository(_FILES, folder).remove(team, path, _now())
    _staged(folder)


@repo.command(epilog=examples("edgeagent repo sign fleet --key /media/safe/root-1.pem"))
@_folder
@click.option("--key", "private", type=_file, multiple=True, required=True, help="A private key; repeat it.")
def sign(folder: Path, private: tuple[Path, ...]) -> None:
    """Sign what is staged and these keys may sign."""
    repository = Repository(_FILES, folder)
    for signer in [TufSigner(key_files.read(_FILES, one)) for one in private]:
        click.echo(f"{signer.public_key.keyid[:16]} signed {', '.join(repository.sign(signer))}")
    _staged(folder)


@repo.command(epilog=examples("edgeagent repo publish fleet --keys keys"))
@_folder
@_keys
def publish(folder: Path, keys: Path) -> None:
    """Show boards what is staged and signed.

    Without anything staged the timestamp is renewed: do that daily, it ends after a week.
    """
    roles = Repository(_FILES, folder).publish(_signers(keys), _now())
    click.echo(f"published: {', '.join(roles) if roles else 'a new timestamp'}")


@repo.command(
    "rotate-key", epilog=examples("edgeagent repo rotate-key fleet root --old 1f3a --new root-4.pem.pub")
)
@_folder
@click.argument("role")
@click.option("--old", required=True, help="How the old key's identifier begins.")
@click.option("--new", type=_file, required=True, help="The new public key.")
def rotate_key(folder: Path, role: str, old: str, new: Path) -> None:
    """Stage another key for a role.

    A new root must be signed by two keys of the old root and two of its own.
    """
    Repository(_FILES, folder).exchange_key(role, old, tuf_key(key_files.read_public(_FILES, new)), _now())
    _staged(folder)


@repo.command(epilog=examples("edgeagent repo discard fleet"))
@_folder
def discard(folder: Path) -> None:
    """Give up what is staged."""
    click.echo(f"given up: {', '.join(Repository(_FILES, folder).discard()) or 'nothing was staged'}")


@repo.command(epilog=examples("edgeagent repo status fleet --json"))
@_folder
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of a table.")
def status(folder: Path, as_json: bool) -> None:
    """Show roles, keys and what is staged."""
    repository = Repository(_FILES, folder)
    repository.newest(ROOT)
    waiting = {one.role: one for one in repository.waiting()}
    rows = []
    for role in (*TOP, *repository.teams()):
        found, staged = repository.published(role), waiting.get(role)
        rows.append({
            "role": role,
            "version": found.signed.version if found else None,
            "expires": found.signed.expires.isoformat() if found else None,
            "keys": repository.key_ids(role),
            "targets": sorted(found.signed.targets) if found and role not in (ROOT, *ONLINE) else [],
            "staged": {"version": staged.version, "signatures": staged.good, "missing": staged.missing}
            if staged else None,
        })  # fmt: skip
    if as_json:
        click.echo(json.dumps({"roles": rows}))
        return
    table = Table(box=None, header_style="bold")
    for title in ("role", "version", "expires", "keys", "targets", "staged"):
        table.add_column(title)
    for row in rows:
        staged = waiting.get(str(row["role"]))
        table.add_row(
            str(row["role"]), str(row["version"] or "-"), str(row["expires"] or "-")[:10],
            " ".join(one[:8] for one in row["keys"]), str(len(row["targets"])),  # type: ignore[arg-type,union-attr]
            "" if not staged else f"version {staged.version}; signatures: {staged.good}, missing: {staged.missing}",
        )  # fmt: skip
    Console().print(table)


def _staged(folder: Path) -> None:
    for one in Repository(_FILES, folder).waiting():
        missing = f"signatures missing: {one.missing}" if one.missing else "signed; publish it"
        click.echo(f"staged: {one.role} version {one.version}: {missing}")
