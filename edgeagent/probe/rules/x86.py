"""Core: x86. VT-x (Intel, Zhaoxin, VIA) is the flag vmx, AMD-V (AMD, Hygon) is svm.

Sources: arch/x86/kernel/cpu/feat_ctl.c and amd.c (flags that firmware disabled are cleared: vmx since Linux 5.6,
svm since 6.7), arch/x86/kvm/vmx/vmx.c and svm/svm.c (messages; before 6.0 without the module's name).
"""

from __future__ import annotations

from dataclasses import dataclass

from ..answer import Verdict, verdict
from ..cpuinfo import PATH, Presence, presence
from ..documents import Line
from ..kernel import parameters
from ..system import System
from .common import NEW_COMMAND_LINE, Rules, config_off, forbidden, not_loaded


@dataclass(frozen=True, slots=True)
class _Extension:
    flag: str
    name: str
    module: str
    option: str
    setting: str


_VMX = _Extension(
    "vmx", "VT-x", "kvm_intel", "CONFIG_KVM_INTEL", '"Intel Virtualization Technology" (VT-x, VMX)'
)
_SVM = _Extension("svm", "AMD-V", "kvm_amd", "CONFIG_KVM_AMD", '"SVM Mode" (AMD-V)')
_VENDORS = {"authenticamd": _SVM, "hygongenuine": _SVM}

_BY_FIRMWARE = (
    r"VMX \(\w+ TXT\) disabled by BIOS",
    r"VMX not enabled \(by BIOS\)",
    r"SVM disabled \(by BIOS\)",
    r"\bkvm(?:_intel|_amd)?: disabled by bios",
)
_GUEST = (
    r"Hypervisor detected: (?!none)",
    r"Booting paravirtualized kernel on (?!bare hardware)",
    r"Memory Encryption Features active:.*\bSEV",
    r"tdx: Guest detected",
)
_SEV = r"KVM is unsupported when running as an SEV guest"
FIRST_FAMILY = 6
"""VT-x began with Pentium 4 and Core: a bit of an older family (IDT's WinChip sets it) means something else."""

_HOST = (
    "On the host of this virtual machine: switch nested virtualisation on (kvm_intel or kvm_amd: nested=1) and give "
    "the machine the host's CPU (QEMU: -cpu host); under Xen: boot without it"
)


def extension(system: System) -> _Extension:
    """The one that this CPU would have; of an unknown vendor's the one whose flag is there."""
    vendor = system.cpuinfo.value("vendor_id").lower()
    if not vendor and any("svm" in one.words for one in system.cpuinfo.get("flags")):
        return _SVM
    return _VENDORS.get(vendor, _VMX)


def flagged(system: System) -> Presence:
    """Whether every CPU has the flag."""
    flag = extension(system).flag
    return presence(system.cpuinfo.get("flags"), lambda one: flag in one.words)


def _impostor(system: System) -> Verdict | None:
    family = next(iter(system.cpuinfo.get("cpu family")), None)
    if family and family.value.isdigit() and int(family.value) < FIRST_FAMILY:
        wanted = extension(system)
        words = f"CPUs of this family have no {wanted.name}, whatever their flags say"
        return verdict(f"no-{wanted.flag}", family.line, words)
    return None


def _sealed_guest(system: System) -> Verdict | None:
    if line := system.log(_SEV):
        return verdict(
            "guest-without-nested", line, remedy="Encrypted guests can't run guests: use a plain one"
        )
    return None


def _by_firmware(system: System) -> Verdict | None:
    if line := system.any_log(*_BY_FIRMWARE):
        setting = extension(system).setting
        return verdict(
            "disabled-by-firmware",
            line,
            remedy=f"In the firmware's setup, enable {setting}; then power off and on",
        )
    return None


def _cleared(system: System) -> Verdict | None:
    flag = extension(system).flag
    for name, value, line in parameters(system):
        if name == "clearcpuid" and flag in value.split(","):
            return verdict("disabled-on-command-line", line, remedy=NEW_COMMAND_LINE)
    return None


def _no_flag(system: System) -> Verdict | None:
    found, wanted = flagged(system), extension(system)
    if not found.known or found.everywhere or found.field is None:
        return None
    missing = found.field.line.around(wanted.flag)
    guest = system.any_log(*_GUEST)
    if "hypervisor" in found.field.words:
        return verdict(
            "guest-without-nested", missing, found.field.line.around("hypervisor"), guest, remedy=_HOST
        )
    if guest:
        return verdict("guest-without-nested", missing, guest, remedy=_HOST)
    remedy = (
        f"If the CPU has {wanted.name} (see its data sheet): in the firmware's setup, enable {wanted.setting}; "
        "then power off and on"
    )
    return verdict(f"no-{wanted.flag}", missing, remedy=remedy)


def _config(system: System) -> Verdict | None:
    return config_off(system, extension(system).option)


def _forbidden(system: System) -> Verdict | None:
    return forbidden(system, "kvm", extension(system).module)


def _module(system: System, *, listed: bool = True) -> Verdict | None:
    wanted = extension(system)
    return not_loaded(system, wanted.module, wanted.option, next(iter(signs(system)), None), listed=listed)


def _no_flags(system: System) -> Verdict | None:
    if flagged(system).known:
        return None
    return verdict("cpuinfo-incomplete", f"{PATH}: no whole line of flags")


def signs(system: System) -> tuple[Line | str, ...]:
    """The flag."""
    found = flagged(system)
    if found.everywhere and found.field:
        return (found.field.line.around(extension(system).flag),)
    return ()


RULES = Rules(
    causes=(_impostor, _sealed_guest, _by_firmware, _cleared, _no_flag, _config, _forbidden, _module),
    signs=signs,
    doubts=(_no_flags,),
    absent=lambda system: _module(system, listed=False),
)
