"""Shell: gathers the evidence on this board, remembers what was expensive to measure, and has it judged."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgeagent.errors import EnvironmentFaultError, ImageError
from edgeagent.host.files import Files
from edgeagent.vmm.port import Accelerator, MachineSpec, Vmm, VmmInfo

from . import kvm
from .calibrate import measure
from .evidence import Evidence, Speed
from .report import Report
from .verdict import choose, judge

MEMORY = 8 << 20
"""Bytes of RAM of a calibration guest."""
MAX_IMAGE = 16 << 20
MAX_CACHE = 4096
MAX_PROC = 1 << 20
CACHE = "probe.json"

ARCHITECTURES: Mapping[str, str] = {"arm64": "aarch64", "amd64": "x86_64", "mips64": "mips64el"}
"""Names that kernels use, where guests' are others."""


def host_arch() -> str:
    """The architecture of this machine, by the name that images have."""
    machine = platform.machine()
    return ARCHITECTURES.get(machine, machine)


async def probe(
    vmm: Vmm, files: Files, *, state: Path | None, image: Path | None, user: str, fresh: bool = False
) -> Report:
    """Answer for this board. state: folder of the cache, None for none; image: the echo image of host_arch().

    Takes at most two calibrations of calibrate.BOUND_S. Nothing it finds is an error: it is part of the answer.
    """
    node = kvm.ask()
    arch = host_arch()
    info, failure = await _describe(vmm, arch)
    speeds: dict[Accelerator, Speed] = {}
    cached = False
    if image is None:
        failure = failure or "there is no image to calibrate with"
    elif info:
        try:
            key = [_boot_id(), platform.release(), info.version, _digest(image), user, os.geteuid()]
        except OSError as error:
            raise ImageError(f"image can't be read: {error.strerror}", where=str(image)) from error
        speeds = {} if fresh or state is None else _recall(files, state / CACHE, key)
        wanted = [Accelerator.TCG, *([Accelerator.KVM] if node.create_vcpu == "ok" else [])]
        cached = set(wanted) <= set(speeds)
        # One after the other: together they would measure each other.
        for accelerator in wanted:
            if accelerator not in speeds:
                speeds[accelerator] = await measure(
                    vmm, MachineSpec("probe", arch, accelerator, MEMORY, image, user)
                )
        if state is not None and not cached:
            _remember(files, state / CACHE, key, speeds)
    evidence = Evidence(
        arch=arch,
        node=node,
        modules=_modules(),
        cpu_flags=_cpu_flags(),
        vmm=info,
        vmm_failure=failure,
        kvm=speeds.get(Accelerator.KVM),
        tcg=speeds.get(Accelerator.TCG),
        memory=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        cpus=len(os.sched_getaffinity(0)),
    )
    verdict = judge(evidence)
    return Report(evidence, verdict, choose(evidence, verdict), cached)


async def _describe(vmm: Vmm, arch: str) -> tuple[VmmInfo | None, str]:
    try:
        return await vmm.describe(arch), ""
    except (EnvironmentFaultError, ImageError) as error:
        return None, str(error)


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()


def _digest(image: Path) -> str:
    with image.open("rb") as file:
        return hashlib.sha256(file.read(MAX_IMAGE)).hexdigest()


def _modules() -> tuple[str, ...]:
    return tuple(sorted(path.name for path in Path("/sys/module").glob("kvm*")))


def _cpu_flags() -> frozenset[str]:
    with Path("/proc/cpuinfo").open(encoding="utf-8", errors="replace") as file:
        lines = file.read(MAX_PROC).splitlines()
    return frozenset(word for line in lines if line.startswith("flags") for word in line.split())


# ---- the cache: measurements of this boot, kernel, QEMU, image and user -----------------------------------------


def _recall(files: Files, path: Path, key: list[Any]) -> dict[Accelerator, Speed]:
    try:
        stored = json.loads(files.read(path, MAX_CACHE))
    except (OSError, ValueError):
        return {}
    match stored:
        case {"key": found, "ns": dict(ns)} if found == key:
            known = {str(accelerator): accelerator for accelerator in Accelerator}
            return {known[name]: Speed(float(value)) for name, value in ns.items() if name in known}
    return {}


def _remember(files: Files, path: Path, key: list[Any], speeds: Mapping[Accelerator, Speed]) -> None:
    """A failure isn't remembered: what it was may have been mended since."""
    ns = {str(accelerator): speed.ns for accelerator, speed in speeds.items() if speed.ns is not None}
    files.make_folder(path.parent)
    files.replace(path, json.dumps({"key": key, "ns": ns}).encode())
