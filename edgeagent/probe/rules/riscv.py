"""Core: RISC-V. H must be on every hart.

Sources: arch/riscv/kernel/cpu.c (isa: what all harts have; hart isa: one hart's, since Linux 6.5),
arch/riscv/kvm/main.c (messages), Documentation/devicetree/bindings/riscv/extensions.yaml.
"""

from __future__ import annotations

from ..answer import Verdict, verdict
from ..cpuinfo import PATH, Field, Presence, presence
from ..documents import Line
from ..isa import has_hypervisor, is_whole, single_letters
from ..system import DEVICE_TREE, System
from .common import EMULATED, Rules, config_off, forbidden, not_loaded

_NOT_AVAILABLE = r"\bkvm \[\d+\]: hypervisor extension not available"
_AVAILABLE = r"\bkvm \[\d+\]: hypervisor extension available"
_SBI = (r"\bkvm \[\d+\]: require SBI v0\.2 or higher", r"\bkvm \[\d+\]: require SBI RFENCE extension")
LIST, STRING = "riscv,isa-extensions", "riscv,isa"


def _fields(system: System) -> tuple[Field, ...]:
    """ISA strings of cpuinfo, without those that aren't, or that break off where H may have followed."""
    return tuple(
        one
        for one in system.cpuinfo.get("isa", "hart isa")
        if single_letters(one.value) is not None
        and (one.line.complete or has_hypervisor(one.value) or is_whole(one.value))
    )


def _from_cpuinfo(system: System) -> Presence:
    fields = _fields(system)
    lacking = next((one for one in fields if not has_hypervisor(one.value)), None)
    if lacking:
        return Presence(known=True, everywhere=False, field=lacking)
    return presence(fields, lambda one: has_hypervisor(one.value))


def _from_tree(system: System) -> tuple[bool, str] | None:
    """Whether all harts of the device tree have it, and the property that says so; None: no property does."""
    shown = ""
    for path in system.documents.below(f"{DEVICE_TREE}/cpus"):
        node, _, name = path.rpartition("/")
        if name not in (LIST, STRING) or "disabled" in system.documents.strings(f"{node}/status"):
            continue
        if name == STRING and f"{node}/{LIST}" in system.documents:
            continue
        values = system.documents.strings(path)
        if name == LIST:
            has = "h" in {one.lower() for one in values}
        elif values and single_letters(values[0]) is not None:
            has = has_hypervisor(values[0])
        else:
            continue
        shown = f"{path}: {' '.join(values)}"
        if not has:
            return False, shown
    return (True, shown) if shown else None


def _no_h(system: System) -> Verdict | None:
    if line := system.log(_NOT_AVAILABLE):
        found = _from_cpuinfo(system)
        return verdict("no-h-extension", found.field.line if found.field else None, line, remedy=EMULATED)
    found = _from_cpuinfo(system)
    if found.known:
        if not found.everywhere and found.field:
            return verdict(
                "no-h-extension", found.field.line, "no h before the first underscore", remedy=EMULATED
            )
        return None
    tree = _from_tree(system)
    return verdict("no-h-extension", tree[1], remedy=EMULATED) if tree and not tree[0] else None


def _old_sbi(system: System) -> Verdict | None:
    line = system.any_log(*_SBI)
    return (
        verdict("sbi-too-old", line, remedy="Update the board's firmware (OpenSBI 0.6 or later)")
        if line
        else None
    )


def _signs(system: System) -> tuple[Line | str, ...]:
    found, tree = _from_cpuinfo(system), _from_tree(system)
    lines: list[Line | str] = []
    if found.everywhere and found.field:
        lines.append(found.field.line)
    elif not found.known and tree and tree[0]:
        lines.append(tree[1])
    if line := system.log(_AVAILABLE):
        lines.append(line)
    return tuple(lines)


def _module(system: System, *, listed: bool = True) -> Verdict | None:
    return not_loaded(system, "kvm", "CONFIG_KVM", next(iter(_signs(system)), None), listed=listed)


def _no_line(system: System) -> Verdict | None:
    if _signs(system):
        return None
    return verdict(
        "cpuinfo-incomplete", f"{PATH}: no whole ISA string", f"{DEVICE_TREE}/cpus: none there either"
    )


RULES = Rules(
    causes=(_no_h, _old_sbi, config_off, lambda system: forbidden(system, "kvm"), _module),
    signs=_signs,
    doubts=(_no_line,),
    absent=lambda system: _module(system, listed=False),
)
