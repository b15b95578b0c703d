"""Core: MIPS. The module VZ is named among the ASEs of each CPU (arch/mips/kernel/proc.c).

KVM without it, by trap and emulate, was removed in Linux 5.13.
"""

from __future__ import annotations

from ..answer import Verdict, verdict
from ..cpuinfo import PATH, Presence, presence
from ..documents import Line
from ..system import System
from .common import EMULATED, Rules, config_off, forbidden, not_loaded


def _has_vz(system: System) -> Presence:
    return presence(system.cpuinfo.get("ases implemented"), lambda one: "vz" in one.words)


def _no_vz(system: System) -> Verdict | None:
    found = _has_vz(system)
    if found.known and not found.everywhere and found.field:
        return verdict("no-vz", found.field.line.around("vz"), remedy=EMULATED)
    return None


def _signs(system: System) -> tuple[Line | str, ...]:
    found = _has_vz(system)
    return (found.field.line.around("vz"),) if found.everywhere and found.field else ()


def _module(system: System, *, listed: bool = True) -> Verdict | None:
    return not_loaded(system, "kvm", "CONFIG_KVM", next(iter(_signs(system)), None), listed=listed)


def _no_line(system: System) -> Verdict | None:
    return None if _has_vz(system).known else verdict("cpuinfo-incomplete", f"{PATH}: no whole line of ASEs")


RULES = Rules(
    causes=(_no_vz, config_off, lambda system: forbidden(system, "kvm"), _module),
    signs=_signs,
    doubts=(_no_line,),
    absent=lambda system: _module(system, listed=False),
)
