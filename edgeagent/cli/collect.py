"""`edgeagent collect`: the collector, and what is in its database."""

from __future__ import annotations

import asyncio
import importlib
import json
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgeagent.errors import ConfigError, EnvironmentFaultError
from edgeagent.host.clock import SystemClock
from edgeagent.seal.keys import MAX_STATEMENT, VerifyKey, read_publics, read_rotation
from edgeagent.seal.keystore import MAX_PUBLIC
from edgeagent.uplink import topics

from .inputs import read_file
from .words import examples

if TYPE_CHECKING:
    from edgeagent.collector.store import Store

DATABASE = "sqlite:////var/lib/edgeagent/collector.db"
KEYS = Path("/var/lib/edgeagent/collector-keys")

_path = click.Path(path_type=Path)
COSE_SIGN1 = b"\xd2"
"""First byte of a rotation's statement (RFC 9052 section 4.2, tag 18)."""

DATABASE_HELP = "sqlite: or postgresql: URL; also before the command, or in EDGEAGENT_DATABASE."


def _given(context: click.Context, _parameter: click.Parameter, value: str | None) -> str:
    """A command's own --database, or the one before the command."""
    return value or str(context.parent.params["database"] if context.parent else DATABASE)


_database = click.option("--database", metavar="URL", callback=_given, help=DATABASE_HELP)
_json = click.option("--json", "as_json", is_flag=True, help="For machines: one JSON value on each line.")


