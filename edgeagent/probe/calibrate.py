"""Shell: times a counted loop in a real guest, through the same VMM that units use."""

from __future__ import annotations

import asyncio
import time

from edgeagent.errors import EdgeAgentError
from edgeagent.guest.events import ContractBreach, Event, ReadyEvent, RefusedEvent, SpunEvent
from edgeagent.guest.limits import Limits
from edgeagent.guest.session import Session
from edgeagent.vmm.crash import explain
from edgeagent.vmm.port import Machine, MachineSpec, Vmm

from . import speed
from .evidence import Speed

BOUND_S = 30.0
"""Of one calibration, start of the guest included: the first start reads the VMM from a slow board's card."""
READ_BYTES = 4096


class _FailedError(Exception):
    pass


async def measure(vmm: Vmm, spec: MachineSpec) -> Speed:
    """Nanoseconds per guest instruction under the spec's accelerator, or why there is no such number."""
    try:
        machine = await vmm.start(spec)
    except EdgeAgentError as error:
        return Speed(None, str(error))
    ended = asyncio.create_task(machine.ended())
    timing = asyncio.create_task(_time(machine, spec))
    try:
        async with asyncio.timeout(BOUND_S):
            await asyncio.wait((ended, timing), return_when=asyncio.FIRST_COMPLETED)
            if not timing.done():
                crash = explain(await ended, spec.accelerator)
                return Speed(None, str(crash))
        return Speed(timing.result())
    except TimeoutError:
        return Speed(None, f"no result within {BOUND_S:g} s")
    except _FailedError as error:
        return Speed(None, str(error))
    finally:
        for task in (ended, timing):
            task.cancel()
        await asyncio.gather(ended, timing, return_exceptions=True)
        await machine.kill()


async def _time(machine: Machine, spec: MachineSpec) -> float:
    talk = _Talk(machine)
    talk.session.hello("calibration", spec.memory, {}, time.monotonic())
    await talk.until(ReadyEvent)
    talk.session.begin(time.monotonic())

    runs: list[speed.Run] = []
    while (count := speed.next_count(runs)) is not None:
        talk.session.spin(count)
        start = time.monotonic()
        await talk.until(SpunEvent)
        runs.append((count, time.monotonic() - start))
    return speed.nanoseconds(spec.arch, runs)


class _Talk:
    """One question, one answer."""

    def __init__(self, machine: Machine) -> None:
        self.session = Session(Limits(), time.monotonic())
        self._channel = machine.channel

    async def until(self, kind: type[Event]) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.sock_sendall(self._channel, self.session.output())
            while data := await loop.sock_recv(self._channel, READ_BYTES):
                for event in self.session.receive(data, time.monotonic()):
                    match event:
                        case ContractBreach(words) | RefusedEvent(words):
                            raise _FailedError(words)
                    if isinstance(event, kind):
                        return
        except ConnectionError:
            pass
        # The channel is closed: the machine says why.
        await asyncio.Event().wait()
