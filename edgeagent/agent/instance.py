"""One of a unit's guests: its supervisor, on a lane of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from edgeagent.config.schema import Config, Unit
from edgeagent.crash.keeper import Keeper
from edgeagent.guest.budget import RestartPolicy
from edgeagent.guest.limits import unit_limits
from edgeagent.guest.owner import State
from edgeagent.guest.pool import Pool
from edgeagent.guest.supervisor import Plan, Supervisor
from edgeagent.unit.lane import Lane
from edgeagent.unit.ports import Batches, LaneId, Writer
from edgeagent.vmm import bounds
from edgeagent.vmm.port import MachineLimits, MachineSpec

from .crashes import draft
from .images import Choice
from .owner import GuestOwner


@dataclass(frozen=True, slots=True)
class Shared:
    """What all units use. arrival: ms since 1970; monotonic: seconds."""

    config: Config
    vmm: Pool
    batches: Batches
    writer: Writer
    spooled: Callable[[LaneId], int]
    """Newest output of a lane in the spool."""
    arrival: Callable[[], int]
    monotonic: Callable[[], float]
    newest: int
    """The newest arrival time in any log at the start, ms."""
    clock_unset: Callable[[], bool]
    heard: Callable[[], bool]
    """Whether every source can be heard now."""
    crashes: Keeper
    admit: Callable[[str, int], None]
    """ConfigError where the board hasn't the memory for that many instances of a unit beside all else."""


def held(unit: Unit) -> MachineLimits:
    """What holds the VMM of each of a unit's guests."""
    return bounds.limits(unit.memory, unit.cpu, unit.cpu_weight)


def machine(unit: Unit, choice: Choice, config: Config, name: str) -> MachineSpec:
    """What each of a unit's guests runs in."""
    return MachineSpec(
        name,
        choice.arch,
        choice.accelerator,
        unit.memory,
        choice.path,
        config.board.vm_user,
        limits=held(unit),
    )


class Instance:
    """One of a unit's guests, and its lane."""

    def __init__(
        self, unit: Unit, lane: Lane, choice: Choice, shared: Shared, rest: State | None = None
    ) -> None:
        self.lane = lane
        limits = unit_limits(unit, lane.checkpoint.config["windows"])
        self.owner = GuestOwner(
            unit, lane, choice.path, lambda left: shared.crashes.keep(draft(left, unit, lane, choice, limits))
        )
        self.limits = limits
        self.holds = held(unit)
        spec = machine(unit, choice, shared.config, str(lane.ident))
        policy = RestartPolicy(starts=unit.starts)
        plan = Plan(spec, choice.image.log_ring, choice.why, limits, policy)
        self.supervisor = Supervisor(shared.vmm, plan, self.owner, rest=rest)
        lane.guest = self.supervisor

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.lane.run())
            tasks.create_task(self.supervisor.run())
