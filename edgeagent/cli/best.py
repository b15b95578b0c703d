"""Which accelerator is best for images of this machine's architecture, as the probe says; imported when asked."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from edgeagent.errors import EnvironmentFaultError
from edgeagent.host.disk import DiskFiles
from edgeagent.probe.live import probe
from edgeagent.vmm.machines import MACHINES
from edgeagent.vmm.port import Accelerator
from edgeagent.vmm.qemu import Qemu

from .probe import APP, IMAGES, STATE


def accelerator(arch: str, user: str) -> tuple[Accelerator, str]:
    """It, and why. EnvironmentFaultError when nothing here runs guests."""
    calibration = next((path for folder in IMAGES if (path := folder / arch / APP).is_file()), None)
    report = asyncio.run(probe(Qemu(MACHINES), DiskFiles(), state=_state(), image=calibration, user=user))
    if report.choice.chosen is None:
        raise EnvironmentFaultError(report.choice.why, remedy="See `edgeagent probe`")
    return report.choice.chosen, report.choice.why


def _state() -> Path | None:
    """Where what the probe measured is remembered: the agent's folder, or the user's cache."""
    if STATE.is_dir() and os.access(STATE, os.W_OK):
        return STATE
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgeagent"
    except RuntimeError:
        return None
