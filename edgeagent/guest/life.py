"""Shell: one guest from start to end: bytes between session and channel, time to the session, input to the guest."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections import deque
from collections.abc import Callable

from edgeagent.errors import DamagedError, EdgeAgentError, GuestError
from edgeagent.vmm.crash import Crash, explain
from edgeagent.vmm.port import Accelerator, Ending, Machine, Usage

from . import ring
from .events import (
    ContractBreach,
    Event,
    HungEvent,
    LogEvent,
    ReadyEvent,
    RefusedEvent,
    RunningEvent,
)
from .limits import Limits
from .owner import LOG_LINES, Evidence, InputReader, Owner, Takeover
from .session import Phase, Session

READ_BYTES = 16 << 10
"""In one turn of the event loop: a flood of the smallest frames must leave the others their turns."""
WRITE_BYTES = 256 << 10
"""Of input for one write: whole frames."""
CHANNEL_GRACE_S = 2.0
"""After the channel closed, until the machine must have said why."""


class Life:
    """A machine and its session. ``run`` returns when either is over; then ask for the evidence, before the kill."""

    def __init__(
        self,
        machine: Machine,
        owner: Owner,
        limits: Limits,
        clock: Callable[[], float],
        changed: Callable[[Event], None],
    ) -> None:
        self.session = Session(limits, clock())
        self.log: deque[str] = deque(maxlen=LOG_LINES)
        self._machine = machine
        self._owner = owner
        self._clock = clock
        self._limits = limits
        self._changed = changed
        self._reader: InputReader | None = None
        self._wake = asyncio.Event()
        self._drained = asyncio.Event()
        self._crash: Crash | None = None
        self._ending: Ending | None = None
        self._began = 0

    def wake(self) -> None:
        """There may be something to send."""
        self._wake.set()

    @property
    def usage(self) -> Usage | None:
        """See Machine.usage."""
        return self._machine.usage()

    def checkpoint(self) -> bool:
        """See Session.checkpoint."""
        asked = self.session.checkpoint(self._clock())
        self.wake()
        return asked

    async def drain(self) -> None:
        """Give no more input, and wait until all that was given is processed, or the guest ended.

        The caller bounds the wait.
        """
        self.session.drain()
        if not self.session.drained:
            await self._drained.wait()

    async def run(self) -> None:
        """Until the guest or its machine ends."""
        hello = self._owner.hello()
        self.session.hello(hello.unit, hello.memory, hello.config, self._clock())
        work = (self._receive(), self._send(), self._watch(), self._keep_time())
        tasks = [asyncio.create_task(coroutine) for coroutine in work]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
            if self._crash is None and self._ending is None:
                # The channel closed first; the machine says why.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(CHANNEL_GRACE_S):
                        self._ending = await self._machine.ended()
        finally:
            self.session.closed()
            self._drained.set()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if self._reader is not None:
                self._reader.close()

    # ---- the four things that go on at once ----------------------------------------------------------------------

    async def _receive(self) -> None:
        loop, channel = asyncio.get_running_loop(), self._machine.channel
        while not self.session.dead:
            try:
                data = await loop.sock_recv(channel, READ_BYTES)
            except ConnectionError:
                return
            if not data:
                return
            self._hear(self.session.receive(data, self._clock()))
            # sock_recv doesn't wait while there is more.
            await asyncio.sleep(0)
            while pause := self.session.pause(self._clock()):  # noqa: ASYNC110 - for that long, not for an event
                await asyncio.sleep(pause)

    async def _send(self) -> None:
        loop, channel, session = asyncio.get_running_loop(), self._machine.channel, self.session
        try:
            while not session.dead:
                self._wake.clear()
                # What the session says was said before the input that follows it.
                data = session.output() or self._next_input()
                if data:
                    await loop.sock_sendall(channel, data)
                elif not session.dead:
                    await self._wake.wait()
        except ConnectionError:
            # What the guest said before is still to be heard: the receiver, or the machine, says when it is over.
            await asyncio.Event().wait()

    def _next_input(self) -> bytes:
        room = self.session.room
        if self._reader is None or not room:
            return b""
        try:
            data = self._reader.read(min(room, WRITE_BYTES))
        except (OSError, EdgeAgentError) as error:
            self.session.closed()
            self._crash = Crash(
                "input-unreadable", f"the guest's input can't be read: {error}", "Check the disk"
            )
            return b""
        if data:
            self.session.input(len(data), self._reader.last_seq, self._clock())
        return data

    async def _watch(self) -> None:
        self._ending = await self._machine.ended()

    async def _keep_time(self) -> None:
        while not self.session.dead:
            now = self._clock()
            # A deadline may come nearer while we sleep, but never nearer than the time between two pings.
            until = min(self.session.next_deadline() or math.inf, now + self._limits.ping_s)
            await asyncio.sleep(max(0.0, until - now))
            self._hear(self.session.on_time(self._clock()))

    # ---- what the session says -----------------------------------------------------------------------------------

    def _hear(self, events: list[Event]) -> None:
        for event in events:
            try:
                self._owner.on_event(event)
                self._changed(event)
                self._act(event)
            except GuestError as error:
                self._over(ContractBreach(error.what))
                break
        if self.session.phase is Phase.DRAINING and self.session.drained:
            self._drained.set()
        self.wake()

    def _act(self, event: Event) -> None:
        match event:
            case ReadyEvent():
                match self._owner.checkpoint():
                    case None:
                        self._hear(self.session.begin(self._clock()))
                    case Takeover(seq, out, states, shard):
                        self.session.take_over(seq, out, states, shard, self._clock())
                    case saved:
                        self.session.restore(saved.seq, saved.out, saved.state, self._clock())
            case RunningEvent(seq):
                self._began = seq
                self._reader = self._owner.input_after(seq)
            case LogEvent(_, text, dropped):
                if dropped:
                    self.log.append(f"({dropped} lines were too many)")
                self.log.append(text)
            case ContractBreach() | HungEvent() | RefusedEvent():
                self._over(event)

    def _over(self, event: ContractBreach | HungEvent | RefusedEvent) -> None:
        self.session.closed()
        match event:
            case ContractBreach(words):
                self._crash = Crash("breach", f"the guest broke its contract: {words}", "")
            case HungEvent(words):
                self._crash = Crash("hang", f"the guest hangs: {words}", "")
            case RefusedEvent(reason, needed, available):
                bytes_ = f" (needs {needed} bytes, has {available})" if needed else ""
                remedy = "Give the unit more memory" if needed else "Check the unit's configuration"
                self._crash = Crash("refused", f"the guest refuses: {reason}{bytes_}", remedy)

    # ---- afterwards ----------------------------------------------------------------------------------------------

    def evidence(self, accelerator: Accelerator, where: tuple[int, int] | None) -> Evidence:
        """What is left; where: address and size of the log ring, None when the image doesn't say. Before kill."""
        found: ring.Ring | None = None
        memory = b""
        if where:
            with contextlib.suppress(DamagedError, ValueError):
                memory = self._machine.read_memory(*where)
                found = ring.parse(memory)
        crash = self._crash
        if crash is None and self._ending is not None:
            crash = explain(self._ending, accelerator, found.panic if found else "")
        if crash is None:
            crash = Crash("channel-closed", "the guest's channel closed, and its machine goes on", "")
        session = self.session
        return Evidence(
            crash,
            self._ending,
            found,
            tuple(self.log),
            session.acked,
            session.given,
            self._began,
            session.state_asked,
            memory,
            self._machine.version,
        )
