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
from edgeagent.probe.evidence import Speed
from edgeagent.probe.report import Report
from edgeagent.probe.verdict import show
from edgeagent.quantities import show_size
from edgeagent.vmm.machines import MACHINES
from edgeagent.vmm.qemu import Qemu

from .progress import working
from .words import examples

APP = "echo.elf"
IMAGES = (Path("/usr/lib/edgeagent/images"), Path("build/images"))
"""Where the calibration image is looked for: as installed, and in a checkout."""
STATE = Path("/var/lib/edgeagent")
VM_USER = "edgeagent-vm"

COLOURS = {"yes": "green", "slow": "yellow", "partial": "yellow", "no": "red", "unknown": "magenta"}


@click.command(epilog=examples("edgeagent probe", "edgeagent probe --json --fresh"))
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
    "--vm-user",
    metavar="USER",
    default=VM_USER,
    show_default=True,
    help="User that QEMU runs as, when we are root.",
)
def probe(as_json: bool, fresh: bool, image: Path | None, state: Path | None, vm_user: str) -> None:
    """Test KVM on this board by using it: open it, make a VM, run a guest in it, and time that.

    Exit code 0: it has an answer, whatever that is.
    """
    arch = live.host_arch()
    if image is None:
        image = next((path for folder in IMAGES if (path := folder / arch / APP).is_file()), None)
    if state is None and STATE.is_dir() and os.access(STATE, os.W_OK):
        state = STATE
    with working("timing guests, ten seconds at most"):
        report = asyncio.run(
            live.probe(Qemu(MACHINES), DiskFiles(), state=state, image=image, user=vm_user, fresh=fresh)
        )
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
    facts.add_row("board", f"{found.arch}, {found.cpus} CPUs, {show_size(found.memory)}")
    facts.add_row("vmm", Text(f"{found.vmm.path} {found.vmm.version}" if found.vmm else found.vmm_failure))
    for number, line in enumerate(verdict.evidence):
        facts.add_row("" if number else "evidence", Text(line))
    if verdict.remedy:
        facts.add_row("to do", Text(verdict.remedy))
    facts.add_row("speed", Text(f"kvm {_speed(found.kvm)}, tcg {_speed(found.tcg)}{_age(report)}"))
    facts.add_row("guests get", Text(report.choice.chosen or "nothing", style="bold"))
    facts.add_row("", Text(report.choice.why))
    answer = verdict.answer.value
    return Group(
        Text.assemble("KVM: ", (answer, f"bold {COLOURS[answer]}"), f" ({verdict.reason})"),
        Padding(facts, (0, 0, 0, 2)),
    )


def _speed(speed: Speed | None) -> str:
    if speed is None:
        return "not measured"
    return f"{show(speed.ns)} an instruction" if speed.ns is not None else f"failed: {speed.failure}"


def _age(report: Report) -> str:
    return " (measured earlier since this boot; --fresh repeats it)" if report.cached else ""
