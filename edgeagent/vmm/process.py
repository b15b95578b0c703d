"""Shell: a VMM's process, whichever VMM: started behind its jail, listened to on stderr, watched, ended, reaped."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
import socket
from collections import deque
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

from edgeagent.errors import EnvironmentFaultError

from . import facts, procfs
from .hold import Hold
from .port import End, Ending, Usage

MAX_STDERR = 16_384
MAX_EVENTS = 32
CHUNK = 65_536
LAST_READS = 16
"""Reads of what an ended VMM left behind."""


@dataclass(frozen=True, slots=True)
class Spawned:
    """A process that was started, and the descriptor on which its stderr is read."""

    process: asyncio.subprocess.Process
    stderr: int


async def spawn(
    command: Sequence[str], fds: Sequence[int], resources: ExitStack, *, console: socket.socket | None = None
) -> Spawned:
    """Start a VMM: its arguments, the descriptors that it inherits, who closes what is ours.

    console: its standard input and output, None for none. Must be called from the thread that lives as long as the
    agent: its death ends the VMM. EnvironmentFaultError when it can't be started.
    """
    standard = console.fileno() if console else asyncio.subprocess.DEVNULL
    stderr, stderr_end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    resources.callback(os.close, stderr)
    try:
        os.set_blocking(stderr_end, True)
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=standard,
            stdout=standard,
            stderr=stderr_end,
            cwd="/",
            env={"PATH": facts.PATH, "LC_ALL": "C"},
            pass_fds=fds,
            start_new_session=True,
        )
    except OSError as error:
        raise EnvironmentFaultError(f"the VMM can't be started: {error}") from error
    finally:
        os.close(stderr_end)
    return Spawned(process, stderr)


def pair(ours: ExitStack, theirs: ExitStack) -> tuple[socket.socket, socket.socket]:
    """A socket pair: our end, non-blocking, and the VMM's."""
    here, there = socket.socketpair()
    ours.enter_context(here)
    theirs.enter_context(there)
    here.setblocking(False)
    return here, there


def sealed(name: str, data: bytes, stack: ExitStack) -> int:
    """A file in memory that any user may read at its descriptor, and nobody can change any more."""
    fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
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


class VmmProcess:
    """A running VMM. See port.Running; what a VMM tells of its guest while it runs is added by its own class.

    resources: everything that is given back when it is reaped. hold: what holds it to its limits.
    """

    def __init__(
        self,
        spawned: Spawned,
        channel: socket.socket,
        words: tuple[str, ...],
        hold: Hold | None,
        resources: ExitStack,
    ) -> None:
        self.channel = channel
        self.jail = words
        self._process = spawned.process
        self._stderr = spawned.stderr
        self._hold = hold
        self._resources = resources
        self._events: deque[str] = deque(maxlen=MAX_EVENTS)
        self._said = b""
        self._loop = asyncio.get_running_loop()
        self._end: asyncio.Future[Ending] = self._loop.create_future()
        self._killing: asyncio.Task[int] | None = None
        self._loop.add_reader(self._stderr, self._on_stderr)
        self._watch = self._loop.create_task(self._watch_exit(), name=f"vmm {self._process.pid}")
        if hold:
            hold.begin(self._process.pid, self._signal)

    @property
    def pid(self) -> int:
        """Of the VMM: the wrappers became it."""
        return self._process.pid

    async def ended(self) -> Ending:
        """See port.Running."""
        return await asyncio.shield(self._end)

    def usage(self) -> Usage | None:
        """See port.Running."""
        used = procfs.usage(self.pid)
        return replace(used, throttled_s=self._hold.throttled_s) if used and self._hold else used

    async def kill(self) -> int:
        """See port.Running. Goes on to the end also when the caller is cancelled."""
        if self._killing is None:
            self._killing = self._loop.create_task(self._kill())
        return await asyncio.shield(self._killing)

    async def _kill(self) -> int:
        self._signal(signal.SIGKILL)
        await self._watch
        self._loop.remove_reader(self._stderr)
        self._close()
        self._resources.close()
        return await self._process.wait()

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)

    async def _watch_exit(self) -> None:
        status = await self._process.wait()
        self._last_words()
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

    # ---- for VMMs that tell more than their exit status -----------------------------------------------------------

    def _last_words(self) -> None:
        """The process has ended: read what it said on other ways than stderr."""

    def _close(self) -> None:
        """Listen on other ways no more."""
