"""`edgeagent crash`: what is left of guests that ended, and their input played again."""

from __future__ import annotations

import asyncio
import json
import shlex
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from edgeagent.agent.replay import replay as play_again
from edgeagent.config import load
from edgeagent.crash.case import MAX_FILE, Case, pack, unpack
from edgeagent.crash.player import Verdict, fatal
from edgeagent.crash.record import Record
from edgeagent.crash.store import FOLDER, CrashStore
from edgeagent.errors import ConfigError
from edgeagent.host.disk import DiskFiles
from edgeagent.image.build import OUT
from edgeagent.probe.live import host_arch
from edgeagent.quantities import show_duration
from edgeagent.vmm.jail import DEFAULT_USER
from edgeagent.vmm.machines import MACHINES
from edgeagent.vmm.port import Accelerator
from edgeagent.vmm.qemu import Qemu

from . import crash_view
from .durations import at_least
from .progress import working
from .words import examples

CONFIG = Path("/etc/edgeagent/agent.toml")
TIMEOUT = "5m"
INSTALLED = Path("/usr/lib/edgeagent/images")
PANIC = "edge_panic"
"""Where a guest gives up."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the crashes of a board are, whom its VMs run as, where its images are."""

    store: CrashStore
    user: str
    images: tuple[Path, ...]


def _place(config: Path, state: Path | None) -> Place:
    images: tuple[Path, ...] = (OUT, INSTALLED)
    if state is None:
        board = load(config).board
        state, user, images = board.state, board.vm_user, (board.images, *images)
    else:
        user = DEFAULT_USER
    if not state.is_dir():
        raise ConfigError(
            "there is no such folder", where=str(state), remedy="The agent makes it when it first runs"
        )
    return Place(CrashStore(DiskFiles(), state / FOLDER), user, images)


