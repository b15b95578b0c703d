"""Shell: stands between a machine's console and a person, a pipe or nobody, until there is a reason to stop."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NoReturn

from edgeagent.vmm.port import Ending, Running

from .outcome import Stop
from .screen import Keys, Marker, Pace
from .streams import CHUNK, Input, Output

LAST_S = 2.0
"""How long what a dead VMM left on its console may take to be shown."""
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True, slots=True)
class Bounds:
    """timeout in seconds, output in bytes, rate in bytes per second; 0 is none."""

    expect: str = ""
    timeout_s: float = 0.0
    output: int = 0
    rate: int = 0


@dataclass(frozen=True, slots=True)
class Seen:
    """What happened. Seconds are since attending began; first_byte_s is None when nothing was printed."""

    stop: Stop
    ending: Ending | None
    signal: int
    first_byte_s: float | None
    seconds: float
    output: int
    whole_line: bool
    """The last byte printed ended a line, or there was none."""


class _Console:
    """From the machine to the output."""

    def __init__(self, channel: socket.socket, output: Output, bounds: Bounds, started: float) -> None:
        self.count = 0
        self.last = b""
        self.first: float | None = None
        self.ended = asyncio.Event()
        self.hurry = asyncio.Event()
        """Set when nothing more can come: the rest is shown without holding back."""
        self._channel = channel
        self._output = output
        self._bounds = bounds
        self._started = started
        self._marker = Marker(bounds.expect.encode())
        self._pace = Pace(bounds.rate)

    async def pass_on(self) -> Stop:
        """Until the marker, the limit or nobody reads; at the end of the stream sets ``ended``, and waits for ever."""
        loop = asyncio.get_running_loop()
        while data := await _receive(loop, self._channel):
            if self.first is None:
                self.first = time.monotonic() - self._started
            if self._bounds.output:
                data = data[: self._bounds.output - self.count]
            self.count += len(data)
            self.last = data[-1:]
            try:
                await self._output.put(data)
            except BrokenPipeError:
                return Stop.UNREAD
            if self._marker.seen(data):
                return Stop.EXPECTED
            if self._bounds.output and self.count >= self._bounds.output:
                return Stop.FLOODED
            await self._hold_back(self._pace.wait(len(data), time.monotonic()))
        self.ended.set()
        return await _never()

    async def _hold_back(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.hurry.wait()


async def _receive(loop: asyncio.AbstractEventLoop, channel: socket.socket) -> bytes:
    # A VMM that dies with unread input of ours resets the stream once; what it wrote before is still there.
    with contextlib.suppress(ConnectionResetError):
        return await loop.sock_recv(channel, CHUNK)
    with contextlib.suppress(ConnectionResetError):
        return await loop.sock_recv(channel, CHUNK)
    return b""


async def _type(channel: socket.socket, source: Input, keys: Keys | None) -> Stop:
    """From the input to the machine; ends with QUIT, or never."""
    loop = asyncio.get_running_loop()
    with contextlib.suppress(ConnectionError):
        while data := await source.read():
            sent, ended = keys.typed(data) if keys else (data, False)
            await loop.sock_sendall(channel, sent)
            if ended:
                return Stop.QUIT
    return await _never()


async def _end(machine: Running) -> Stop:
    await machine.ended()
    return Stop.ENDED


async def _never() -> NoReturn:
    await asyncio.Event().wait()
    raise AssertionError


class _Told:
    """The first signal that tells us to end."""

    def __init__(self) -> None:
        self.number = 0
        self._told = asyncio.Event()

    def tell(self, number: int) -> None:
        self.number = self.number or number
        self._told.set()

    async def wait(self) -> Stop:
        await self._told.wait()
        return Stop.SIGNAL


@contextlib.contextmanager
def _signals() -> Iterator[_Told]:
    loop = asyncio.get_running_loop()
    told = _Told()

    for number in SIGNALS:
        loop.add_signal_handler(number, told.tell, number)
    try:
        yield told
    finally:
        for number in SIGNALS:
            loop.remove_signal_handler(number)


async def attend(
    machine: Running, bounds: Bounds, *, output: int, source: int | None, keys: Keys | None, started: float
) -> Seen:
    """Show what it prints and send what is typed, until there is a reason to stop; the machine is then killed.

    output, source: descriptors. started: when the VMM was started, by time.monotonic().
    OSError when the output can't be written, for another reason than that nobody reads it.
    """
    screen = Output(output)
    # Ours outlives the machine's own descriptor: what it printed last is read after its end.
    with machine.channel.dup() as channel, _signals() as told:
        console = _Console(channel, screen, bounds, started)
        passing = asyncio.create_task(console.pass_on())
        reasons = [passing, asyncio.create_task(_end(machine)), asyncio.create_task(told.wait())]
        if source is not None:
            reasons.append(asyncio.create_task(_type(channel, Input(source), keys)))
        drained = asyncio.create_task(console.ended.wait())
        try:
            left = max(0.0, bounds.timeout_s + started - time.monotonic()) if bounds.timeout_s else None
            done, _ = await asyncio.wait(reasons, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            stop = min((task.result() for task in done), key=list(Stop).index, default=Stop.TIMEOUT)
            ending = await machine.ended() if stop is Stop.ENDED else None
            seconds = time.monotonic() - started
            await machine.kill()
            console.hurry.set()
            await asyncio.wait((passing, drained), timeout=LAST_S, return_when=asyncio.FIRST_COMPLETED)
            if passing.done() and stop in (Stop.ENDED, Stop.TIMEOUT):
                # In its last words.
                stop = passing.result()
            await screen.close()
        finally:
            for task in (*reasons, drained):
                task.cancel()
            await asyncio.gather(*reasons, drained, return_exceptions=True)
            await machine.kill()
    return Seen(stop, ending, told.number, console.first, seconds, console.count, console.last in b"\n")
