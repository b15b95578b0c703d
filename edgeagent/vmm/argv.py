"""Core: the arguments of QEMU, from a spec, a row of the table of machines and the numbers of inherited descriptors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from .port import Accelerator, MachineSpec


class Row(Protocol):
    """What a row of the table of machines says of an architecture."""

    @property
    def program(self) -> str:
        """QEMU's name."""

    @property
    def machine(self) -> str:
        """Value of -machine."""

    @property
    def cpu(self) -> Mapping[str, str]:
        """Value of -cpu for each accelerator that can run it."""

    @property
    def devices(self) -> tuple[str, ...]:
        """Arguments of the data channel, on the character device "channel"."""

    @property
    def ram_base(self) -> int:
        """Guest physical address at which RAM begins."""


@dataclass(frozen=True, slots=True)
class Descriptors:
    """Numbers of what the VMM inherits: the image, guest RAM, the data channel, the monitor, perhaps gdb's listener."""

    image: int
    memory: int
    channel: int
    monitor: int
    gdb: int | None = None

    @property
    def all(self) -> tuple[int, ...]:
        """Those that there are."""
        some = (self.image, self.memory, self.channel, self.monitor)
        return some if self.gdb is None else (*some, self.gdb)


TCG_CACHE_MIB = 1
"""Translated code; the guests' code is some 10 KiB. QEMU's default costs memory and time at start."""

ACCELERATORS: Mapping[Accelerator, str] = {
    Accelerator.KVM: "kvm",
    Accelerator.TCG: f"tcg,tb-size={TCG_CACHE_MIB}",
}

# Nothing that isn't asked for, and a dead guest stays to be looked at.
COMMON = (
    "-nodefaults",
    "-no-user-config",
    *("-display", "none"),
    *("-action", "reboot=shutdown,shutdown=pause,panic=pause,watchdog=pause"),
    *("-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"),
)


def arguments(program: str, spec: MachineSpec, row: Row, fds: Descriptors) -> list[str]:
    """QEMU's argument vector; program is its path. KeyError when the row can't run under the accelerator."""
    return [
        program,
        *COMMON,
        *("-name", spec.name.replace(",", ",,")),
        *("-machine", f"{row.machine},memory-backend=ram"),
        *("-accel", ACCELERATORS[spec.accelerator]),
        *("-cpu", row.cpu[spec.accelerator]),
        # -m rounds up to 8 KiB; the backend must have the same size.
        *("-m", f"size={spec.memory // 1024}K"),
        *("-object", f"memory-backend-file,id=ram,size={spec.memory},mem-path=/dev/fd/{fds.memory},share=on"),
        *("-chardev", f"socket,id=channel,fd={fds.channel}"),
        *row.devices,
        *("-chardev", f"socket,id=monitor,fd={fds.monitor}"),
        *("-mon", "chardev=monitor,mode=control"),
        *("-kernel", f"/dev/fd/{fds.image}"),
        *(() if fds.gdb is None else _debugger(fds.gdb)),
        *(("-S",) if spec.paused else ()),
    ]


def _debugger(listener: int) -> tuple[str, ...]:
    return "-chardev", f"socket,id=gdb,fd={listener},server=on,wait=off", "-gdb", "chardev:gdb"
