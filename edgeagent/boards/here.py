"""Shell: what this machine says of itself, and what only the machine itself tells."""

from __future__ import annotations

import contextlib
import platform
import sys
from dataclasses import replace
from pathlib import Path

from edgeagent.host.clock import SystemClock
from edgeagent.probe.documents import Documents
from edgeagent.probe.system import image_arch

from . import facts
from .facts import Facts, Rtc
from .match import Identity
from .profile import DMI

MAX_FILE = 1 << 20
"""Bytes of a file that are looked at."""


def this_machine() -> Identity:
    """What this machine says of itself. For those who don't probe it: a probe has read these files already."""
    machine, little = platform.machine(), sys.byteorder == "little"
    files = [facts.COMPATIBLE, facts.CPUINFO, *(f"{facts.DMI_FOLDER}/{name}" for name in DMI)]
    documents = _read(*files)
    if Path("/", facts.EFI).is_dir():
        documents = Documents({**documents.files, f"{facts.EFI}/.present": b""})
    return facts.identify(documents, image_arch(machine, little=little) or machine, little=little)


def completed(found: Facts, documents: Documents, *, delegated: bool) -> Facts:
    """Facts of this machine from its files, with what calls and this process's own group tell."""
    cgroup = found.cgroup
    if cgroup:
        group = facts.unified(documents) + facts.own_group(_read(facts.OWN_GROUP))
        path = f"{group}/cgroup.controllers".lstrip("/")
        controllers = {*cgroup.controllers, *_read(path).text(path).split()}
        cgroup = replace(cgroup, controllers=tuple(sorted(controllers)), delegated=delegated)
    return replace(
        found,
        cgroup=cgroup,
        rtc=found.rtc or Rtc(present=False),
        clock_synchronised=SystemClock().synchronised(),
    )


def _read(*paths: str) -> Documents:
    """Files of this machine, those that can be read."""
    files = {}
    for path in paths:
        with contextlib.suppress(OSError), Path("/", path).open("rb") as file:
            files[path] = file.read(MAX_FILE)
    return Documents(files)
