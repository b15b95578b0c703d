"""Core: what a machine has beside its processor: control groups, clocks, TPM."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


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


@dataclass(frozen=True, slots=True)
class CgroupMounts:
    """version: as in Cgroup. unified: where version 2 is mounted, "" for nowhere."""

    version: int | str
    unified: str


def cgroup_mounts(mounts: str) -> CgroupMounts | None:
    """From /proc/mounts; None where no control groups are mounted."""
    rows = [words for line in mounts.splitlines() if len(words := line.split()) > 2]
    unified = next((words[1] for words in rows if words[2] == "cgroup2"), "")
    old = any(words[2] == "cgroup" for words in rows)
    if not unified and not old:
        return None
    return CgroupMounts("hybrid" if unified and old else 2 if unified else 1, unified)


def own_group(cgroup: str) -> str:
    """The version 2 group of a process, from /proc/PID/cgroup; "/" where it doesn't say."""
    return next((line[3:] for line in cgroup.splitlines() if line.startswith("0::/")), "/")


def old_controllers(cgroups: str) -> tuple[str, ...]:
    """Controllers that version 1 has, from /proc/cgroups: name, hierarchy (0: not in version 1), groups, enabled."""
    rows = [line.split() for line in cgroups.splitlines() if not line.startswith("#")]
    return tuple(
        name for name, hierarchy, _, enabled in (row for row in rows if len(row) == 4)
        if hierarchy != "0" and enabled == "1"
    )  # fmt: skip


def model_name(cpuinfo: str) -> str:
    """The first processor's, from /proc/cpuinfo; "" on architectures that have no such line."""
    for line in cpuinfo.splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            return " ".join(value.split())
    return ""