def _where(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say whose crashes are meant."""
    state = click.option(
        "--state", type=click.Path(path_type=Path, file_okay=False), help="board.state, instead of --config."
    )
    config = click.option(
        "--config", "-c", type=click.Path(path_type=Path), default=CONFIG, show_default=True,
        help="Configuration of the agent, for its board.state.",
    )  # fmt: skip
    return config(state(command))


_which = click.argument("which", metavar="[ID|FILE]", default="")


def _case(which: str, config: Path, state: Path | None) -> tuple[Case, Place | None]:
    """Of a number, of an exported file, or the newest."""
    if which and not which.isdecimal():
        return _file(Path(which)), None
    place = _place(config, state)
    if which:
        number = int(which[:12])
    else:
        known = place.store.found().records
        if not known:
            raise ConfigError("no guest has crashed", where=str(place.store.folder))
        number = known[-1].number
    return place.store.case(number), place


def _file(path: Path) -> Case:
    try:
        data = DiskFiles().read(path, MAX_FILE)
    except OSError as error:
        raise ConfigError(f"can't be read: {error.strerror}", where=str(path)) from None
    return unpack(data, str(path))


@click.group(epilog=examples("edgeagent crash list", "edgeagent crash show 3", "edgeagent crash replay 3"))
def crash() -> None:
    """Look at guests that crashed, and play their input again.

    Works beside a running agent and without one.
    """


@crash.command("list", epilog=examples("edgeagent crash list --json"))
@_where
@click.option("--json", "as_json", is_flag=True, help="One JSON array instead of a table.")
def list_(config: Path, state: Path | None, as_json: bool) -> None:
    """List what is kept, newest last."""
    found = _place(config, state).store.found()
    if as_json:
        click.echo(json.dumps([crash_view.summary(one) for one in found.records], indent=2))
    elif found.records:
        Console(highlight=False).print(crash_view.table(found.records))
    else:
        click.echo("No guest has crashed.")
    for number, words in found.unreadable.items():
        click.echo(f"crash {number} can't be read: {words}", err=True)


@crash.command(epilog=examples("edgeagent crash show 3", "edgeagent crash show crash-3.tar.gz --json"))
@_which
@_where
@click.option(
    "--inputs", type=click.IntRange(0, 100_000), default=8, show_default=True, metavar="COUNT",
    help="How many of the inputs that were with the guest.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of text.")
def show(which: str, config: Path, state: Path | None, inputs: int, as_json: bool) -> None:
    """Show a crash, by default the newest.

    What ended, why, its last words, and what it was given.
    """
    case, _ = _case(which, config, state)
    if as_json:
        click.echo(json.dumps(crash_view.whole(case, inputs), indent=2))
    else:
        Console(highlight=False).print(crash_view.page(case, inputs))


@crash.command(
    epilog=examples("edgeagent crash replay 3", "edgeagent crash replay crash-3.tar.gz --accel tcg --gdb")
)
@_which
@_where
@click.option(
    "--accel", type=click.Choice([str(one) for one in Accelerator]),
    help="Default: what it ran on, tcg for a board of another architecture.",
)  # fmt: skip
@click.option("--gdb", is_flag=True, help="Let the guest wait for a debugger, and say how to attach it.")
@click.option(
    "--gdb-port", type=click.IntRange(0, 65535), metavar="PORT",
    help="As --gdb, on this port of 127.0.0.1 (0: any free one) instead of a socket in a private folder.",
)  # fmt: skip
@click.option(
    "--timeout", type=at_least("1s"), default=TIMEOUT, show_default=True, metavar="DURATION",
    help="Longest wait; with a debugger there is none.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def replay(
    which: str, config: Path, state: Path | None, accel: str | None, gdb: bool, gdb_port: int | None,
    timeout: int, as_json: bool,
) -> int:  # fmt: skip
    """Play the input of a crash again.

    Does the same image end as before? Exit code 0: it does; 1: it doesn't.
    """
    case, place = _case(which, config, state)
    record = case.record
    accelerator = Accelerator(accel) if accel else _accelerator(record)
    user = place.user if place else DEFAULT_USER
    vmm = Qemu(MACHINES)
    if gdb or gdb_port is not None:
        with _listener(gdb_port) as (listener, target):
            folders = place.images if place else (OUT, INSTALLED)
            click.echo("The guest waits for its debugger; Ctrl-C ends it. Attach with", err=True)
            click.echo(f"  {debugger(record, target, folders)}", err=True)
            player, verdict = asyncio.run(
                play_again(vmm, case, accelerator, user=user, gdb=listener.fileno())
            )
    else:
        with working(f"playing {record.input_bytes:,} bytes of input to {record.app} on {accelerator}"):
            try:
                player, verdict = asyncio.run(
                    play_again(vmm, case, accelerator, user=user, timeout_s=timeout / 1000)
                )
            except TimeoutError:
                words = f"within {show_duration(timeout)} the guest neither ended nor took all of its input"
                player, verdict = None, Verdict(reproduced=False, words=words)
    one = fatal(player, verdict) if player else None
    if as_json:
        click.echo(json.dumps(crash_view.outcome(record, verdict, one, str(accelerator)), indent=2))
    else:
        Console(highlight=False).print(crash_view.verdict(record, verdict, one))
    return 0 if verdict.reproduced else 1


def _accelerator(record: Record) -> Accelerator:
    """The one that it ran on, where that can be."""
    known = {str(one): one for one in Accelerator}
    then = known.get(record.machine.accelerator, Accelerator.TCG)
    return then if record.machine.arch == host_arch() else Accelerator.TCG


@contextmanager
def _listener(port: int | None) -> Iterator[tuple[socket.socket, str]]:
    """Where a debugger attaches, and what it is told of that.

    A debugger may do as it likes with the guest and with QEMU's user, so the socket lies where only we can reach it.
    """
    if port is not None:
        with socket.create_server(("127.0.0.1", port)) as listener:
            yield listener, f"127.0.0.1:{listener.getsockname()[1]}"
        return
    with (
        tempfile.TemporaryDirectory(prefix="edgeagent-gdb-") as folder,
        socket.socket(socket.AF_UNIX) as listener,
    ):
        path = f"{folder}/gdb"
        listener.bind(path)
        listener.listen(1)
        yield listener, path


def debugger(record: Record, target: str, folders: tuple[Path, ...]) -> str:
    """The command line of gdb, with the symbols of the very image where they can be found."""
    program = "gdb" if record.machine.arch == host_arch() else "gdb-multiarch"
    words = [program, "-q", "-ex", f"target remote {target}"]
    if symbols := _symbols(record, folders):
        words += ["-ex", f"hbreak {PANIC}", "-ex", "continue", str(symbols)]
    return shlex.join(words)


def _symbols(record: Record, folders: tuple[Path, ...]) -> Path | None:
    """A build leaves them beside the image, which must be the one of the crash to the last byte."""
    files = DiskFiles()
    for folder in folders:
        for image in sorted((folder / record.machine.arch).glob("*.elf")):
            named = image.with_suffix(".symbols.elf")
            if named.is_file() and crash_view.digest(files.read(image, MAX_FILE)) == record.image.digest:
                return named.absolute()
    return None


@crash.command(epilog=examples("edgeagent crash export 3 crash-3.tar.gz"))
@click.argument("number", metavar="ID", type=click.IntRange(1))
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@_where
def export(number: int, file: Path, config: Path, state: Path | None) -> None:
    """Write a crash into a file.

    For a bug report. It holds image and input: readings as the sensors sent them.

    `show` and `replay` take the file in place of an ID.
    """
    case = _place(config, state).store.case(number)
    if file.exists():
        raise ConfigError("is there already", where=str(file), remedy="Give another name")
    DiskFiles().replace(file, pack(case))
    click.echo(f"{file}: crash {number} of unit {crash_view.clean(case.record.unit)}")


@crash.command(epilog=examples("edgeagent crash remove 3 4", "edgeagent crash remove --all"))
@click.argument("numbers", metavar="[ID]...", type=click.IntRange(1), nargs=-1)
@_where
@click.option("--all", "everything", is_flag=True, help="All that are kept.")
def remove(numbers: tuple[int, ...], config: Path, state: Path | None, everything: bool) -> None:
    """Forget crashes."""
    if everything == bool(numbers):
        raise ConfigError("give IDs, or --all", where="crash remove")
    store = _place(config, state).store
    found = store.found()
    known = [*(one.number for one in found.records), *found.unreadable]
    # Nothing is removed if one of them is wrong.
    for number in numbers:
        if number not in known:
            store.case(number)
    for number in dict.fromkeys(numbers or known):
        store.remove(number)
    click.echo(f"removed {len(set(numbers)) or len(known)}")
