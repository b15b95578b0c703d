"""Core: from evidence to a verdict with its reason, and to the accelerator that guests get."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from edgeagent.vmm.port import Accelerator

from .evidence import Evidence, KvmNode

API_VERSION = 12
"""The only one there is since Linux 2.6.22; anything else isn't KVM."""

NEEDED: dict[str, tuple[str, ...]] = {
    "x86_64": ("USER_MEMORY", "SET_TSS_ADDR", "EXT_CPUID", "IRQCHIP"),
    "aarch64": ("USER_MEMORY", "ONE_REG", "IRQCHIP"),
    "riscv64": ("USER_MEMORY", "ONE_REG"),
    "mips64el": ("USER_MEMORY", "ONE_REG", "MIPS_VZ"),
}
"""Capabilities that QEMU can't do without. On RISC-V IRQCHIP means AIA, and 0 is usable."""


class Answer(enum.StrEnum):
    """Whether guests can run under KVM here."""

    YES = "yes"
    SLOW = "slow"
    PARTIAL = "partial"
    NO = "no"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Verdict:
    """reason is a stable word; evidence are the lines it rests on; remedy is what to do, "" where nothing is."""

    answer: Answer
    reason: str
    evidence: tuple[str, ...]
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Choice:
    """chosen: None when nothing here can run a guest."""

    chosen: Accelerator | None
    why: str


def judge(evidence: Evidence) -> Verdict:
    """Whether guests can run under KVM here, and if not, why."""
    return _opened(evidence.node) or _created(evidence.node) or _complete(evidence) or _measured(evidence)


def _opened(node: KvmNode) -> Verdict | None:
    line = f"open(/dev/kvm) as {node.user}: {node.open}"
    match node.open:
        case "ok":
            return None
        case "ENOENT":
            remedy = (
                "Load the module (modprobe kvm_intel or kvm_amd), switch virtualisation on in the firmware; "
                "in a container, pass /dev/kvm"
            )
            return Verdict(Answer.NO, "no-node", (line,), remedy)
        case "EACCES":
            owner = f"/dev/kvm has mode {node.mode or 0:04o} and group {node.group}"
            lends = node.group not in ("", "root") and (node.mode or 0) & 0o060 == 0o060
            remedy = (
                f"usermod -aG {node.group} {node.user}"
                if lends
                else "chgrp kvm /dev/kvm; chmod 0660 /dev/kvm"
            )
            return Verdict(Answer.NO, "permission-denied", (line, owner), remedy)
        case "EPERM":
            remedy = "Allow the device to this container or service (DeviceAllow=/dev/kvm rw)"
            return Verdict(Answer.NO, "device-cgroup", (line,), remedy)
        case "ENODEV" | "ENXIO":
            remedy = "The node has no driver behind it: see `dmesg | grep -i kvm`"
            return Verdict(Answer.NO, "no-driver", (line,), remedy)
    return Verdict(Answer.UNKNOWN, "open-failed", (line,))


def _created(node: KvmNode) -> Verdict | None:
    if node.api_version != API_VERSION:
        line = f"KVM_GET_API_VERSION = {node.api_version}, not {API_VERSION}"
        return Verdict(Answer.NO, "api-version", (line,))
    match node.create_vm:
        case "ok":
            return None
        case "EBUSY":
            remedy = "Another hypervisor holds the CPU's virtualisation (VirtualBox, VMware): stop it"
            return Verdict(Answer.NO, "busy", ("KVM_CREATE_VM: EBUSY",), remedy)
    remedy = "See `dmesg | grep -i kvm`"
    return Verdict(Answer.NO, "create-vm-failed", (f"KVM_CREATE_VM: {node.create_vm}",), remedy)


