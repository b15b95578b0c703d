"""`edgeagent vm`: run anybody's unikernel, with its console on the terminal."""

from __future__ import annotations

import asyncio
import json
import os
import platform
import sys
import time
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import click

from edgeagent.errors import ConfigError
from edgeagent.image import boot
from edgeagent.image.boot import Boot
from edgeagent.probe.system import image_arch
from edgeagent.quantities import size_bytes
from edgeagent.vm import outcome, terminal
from edgeagent.vm.attend import Bounds, Seen, attend
from edgeagent.vm.outcome import ExitMap, Outcome, Wanted, judge
from edgeagent.vm.screen import Keys
from edgeagent.vmm import consoles, foreign
from edgeagent.vmm.foreign import ForeignSpec
from edgeagent.vmm.jail import DEFAULT_USER
from edgeagent.vmm.port import Accelerator

from .durations import at_least
from .image import about, read_image
from .words import examples

AUTO = "auto"
STDIN, STDOUT, STDERR = range(3)
MEMORY, OUTPUT, RATE = "128MiB", "64MiB", "1MiB"


def _size(text: str) -> int:
    """A click type: 128MiB; 0 is none."""
    if text == "0":
        return 0
    try:
        return size_bytes(text)
    except ConfigError as error:
        raise click.BadParameter(str(error)) from None


_size.__name__ = "size"  # what help shows


def _exits(text: str) -> ExitMap:
    """A click type: 83=0,reset=0."""
    try:
        return outcome.exit_map(text)
    except ConfigError as error:
        raise click.BadParameter(str(error)) from None


_exits.__name__ = "map"


@click.group(epilog=examples("edgeagent vm run hello.elf --expect 'Hello' --timeout 30s"))
def vm() -> None:
    """Run anybody's unikernel in a jail of its own."""


@vm.command(
    epilog=examples(
        "edgeagent vm run hello.elf",
        "edgeagent vm run Image --memory 256MiB --cmdline console=ttyAMA0 --timeout 1m",
        "edgeagent vm run solo5-virtio.elf --expect SUCCESS --exit-map 83=0",
    )
)
@click.argument("image", type=click.Path(path_type=Path))
@click.option("--memory", type=_size, default=MEMORY, show_default=True, help="RAM of the guest.")
@click.option("--timeout", type=at_least("1ms"), help="End it after this time. Default: never.")
@click.option("--cmdline", default="", metavar="TEXT", help="Command line that the guest gets.")
@click.option(
    "--accel",
    type=click.Choice([AUTO, *map(str, Accelerator)]),
    default=AUTO,
    show_default=True,
    help="How its instructions are run. auto: as `edgeagent probe` says.",
)
@click.option("--cpu", default="", metavar="MODEL", help="QEMU's -cpu. Default: by architecture.")
@click.option("--machine", default="", metavar="TYPE", help="QEMU's -machine. Default: pc, virt or malta.")
@click.option(
    "--disk",
    type=click.Path(path_type=Path),
    help="A raw file that the guest has as its disk (virtio), and writes.",
)
@click.option("--read-only", is_flag=True, help="The guest can't write the disk.")
@click.option(
    "--net",
    type=click.Choice(["none", "user"]),
    default="none",
    show_default=True,
    help="user: it reaches the network through this machine, and its jail has no network namespace.",
)
@click.option(
    "--expect", default="", metavar="TEXT", help="Success is this text on its console: ends with 0."
)
@click.option(
    "--exit-map",
    type=_exits,
    help="What ends mean: 83=0,reset=0. Left: the VMM's exit status, or shutdown, reset or panic.",
)
@click.option(
    "--output-limit",
    type=_size,
    default=OUTPUT,
    show_default=True,
    help="A guest that prints more is ended; 0: no limit.",
)
@click.option(
    "--output-rate",
    type=_size,
    default=RATE,
    show_default=True,
    help="A guest that prints more in a second has to wait; 0: no limit.",
)
@click.option(
    "--vm-user",
    metavar="USER",
    default=DEFAULT_USER,
    show_default=True,
    help="User of the VMM, when we are root.",
)
@click.option("--json", "as_json", is_flag=True, help="The summary is one JSON object, on standard error.")
def run(
    image: Path,
    memory: int,
    timeout: int | None,
    cmdline: str,
    accel: str,
    cpu: str,
    machine: str,
    disk: Path | None,
    read_only: bool,
    net: str,
    expect: str,
    exit_map: ExitMap | None,
    output_limit: int,
    output_rate: int,
    vm_user: str,
    as_json: bool,
) -> int:
    """Boot IMAGE, with its console on the terminal.

    ELF with Multiboot 1 or PVH, Linux Image or bzImage, RISC-V, ARM and MIPS ELF, Solo5 where its tender is installed:
    `edgeagent image inspect` says which. Ctrl-A x ends it; all other keys are the guest's. The summary goes to
    standard error.

    Exit code 0: it shut down, or --expect was seen. 1: it shut down without. 3: the VMM is missing or refuses. 6:
    nothing here can boot it. 7: it crashed, panicked or printed too much. 124: --timeout. 128+n: ended by signal n.
    """
    _standard_streams()
    if read_only and not disk:
        raise ConfigError("--read-only is for a disk, and there is none", remedy="Give --disk FILE")
    block = consoles.disk(disk, writable=not read_only) if disk else None
    data = read_image(image)
    with about(image):
        found = boot.identify(data)
    program = foreign.program(found)
    consoles.find(program)
    accelerator, why = _accelerator(found, accel, vm_user)
    spec = ForeignSpec(
        name=image.name,
        boot=found,
        accelerator=accelerator,
        memory=memory,
        user=vm_user,
        cmdline=cmdline,
        cpu=cpu,
        machine=machine,
        disk=block,
        network=net == "user",
    )
    with about(image):
        foreign.check(spec, _host())
    timeout_s = (timeout or 0) / 1000
    bounds = Bounds(expect, timeout_s, output_limit, output_rate)
    wanted = Wanted(program, accelerator, expect, timeout_s, exit_map or ExitMap())
    keys = terminal.interactive(STDIN) and terminal.interactive(STDOUT)
    if keys and not as_json:
        click.echo(f"edgeagent: {_head(spec)} ({why}); Ctrl-A x ends it", err=True)
    with terminal.raw(STDIN) if keys else nullcontext():
        seen = asyncio.run(_run(spec, data, bounds, keys=keys))
    told = judge(seen.stop, seen.ending, wanted, seen.signal)
    summary = Summary(image, spec, why, seen, told)
    if not seen.whole_line and os.isatty(STDOUT):
        click.echo(err=True)
    click.echo(json.dumps(summary.as_json()) if as_json else f"edgeagent: {summary}", err=True)
    return told.status


