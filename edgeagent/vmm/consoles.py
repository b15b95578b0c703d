"""Shell: starts a VMM with somebody else's image, whose console is the machine's channel. QEMU, or a Solo5 tender."""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import MappingProxyType

from edgeagent.errors import ConfigError, EnvironmentFaultError

from . import facts, foreign, jail
from .foreign import Descriptors, Disk, ForeignSpec
from .port import Accelerator, Running
from .process import VmmProcess, pair, sealed, spawn
from .qemu import QemuMachine

PACKAGES: Mapping[str, str] = MappingProxyType(
    {
        "qemu-system-x86_64": "apt install qemu-system-x86",
        "qemu-system-aarch64": "apt install qemu-system-arm",
        "qemu-system-arm": "apt install qemu-system-arm",
        "qemu-system-riscv64": "apt install qemu-system-misc",
        "qemu-system-mips": "apt install qemu-system-mips",
        "qemu-system-mipsel": "apt install qemu-system-mips",
        "qemu-system-mips64": "apt install qemu-system-mips",
        "qemu-system-mips64el": "apt install qemu-system-mips",
        "solo5-hvt": "opam install solo5, and have it in PATH",
        "solo5-spt": "opam install solo5, and have it in PATH",
    }
)
"""How each VMM comes onto a board."""


def find(name: str) -> str:
    """Path of a VMM. EnvironmentFaultError when it isn't installed."""
    if path := facts.tool(name) or shutil.which(name):
        return path
    raise EnvironmentFaultError(f"{name} is not installed", remedy=PACKAGES[name])


def disk(path: Path, *, writable: bool) -> Disk:
    """What is known of a disk before it is used. ConfigError when it can't be one."""
    try:
        fd = os.open(path, (os.O_RDWR if writable else os.O_RDONLY) | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise ConfigError(
            f"the disk can't be used: {(error.strerror or '').lower()}", where=str(path)
        ) from error
    try:
        mode = os.fstat(fd).st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISBLK(mode)):
            raise ConfigError("the disk is neither a file nor a block device", where=str(path))
        return Disk(path, os.lseek(fd, 0, os.SEEK_END), writable)
    finally:
        os.close(fd)


async def start(spec: ForeignSpec, image: bytes) -> Running:
    """Start a machine; ``image`` are the bytes that ``spec.boot`` was read from.

    Must be called from the thread that lives as long as the agent: its death ends the VMM. EnvironmentFaultError when
    the VMM isn't there or can't be started; what only shows later is the machine's end.
    """
    name = foreign.program(spec.boot)
    path = find(name)
    tender = spec.boot.protocol in foreign.TENDERS
    walls = jail.build(
        await asyncio.to_thread(facts.gather, spec.user),
        kvm=spec.accelerator is Accelerator.KVM,
        network=spec.network,
        writes=spec.disk.size if spec.disk and spec.disk.writable else 0,
        filtered=f"{name}'s own system call filter" if tender else "QEMU's system call filter",
    )
    words = (*walls.words, *(f"without {lack}" for lack in walls.missing))
    with ExitStack() as ours, ExitStack() as theirs:
        kernel = sealed("image", image, theirs)
        console, console_end = pair(ours, theirs)
        monitor, monitor_end = pair(ours, theirs)
        block = _open(spec.disk, theirs)
        fds = Descriptors(kernel, console_end.fileno(), monitor_end.fileno(), block)
        command = [*walls.prefix, *foreign.arguments(path, spec, fds)]
        disks = () if block is None else (block,)
        if tender:
            spawned = await spawn(command, (kernel, *disks), ours, console=console_end)
            return VmmProcess(spawned, console, words, None, ours.pop_all())
        spawned = await spawn(command, (kernel, fds.console, fds.monitor, *disks), ours)
        return QemuMachine(spawned, console, words, None, ours.pop_all(), monitor=monitor, memory=None)


def _open(wanted: Disk | None, stack: ExitStack) -> int | None:
    if wanted is None:
        return None
    try:
        fd = os.open(wanted.path, (os.O_RDWR if wanted.writable else os.O_RDONLY) | os.O_CLOEXEC)
    except OSError as error:
        raise ConfigError(
            f"the disk can't be used: {(error.strerror or '').lower()}", where=str(wanted.path)
        ) from error
    stack.callback(os.close, fd)
    return fd
