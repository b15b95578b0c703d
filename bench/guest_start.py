"""Cold start of a guest: from the decision to start QEMU until the guest says ready."""

from __future__ import annotations

import asyncio
import resource
import time
from typing import Any

from edgeagent.guest.events import ReadyEvent
from edgeagent.guest.session import Limits, Session
from edgeagent.sim.chain import default_images
from edgeagent.vmm.machines import MACHINES
from edgeagent.vmm.port import Accelerator, MachineSpec
from edgeagent.vmm.qemu import Qemu

MEMORY = 8 << 20
BOUND_S = 30
CONFIG: dict[str, Any] = {
    "window": 60_000, "lateness": 5000, "ahead": 0, "series": 500, "windows": 1000, "buckets": 256,
    "quantiles": [500, 950], "times": ["ts"], "fields": [], "deadband": [0, 0], "heartbeat": 60,
}  # fmt: skip


async def _start(arch: str, accelerator: Accelerator) -> float:
    image = default_images() / arch / "aggregate.elf"
    began = time.monotonic()
    machine = await Qemu(MACHINES).start(MachineSpec("bench", arch, accelerator, MEMORY, image))
    try:
        async with asyncio.timeout(BOUND_S):
            loop = asyncio.get_running_loop()
            session = Session(Limits(), time.monotonic())
            session.hello("bench", MEMORY, CONFIG, time.monotonic())
            await loop.sock_sendall(machine.channel, session.output())
            while data := await loop.sock_recv(machine.channel, 4096):
                if any(isinstance(one, ReadyEvent) for one in session.receive(data, time.monotonic())):
                    return time.monotonic() - began
        raise RuntimeError("the guest closed its channel")
    finally:
        await machine.kill()


def measure(arch: str, accelerator: str, times: int) -> dict[str, Any]:
    """Milliseconds of wall time (the least and the median), and of CPU time of QEMU and what starts it."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    took = sorted(asyncio.run(_start(arch, Accelerator(accelerator))) * 1000 for _ in range(times))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {
        "complete": True,
        "least_ms": round(took[0], 1),
        "median_ms": round(took[len(took) // 2], 1),
        "cpu_ms": round(cpu / times * 1000, 1),
        "image_bytes": (default_images() / arch / "aggregate.elf").stat().st_size,
    }