def _extra(module: str) -> Any:
    """A module that needs the extra `cloud`."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("edgeagent"):
            raise
        raise EnvironmentFaultError(
            f"the collector needs {error.name}, which isn't installed",
            remedy="Run: pip install 'edgeagent[cloud]'",
        ) from error


@contextmanager
def _store(url: str, *, create: bool = True) -> Iterator[Store]:
    store: Store = _extra("edgeagent.collector.store").Store(url, create=create)
    try:
        yield store
    finally:
        store.close()


@click.group(
    invoke_without_command=True,
    epilog=examples(
        "edgeagent collect --database sqlite:///batches.db --broker mqtts://broker.example --keys ./keys",
        "edgeagent collect boards --database sqlite:///batches.db",
    ),
)
@click.option(
    "--database",
    metavar="URL",
    default=DATABASE,
    show_default=True,
    envvar="EDGEAGENT_DATABASE",
    show_envvar=True,
    help="sqlite: or postgresql: URL.",
)
@click.option(
    "--broker",
    metavar="URL",
    default="mqtt://localhost",
    show_default=True,
    help="mqtt:// or mqtts:// address.",
)
@click.option("--keys", type=_path, default=KEYS, show_default=True, help="Folder of the collector's keys.")
@click.option(
    "--name", metavar="NAME", default="", help="Keep this collector's session at the broker while it is away."
)
@click.option("--user", metavar="USER", default="", help="User at the broker.")
@click.option("--password-file", type=_path, help="File whose first line is the password.")
@click.option("--ca", type=_path, help="CA certificates; default: the system's.")
@click.option("--certificate", type=_path, help="Client certificate.")
@click.option("--key", type=_path, help="Client key.")
@_json
@click.pass_context
def collect(
    context: click.Context,
    database: str,
    broker: str,
    keys: Path,
    name: str,
    user: str,
    password_file: Path | None,
    ca: Path | None,
    certificate: Path | None,
    key: Path | None,
    as_json: bool,
) -> None:
    """Receive, verify and store batches.

    Without a command it receives until SIGTERM; with one it looks after what is stored.
    """
    if context.invoked_subcommand:
        return
    if name and not topics.is_name(name):
        raise ConfigError(f"{name!r} can't be a collector's name", where="--name", remedy=topics.NAME_RULE)
    mqtt = _extra("edgeagent.collector.mqtt")
    config = mqtt.CollectorConfig(
        database,
        mqtt.broker_of(
            broker, name, user=user, password_file=password_file, ca=ca, certificate=certificate, key=key
        ),
        keys,
        emit=_print_json if as_json else _print_line,
    )
    asyncio.run(_until_signal(mqtt.run_collector(config)))


async def _until_signal(work: Any) -> None:
    """Run it; SIGTERM and SIGINT end it cleanly."""
    task = asyncio.ensure_future(work)
    loop = asyncio.get_running_loop()
    stopped = False

    def stop() -> None:
        nonlocal stopped
        stopped = True
        task.cancel()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    try:
        await task
    except asyncio.CancelledError:
        if not stopped:
            raise


def _print_json(event: dict[str, Any]) -> None:
    print(json.dumps(event), flush=True)


def _print_line(event: dict[str, Any]) -> None:
    words = " ".join(
        f"{name}={value}" for name, value in event.items() if name not in ("event", "time_ms") and value != {}
    )
    print(f"{event['event']}: {words}", flush=True)


@collect.command(epilog=examples("edgeagent collect enroll --database sqlite:///batches.db attic attic.pem"))
@_database
@click.argument("board")
@click.argument("file", type=_path)
@click.option("--retire", metavar="KID", help="Refuse this key of the board from now on.")
def enroll(database: str, board: str, file: Path, retire: str | None) -> None:
    """Let a board deliver.

    FILE has the public key of BOARD (`edgeagent keys public`) or the statement of a rotation (`edgeagent keys rotate`).
    """
    topics.check_board(board)
    now = SystemClock().now_ms()
    data = read_file(file, MAX_PUBLIC)
    with _store(database) as store:
        key = _enrollable(store, board, data, file)
        new = store.enroll(board, key, now)
        click.echo(f"{board}: {'key' if new else 'known already: key'} {key.kid.hex()}")
        if retire:
            store.retire(board, retire, now)
            click.echo(f"{board}: retired {retire}")


def _enrollable(store: Store, board: str, data: bytes, file: Path) -> VerifyKey:
    if b"-----BEGIN" in data:
        signers = [key for key in read_publics(data, str(file)) if isinstance(key, VerifyKey)]
        if len(signers) != 1:
            raise ConfigError(
                f"the file has {len(signers)} Ed25519 keys where one is expected",
                where=str(file),
                remedy="For a new key of a known board give the statement of `edgeagent keys rotate`.",
            )
        return signers[0]
    if not data.startswith(COSE_SIGN1):
        raise ConfigError(
            "neither a public key in PEM nor the statement of a rotation",
            where=str(file),
            remedy="Make it on the board: edgeagent keys public, or edgeagent keys rotate.",
        )
    known = store.keys(board)
    if not known:
        raise ConfigError(
            "a rotation needs a board that is enrolled", where=board, remedy="Enroll its public key."
        )
    rotation = read_rotation(data[: MAX_STATEMENT + 1], known.get)
    if rotation.board != board:
        raise ConfigError(f"the statement is of board {rotation.board!r:.70}", where=str(file))
    return rotation.new


@collect.command(epilog=examples("edgeagent collect boards --json"))
@_database
@_json
def boards(database: str, as_json: bool) -> None:
    """List boards, their keys and deliveries."""
    from edgeagent.collector.export import iso  # noqa: PLC0415 - beside the store it is for

    with _store(database, create=False) as store:
        known = list(store.boards())
    for one in known:
        if as_json:
            _print_json(asdict(one))
        else:
            newest = iso(one.newest_ms) if one.newest_ms is not None else "never"
            keys = [*(f"key {kid}" for kid in one.keys), *(f"retired key {kid}" for kid in one.retired)]
            click.echo(f"{one.name}: {one.batches} batches, the newest {newest}")
            click.echo(f"    {', '.join(keys)}")
    if not known and not as_json:
        click.echo("no board is enrolled")


@collect.command(epilog=examples("edgeagent collect gaps --database sqlite:///batches.db"))
@_database
@_json
def gaps(database: str, as_json: bool) -> int:
    """List what never arrived.

    Exit code 1 when batches or outputs are missing.
    """
    with _store(database, create=False) as store:
        found = store.gaps()
    for one in found:
        if as_json:
            _print_json(asdict(one))
        else:
            click.echo(f"{one.board}: {one.kind} {one.first}..{one.last} of {one.of} is missing")
    if not found and not as_json:
        click.echo("nothing is missing")
    return 1 if found else 0


def _time(_context: click.Context, _parameter: click.Parameter, value: str | None) -> int | None:
    """ISO 8601, UTC unless it says otherwise; ms since 1970."""
    if value is None:
        return None
    try:
        when = datetime.fromisoformat(value)
    except ValueError:
        raise click.BadParameter(f"{value!r} is no ISO 8601 time such as 2026-05-01T00:00:00Z") from None
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return round(when.timestamp() * 1000)


@collect.command(
    epilog=examples("edgeagent collect export --format csv --board attic --since 2026-05-01 > attic.csv")
)
@_database
@click.option(
    "--format",
    "how",
    type=click.Choice(["csv", "senml"]),
    default="csv",
    show_default=True,
    help="What to write.",
)
@click.option("--board", metavar="NAME", help="Only this board's.")
@click.option("--unit", metavar="NAME", help="Only this unit's.")
@click.option(
    "--since",
    metavar="TIME",
    callback=_time,
    help="Windows that start then or later, such as 2026-05-01 or 2026-05-01T12:00:00+02:00.",
)
@click.option("--until", metavar="TIME", callback=_time, help="Windows that start before then.")
def export(
    database: str, how: str, board: str | None, unit: str | None, since: int | None, until: int | None
) -> None:
    """Write summaries as CSV or SenML JSON."""
    formats = importlib.import_module("edgeagent.collector.export")
    choice = _extra("edgeagent.collector.store").Choice(board, unit, since, until)
    with _store(database, create=False) as store:
        lines = formats.csv_lines if how == "csv" else formats.senml_lines
        for line in lines(store.summaries(choice)):
            sys.stdout.write(line)
