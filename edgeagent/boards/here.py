"""Shell: what a machine says of itself, from /proc and /sys of this one or of a capture's folder."""

from __future__ import annotations

import platform
import sys
from pathlib import Path

from edgeagent.host.clock import SystemClock
from edgeagent.probe.system import image_arch

from .facts import Cgroup, Facts, Rtc, cgroup_mounts, model_name, old_controllers, own_group
from .match import Identity
from .profile import DMI

MAX_FILE = 1 << 20
"""Bytes of a file that are looked at."""
MAX_CLOCKS = 16
ROOT = Path("/")

FILES = (
    "proc/device-tree/compatible",
    *(f"sys/class/dmi/id/{name}" for name in DMI),
    "proc/cpuinfo",
    "proc/mounts",
    "proc/cgroups",
    "sys/class/rtc/rtc*/name",
    "sys/class/rtc/rtc*/hctosys",
    "sys/class/tpm/tpm0/tpm_version_major",
)
"""What a capture must have, as patterns below the root, to be recognised as its board."""


def this_machine() -> Identity:
    """What this machine says of itself."""
    machine, little = platform.machine(), sys.byteorder == "little"
    return identify(image_arch(machine, little=little) or machine, little=little)


def identify(arch: str, root: Path = ROOT, *, little: bool | None = None) -> Identity:
    """arch: of its kernel, by the name that images have; little: its byte order, None where it isn't known."""
    return Identity(
        arch=arch,
        endianness={None: "", True: "little", False: "big"}[little],
        compatible=tuple(_read(root / "proc/device-tree/compatible").replace("\0", "\n").split()),
        dmi={name: text for name in DMI if (text := _read(root / "sys/class/dmi/id" / name).strip())},
        cpu=model_name(_read(root / "proc/cpuinfo")),
        uefi=(root / "sys/firmware/efi").is_dir(),
    )


def facts(root: Path = ROOT, *, delegated: bool | None = None) -> Facts:
    """What is there beside the processor. delegated: see Cgroup."""
    live = root == ROOT
    return Facts(
        cgroup=_cgroup(root, delegated=delegated),
        rtc=_rtc(root / "sys/class/rtc", live=live),
        tpm=_tpm(root / "sys/class/tpm/tpm0"),
        clock_synchronised=SystemClock().synchronised() if live else None,
    )


def _cgroup(root: Path, *, delegated: bool | None) -> Cgroup | None:
    mounts = cgroup_mounts(_read(root / "proc/mounts"))
    if mounts is None:
        return None
    controllers = set(old_controllers(_read(root / "proc/cgroups"))) if mounts.version != 2 else set()
    if root == ROOT and mounts.unified:
        own = Path(mounts.unified + own_group(_read(root / "proc/self/cgroup")))
        controllers |= set(_read(own / "cgroup.controllers").split())
    return Cgroup(mounts.version, tuple(sorted(controllers)), delegated)


def _rtc(folder: Path, *, live: bool) -> Rtc | None:
    """The clock that set the time, else the first."""
    found = [
        Rtc(present=True, name=_read(one / "name").strip(), hctosys=_read(one / "hctosys").strip() == "1")
        for one in sorted(folder.glob("rtc*"))[:MAX_CLOCKS]
    ]
    if not found:
        return Rtc(present=False) if live or folder.is_dir() else None
    return next((one for one in found if one.hctosys), found[0])


def _tpm(folder: Path) -> str | None:
    """Kernels before 5.6 don't say the version; a TPM 1.2 has a file that a 2.0 has not."""
    major = _read(folder / "tpm_version_major").strip()
    if not major and (folder / "device/caps").is_file():
        major = "1"
    return {"1": "1.2", "2": "2.0"}.get(major)


def _read(path: Path) -> str:
    """The file's text; "" when it can't be read."""
    if not path.is_file():
        return ""
    try:
        with path.open("rb") as file:
            return file.read(MAX_FILE).decode(errors="replace")
    except OSError:
        return ""
