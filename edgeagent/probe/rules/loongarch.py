"""Core: LoongArch. LVZ is named among the features of each CPU (arch/loongarch/kernel/proc.c).

KVM came with Linux 6.7 (arch/loongarch/kvm/main.c).
"""

from __future__ import annotations

from ..answer import Verdict, verdict
from ..cpuinfo import PATH, Presence, presence
from ..documents import Line
from ..system import System
from .common import EMULATED, NEW_KERNEL, Rules, config_off, forbidden, not_loaded

FIRST_WITH_KVM = (6, 7)
_NOT_AVAILABLE = r"Hardware virtualization not available"


def _has_lvz(system: System) -> Presence:
    return presence(system.cpuinfo.get("features"), lambda one: "lvz" in one.words)


def _no_lvz(system: System) -> Verdict | None:
    found = _has_lvz(system)
    if found.known and not found.everywhere and found.field:
        return verdict("no-lvz", found.field.line, remedy=EMULATED)
    line = system.log(_NOT_AVAILABLE)
    return verdict("no-lvz", line, remedy=EMULATED) if line else None


def _old_kernel(system: System) -> Verdict | None:
    version = system.version
    if version and version < FIRST_WITH_KVM:
        return verdict("kernel-too-old", f"Linux {system.release}; KVM came with 6.7", remedy=NEW_KERNEL)
    return None


def _signs(system: System) -> tuple[Line | str, ...]:
    found = _has_lvz(system)
    return (found.field.line,) if found.everywhere and found.field else ()


def _module(system: System, *, listed: bool = True) -> Verdict | None:
    return not_loaded(system, "kvm", "CONFIG_KVM", next(iter(_signs(system)), None), listed=listed)


def _no_line(system: System) -> Verdict | None:
    return (
        None
        if _has_lvz(system).known
        else verdict("cpuinfo-incomplete", f"{PATH}: no whole line of features")
    )


RULES = Rules(
    causes=(_no_lvz, _old_kernel, config_off, lambda system: forbidden(system, "kvm"), _module),
    signs=_signs,
    doubts=(_no_line,),
    absent=lambda system: _module(system, listed=False),
)