def _complete(evidence: Evidence) -> Verdict | None:
    node = evidence.node
    # One that wasn't asked for (an older capture) isn't known to be missing.
    lacking = [name for name in NEEDED.get(evidence.arch, ()) if node.capabilities.get(name) == 0]
    if lacking:
        lines = tuple(f"KVM_CHECK_EXTENSION {name} = 0" for name in lacking)
        return Verdict(Answer.PARTIAL, "capability-missing", lines, "A newer kernel may have it")
    if node.create_vcpu not in ("ok", ""):
        return Verdict(Answer.PARTIAL, "create-vcpu-failed", (f"KVM_CREATE_VCPU: {node.create_vcpu}",))
    return None


def _measured(evidence: Evidence) -> Verdict:
    kvm, tcg = evidence.kvm, evidence.tcg
    works = f"/dev/kvm opens and makes a VM (API {evidence.node.api_version})"
    software = evidence.arch == "x86_64" and not {"vmx", "svm"} & evidence.cpu_flags
    modules = ", ".join(f"/sys/module/{name}" for name in evidence.modules)
    no_flag = f"the CPU shows neither vmx nor svm; {modules or 'no kvm module is listed'}"
    if kvm is None:
        untimed = evidence.vmm_failure or "no calibration guest was run"
        if software:
            remedy = "edgeagent probe --image IMAGE --fresh"
            return Verdict(Answer.UNKNOWN, "not-measured", (works, no_flag, untimed), remedy)
        return Verdict(Answer.YES, "works", (works, untimed))
    if kvm.ns is None:
        failed = f"a calibration guest failed under KVM: {kvm.failure}"
        return Verdict(Answer.PARTIAL, "guest-failed", (works, failed))
    lines: tuple[str, ...] = (works, f"kvm: {show(kvm.ns)} for a guest instruction")
    if tcg is None or tcg.ns is None:
        return Verdict(Answer.YES, "works", lines)
    lines = (*lines, f"tcg: {show(tcg.ns)}")
    if kvm.ns <= tcg.ns:
        return Verdict(Answer.YES, "works", lines)
    if software:
        remedy = (
            "On a virtual machine: ask for nested virtualisation. On a real one: switch it on in the firmware"
        )
        return Verdict(Answer.SLOW, "software-kvm", (*lines, no_flag), remedy)
    return Verdict(Answer.SLOW, "slower-than-tcg", lines, "Nested virtualisation is often like this")


def show(ns: float) -> str:
    """Three digits, or whole nanoseconds."""
    return f"{ns:,.0f} ns" if ns >= 100 else f"{ns:.3g} ns"


def choose(evidence: Evidence, verdict: Verdict) -> Choice:
    """What `accelerator = "auto"` means here: KVM only where it was timed, works and isn't slower."""
    kvm, tcg = evidence.kvm, evidence.tcg
    if evidence.vmm is None:
        return Choice(None, f"there is no VMM: {evidence.vmm_failure}")
    kvm_ns = kvm.ns if kvm else None
    if tcg and tcg.ns is None:
        if kvm_ns is None:
            return Choice(None, f"no guest runs here: KVM: {verdict.reason}; tcg: {tcg.failure}")
        return Choice(Accelerator.KVM, f"KVM works, and emulation fails: {tcg.failure}")
    if verdict.answer is Answer.YES and kvm_ns is not None:
        return Choice(
            Accelerator.KVM, "KVM works here: guests are isolated by the processor and run at its speed"
        )
    if verdict.answer is Answer.SLOW and kvm_ns and tcg and tcg.ns:
        kind = "a software KVM" if verdict.reason == "software-kvm" else "a KVM"
        why = f"this is {kind} that works, but is {kvm_ns / tcg.ns:,.0f} times slower than emulation"
    else:
        why = _WHY_NOT[verdict.answer].format(verdict.reason)
    return Choice(Accelerator.TCG, f"{why}; guests are emulated (tcg), held by the jail and not by hardware")


_WHY_NOT = {
    Answer.YES: "KVM seems to work, but no guest was timed in it",
    Answer.SLOW: "KVM is slow here ({})",
    Answer.PARTIAL: "KVM works in part only ({})",
    Answer.NO: "KVM can't be used here ({})",
    Answer.UNKNOWN: "whether KVM works isn't known ({})",
}
