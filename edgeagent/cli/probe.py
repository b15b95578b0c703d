"""`edgeagent probe`: can this board run unikernels under KVM, how fast, and if not, why and what to do."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import click
from rich.console import Console, Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from edgeagent.host.disk import DiskFiles
from edgeagent.probe import live
from edgeagent.probe.answer import REASONS
from edgeagent.probe.capture import claim, write
from edgeagent.probe.evidence import Evidence, Speed
from edgeagent.probe.report import Report
from edgeagent.probe.verdict import show
from edgeagent.quantities import show_size
from edgeagent.vmm.machines import MACHINES
from edgeagent.vmm.qemu import Qemu

from . import machine
from .machine import with_board
from .progress import working
from .words import examples

APP = "echo.elf"
IMAGES = (Path("/usr/lib/edgeagent/images"), Path("build/images"))
"""Where the calibration image is looked for: as installed, and in a checkout."""
STATE = Path("/var/lib/edgeagent")
VM_USER = "edgeagent-vm"

COLOURS = {"yes": "green", "slow": "yellow", "partial": "yellow", "no": "red", "unknown": "magenta"}


@click.command(
    epilog=examples(
        "edgeagent probe",
        "edgeagent probe --json --fresh",
        "edgeagent probe --capture DIR",
        "edgeagent probe --root DIR",
    )
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of a panel.")
@click.option("--fresh", is_flag=True, help="Measure again, though nothing changed since the last time.")
@click.option(
    "--image",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The echo image of this architecture. Default: installed, else build/images/ARCH/echo.elf.",
)
@click.option(
    "--state",
    type=click.Path(path_type=Path, file_okay=False),
    help=f"Folder of the remembered result (probe.json). Default: {STATE} when it may be written.",
)
@click.option(
    "--root",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Judge the capture of a board in this folder; nothing of this machine is looked at.",
)
@click.option(
    "--capture",
    "folder",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Also write what the answer rests on into this new folder, for a bug report; names and numbers of "
    "this one board are left out.",
)
@click.option(
    "--vm-user",
    metavar="USER",
    default=VM_USER,
    show_default=True,
    help="User that QEMU runs as, when we are root.",
)
def probe(
    as_json: bool,
    fresh: bool,
    image: Path | None,
    state: Path | None,
    vm_user: str,
    root: Path | None,
    folder: Path | None,
) -> None:
    """Test KVM on this board by using it: open it, make a VM, run a guest in it, and time that.

    With --root it judges a capture: what the files of another board say.

    Exit code 0: it has an answer, whatever that is.
    """
    if root is not None and folder is not None:
        raise click.UsageError("--root judges a capture, --capture makes one: give one of them")
    if folder is not None:
        claim(folder)
    if root is not None:
        _show(with_board(live.look(root), live=False), as_json=as_json)
        return
    arch = live.host_arch()
    if image is None:
        image = next((path for folder in IMAGES if (path := folder / arch / APP).is_file()), None)
    if state is None and STATE.is_dir() and os.access(STATE, os.W_OK):
        state = STATE
    with working("timing guests, a second as a rule, 60 at most"):
        report = asyncio.run(
            live.probe(Qemu(MACHINES), DiskFiles(), state=state, image=image, user=vm_user, fresh=fresh)
        )
    _show(with_board(report, live=True), as_json=as_json)
    if folder is not None:
        count = write(report.evidence, folder)
        click.echo(f"{folder}: {count} files. Look through them before you send them.", err=True)


def _show(report: Report, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(report.as_json(), indent=2))
    else:
        Console().print(render(report))


def render(report: Report) -> Group:
    """The answer for people: the verdict, what it rests on, what guests get and why."""
    found, verdict = report.evidence, report.verdict
    facts = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column(overflow="fold")
    facts.add_row("board", Text(machine.board(report.board)))
    facts.add_row("machine", Text(_machine(found)))
    if found.vmm or found.vmm_failure:
        facts.add_row(
            "vmm", Text(f"{found.vmm.path} {found.vmm.version}" if found.vmm else found.vmm_failure)
        )
    for number, line in enumerate(verdict.evidence):
        facts.add_row("" if number else "evidence", Text(line))
    if verdict.remedy:
        facts.add_row("to do", Text(verdict.remedy))
    if found.kvm or found.tcg:
        facts.add_row("speed", Text(f"kvm {_speed(found.kvm)}, tcg {_speed(found.tcg)}{_age(report)}"))
    facts.add_row("guests get", Text(report.choice.chosen or "nothing", style="bold"))
    facts.add_row("", Text(report.choice.why))
    for title, text in machine.rows(report):
        facts.add_row(title, text)
    answer = verdict.answer.value
    return Group(
        Text.assemble("KVM: ", (answer, f"bold {COLOURS[answer]}"), f" ({verdict.reason})"),
        Padding(Text(REASONS[verdict.reason][1], style="dim"), (0, 0, 0, 2)),
        Padding(facts, (0, 0, 0, 2)),
    )


def _machine(found: Evidence) -> str:
    cpus = f"{found.cpus} CPU{'s' if found.cpus != 1 else ''}" if found.cpus else "CPUs not known"
    memory = show_size(found.memory) if found.memory else "memory not known"
    kernel = f"Linux {found.system.release}" if found.system.release else "kernel not known"
    return f"{found.system.arch or 'unknown architecture'}, {cpus}, {memory}, {kernel}"


def _speed(speed: Speed | None) -> str:
    if speed is None:
        return "not measured"
    return f"{show(speed.ns)} an instruction" if speed.ns is not None else f"failed: {speed.failure}"


def _age(report: Report) -> str:
    return " (measured earlier since this boot; --fresh repeats it)" if report.cached else ""
