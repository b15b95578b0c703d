"""What QEMU and Solo5's tenders are told to run an image of anybody's, and what is refused before."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from edgeagent.errors import ConfigError, EdgeAgentError, EnvironmentFaultError, ImageError
from edgeagent.image.boot import Boot, Protocol
from edgeagent.image.solo5 import Device
from edgeagent.vmm import consoles, facts, foreign, jail
from edgeagent.vmm.foreign import ROWS, Descriptors, Disk, ForeignSpec
from edgeagent.vmm.port import Accelerator, End, Running
from edgeagent.vmm.process import VmmProcess, pair, sealed, spawn
from tests.guests import alive
from tests.vmm.test_cores import ROOT

MIB = 1 << 20
KVM, TCG = Accelerator.KVM, Accelerator.TCG
FDS = Descriptors(image=10, console=11, monitor=12, disk=13)
PC = ForeignSpec("a,b", Boot(Protocol.MULTIBOOT, "x86_64", 0x100000, 0x100000, 0x180000), TCG, 64 * MIB)
DISK = Disk(Path("/disk"), 1 * MIB, writable=True)


def boots(protocol: Protocol, arch: str, *devices: Device) -> Boot:
    return Boot(protocol, arch, devices=devices)


HVT = replace(PC, boot=boots(Protocol.SOLO5_HVT, "x86_64"), accelerator=KVM)
SPT = replace(PC, boot=boots(Protocol.SOLO5_SPT, "x86_64"), accelerator=None)
BLOCK, NET = Device("storage", "block"), Device("net0", "net")
RISCV_M = replace(PC, boot=boots(Protocol.RISCV_M, "riscv64"))
RISCV_S = replace(PC, boot=boots(Protocol.RISCV_S, "riscv64"))


def values(arguments: list[str], option: str) -> list[str]:
    return [value for name, value in itertools.pairwise(arguments) if name == option]


@pytest.mark.parametrize("arch", ROWS)
@pytest.mark.parametrize("accelerator", Accelerator)
def test_every_row(arch: str, accelerator: Accelerator) -> None:
    spec = replace(PC, boot=boots(Protocol.ARM, arch), accelerator=accelerator)
    if accelerator not in foreign.accelerators(spec.boot):
        with pytest.raises(EnvironmentFaultError, match="Use --accel tcg"):
            foreign.check(spec, arch)
        return
    foreign.check(spec, arch)
    arguments = foreign.arguments("qemu", spec, FDS)
    assert {"-nodefaults", "-no-user-config"} <= set(arguments)
    assert values(arguments, "-sandbox") == [
        "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"
    ]
    assert values(arguments, "-accel")[0].split(",")[0] == accelerator
    assert values(arguments, "-kernel") == ["/dev/fd/10"]
    assert values(arguments, "-serial") == ["chardev:console"]
    assert [value.split("fd=")[1] for value in values(arguments, "-chardev")] == ["11", "12"]
    assert values(arguments, "-m") == ["size=65536K"]
    assert values(arguments, "-name") == ["a,,b"], "a comma can't become an option"
    assert not {"-append", "-netdev", "-blockdev", "-add-fd"} & set(arguments)
    assert foreign.machine(spec) in ("pc", "virt", "malta")
    assert ROWS[arch].program in consoles.PACKAGES


@pytest.mark.parametrize(
    ("spec", "firmware"),
    [(RISCV_M, ["none"]), (RISCV_S, []), (replace(RISCV_S, accelerator=KVM), ["none"]), (PC, [])],
    ids=["M-mode", "S-mode", "S-mode under KVM", "PC"],
)
def test_firmware(spec: ForeignSpec, firmware: list[str]) -> None:
    assert values(foreign.arguments("qemu", spec, FDS), "-bios") == firmware


def test_what_a_person_chose() -> None:
    spec = replace(PC, cpu="qemu64", machine="microvm,rtc=off", cmdline="a, b", disk=DISK, network=True)
    arguments = foreign.arguments("qemu", spec, FDS)
    assert values(arguments, "-cpu") == ["qemu64"]
    assert values(arguments, "-machine") == ["microvm,rtc=off"]
    assert values(arguments, "-append") == ["a, b"]
    assert values(arguments, "-add-fd") == ["fd=13,set=1"]
    assert "driver=raw" in values(arguments, "-blockdev")[0]
    assert "read-only=off" in values(arguments, "-blockdev")[0]
    assert values(arguments, "-netdev") == ["user,id=net"]
    assert {"virtio-blk-device,drive=disk", "virtio-net-device,netdev=net"} <= set(arguments)
    assert foreign.machine(spec) == "microvm"
    locked = replace(spec, machine="", disk=replace(DISK, writable=False))
    assert "read-only=on" in values(foreign.arguments("qemu", locked, FDS), "-blockdev")[0]
    assert "virtio-blk-pci,drive=disk" in foreign.arguments("qemu", locked, FDS)


def test_tenders() -> None:
    spec = replace(
        HVT,
        memory=65 * MIB + 1,
        cmdline="--hello  world",
        disk=DISK,
        boot=boots(Protocol.SOLO5_HVT, "x86_64", BLOCK),
    )
    foreign.check(spec, "x86_64")
    assert foreign.program(spec.boot) == "solo5-hvt"
    assert foreign.machine(spec) == ""
    assert foreign.arguments("/x/solo5-hvt", spec, FDS) == [
        "/x/solo5-hvt", "--mem=66", "--block:storage=/dev/fd/13", "--", "/dev/fd/10", "--hello", "world",
    ]  # fmt: skip
    foreign.check(SPT, "x86_64")
    assert foreign.arguments("solo5-spt", SPT, FDS) == ["solo5-spt", "--mem=64", "--", "/dev/fd/10"]


REFUSED: dict[str, tuple[ForeignSpec, type[EdgeAgentError], str]] = {
    "kvm elsewhere": (replace(PC, boot=boots(Protocol.ARM, "aarch64"), accelerator=KVM), EnvironmentFaultError, "tcg"),
    "kvm in M-mode": (replace(RISCV_M, accelerator=KVM), EnvironmentFaultError, "can't run riscv64 images"),
    "emulated hvt": (replace(HVT, accelerator=TCG), EnvironmentFaultError, "Use --accel kvm"),
    "emulated spt": (replace(SPT, accelerator=TCG), EnvironmentFaultError, "Use --accel auto"),
    "spt elsewhere": (
        replace(SPT, boot=boots(Protocol.SOLO5_SPT, "aarch64")), EnvironmentFaultError, "Build it for this",
    ),
    "too little memory": (replace(PC, memory=1024), ConfigError, "--memory"),
    "too much memory": (replace(PC, memory=1 << 50), ConfigError, "--memory"),
    "does not fit": (
        replace(PC, memory=1 * MIB), ImageError, "up to 0x180000, beyond 1.0 MiB of memory. Give --memory 2MiB",
    ),
    "long command line": (replace(PC, cmdline="x" * 3000), ConfigError, "command line"),
    "solo5 with a CPU": (replace(SPT, cpu="host"), ConfigError, "no --cpu"),
    "solo5 with a machine": (replace(SPT, machine="pc"), ConfigError, "no --machine"),
    "solo5 with a network": (replace(SPT, network=True), ConfigError, "no --net user"),
    "solo5 wants a network": (replace(HVT, boot=boots(Protocol.SOLO5_HVT, "x86_64", NET)), ImageError, "(net0)"),
    "solo5 wants a disk": (replace(HVT, boot=boots(Protocol.SOLO5_HVT, "x86_64", BLOCK)), ImageError, "Give --disk"),
    "solo5 wants two disks": (
        replace(HVT, boot=boots(Protocol.SOLO5_HVT, "x86_64", BLOCK, Device("b", "block"))), ImageError, "2 disks",
    ),
    "solo5 wants no disk": (replace(HVT, disk=DISK), ConfigError, "declares no disk"),
    "solo5 writes": (
        replace(HVT, boot=boots(Protocol.SOLO5_HVT, "x86_64", BLOCK), disk=replace(DISK, writable=False)),
        ConfigError, "--read-only",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused_before_anything_starts(name: str) -> None:
    spec, error, words = REFUSED[name]
    with pytest.raises(error) as caught:
        foreign.check(spec, "x86_64" if spec.boot.arch != "riscv64" else "riscv64")
    assert words in str(caught.value)


def test_firmware_below_ram_is_no_question_of_memory() -> None:
    foreign.check(replace(PC, boot=Boot(Protocol.ARM, "aarch64", 0, 0, 1 * MIB), memory=4 * MIB), "x86_64")


def test_the_jail_with_a_network_says_what_it_lacks() -> None:
    walls = jail.build(ROOT, kvm=False, network=True, writes=4096, filtered="the filter of x")
    assert "--net" not in walls.prefix
    assert {"--ipc", "--uts", "--fsize=4096"} <= set(walls.prefix)
    assert "the filter of x" in walls.words
    assert any("its guest was given this machine's network" in words for words in walls.missing)
    assert not any("no interfaces" in words for words in walls.words)


@pytest.mark.parametrize("writable", [True, False])
def test_disks(tmp_path: Path, writable: bool) -> None:
    path = tmp_path / "disk"
    path.write_bytes(bytes(4096))
    assert consoles.disk(path, writable=writable) == Disk(path, 4096, writable)
    with pytest.raises(ConfigError, match="no such file"):
        consoles.disk(tmp_path / "nosuch", writable=writable)
    with pytest.raises(ConfigError, match="neither a file nor a block device"):
        consoles.disk(Path("/dev/null"), writable=writable)


def test_what_is_not_installed_says_how_to_have_it() -> None:
    for name in consoles.PACKAGES:
        if facts.tool(name):
            assert consoles.find(name) == facts.tool(name)
        else:
            with pytest.raises(EnvironmentFaultError, match=f"{name} is not installed. (apt|opam) install"):
                consoles.find(name)


# ---- a VMM whose console is its standard input and output: as a tender's process, whatever program it is ------------


def plain(command: list[str], data: bytes, meet: Callable[[Running, int], object]) -> object:
    async def main() -> object:
        with ExitStack() as ours, ExitStack() as theirs:
            file = sealed("image", data, theirs)
            console, console_end = pair(ours, theirs)
            words = [word.replace("IMAGE", f"/dev/fd/{file}") for word in command]
            spawned = await spawn(words, (file,), ours, console=console_end)
            machine = VmmProcess(spawned, console, ("no jail",), None, ours.pop_all())
        try:
            return await meet(machine, file)
        finally:
            await machine.kill()
            assert not alive(machine.pid)

    before = len(os.listdir("/proc/self/fd"))
    result = asyncio.run(main())
    assert len(os.listdir("/proc/self/fd")) == before
    return result


def test_its_console_is_the_channel() -> None:
    async def meet(machine: Running, _: int) -> tuple[bytes, End, int | None]:
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(machine.channel, b"typed")
        said = await loop.sock_recv(machine.channel, 100)
        while len(said) < len(b"image typed"):
            said += await loop.sock_recv(machine.channel, 100)
        assert machine.usage() is not None
        os.kill(machine.pid, signal.SIGTERM)
        ending = await machine.ended()
        return said, ending.end, ending.status

    assert plain(["cat", "IMAGE", "-"], b"image ", meet) == (b"image typed", End.SIGNALLED, -signal.SIGTERM)


def test_its_end_and_what_it_complained_of_is_told() -> None:
    async def meet(machine: Running, _: int) -> tuple[End, int | None, str]:
        ending = await machine.ended()
        return ending.end, ending.status, ending.stderr

    assert plain(["sh", "-c", "echo no >&2; exit 3"], b"", meet) == (End.EXITED, 3, "no\n")


def test_an_image_is_sealed() -> None:
    async def meet(machine: Running, _: int) -> str:
        return (await machine.ended()).stderr

    assert "not permitted" in str(plain(["sh", "-c", "echo x >IMAGE"], b"image", meet))
