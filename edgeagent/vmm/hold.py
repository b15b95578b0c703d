"""Shell: holds one VMM to its limits: by a cgroup, and for what no cgroup holds by looking at it.

A VMM that uses too much CPU is then stopped for moments, one that uses too much of anything else is ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable

from . import bounds, procfs
from .cgroup import Group, Hierarchy
from .port import MachineLimits

NICER = 5
"""Than the agent: a VMM that no cgroup gives a weight. The agent goes first where CPU is short."""


class Hold:
    """Made before its VMM, which enters ``procs`` first; then ``begin``, and ``close`` when it is reaped."""

    def __init__(self, cgroups: Hierarchy, machine: str, limits: MachineLimits) -> None:
        self._limits = limits
        self._group: Group | None = cgroups.group(machine, limits)
        self._held = cgroups.controllers
        self._paused_s = 0.0
        self._why = ""
        self._task: asyncio.Task[None] | None = None
        self.procs = str(self._group.procs) if self._group else ""
        """The file that puts a process into the cgroup; "" where there is none."""
        self.words = (
            *bounds.words(limits, self._held),
            *(f"without {lack}" for lack in cgroups.missing),
        )

    def begin(self, pid: int, send: Callable[[signal.Signals], None]) -> None:
        """Look at a child of ours until ``close``; send: gives it a signal, and does nothing when it is gone."""
        if bounds.CPU not in self._held:
            with contextlib.suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, pid, os.getpriority(os.PRIO_PROCESS, 0) + NICER)
        if not {*bounds.CONTROLLERS} <= self._held:
            self._task = asyncio.create_task(self._look(pid, send), name=f"hold {pid}")

    @property
    def throttled_s(self) -> float:
        """How long its CPU limit has held it back."""
        return self._paused_s + (self._group.throttled_s if self._group else 0.0)

    def over(self) -> str:
        """Which limit ended it, "" for none."""
        return self._why or (self._group.over() if self._group else "")

    def close(self) -> None:
        """Look no more, and leave no group behind."""
        if self._task:
            self._task.cancel()
        if self._group:
            self._group.close()

    async def _look(self, pid: int, send: Callable[[signal.Signals], None]) -> None:
        allowed = bounds.CpuAllowance(self._limits.cpu, 0.0, time.monotonic())
        pause = 0.0
        while not self._why:
            await asyncio.sleep(bounds.SLICE_S if pause else bounds.POLL_S)
            seen = procfs.stat(pid)
            if seen is None:
                continue
            self._why = self._too_much(pid, seen)
            if self._why:
                send(signal.SIGKILL)
            elif bounds.CPU not in self._held:
                pause = allowed.pause(seen.cpu_s, time.monotonic())
                if pause:
                    send(signal.SIGSTOP)
                    await asyncio.sleep(pause)
                    self._paused_s += pause
                    send(signal.SIGCONT)

    def _too_much(self, pid: int, seen: procfs.Stat) -> str:
        # What is resident counts QEMU's files too, which all share: a cheap first look.
        if bounds.MEMORY not in self._held and seen.rss > self._limits.memory:
            used = procfs.private(pid)
            if used > self._limits.memory:
                return bounds.over_memory(self._limits, used)
        if bounds.PIDS not in self._held and seen.threads > self._limits.tasks:
            return bounds.over_tasks(self._limits, seen.threads)
        return ""
