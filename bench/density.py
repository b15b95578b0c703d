"""Many guests side by side: what each takes of memory (its proportional share, PSS), and of CPU for pings alone."""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from guest_start import spec, until_ready

from edgeagent.guest.limits import Limits
from edgeagent.guest.session import Session
from edgeagent.vmm.machines import MACHINES
from edgeagent.vmm.port import Accelerator, Machine
from edgeagent.vmm.qemu import Qemu

COUNTS = (1, 10, 50)
IDLE_S = 20.0
"""Over which CPU of waiting guests is counted."""
SETTLE_S = 2.0
_TICK = os.sysconf("SC_CLK_TCK")


def pss_kib(pid: int) -> int:
    """Proportional set size: shared pages count in parts (Linux: Documentation/filesystems/proc.rst)."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    raise RuntimeError(f"process {pid} has no PSS")


def cpu_s(pid: int) -> float:
    """User and system seconds so far, in steps of a clock tick."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


async def _ping(machine: Machine, session: Session) -> None:
    """As the agent does with a guest that has nothing to do."""
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(Limits().ping_s)
        session.on_time(time.monotonic())
        await loop.sock_sendall(machine.channel, session.output())
        session.receive(await loop.sock_recv(machine.channel, 4096), time.monotonic())


async def _together(arch: str, accelerator: Accelerator, count: int) -> dict[str, Any]:
    vmm = Qemu(MACHINES)
    async with AsyncExitStack() as stack:
        machines: list[Machine] = []
        pinging: list[asyncio.Task[None]] = []
        for _ in range(count):
            began = time.monotonic()
            machine = await vmm.start(spec(arch, accelerator))
            stack.push_async_callback(machine.kill)
            session = Session(Limits(), began)
            await until_ready(machine, session, began)
            session.begin(time.monotonic())
            pinging.append(asyncio.create_task(_ping(machine, session)))
            machines.append(machine)
        await asyncio.sleep(SETTLE_S)
        before = [cpu_s(machine.pid) for machine in machines]
        await asyncio.sleep(IDLE_S)
        used = sum(cpu_s(machine.pid) for machine in machines) - sum(before)
        shares = [pss_kib(machine.pid) for machine in machines]
        for task in pinging:
            task.cancel()
        await asyncio.wait(pinging)
    return {
        "complete": True,
        "guests": count,
        "pss_mib": round(sum(shares) / count / 1024, 1),
        "idle_cpu_percent": round(100 * used / count / IDLE_S, 3),
    }


def measure(arch: str, accelerator: str, count: int) -> dict[str, Any]:
    """MiB a guest, and percent of one core a guest while nothing happens."""
    return asyncio.run(_together(arch, Accelerator(accelerator), count))
