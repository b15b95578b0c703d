"""Core: what a VMM may use, how that is written for cgroup v2, and what is done about it where there is none."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from edgeagent.quantities import show_size

from .port import MachineLimits

MIB = 1 << 20
OVERHEAD = 24 * MIB
"""What QEMU needs beside guest RAM. Measured: 10 to 17 MiB of its own, and its part of what all of them share."""
MARGIN = 16 * MIB
"""Above that, before a VMM is ended: page tables, socket buffers, another version of QEMU."""
TASKS = 32
"""Threads of a VMM; QEMU has 4 or 5."""

PERIOD_US = 100_000
"""Of cpu.max: how often its quota comes anew."""
POLL_S = 1.0
"""Between two looks at a VMM that no cgroup holds."""
BURST_S = 1.0
"""CPU that such a VMM may use at once beyond its share."""
SLICE_S = 0.1
"""Between two looks at one that has just been stopped for a while."""
LEAST_SHARE = 0.05
MOST_PAUSE_S = SLICE_S / LEAST_SHARE
"""Longest that it is stopped at once."""

CPU, MEMORY, PIDS = "cpu", "memory", "pids"
CONTROLLERS = (CPU, MEMORY, PIDS)
"""Of cgroup v2, that the limits need."""


def need(memory: int) -> int:
    """Bytes of the board that a machine with so much guest RAM takes."""
    return memory + OVERHEAD


def limits(memory: int, cpu_percent: int, weight: int) -> MachineLimits:
    """Of a machine with so much guest RAM."""
    return MachineLimits(need(memory) + MARGIN, cpu_percent / 100, weight, TASKS)


def files(bounds: MachineLimits, controllers: Collection[str]) -> Iterator[tuple[str, str]]:
    """Name and content of what is written into a machine's cgroup (admin-guide/cgroup-v2.rst in the kernel's tree)."""
    if CPU in controllers:
        yield "cpu.max", f"{round(bounds.cpu * PERIOD_US)} {PERIOD_US}"
        yield "cpu.weight", str(bounds.weight)
    if MEMORY in controllers:
        yield "memory.max", str(bounds.memory)
    if PIDS in controllers:
        yield "pids.max", str(bounds.tasks)


NO_SWAP = ("memory.swap.max", "0")
"""For kernels that account for swap: a guest on flash swap wears the flash, and slows everybody."""


def words(bounds: MachineLimits, controllers: Collection[str]) -> tuple[str, ...]:
    """The limits and how each is held, for people."""
    said = {
        CPU: f"at most {bounds.cpu:.0%} of a core",
        MEMORY: f"at most {show_size(bounds.memory)} of memory, guest and QEMU",
        PIDS: f"at most {bounds.tasks} threads",
    }
    return tuple(
        f"{what} ({'cgroup' if controller in controllers else f'looked at every {POLL_S:g} s'})"
        for controller, what in said.items()
    )


def keyed(text: str) -> dict[str, int]:
    """A flat keyed file of a cgroup, such as cpu.stat: numbers by name; other lines are left out."""
    found = {}
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        if value.isdecimal():
            found[name] = int(value)
    return found


def over_memory(bounds: MachineLimits, used: int = 0) -> str:
    """Why a VMM was ended; used: bytes, where they are known."""
    most = f"it may use {show_size(bounds.memory)} of memory"
    return f"{most}, and used {show_size(used)}" if used else f"{most}, and needed more"


def over_tasks(bounds: MachineLimits, used: int) -> str:
    """Why a VMM was ended."""
    return f"it may have {bounds.tasks} threads, and had {used}"


@dataclass(slots=True)
class CpuAllowance:
    """CPU seconds that a VMM may use: ``share`` for each second, and BURST_S at once."""

    share: float
    used: float
    """CPU seconds at ``at``."""
    at: float
    left: float = BURST_S

    def pause(self, used: float, now: float) -> float:
        """How long it must be stopped now, having used so many CPU seconds in all."""
        self.left = min(BURST_S, self.left + self.share * (now - self.at) - (used - self.used))
        self.used, self.at = used, now
        return min(MOST_PAUSE_S, max(0.0, -self.left / self.share))
