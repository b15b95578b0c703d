"""Which accelerator a unit's guest gets, and why."""

from __future__ import annotations

from edgeagent.config.schema import Board
from edgeagent.host.files import Files
from edgeagent.vmm.port import Accelerator
from edgeagent.vmm.qemu import Qemu


async def choose(wanted: str, arch: str, board: Board, vmm: Qemu, files: Files) -> tuple[Accelerator, str]:
    """Auto asks the probe; kvm and tcg are as configured."""
    if wanted != "auto":
        return Accelerator(wanted), "chosen in the configuration"
    return Accelerator.TCG, "TODO probe"
