"""Shell: QEMU behind the port. One process, three descriptors of ours: the channel, the monitor, the guest's memory."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import re
import signal
import socket
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from edgeagent.errors import EnvironmentFaultError, GuestError, ImageError, RemoteProtocolError

from . import argv, crash, facts, jail, qmp
from .cgroup import NONE, Hierarchy
from .hold import Hold
from .port import Accelerator, MachineSpec, VmmInfo
from .process import CHUNK, LAST_READS, Spawned, VmmProcess, pair, sealed, spawn

MAX_IMAGE = 64 << 20
"""Bytes of an image."""
RESUME_SECONDS = 5.0
ASK_SECONDS = 20.0
"""The first time a slow board reads it from its card."""


class Qemu:
    """Starts machines by the table: architecture -> row. cgroups: where the limits of their specs are held."""

    def __init__(self, rows: Mapping[str, argv.Row], cgroups: Hierarchy = NONE) -> None:
        self._rows = rows
        self._cgroups = cgroups
        self._facts: dict[str, jail.Facts] = {}

    def program(self, arch: str) -> str:
        """Path of the QEMU for an architecture; EnvironmentFaultError when it isn't installed."""
        name = self._row(arch).program
        if path := facts.tool(name):
            return path
        raise EnvironmentFaultError(
            f"{name} is not installed",
            remedy=f"apt install {name.replace('_', '-')} or the package that has it",
        )

    def _row(self, arch: str) -> argv.Row:
        if row := self._rows.get(arch):
            return row
        raise ImageError(f"no machine is known for {arch}", remedy=f"Known: {', '.join(self._rows)}")

    async def describe(self, arch: str) -> VmmInfo:
        """See port.Vmm."""
        path = self.program(arch)
        version, accelerators = await asyncio.gather(_ask(path, "--version"), _ask(path, "-accel", "help"))
        found = re.search(r"version (\S+)", version)
        return VmmInfo(path, found[1] if found else "unknown", tuple(accelerators.split("\n")[1:]))

    async def start(self, spec: MachineSpec) -> QemuMachine:
        """See port.Vmm. Must be called from the thread that lives as long as the agent: its death ends the VMM."""
        row, program = self._row(spec.arch), self.program(spec.arch)
        if spec.accelerator not in row.cpu:
            raise EnvironmentFaultError(
                f"{spec.accelerator} can't run {spec.arch} guests here", where=spec.name, remedy="Use tcg"
            )
        if spec.user not in self._facts:
            self._facts[spec.user] = await asyncio.to_thread(facts.gather, spec.user)
        with ExitStack() as ours, ExitStack() as theirs:
            hold = Hold(self._cgroups, spec.name, spec.limits) if spec.limits else None
            if hold:
                ours.callback(hold.close)
            walls = jail.build(
                self._facts[spec.user],
                kvm=spec.accelerator is Accelerator.KVM,
                group=hold.procs if hold else "",
            )
            memory = _memory(spec, ours)
            image = _image(spec.image, theirs)
            channel, channel_end = pair(ours, theirs)
            monitor, monitor_end = pair(ours, theirs)
            fds = argv.Descriptors(image, memory, channel_end.fileno(), monitor_end.fileno(), spec.gdb)
            spawned = await spawn(
                [*walls.prefix, *argv.arguments(program, spec, row, fds)],
                fds.all,
                ours,
            )
            words = (
                *walls.words,
                *(f"without {lack}" for lack in walls.missing),
                *(hold.words if hold else ()),
            )
            return QemuMachine(
                spawned, channel, words, hold, ours.pop_all(), monitor=monitor, memory=(memory, row.ram_base)
            )