def _standard_streams() -> None:
    """Descriptors 0 to 2 exist: one that is closed would otherwise become a file or socket of ours."""
    for number in (STDIN, STDOUT, STDERR):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


async def _run(spec: ForeignSpec, image: bytes, bounds: Bounds, *, keys: bool) -> Seen:
    started = time.monotonic()
    machine = await consoles.start(spec, image)
    source = STDIN if keys or not os.isatty(STDIN) else None
    return await attend(
        machine, bounds, output=STDOUT, source=source, keys=Keys() if keys else None, started=started
    )


def _accelerator(found: Boot, wanted: str, user: str) -> tuple[Accelerator | None, str]:
    """Which one, and why."""
    able = foreign.accelerators(found)
    if wanted != AUTO:
        return Accelerator(wanted), "chosen"
    if len(able) < 2:
        return (able[0] if able else None), "the only one for this image"
    if found.arch != _host():
        return Accelerator.TCG, f"this is no {found.arch} machine"
    from .best import accelerator  # noqa: PLC0415  # it measures, for which it needs most of the agent

    return accelerator(found.arch, user)


def _host() -> str:
    """The architecture of this machine, by the name that images have."""
    machine = platform.machine()
    return image_arch(machine, little=sys.byteorder == "little") or machine


def _head(spec: ForeignSpec) -> str:
    where = foreign.machine(spec)
    parts = (
        f"{spec.boot.protocol} on {where}" if where else spec.boot.protocol,
        spec.boot.arch,
        spec.accelerator,
    )
    return f"{spec.name}: {', '.join(part for part in parts if part)}"


@dataclass(frozen=True, slots=True)
class Summary:
    """What is said at the end."""

    image: Path
    spec: ForeignSpec
    why: str
    seen: Seen
    told: Outcome

    def __str__(self) -> str:
        seen = self.seen
        first = (
            "nothing printed"
            if seen.first_byte_s is None
            else f"first byte after {seen.first_byte_s * 1000:.0f} ms"
        )
        return f"{_head(self.spec)}; {first}; after {seen.seconds:.2f} s: {self.told}"

    def as_json(self) -> dict[str, object]:
        """Times in seconds, sizes in bytes."""
        seen, ending = self.seen, self.seen.ending
        return {
            "image": str(self.image),
            "protocol": self.spec.boot.protocol,
            "arch": self.spec.boot.arch,
            "vmm": foreign.program(self.spec.boot),
            "machine": foreign.machine(self.spec),
            "accelerator": {"chosen": self.spec.accelerator, "why": self.why},
            "first_byte_s": seen.first_byte_s,
            "seconds": seen.seconds,
            "output": seen.output,
            "end": {
                "kind": self.told.kind,
                "words": self.told.words,
                "remedy": self.told.remedy,
                "vmm_status": ending.status if ending else None,
                "events": ending.events if ending else (),
            },
            "status": self.told.status,
        }
