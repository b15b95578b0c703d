"""A crash played again: the same image in a machine of its own, through the same way in as a unit's guest."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgeagent.crash.case import Case
from edgeagent.crash.player import Player, Verdict, judge, limits_of
from edgeagent.errors import ImageError
from edgeagent.guest.life import Life
from edgeagent.guest.owner import Evidence
from edgeagent.image.inspection import inspect
from edgeagent.vmm.port import Accelerator, Machine, MachineSpec, Vmm


async def replay(
    vmm: Vmm,
    case: Case,
    accelerator: Accelerator,
    *,
    user: str = "",
    timeout_s: float | None = None,
    gdb: int | None = None,
) -> tuple[Player, Verdict]:
    """Play until the guest ends or has taken everything. gdb: a listening socket; the guest waits for its debugger.

    TimeoutError after timeout_s; EdgeAgentError when the guest can't be started at all.
    """
    record = case.record
    if not case.image:
        raise ImageError(
            "its image isn't kept: it was too large, or the file was another one by then",
            where=f"crash {record.number}",
            remedy=f"Its build id was {record.image.build_id}",
        )
    ring = inspect(case.image).log_ring
    player = Player(case)
    with _file(case.image) as image:
        spec = MachineSpec(
            f"replay-{record.unit}",
            record.machine.arch,
            accelerator,
            record.machine.memory,
            image,
            user,
            paused=gdb is not None,
            gdb=gdb,
        )
        machine = await vmm.start(spec)
        try:
            async with asyncio.timeout(timeout_s):
                evidence = await _live(machine, player, ring, accelerator, patient=gdb is not None)
        finally:
            await machine.kill()
    return player, judge(player, evidence)


@contextmanager
def _file(data: bytes) -> Iterator[Path]:
    """A file with these bytes that is on no disk."""
    with os.fdopen(os.memfd_create("image", os.MFD_CLOEXEC), "wb", buffering=0) as file:
        file.write(data)
        yield Path(f"/proc/self/fd/{file.fileno()}")


async def _live(
    machine: Machine, player: Player, ring: tuple[int, int], accelerator: Accelerator, *, patient: bool
) -> Evidence | None:
    """What is left of the guest; None when it has taken everything and goes on."""
    moved = asyncio.Event()
    limits = limits_of(player.record, patient=patient)
    life = Life(machine, player, limits, time.monotonic, lambda _: moved.set())
    living = asyncio.create_task(life.run())
    watching = asyncio.create_task(_until_through(player, life, moved))
    try:
        await asyncio.wait((living, watching), return_when=asyncio.FIRST_COMPLETED)
        if not living.done():
            return None
        living.result()
        return life.evidence(accelerator, ring)
    finally:
        for task in (living, watching):
            task.cancel()
        await asyncio.gather(living, watching, return_exceptions=True)


async def _until_through(player: Player, life: Life, moved: asyncio.Event) -> None:
    """The guest took everything, and gave its state if that was asked of it when it ended."""
    while not player.through:
        moved.clear()
        await moved.wait()
    while player.record.state_asked and not player.stated:
        life.checkpoint()
        moved.clear()
        await moved.wait()
