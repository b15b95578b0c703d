"""Start of a guest until its first byte: cold, from starting QEMU; pooled, from the word to a paused one."""

from __future__ import annotations

import asyncio
import resource
import time
from dataclasses import dataclass
from typing import Any

from edgeagent.guest.events import ReadyEvent
from edgeagent.guest.limits import Limits
from edgeagent.guest.session import Session
from edgeagent.sim.chain import default_images
from edgeagent.vmm.machines import MACHINES
from edgeagent.vmm.port import Accelerator, Machine, MachineSpec
from edgeagent.vmm.qemu import Qemu

MEMORY = 8 << 20
BOUND_S = 30
SETTLE_S = 0.3
"""A pool has been waiting when it is asked."""
CONFIG: dict[str, Any] = {
    "window": 60_000, "lateness": 5000, "ahead": 0, "series": 500, "windows": 1000, "buckets": 256,
    "quantiles": [500, 950], "times": ["ts"], "fields": [], "deadband": [0, 0], "heartbeat": 60,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Took:
    """Milliseconds until the guest's first byte, and until it has said ready."""

    first_byte: float
    ready: float


async def until_ready(machine: Machine, session: Session, began: float) -> Took:
    """Say hello and wait. began: monotonic seconds."""
    async with asyncio.timeout(BOUND_S):
        loop = asyncio.get_running_loop()
        session.hello("bench", MEMORY, CONFIG, time.monotonic())
        await loop.sock_sendall(machine.channel, session.output())
        first = 0.0
        while data := await loop.sock_recv(machine.channel, 4096):
            now = (time.monotonic() - began) * 1000
            first = first or now
            if any(isinstance(one, ReadyEvent) for one in session.receive(data, time.monotonic())):
                return Took(first, now)
    raise RuntimeError("the guest closed its channel")


def spec(arch: str, accelerator: Accelerator, *, paused: bool = False, app: str = "aggregate") -> MachineSpec:
    """The guest that is measured."""
    image = default_images() / arch / f"{app}.elf"
    return MachineSpec("bench", arch, accelerator, MEMORY, image, paused=paused)


async def _start(arch: str, accelerator: Accelerator, *, pooled: bool) -> Took:
    vmm, wanted = Qemu(MACHINES), spec(arch, accelerator, paused=pooled)
    began = time.monotonic()
    machine = await vmm.start(wanted)
    try:
        if pooled:
            await asyncio.sleep(SETTLE_S)
            began = time.monotonic()
            await machine.resume()
        return await until_ready(machine, Session(Limits(), time.monotonic()), began)
    finally:
        await machine.kill()


def measure(arch: str, accelerator: str, times: int, *, pooled: bool = False) -> dict[str, Any]:
    """Milliseconds of wall time (the least and the median), and of CPU time of QEMU and what starts it."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    took = [asyncio.run(_start(arch, Accelerator(accelerator), pooled=pooled)) for _ in range(times)]
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    firsts, readies = sorted(one.first_byte for one in took), sorted(one.ready for one in took)
    return {
        "complete": True,
        "least_ms": round(firsts[0], 1),
        "median_ms": round(firsts[len(firsts) // 2], 1),
        "ready_ms": round(readies[len(readies) // 2], 1),
        "cpu_ms": round(cpu / times * 1000, 1),
        "image_bytes": (default_images() / arch / "aggregate.elf").stat().st_size,
    }