async def _ask(*command: str) -> str:
    """What QEMU says about itself."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(ASK_SECONDS):
            said, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise EnvironmentFaultError(f"{' '.join(command)} doesn't answer in {ASK_SECONDS:g} s") from None
    if process.returncode:
        raise EnvironmentFaultError(f"{' '.join(command)} fails", remedy="Install it anew")
    return said[:CHUNK].decode("utf-8", "replace").strip()


def _memory(spec: MachineSpec, stack: ExitStack) -> int:
    """Guest RAM as a file that neither side can resize: a read of ours can't fault whatever QEMU does."""
    fd = os.memfd_create(f"guest-{spec.name}", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    stack.callback(os.close, fd)
    try:
        os.ftruncate(fd, spec.memory)
    except OSError as error:
        raise EnvironmentFaultError(
            f"no room for {spec.memory} bytes of guest memory: {error}", where=spec.name
        ) from error
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
    return fd


def _image(path: Path, stack: ExitStack) -> int:
    """A sealed copy: QEMU, as another user, may read it wherever the file lies, and nobody can change it any more."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_IMAGE + 1)
    except OSError as error:
        raise ImageError(
            f"image can't be read: {error.strerror}", where=str(path), remedy="Run `edgeagent image build`"
        ) from error
    if len(data) > MAX_IMAGE:
        raise ImageError(f"image is larger than {MAX_IMAGE} bytes", where=str(path))
    return sealed("image", data, stack)


class QemuMachine(VmmProcess):
    """A running QEMU. See port.Machine.

    monitor: our end of its QMP connection. memory: descriptor of guest RAM and the guest address where it begins; None
    for a machine whose memory nobody reads.
    """

    def __init__(
        self,
        spawned: Spawned,
        channel: socket.socket,
        words: tuple[str, ...],
        hold: Hold | None,
        resources: ExitStack,
        *,
        monitor: socket.socket,
        memory: tuple[int, int] | None,
    ) -> None:
        self.version = ""
        self._monitor = monitor
        self._memory = memory
        self._qmp = qmp.Qmp()
        self._shutdown_reason = ""
        self._greeted = asyncio.Event()
        super().__init__(spawned, channel, words, hold, resources)
        self._resumed: asyncio.Future[str] = self._loop.create_future()
        self._loop.add_reader(monitor, self._on_monitor)

    async def resume(self) -> None:
        """See port.Machine."""
        try:
            async with asyncio.timeout(RESUME_SECONDS):
                await self._greeted.wait()
                self._send("cont")
                error = await asyncio.shield(self._resumed)
        except TimeoutError:
            error = f"no answer within {RESUME_SECONDS:g} s"
        if error:
            raise GuestError(f"QEMU doesn't run the machine: {error}")

    def read_memory(self, address: int, size: int) -> bytes:
        """See port.Machine."""
        if self._memory is None:
            raise ValueError("the memory of this machine can't be read")
        fd, base = self._memory
        offset = address - base
        if offset < 0 or size < 0:
            raise ValueError(f"guest address {address:#x} is below its memory")
        data = os.pread(fd, size, offset)
        if len(data) != size:
            raise ValueError(f"guest address {address:#x} with {size} bytes is above its memory")
        return data

    # ---- the monitor -------------------------------------------------------------------------------------------

    def _last_words(self) -> None:
        for _ in range(LAST_READS):
            if not self._on_monitor():
                break

    def _close(self) -> None:
        self._loop.remove_reader(self._monitor)

    def _send(self, command: str) -> None:
        # Some dozen bytes into an empty socket; a QEMU that doesn't read them is dead, which its exit will say.
        with contextlib.suppress(OSError):
            self._monitor.send(self._qmp.command(command))

    def _on_monitor(self) -> bool:
        """One read; whether there may be more."""
        try:
            data = self._monitor.recv(CHUNK)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        try:
            for received in self._qmp.receive(data):
                self._take(received)
        except RemoteProtocolError as error:
            # A monitor that can't be trusted makes a VMM that can't be watched.
            self._events.append(str(error))
            self._signal(signal.SIGKILL)
            data = b""
        if not data:
            self._loop.remove_reader(self._monitor)
        return bool(data)

    def _take(self, received: qmp.Received) -> None:
        match received:
            case qmp.Greeting(version):
                self.version = version
                self._send("qmp_capabilities")
            case qmp.Reply(command="qmp_capabilities"):
                # Events of what happened before are not told; the state is.
                self._send("query-status")
                self._greeted.set()
            case qmp.Reply(command="query-status", value={"status": str(status)}):
                if end := crash.classify(status, self._shutdown_reason):
                    self._events.append(f"status {status}")
                    self._finish(end, None)
            case qmp.Reply(command="cont", error=error):
                if not self._resumed.done():
                    self._resumed.set_result(error)
            case qmp.Event(name, data):
                self._events.append(
                    " ".join((name, *(f"{key}={value}" for key, value in data.items())))[:200]
                )
                if name == "SHUTDOWN":
                    self._shutdown_reason = str(data.get("reason", ""))
                if name == "STOP":
                    self._send("query-status")
                if end := crash.EVENTS.get(name):
                    self._finish(end, None)
            case _:
                self._events.append(f"unexpected {received}"[:200])
