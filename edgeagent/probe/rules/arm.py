"""Core: ARM. Nothing in cpuinfo tells of EL2; the kernel's log does.

Sources: arch/arm64/kernel/smp.c (hyp_mode_check), arch/arm64/kvm/arm.c (messages; KVM is built in, never a module),
arch/arm/kernel/setup.c; 32-bit hosts: removed by commit 541ad0150ca4 in Linux 5.7, from QEMU in 5.0.
"""

from __future__ import annotations

import re

from ..answer import Verdict, verdict
from ..cpuinfo import Field
from ..documents import Line
from ..interrupts import missing_vgic
from ..kernel import configured, parameter
from ..system import INTERRUPTS, LOG, System
from .common import EMULATED, NEW_COMMAND_LINE, Rules, config_off

_EL2 = r"CPU: All CPU\(s\) started (?:at EL2|in HYP mode)"
_STARTED = r"\bkvm \[\d+\]: (?:\S+ )*?(?:VHE|nVHE|hVHE|Hyp|HYP)\S* mode initialized successfully"
_LOW = (
    r"CPU: All CPU\(s\) started (?:at EL1|in SVC mode)",
    r"\bkvm \[\d+\]: HYP mode not available",
)
_INCONSISTENT = r"CPUs? ?(?:\(s\))? started in (?:wrong/)?inconsistent modes"
_BY_COMMAND = r"\bkvm \[\d+\]: KVM disabled from command line"
_FAILED = r"\bkvm \[\d+\]: (?:error initializing|.*failed|.*[Cc]annot|.*not supported|.*unsupported).*"

_FIRMWARE = (
    "The boot firmware (TF-A, U-Boot, UEFI) must hand over at EL2: update it; on a virtual machine ask its host for "
    "nested virtualisation (QEMU: -machine virt,virtualization=on)"
)
READ_LOG = "sudo edgeagent probe; or let users read the kernel's log: sysctl -w kernel.dmesg_restrict=0"

_VIRTUAL_TIMER = re.compile(r"\bGICv[23]\s+27\s.*\barch_timer\b")
"""Device trees give the timers everywhere the same private interrupts: 26 hypervisor's, 27 virtual, 30 physical."""

ARM = 0x41
HYP_CORES = {0xC07: "Cortex-A7", 0xC0D: "Cortex-A12", 0xC0E: "Cortex-A17", 0xC0F: "Cortex-A15"}
OLD_CORES = {0xC05: "Cortex-A5", 0xC08: "Cortex-A8", 0xC09: "Cortex-A9"}
FIRST_WITHOUT_ARM32 = (5, 7)


def _at_el1(system: System) -> Verdict | None:
    line = system.any_log(*_LOW)
    return verdict("started-at-el1", line, remedy=_FIRMWARE) if line else None


def _inconsistent(system: System) -> Verdict | None:
    line = system.log(_INCONSISTENT)
    return verdict("inconsistent-modes", line, remedy=_FIRMWARE) if line else None


def _config(system: System) -> Verdict | None:
    return config_off(system)


def _by_command(system: System) -> Verdict | None:
    if line := system.log(_BY_COMMAND):
        return verdict("disabled-on-command-line", line, remedy=NEW_COMMAND_LINE)
    found = parameter(system, "kvm_arm.mode")
    if found and found[0] == "none":
        return verdict("disabled-on-command-line", found[1], remedy=NEW_COMMAND_LINE)
    return None


def _gave_up(system: System) -> Verdict | None:
    if system.log(_STARTED):
        return None
    line = system.log(_FAILED)
    return (
        verdict(
            "driver-failed", line, remedy="See `dmesg | grep -i kvm`; a newer kernel or firmware may help"
        )
        if line
        else None
    )


def _without_gic(system: System) -> Verdict | None:
    up = system.any_log(_STARTED, _EL2)
    lines = missing_vgic(system)
    return verdict("gic-missing", *lines, up, remedy=EMULATED) if lines and up else None


def _log_silent(system: System) -> Verdict | None:
    """Without a node, and without the line that says how the CPUs started, nothing is known."""
    if system.registered() or system.any_log(_STARTED, _EL2):
        return None
    silent = system.documents.absence(LOG)
    if any(True for _ in system.documents.lines(LOG)):
        silent = f"{LOG}: the line that says at which level CPUs started isn't there (the log is cut off)"
        return verdict(
            "log-unreadable", silent, remedy="Reboot, and probe before the log's beginning is overwritten"
        )
    return verdict("log-unreadable", silent, _hint(system), remedy=READ_LOG)


def _hint(system: System) -> str | None:
    """The kernel's own timer is the virtual one where it lacks EL2 (arch_timer_select_ppi): likely, not certain."""
    line = system.documents.find(INTERRUPTS, _VIRTUAL_TIMER)
    return f"{line.file}:{line.number}: arch_timer is the virtual one (27): points at EL1" if line else None


def _signs(system: System) -> tuple[Line | str, ...]:
    return tuple(line for line in (system.log(_EL2), system.log(_STARTED)) if line)


RULES_64 = Rules(
    causes=(_at_el1, _inconsistent, _config, _by_command, _gave_up, _without_gic),
    signs=_signs,
    doubts=(_log_silent,),
)


# ---- 32-bit kernels ---------------------------------------------------------------------------------------------


def _number(one: Field) -> int:
    try:
        return int(one.value.split()[0], 0)
    except (ValueError, IndexError):
        return 0


def _old_core(system: System) -> Verdict | None:
    makers = {_number(one) for one in system.cpuinfo.get("cpu implementer")}
    for one in system.cpuinfo.get("cpu part"):
        part = _number(one)
        if makers == {ARM} and (part in OLD_CORES or part >> 8 in (0xB, 0x9)):
            return verdict("no-hyp", one.line, OLD_CORES.get(part, "an ARM9 or ARM11 core"))
    return None


def _removed(system: System) -> Verdict | None:
    version = system.version
    if version and version < FIRST_WITHOUT_ARM32:
        return None
    kernel = f"a 32-bit ARM kernel ({system.arch} {system.release or 'of unknown release'})"
    remedy = "On a 64-bit core: install a 64-bit system (arm64). On a 32-bit one guests run under emulation"
    core = next(iter(system.cpuinfo.get("model name", "processor", "cpu part")), None)
    return verdict("arm32-host-removed", kernel, core.line if core else None, remedy=remedy)


def _option(system: System) -> Verdict | None:
    found = configured(system, "CONFIG_ARM_VIRT_EXT")
    return config_off(system, *(("CONFIG_ARM_VIRT_EXT",) if found else ()))


RULES_32 = Rules(
    causes=(_old_core, _removed, _at_el1, _inconsistent, _option),
    signs=_signs,
    doubts=(_log_silent,),
)
