"""Core: what a machine has beside its processor: control groups, clocks, TPM."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from edgeagent.probe.documents import Documents

from .match import Identity
from .profile import DMI

COMPATIBLE = "proc/device-tree/compatible"
CPUINFO = "proc/cpuinfo"
DMI_FOLDER = "sys/class/dmi/id"
EFI = "sys/firmware/efi"
MOUNTS, CGROUPS, OWN_GROUP = "proc/mounts", "proc/cgroups", "proc/self/cgroup"
RTC = "sys/class/rtc"
TPM = "sys/class/tpm/tpm0/tpm_version_major"
_TPMS = {"1": "1.2", "2": "2.0"}


@dataclass(frozen=True, slots=True)
class Cgroup:
    """version: 2, 1, or hybrid (both are mounted). delegated: whether the agent may hold guests by groups here."""

    version: int | str
    controllers: tuple[str, ...]
    """That this process's group may use (version 2), or that are mounted (version 1)."""
    delegated: bool | None


@dataclass(frozen=True, slots=True)
class Rtc:
    """A clock that runs while the board is off. hctosys: the kernel set its time from it at the start."""

    present: bool
    name: str = ""
    hctosys: bool = False


@dataclass(frozen=True, slots=True)
class Facts:
    """None: not known. tpm: "2.0" or "1.2"; None where there is none, too."""

    cgroup: Cgroup | None = None
    rtc: Rtc | None = None
    tpm: str | None = None
    clock_synchronised: bool | None = None

    def as_json(self) -> dict[str, Any]:
        """Keys as in `edgeagent probe --json`."""
        return {
            "cgroup": {
                "version": self.cgroup.version,
                "controllers": list(self.cgroup.controllers),
                "delegated": self.cgroup.delegated,
            }
            if self.cgroup
            else None,
            "rtc": {"present": self.rtc.present, "name": self.rtc.name or None, "hctosys": self.rtc.hctosys}
            if self.rtc
            else None,
            "tpm": self.tpm,
            "clock_synchronised": self.clock_synchronised,
        }


def identify(documents: Documents, arch: str, *, little: bool | None) -> Identity:
    """What a machine says of itself. arch: of its kernel, by the name that images have; little: None for not known."""
    fields = {name: documents.text(f"{DMI_FOLDER}/{name}") for name in DMI}
    return Identity(
        arch=arch,
        endianness={None: "", True: "little", False: "big"}[little],
        compatible=documents.strings(COMPATIBLE),
        dmi={name: text for name, text in fields.items() if text},
        cpu=model_name(documents),
        uefi=bool(documents.below(EFI)),
    )


def model_name(documents: Documents) -> str:
    """The first processor's; "" on architectures whose cpuinfo has no such line."""
    line = documents.find(CPUINFO, re.compile(r"^model name\s*:"))
    return " ".join(line.text.partition(":")[2].split()) if line else ""


def facts(documents: Documents) -> Facts:
    """What files tell; the rest only the machine itself (here.py)."""
    return Facts(cgroup=_cgroup(documents), rtc=_rtc(documents), tpm=_TPMS.get(documents.text(TPM)))


def unified(documents: Documents) -> str:
    """Where cgroup version 2 is mounted; "" for nowhere."""
    return next((point for point, kind in _mounts(documents) if kind == "cgroup2"), "")


def own_group(documents: Documents) -> str:
    """The version 2 group of the process whose /proc/self/cgroup it is; "/" where it doesn't say."""
    line = documents.find(OWN_GROUP, re.compile(r"^0::/"))
    return line.text[3:] if line else "/"


def _mounts(documents: Documents) -> list[tuple[str, str]]:
    rows = [line.text.split() for line in documents.lines(MOUNTS)]
    return [(row[1], row[2]) for row in rows if len(row) > 2]


def _cgroup(documents: Documents) -> Cgroup | None:
    kinds = {kind for _, kind in _mounts(documents)}
    if not kinds & {"cgroup", "cgroup2"}:
        return None
    if "cgroup" not in kinds:
        return Cgroup(2, (), None)
    # Name, hierarchy (0: not in version 1), groups, enabled.
    rows = [line.text.split() for line in documents.lines(CGROUPS) if not line.text.startswith("#")]
    mounted = [row[0] for row in rows if len(row) == 4 and row[1] != "0" and row[3] == "1"]
    return Cgroup("hybrid" if "cgroup2" in kinds else 1, tuple(sorted(mounted)), None)


def _rtc(documents: Documents) -> Rtc | None:
    """The clock that set the time, else the first."""
    names = sorted({path.split("/")[3] for path in documents.below(RTC)})
    found = [
        Rtc(
            present=True,
            name=documents.text(f"{RTC}/{one}/name"),
            hctosys=documents.text(f"{RTC}/{one}/hctosys") == "1",
        )
        for one in names
        if one.startswith("rtc")
    ]
    if not found:
        return Rtc(present=False) if names else None
    return next((one for one in found if one.hctosys), found[0])
