"""Shell: QEMU behind the port. One process, three descriptors of ours: the channel, the monitor, the guest's memory."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import re
import signal
import socket
from collections import deque
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from edgeagent.errors import EnvironmentFaultError, GuestError, ImageError, RemoteProtocolError

from . import argv, crash, facts, jail, procfs, qmp
from .cgroup import NONE, Hierarchy
from .hold import Hold
from .port import Accelerator, End, Ending, MachineSpec, Usage, VmmInfo

MAX_IMAGE = 64 << 20
"""Bytes of an image."""
MAX_STDERR = 16_384
MAX_EVENTS = 32
CHUNK = 65_536
LAST_READS = 16
"""Reads of what an ended QEMU left behind."""
RESUME_SECONDS = 5.0
ASK_SECONDS = 5.0


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
            channel, channel_end = _pair(ours, theirs)
            monitor, monitor_end = _pair(ours, theirs)
            stderr, stderr_end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
            ours.callback(os.close, stderr)
            theirs.callback(os.close, stderr_end)
            os.set_blocking(stderr_end, True)
            fds = argv.Descriptors(image, memory, channel_end.fileno(), monitor_end.fileno())
            try:
                process = await asyncio.create_subprocess_exec(
                    *walls.prefix,
                    *argv.arguments(program, spec, row, fds),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=asyncio.subprocess.DEVNULL,
                    stderr=stderr_end,
                    cwd="/",
                    env={"PATH": facts.PATH, "LC_ALL": "C"},
                    pass_fds=(fds.image, fds.memory, fds.channel, fds.monitor),
                    start_new_session=True,
                )
            except OSError as error:
                raise EnvironmentFaultError(f"QEMU can't be started: {error}", where=spec.name) from error
            words = (
                *walls.words,
                *(f"without {lack}" for lack in walls.missing),
                *(hold.words if hold else ()),
            )
            return QemuMachine(
                process, channel, monitor, stderr, memory, row.ram_base, words, hold, ours.pop_all()
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
        said = b""
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
    fd = os.memfd_create("image", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    stack.callback(os.close, fd)
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
    fcntl.fcntl(
        fd,
        fcntl.F_ADD_SEALS,
        fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL,
    )
    return fd


def _pair(ours: ExitStack, theirs: ExitStack) -> tuple[socket.socket, socket.socket]:
    here, there = socket.socketpair()
    ours.enter_context(here)
    theirs.enter_context(there)
    here.setblocking(False)
    return here, there


class QemuMachine:
    """A running QEMU. See port.Machine."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        channel: socket.socket,
        monitor: socket.socket,
        stderr: int,
        memory: int,
        ram_base: int,
        words: tuple[str, ...],
        hold: Hold | None,
        resources: ExitStack,
    ) -> None:
        self.channel = channel
        self.jail = words
        self.version = ""
        self._process = process
        self._monitor = monitor
        self._stderr = stderr
        self._memory = memory
        self._ram_base = ram_base
        self._hold = hold
        self._resources = resources
        self._qmp = qmp.Qmp()
        self._events: deque[str] = deque(maxlen=MAX_EVENTS)
        self._said = b""
        self._shutdown_reason = ""
        self._loop = asyncio.get_running_loop()
        self._end: asyncio.Future[Ending] = self._loop.create_future()
        self._greeted = asyncio.Event()
        self._resumed: asyncio.Future[str] = self._loop.create_future()
        self._killing: asyncio.Task[int] | None = None
        self._loop.add_reader(monitor, self._on_monitor)
        self._loop.add_reader(stderr, self._on_stderr)
        self._watch = self._loop.create_task(self._watch_exit(), name=f"qemu {process.pid}")
        if hold:
            hold.begin(process.pid, self._signal)

    @property
    def pid(self) -> int:
        """Of QEMU: the wrappers became it."""
        return self._process.pid

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

    async def ended(self) -> Ending:
        """See port.Machine."""
        return await asyncio.shield(self._end)

    def usage(self) -> Usage | None:
        """See port.Machine."""
        used = procfs.usage(self.pid)
        return replace(used, throttled_s=self._hold.throttled_s) if used and self._hold else used

    def read_memory(self, address: int, size: int) -> bytes:
        """See port.Machine."""
        offset = address - self._ram_base
        if offset < 0 or size < 0:
            raise ValueError(f"guest address {address:#x} is below its memory")
        data = os.pread(self._memory, size, offset)
        if len(data) != size:
            raise ValueError(f"guest address {address:#x} with {size} bytes is above its memory")
        return data

    async def kill(self) -> int:
        """See port.Machine. Goes on to the end also when the caller is cancelled."""
        if self._killing is None:
            self._killing = self._loop.create_task(self._kill())
        return await asyncio.shield(self._killing)

    async def _kill(self) -> int:
        self._signal(signal.SIGKILL)
        await self._watch
        self._loop.remove_reader(self._monitor)
        self._loop.remove_reader(self._stderr)
        self._resources.close()
        return await self._process.wait()

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)

    async def _watch_exit(self) -> None:
        status = await self._process.wait()
        for _ in range(LAST_READS):
            if not self._on_monitor():
                break
        self._finish(End.SIGNALLED if status < 0 else End.EXITED, status)

    def _finish(self, end: End, status: int | None) -> None:
        if not self._end.done():
            for _ in range(LAST_READS):
                if not self._on_stderr():
                    break
            text = self._said.decode("utf-8", "replace")
            name = signal.Signals(-status).name if status is not None and status < 0 else ""
            limit = self._hold.over() if self._hold and end is End.SIGNALLED else ""
            self._end.set_result(Ending(end, status, tuple(self._events), text, name, limit))

    # ---- the monitor -------------------------------------------------------------------------------------------

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

    def _on_stderr(self) -> bool:
        """One read; whether there may be more."""
        try:
            data = os.read(self._stderr, CHUNK)
        except BlockingIOError:
            return False
        if not data:
            self._loop.remove_reader(self._stderr)
            return False
        # The beginning says what went wrong, the end what came of it.
        self._said += data
        if len(self._said) > MAX_STDERR:
            self._said = self._said[: MAX_STDERR // 2] + self._said[-MAX_STDERR // 2 :]
        return True
