"""Core: the form of an answer, and every reason that one can have."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass

from .documents import Line


class Answer(enum.StrEnum):
    """Whether guests can run under KVM here."""

    YES = "yes"
    SLOW = "slow"
    PARTIAL = "partial"
    NO = "no"
    UNKNOWN = "unknown"


REASONS: Mapping[str, tuple[Answer, str]] = {
    "works": (
        Answer.YES,
        "/dev/kvm opens and makes a VM; where a guest was timed, it is as fast as under emulation",
    ),
    "software-kvm": (Answer.SLOW, "a KVM without the CPU's help (kvm_pvm), slower than emulation"),
    "slower-than-tcg": (
        Answer.SLOW,
        "it works, but a timed guest is slower than under emulation: nested KVM",
    ),
    "capability-missing": (Answer.PARTIAL, "a VM is made, but a capability that QEMU needs is missing"),
    "gic-missing": (
        Answer.PARTIAL,
        "arm64: no interrupt controller that guests can use (GICv2 with 4 ranges, GICv3)",
    ),
    "create-vcpu-failed": (Answer.PARTIAL, "a VM is made, but it gets no processor"),
    "guest-failed": (
        Answer.PARTIAL,
        "a VM with a processor is made, but the calibration guest doesn't run in it",
    ),
    "permission-denied": (Answer.NO, "this user may not open /dev/kvm: mode or group"),
    "device-cgroup": (Answer.NO, "a container, a service's DeviceAllow= or a security module forbids it"),
    "module-not-loaded": (Answer.NO, "the CPU can, but the kernel module isn't loaded"),
    "disabled-by-firmware": (Answer.NO, "the CPU can, but the firmware (BIOS, UEFI) has switched it off"),
    "disabled-on-command-line": (Answer.NO, "the kernel was started with an option that switches it off"),
    "kernel-config-off": (Answer.NO, "this kernel was built without KVM"),
    "kernel-too-old": (Answer.NO, "KVM for this architecture came with a later kernel"),
    "guest-without-nested": (Answer.NO, "this is a virtual machine whose host lends no virtualisation"),
    "no-vmx": (Answer.NO, "x86: the kernel sees no VT-x; the CPU has none, or the firmware hides it"),
    "no-svm": (
        Answer.NO,
        "x86 of AMD or Hygon: the kernel sees no AMD-V; none there, or hidden by the firmware",
    ),
    "started-at-el1": (
        Answer.NO,
        "ARM: the firmware started the kernel without its hypervisor mode (EL2, HYP)",
    ),
    "inconsistent-modes": (
        Answer.NO,
        "ARM: the firmware started some CPUs with hypervisor mode, others without",
    ),
    "no-hyp": (Answer.NO, "ARM, 32 bits: this core is older than the virtualisation extensions"),
    "arm32-host-removed": (Answer.NO, "a 32-bit ARM kernel: KVM for them was removed in Linux 5.7"),
    "no-h-extension": (Answer.NO, "RISC-V: not every hart has the extension H"),
    "sbi-too-old": (Answer.NO, "RISC-V: the firmware has no SBI 0.2 with the RFENCE extension"),
    "no-vz": (Answer.NO, "MIPS: not every CPU has the module VZ"),
    "no-lvz": (Answer.NO, "LoongArch: not every CPU has LVZ"),
    "driver-failed": (Answer.NO, "the kernel's log says that KVM gave up while it started"),
    "no-driver": (Answer.NO, "there is a node /dev/kvm, but no driver behind it"),
    "no-node": (Answer.NO, "there is no /dev/kvm: a container without it, or a cause that leaves no trace"),
    "api-version": (Answer.NO, "what answers isn't the KVM API of version 12"),
    "busy": (Answer.NO, "another hypervisor holds the CPU's virtualisation"),
    "create-vm-failed": (Answer.NO, "/dev/kvm opens, but makes no VM"),
    "log-unreadable": (
        Answer.UNKNOWN,
        "arm64: only the kernel's log tells, and it can't be read or is cut off",
    ),
    "not-tried": (
        Answer.UNKNOWN,
        "nothing speaks against it, but /dev/kvm wasn't opened (a capture without it)",
    ),
    "cpuinfo-incomplete": (Answer.UNKNOWN, "/proc/cpuinfo lacks the line that tells, and no /dev/kvm does"),
    "architecture-unknown": (
        Answer.UNKNOWN,
        "neither uname nor cpuinfo tells what this is, or there are no rules for it",
    ),
    "not-measured": (
        Answer.UNKNOWN,
        "it opens though the CPU shows no virtualisation, and no guest was timed",
    ),
    "open-failed": (Answer.UNKNOWN, "open(/dev/kvm) failed in a way that says nothing about KVM"),
}
"""Reason: the answer it belongs to, and what it means. Words are stable: programs may compare them."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """reason: a word of REASONS; evidence: the lines it rests on; remedy: what to do, "" where nothing is."""

    answer: Answer
    reason: str
    evidence: tuple[str, ...]
    remedy: str = ""


def verdict(reason: str, *evidence: Line | str | None, remedy: str = "") -> Verdict:
    """With the answer that belongs to the reason; evidence that is None is left out."""
    lines = tuple(str(one) for one in evidence if one is not None)
    return Verdict(REASONS[reason][0], reason, lines, remedy)
