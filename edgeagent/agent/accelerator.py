"""Which accelerator guests get, and why."""

from __future__ import annotations

from dataclasses import dataclass

from edgeagent.config.schema import Board
from edgeagent.errors import EnvironmentFaultError
from edgeagent.host.files import Files
from edgeagent.probe.live import host_arch, probe
from edgeagent.probe.choice import Choice
from edgeagent.vmm.port import Accelerator
from edgeagent.vmm.qemu import Qemu

CALIBRATION = "echo.elf"


@dataclass(slots=True)
class Accelerators:
    """Asks the probe at most once, and only if a unit leaves it the choice."""

    board: Board
    vmm: Qemu
    files: Files
    _probed: Choice | None = None

    async def choose(self, wanted: str) -> tuple[Accelerator, str]:
        """For a unit's setting. EnvironmentFaultError when nothing can run a guest here."""
        if wanted != "auto":
            return Accelerator(wanted), "chosen in the configuration"
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
