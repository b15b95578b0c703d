"""What the fleet's commands do to units: the same as the control socket's verbs, followed to their end."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from edgeagent.errors import EnvironmentFaultError, GuestError
from edgeagent.fleet.payloads import Command, Kind, ReportedUnit
from edgeagent.guest.owner import State

from .fleet import UnsupportedError, Writer
from .stops import Stops
from .units import UnitRuntime

LOOK_S = 0.2


class FleetUnits:
    """Implements fleet.Doer."""

    def __init__(self, units: Sequence[UnitRuntime], stops: Stops, writer: Writer) -> None:
        self._units = {unit.unit.name: unit for unit in units}
        self._stops = stops
        self._writer = writer

    def reported(self) -> tuple[ReportedUnit, ...]:
        """All units; the guest that needs a look most speaks for its unit."""
        return tuple(_reported(unit) for unit in self._units.values())

    async def do(self, command: Command) -> str:
        """See Doer. Success is what runs, or rests, not what was asked for."""
        if command.kind == Kind.REFRESH:
            return "reported"
        unit = self._units[command.unit]
        match command.kind:
            case Kind.STOP:
                await self._keep(command.unit, stopped=True)
                await unit.rest.stop()
                return "stopped"
            case Kind.START:
                await self._keep(command.unit, stopped=False)
                await unit.rest.start()
            case Kind.RESTART:
                await self._keep(command.unit, stopped=False)
                await unit.rest.restart()
            case _:
                raise UnsupportedError(f"this agent can't {command.kind} units")
        return await _running(unit)

    async def _keep(self, name: str, *, stopped: bool) -> None:
        if self._units[name].settling:
            raise EnvironmentFaultError(
                "it still finishes what was begun with its former configuration", where=f"unit {name}"
            )
        await self._writer(lambda: self._stops.keep(name, stopped=stopped))


async def _running(unit: UnitRuntime) -> str:
    """Until all guests run; the caller's deadline bounds it. GuestError when one stays down."""
    while True:
        states = {one.supervisor.status.state for one in unit.instances}
        if states == {State.RUNNING}:
            return "running"
        if State.FAILED in states:
            failed = next(one for one in unit.instances if one.supervisor.status.state is State.FAILED)
            raise GuestError(str(failed.supervisor.status.crash or "it stays down"))
        await asyncio.sleep(LOOK_S)


def _reported(unit: UnitRuntime) -> ReportedUnit:
    states = [one.supervisor.status for one in unit.instances]
    guest = next((one for one in states if one.state is not State.RUNNING), states[0])
    reason = str(guest.crash) if guest.crash and guest.state is not State.RUNNING else ""
    image = unit.choice.image
    return ReportedUnit(
        name=unit.unit.name,
        version=str(image.declaration.version),
        digest=bytes.fromhex(image.digest),
        state=guest.state.value,
        reason=_line(reason),
        accelerator=str(guest.accelerator),
        restarts=sum(one.restarts for one in states),
    )


def _line(text: str) -> str:
    return "".join(one if one.isprintable() else " " for one in text)[:256]
