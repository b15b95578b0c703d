"""Shell: machines that wait, built but paused before their first instruction, so that a start is a resume.

A spare costs the memory of a VMM and no CPU. It never ran a guest's instruction and never got a byte: whoever takes it
can't tell it from a machine that was just started.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from edgeagent.errors import EdgeAgentError
from edgeagent.vmm.crash import explain
from edgeagent.vmm.port import Machine, MachineSpec, Vmm, VmmInfo

from .budget import Budget, RestartPolicy

SETTLE_S = 2.0
"""After a spare was taken, before the next one is built: the guest that took it goes first."""
POLICY = RestartPolicy(first_delay_s=5.0, delay_cap_s=300.0, starts=5)
"""For spares that can't be built, or that die while they wait."""

Print = tuple[int, int, int]
"""What tells one file of an image from another at the same path: inode, size, time of its last change in ns."""


@dataclass(frozen=True, slots=True)
class Spares:
    """How many of a spec wait now, how many should, and how many died waiting."""

    ready: int
    wanted: int
    died: int


@dataclass(slots=True)
class _Spare:
    machine: Machine
    made: Print | None
    """Of its image."""
    watch: asyncio.Task[None] | None = None


@dataclass(slots=True)
class _Shelf:
    spec: MachineSpec
    wanted: int = 0
    spares: deque[_Spare] = field(default_factory=deque)
    budget: Budget = field(default_factory=lambda: Budget(POLICY))
    not_before: float = 0.0
    died: int = 0


class Pool:
    """Implements Vmm over another one. ``run`` until cancelled: that ends the spares, and nothing is left of them."""

    def __init__(self, vmm: Vmm, clock: Callable[[], float] = time.monotonic) -> None:
        self._vmm = vmm
        self._clock = clock
        self._shelves: dict[MachineSpec, _Shelf] = {}
        self._held: set[Machine] = set()
        """Everything that is ours to end."""
        self._changed = asyncio.Event()
        self._logger = logging.getLogger("pool")

    def keep(self, spec: MachineSpec, wanted: int) -> None:
        """Have so many more machines of that spec waiting, for whoever starts one, whatever its name."""
        if wanted:
            shelf = self._shelves.setdefault(_kind(spec), _Shelf(replace(spec, paused=True)))
            shelf.wanted += wanted
            self._changed.set()

    def spares(self, spec: MachineSpec) -> Spares:
        """Of a spec, now."""
        shelf = self._shelves.get(_kind(spec))
        return Spares(len(shelf.spares), shelf.wanted, shelf.died) if shelf else Spares(0, 0, 0)

    async def describe(self, arch: str) -> VmmInfo:
        """See port.Vmm."""
        return await self._vmm.describe(arch)

    async def start(self, spec: MachineSpec) -> Machine:
        """See port.Vmm: a spare where there is a good one, a new machine where there is none."""
        shelf = self._shelves.get(_kind(spec))
        while shelf and shelf.spares:
            if machine := await self._take(shelf):
                return machine
        return await self._vmm.start(spec)

    async def _take(self, shelf: _Shelf) -> Machine | None:
        """The oldest spare, running; None when it is no good any more."""
        spare, spec = shelf.spares.popleft(), shelf.spec
        if spare.watch:
            spare.watch.cancel()
        shelf.budget = shelf.budget.rested()
        shelf.not_before = self._clock() + SETTLE_S
        self._changed.set()
        good = False
        try:
            if spare.made != _print(spec.image):
                self._logger.info("%s: its image changed, so the spare is thrown away", spec.name)
                return None
            await spare.machine.resume()
            good = True
        except EdgeAgentError as error:
            shelf.died += 1
            self._logger.warning("%s: the spare is no good: %s", spec.name, error)
            return None
        finally:
            if not good:
                await spare.machine.kill()
            self._held.discard(spare.machine)
        return spare.machine

    async def run(self) -> None:
        """Build what is missing, one at a time."""
        try:
            while True:
                self._changed.clear()
                wait = await self._fill()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        await self._changed.wait()
        finally:
            for spare in (spare for shelf in self._shelves.values() for spare in shelf.spares):
                if spare.watch:
                    spare.watch.cancel()
            self._shelves.clear()
            await asyncio.gather(*(machine.kill() for machine in self._held))

    async def _fill(self) -> float | None:
        """Build what is due; seconds until something will be, None while all are there."""
        waits = []
        for shelf in tuple(self._shelves.values()):
            while len(shelf.spares) < shelf.wanted:
                wait = shelf.not_before - self._clock()
                if wait > 0:
                    waits.append(wait)
                    break
                await self._build(shelf)
        return min(waits, default=None)

    async def _build(self, shelf: _Shelf) -> None:
        made = _print(shelf.spec.image)  # before it is read: a change meanwhile makes it look old
        shelf.budget = shelf.budget.started(self._clock())
        try:
            machine = await self._vmm.start(shelf.spec)
        except EdgeAgentError as error:
            self._lost(shelf, f"can't be built: {error}")
            return
        self._held.add(machine)
        spare = _Spare(machine, made)
        spare.watch = asyncio.create_task(self._watch(shelf, spare))
        shelf.spares.append(spare)

    async def _watch(self, shelf: _Shelf, spare: _Spare) -> None:
        ending = await spare.machine.ended()
        shelf.spares.remove(spare)
        await spare.machine.kill()
        self._held.discard(spare.machine)
        self._lost(shelf, f"died waiting: {explain(ending, shelf.spec.accelerator, '')}")

    def _lost(self, shelf: _Shelf, words: str) -> None:
        now = self._clock()
        shelf.died += 1
        shelf.budget = shelf.budget.ended(now)
        delay = shelf.budget.delay(now)
        shelf.not_before = now + (POLICY.window_s if delay is None else delay)
        self._logger.warning("%s: a spare %s", shelf.spec.name, words)
        self._changed.set()


def _kind(spec: MachineSpec) -> MachineSpec:
    return replace(spec, name="")


def _print(image: Path) -> Print | None:
    """None for a file that isn't there: a start says why."""
    try:
        found = image.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
