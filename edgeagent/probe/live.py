"""Shell: gathers the evidence on this board, remembers what was expensive to measure, and has it judged."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import platform
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgeagent.errors import ConfigError, EnvironmentFaultError, ImageError
from edgeagent.host.files import Files
from edgeagent.vmm.port import Accelerator, MachineSpec, Vmm, VmmInfo

from . import kmsg, kvm
from .calibrate import measure
from .choice import choose, runs_under_kvm
from .documents import Documents
from .evidence import Evidence, Speed
from .gather import ANSWERS, gather
from .report import Report
from .said import load, memory_of
from .system import LOG, UNAME, image_arch, read
from .verdict import judge

MEMORY = 8 << 20
"""Bytes of RAM of a calibration guest."""
MAX_IMAGE = 16 << 20
MAX_CACHE = 4096
CACHE = "probe.json"


def host_arch() -> str:
    """The architecture of images for this machine; the machine's own name where there are none (mips, big endian)."""
    machine = platform.machine()
    return image_arch(machine, little=sys.byteorder == "little") or machine


def look(root: Path) -> Report:
    """Answer for a capture of a board below a folder, as `probe` would there. ConfigError when it holds none."""
    if not root.is_dir():
        raise ConfigError("is no folder", where=str(root), remedy="Give the folder of a capture")
    documents = gather(root)
    if not documents.files and not documents.refused:
        raise ConfigError(
            "holds nothing of a board",
            where=str(root),
            remedy="A capture has proc/cpuinfo, uname.txt, dmesg.txt …: edgeagent probe --capture DIR",
        )
    return _report(load(documents, read(documents)), cached=False)


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
        failure = failure or "there is no image to calibrate with (--image; edgeagent image build makes one)"
    elif info:
        try:
            key = [_boot_id(), platform.release(), info.version, _digest(image), user, os.geteuid()]
        except OSError as error:
            raise ImageError(f"image can't be read: {error.strerror}", where=str(image)) from error
        speeds = {} if fresh or state is None else _recall(files, state / CACHE, key)
        runs = node.create_vcpu == "ok" and runs_under_kvm(arch)
        wanted = [Accelerator.TCG, *([Accelerator.KVM] if runs else [])]
        cached = set(wanted) <= set(speeds)
        # One after the other: together they would measure each other.
        for accelerator in wanted:
            if accelerator not in speeds:
                speeds[accelerator] = await measure(
                    vmm, MachineSpec("probe", arch, accelerator, MEMORY, image, user)
                )
        if state is not None and not cached:
            _remember(files, state / CACHE, key, speeds)
    documents = _documents()
    evidence = Evidence(
        read(documents),
        node,
        vmm=info,
        vmm_failure=failure,
        kvm=speeds.get(Accelerator.KVM),
        tcg=speeds.get(Accelerator.TCG),
        memory=memory_of(documents),
        cpus=len(os.sched_getaffinity(0)),
    )
    return _report(evidence, cached=cached)


def _report(evidence: Evidence, *, cached: bool) -> Report:
    verdict = judge(evidence)
    return Report(evidence, verdict, choose(evidence, verdict), cached)


def _documents() -> Documents:
    """Of this machine: files as they are, and what only calls tell."""
    found = gather(Path("/"))
    # A file of that name in the root folder says nothing about this machine.
    files = {path: raw for path, raw in found.files.items() if path not in (LOG, UNAME, *ANSWERS)}
    refused = dict(found.refused)
    name = os.uname()
    files[UNAME] = f"Linux (none) {name.release} {name.version} {name.machine}\n{name.machine}\n".encode()
    try:
        files[LOG] = kmsg.read()
    except OSError as error:
        refused[LOG] = errno.errorcode.get(error.errno or 0, "EIO")
    return Documents(files, refused)


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
