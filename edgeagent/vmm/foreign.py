"""Core: what QEMU is told to run an image of anybody's, with its console on a stream. A row is one architecture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from edgeagent.errors import ConfigError, EnvironmentFaultError, ImageError
from edgeagent.image.boot import Boot, Protocol
from edgeagent.quantities import show_size

from .argv import COMMON
from .machines import BARRIERS
from .port import Accelerator

MAX_CMDLINE = 2048
"""Characters; what Linux takes on its smallest architecture is 2,048."""
MIN_MEMORY = 1 << 20
MAX_MEMORY = 64 << 30


@dataclass(frozen=True, slots=True)
class Disk:
    """A raw file that the guest sees as its disk. size: bytes."""

    path: Path
    size: int
    writable: bool


@dataclass(frozen=True, slots=True)
class ForeignSpec:
    """Somebody else's image, and what it gets. memory: bytes."""

    name: str
    boot: Boot
    accelerator: Accelerator | None
    """None for a VMM that needs none."""
    memory: int
    user: str = ""
    """Whom the VMM should run as, when we may choose; empty: the least privileged that there is."""
    cmdline: str = ""
    cpu: str = ""
    """QEMU's -cpu; empty: the row's."""
    machine: str = ""
    """QEMU's -machine; empty: the row's."""
    disk: Disk | None = None
    network: bool = False
    """A network behind this machine's address (QEMU's user network)."""


@dataclass(frozen=True, slots=True)
class ForeignRow:
    """One architecture. Arguments are QEMU's."""

    program: str
    machine: str
    cpu: Mapping[Accelerator, str]
    ram_base: int
    devices: tuple[str, ...] = ()


_KVM, _TCG = Accelerator.KVM, Accelerator.TCG

# How unikernels on a PC end: Solo5's and QEMU's own place, and the one that OSv and Hermit use; and how they panic.
_PC_ENDS = (
    *("-device", "isa-debug-exit"),
    *("-device", "isa-debug-exit,iobase=0xf4,iosize=0x04"),
    *("-device", "pvpanic"),
)


def _malta(program: str, cpu: str) -> ForeignRow:
    return ForeignRow(program, "malta" + BARRIERS, MappingProxyType({_TCG: cpu}), 0)


_MIPS32, _MIPS64 = "24Kf", "MIPS64R2-generic"

ROWS: Mapping[str, ForeignRow] = MappingProxyType(
    {
        # `host` alone ends in an abort under a software KVM (MSR 0x10a).
        "x86_64": ForeignRow(
            "qemu-system-x86_64",
            "pc" + BARRIERS,
            MappingProxyType({_KVM: "host,-arch-capabilities", _TCG: "max"}),
            0,
            _PC_ENDS,
        ),
        "aarch64": ForeignRow(
            "qemu-system-aarch64",
            "virt" + BARRIERS,
            MappingProxyType({_KVM: "host", _TCG: "cortex-a72"}),
            0x40000000,
        ),
        "arm": ForeignRow("qemu-system-arm", "virt", MappingProxyType({_TCG: "cortex-a15"}), 0x40000000),
        "riscv64": ForeignRow(
            "qemu-system-riscv64",
            "virt" + BARRIERS,
            MappingProxyType({_KVM: "host", _TCG: "rv64"}),
            0x80000000,
        ),
        "mips": _malta("qemu-system-mips", _MIPS32),
        "mipsel": _malta("qemu-system-mipsel", _MIPS32),
        "mips64": _malta("qemu-system-mips64", _MIPS64),
        "mips64el": _malta("qemu-system-mips64el", _MIPS64),
    }
)

ACCELERATORS: Mapping[Accelerator, str] = MappingProxyType({_KVM: "kvm", _TCG: "tcg,tb-size=64"})
"""Translated code in MiB: QEMU's default is up to a gigabyte."""

TENDERS: Mapping[Protocol, str] = MappingProxyType(
    {Protocol.SOLO5_HVT: "solo5-hvt", Protocol.SOLO5_SPT: "solo5-spt"}
)
"""Which program runs what QEMU doesn't."""


@dataclass(frozen=True, slots=True)
class Descriptors:
    """Numbers of what the VMM inherits: the image, the console, the monitor, the disk."""

    image: int
    console: int
    monitor: int
    disk: int | None = None


def program(boot: Boot) -> str:
    """The VMM's name."""
    return TENDERS.get(boot.protocol) or ROWS[boot.arch].program


def machine(spec: ForeignSpec) -> str:
    """The machine's name, for people; "" where there is none."""
    return (
        ""
        if spec.boot.protocol in TENDERS
        else (spec.machine or ROWS[spec.boot.arch].machine).partition(",")[0]
    )


def accelerators(boot: Boot) -> tuple[Accelerator, ...]:
    """Those that could run it, on a machine that has them; none for a sandboxed process (Solo5 spt)."""
    if boot.protocol in TENDERS:
        return (_KVM,) if boot.protocol is Protocol.SOLO5_HVT else ()
    known = ROWS[boot.arch].cpu
    return tuple(one for one in known if (one, boot.protocol) != (_KVM, Protocol.RISCV_M))


