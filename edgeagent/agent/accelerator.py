"""Which accelerator guests get, and why."""

from __future__ import annotations

from dataclasses import dataclass

from edgeagent.config.schema import Board, FromProfile, Unit
from edgeagent.errors import EnvironmentFaultError
from edgeagent.host.files import Files
from edgeagent.probe.choice import Choice
from edgeagent.probe.live import host_arch, probe
from edgeagent.vmm.port import Accelerator, Vmm

CALIBRATION = "echo.elf"
_MEANS = {"kvm": "", "tcg": "; guests are emulated (tcg), held by the jail and not by hardware"}


@dataclass(slots=True)
class Accelerators:
    """Asks the probe at most once, and only if a unit leaves it the choice."""

    board: Board
    vmm: Vmm
    files: Files
    from_profile: FromProfile
    _probed: Choice | None = None

    async def choose(self, unit: Unit) -> tuple[Accelerator, str]:
        """For a unit's setting. EnvironmentFaultError when nothing can run a guest here."""
        if unit.accelerator != "auto":
            given = self.from_profile.gave("unit", unit.name, "accelerator")
            who = f"the board profile {self.from_profile.profile}" if given else "the configuration"
            return Accelerator(unit.accelerator), f"{who} says so{_MEANS[unit.accelerator]}"
        if self._probed is None:
            image = self.board.images / host_arch() / CALIBRATION
            report = await probe(
                self.vmm,
                self.files,
                state=self.board.state,
                image=image if image.is_file() else None,
                user=self.board.vm_user,
            )
            self._probed = report.choice
        if self._probed.chosen is None:
            raise EnvironmentFaultError(self._probed.why, remedy="See `edgeagent probe`")
        return self._probed.chosen, self._probed.why