def check(spec: ForeignSpec, host: str) -> None:
    """An EdgeAgentError in one line when this can't work on this machine; host is its architecture."""
    boot, able = spec.boot, accelerators(spec.boot)
    if spec.accelerator not in (able or (None,)):
        raise EnvironmentFaultError(
            f"{spec.accelerator} can't run {boot.arch} images that boot as {boot.protocol}",
            remedy=f"Use --accel {able[0] if able else 'auto'}",
        )
    if boot.arch != host and spec.accelerator is not _TCG:
        raise EnvironmentFaultError(
            f"this {host} machine runs {boot.arch} images only by emulation",
            remedy="Use --accel tcg" if _TCG in able else "Build it for this architecture",
        )
    if not MIN_MEMORY <= spec.memory <= MAX_MEMORY:
        raise ConfigError(
            f"{show_size(spec.memory)} is no amount of memory for a guest",
            remedy="Give --memory 1MiB to 64GiB",
        )
    if len(spec.cmdline) > MAX_CMDLINE or "\0" in spec.cmdline:
        raise ConfigError(f"the command line has more than {MAX_CMDLINE} characters, or a zero")
    if boot.protocol in TENDERS:
        _check_tender(spec)
        return
    base = ROWS[boot.arch].ram_base
    if boot.start is not None and boot.end is not None and base <= boot.start < boot.end:
        need = boot.end - base
        if need > spec.memory:
            raise ImageError(
                f"it loads up to {boot.end:#x}, beyond {show_size(spec.memory)} of memory",
                remedy=f"Give --memory {-(-need >> 20)}MiB or more",
            )


def _check_tender(spec: ForeignSpec) -> None:
    blocks = [device.name for device in spec.boot.devices if device.kind == "block"]
    nets = [device.name for device in spec.boot.devices if device.kind == "net"]
    for what, given in (("--cpu", spec.cpu), ("--machine", spec.machine), ("--net user", spec.network)):
        if given:
            raise ConfigError(f"a Solo5 tender has no {what}")
    if nets:
        raise ImageError(
            f"it can't start without network devices ({', '.join(nets)}), for which a Solo5 tender needs a tap "
            "interface: edgeagent gives guests none"
        )
    if len(blocks) > 1:
        raise ImageError(f"it can't start without {len(blocks)} disks, and edgeagent gives one")
    if blocks and not spec.disk:
        raise ImageError(f"it can't start without a disk ({blocks[0]})", remedy="Give --disk FILE")
    if spec.disk and not (blocks and spec.disk.writable):
        raise ConfigError(
            "this image declares no disk" if not blocks else "a Solo5 tender writes its disk",
            remedy="Leave --disk out" if not blocks else "Leave --read-only out",
        )


def arguments(path: str, spec: ForeignSpec, fds: Descriptors) -> list[str]:
    """The VMM's argument vector; path is its program's. ``check`` was called."""
    if spec.boot.protocol in TENDERS:
        return _tender(path, spec, fds)
    row, accelerator = ROWS[spec.boot.arch], spec.accelerator or Accelerator.TCG
    kind = spec.machine or row.machine
    bus = "device" if kind.startswith("microvm") else "pci"
    # S-mode under KVM: KVM itself is the firmware.
    bare = spec.boot.protocol is Protocol.RISCV_M or (
        spec.boot.arch == "riscv64" and accelerator is Accelerator.KVM
    )
    return [
        path,
        *COMMON,
        *("-name", spec.name.replace(",", ",,")),
        *("-machine", kind),
        *("-accel", ACCELERATORS[accelerator]),
        *("-cpu", spec.cpu or row.cpu[accelerator]),
        *("-m", f"size={spec.memory // 1024}K"),
        *("-chardev", f"socket,id=console,fd={fds.console}"),
        *("-serial", "chardev:console"),
        *("-chardev", f"socket,id=monitor,fd={fds.monitor}"),
        *("-mon", "chardev=monitor,mode=control"),
        *row.devices,
        *(("-bios", "none") if bare else ()),
        *_disk(spec, fds, bus),
        *_network(spec, bus),
        *("-kernel", f"/dev/fd/{fds.image}"),
        *(("-append", spec.cmdline) if spec.cmdline else ()),
    ]


def _disk(spec: ForeignSpec, fds: Descriptors, bus: str) -> tuple[str, ...]:
    if spec.disk is None:
        return ()
    read_only = "off" if spec.disk.writable else "on"
    # Always raw: what the guest writes can't become a format that names other files.
    return (
        *("-add-fd", f"fd={fds.disk},set=1"),
        *(
            "-blockdev",
            f"driver=raw,node-name=disk,read-only={read_only},file.driver=file,file.filename=/dev/fdset/1",
        ),
        *("-device", f"virtio-blk-{bus},drive=disk"),
    )


def _network(spec: ForeignSpec, bus: str) -> tuple[str, ...]:
    if not spec.network:
        return ()
    rom = ",romfile=" if bus == "pci" else ""
    return ("-netdev", "user,id=net", "-device", f"virtio-net-{bus},netdev=net{rom}")


def _tender(path: str, spec: ForeignSpec, fds: Descriptors) -> list[str]:
    """Solo5's tenders/hvt/hvt_main.c and tenders/spt/spt_main.c: options, --, image, its arguments."""
    blocks = [device.name for device in spec.boot.devices if device.kind == "block"]
    return [
        path,
        f"--mem={-(-spec.memory >> 20)}",
        *(f"--block:{name}=/dev/fd/{fds.disk}" for name in blocks),
        "--",
        f"/dev/fd/{fds.image}",
        *spec.cmdline.split(),
    ]
