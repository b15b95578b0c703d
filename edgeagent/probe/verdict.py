"""Core: from evidence to a verdict with its reason. What /dev/kvm did decides; all else only explains a no."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from .answer import Answer, Verdict, verdict
from .documents import Line
from .evidence import Evidence, KvmNode
from .interrupts import missing_vgic
from .rules import arm, loongarch, mips, riscv, x86
from .rules.common import EMULATED, Rules
from .system import MISC, Family, System

__all__ = ["API_VERSION", "NEEDED", "RULES", "Answer", "Verdict", "judge", "show"]

API_VERSION = 12
"""The only one there is since Linux 2.6.22; anything else isn't KVM."""

NEEDED: Mapping[Family, tuple[str, ...]] = {
    Family.X86: ("USER_MEMORY", "SET_TSS_ADDR", "EXT_CPUID", "IRQCHIP"),
    Family.ARM64: ("USER_MEMORY", "ONE_REG", "IRQCHIP"),
    Family.RISCV: ("USER_MEMORY", "ONE_REG"),
    Family.MIPS: ("USER_MEMORY", "ONE_REG", "MIPS_VZ"),
}
"""Capabilities that QEMU can't do without. On RISC-V IRQCHIP means AIA, and 0 is usable."""

RULES: Mapping[Family, Rules] = {
    Family.X86: x86.RULES,
    Family.ARM64: arm.RULES_64,
    Family.ARM: arm.RULES_32,
    Family.MIPS: mips.RULES,
    Family.RISCV: riscv.RULES,
    Family.LOONGARCH: loongarch.RULES,
}

TOLERANCE = 1.25
"""KVM may be slower by this factor: within the noise of a busy board, hardware that isolates is worth more."""
DEFAULT_GROUP = "kvm"
"""Of /dev/kvm on Debian, Fedora, Arch and others (systemd's rules)."""
NODE_FILE = "dev-kvm.json"


def judge(evidence: Evidence) -> Verdict:
    """Whether guests can run under KVM here, and if not, why."""
    steps: tuple[Callable[[Evidence], Verdict | None], ...] = (_untried, _opened, _created, _complete)
    return next((found for step in steps if (found := step(evidence))), None) or _measured(evidence)


def _caused(system: System) -> Verdict | None:
    """The first rule of the architecture that has something to say."""
    rules = RULES.get(system.family)
    return next((found for rule in rules.causes if (found := rule(system))), None) if rules else None


def _doubted(system: System) -> Verdict | None:
    rules = RULES.get(system.family)
    if rules is None:
        name = (
            f"no rules for {system.arch}"
            if system.arch
            else "neither uname.txt nor proc/cpuinfo tells what this is"
        )
        return verdict("architecture-unknown", name)
    return next((found for rule in rules.doubts if (found := rule(system))), None)


def _likely(system: System) -> Verdict | None:
    rules = RULES.get(system.family)
    return rules.absent(system) if rules and rules.absent else None


def _signs(system: System) -> tuple[Line | str, ...]:
    rules = RULES.get(system.family)
    return rules.signs(system) if rules else ()


def _untried(evidence: Evidence) -> Verdict | None:
    """A capture in which nobody tried /dev/kvm: the rules may still say no."""
    if evidence.node:
        return None
    system = evidence.system
    if not system.registered() and (found := _caused(system) or _doubted(system)):
        return found
    why = evidence.node_failure or f"{NODE_FILE}: not there"
    remedy = "On the board: edgeagent probe"
    return verdict("not-tried", *_signs(system), system.registered(), why, remedy=remedy)


def _opened(evidence: Evidence) -> Verdict | None:
    node, system = evidence.node, evidence.system
    if node is None or node.open == "ok":
        return None
    line = f"open(/dev/kvm) as {node.user or 'a user'}: {node.open}"
    match node.open:
        case "EACCES":
            return _denied(node, line)
        case "EPERM":
            remedy = (
                "Allow the device: docker run --device /dev/kvm; a service: DeviceAllow=/dev/kvm rw; "
                "LXC: lxc.cgroup2.devices.allow = c 10:232 rwm"
            )
            return verdict("device-cgroup", line, remedy=remedy)
        case "ENOENT":
            return _absent(system, line)
        case "ENODEV" | "ENXIO":
            found = _caused(system)
            if found is None:
                return verdict("no-driver", line, *_signs(system), remedy="See `dmesg | grep -i kvm`")
            return _after(line, found)
    return verdict(
        "open-failed", line, remedy="Repeat it; if it stays, report it with edgeagent probe --capture DIR"
    )


def _denied(node: KvmNode, line: str) -> Verdict:
    mode = node.mode or 0
    group = node.group or (DEFAULT_GROUP if node.gid else "root")
    number = f" (id {node.gid})" if node.gid is not None and not node.group else ""
    owner = f"/dev/kvm has mode {mode:04o} and group {node.group or 'of unknown name'}{number}"
    lends = group != "root" and mode & 0o060 == 0o060
    remedy = (
        f"usermod -aG {group} {node.user or 'USER'}; then log in anew, or restart the service"
        if lends
        else f"chgrp {DEFAULT_GROUP} /dev/kvm; chmod 0660 /dev/kvm; usermod -aG {DEFAULT_GROUP} {node.user or 'USER'}"
    )
    return verdict("permission-denied", line, owner if node.mode is not None else None, remedy=remedy)


def _absent(system: System, line: str) -> Verdict:
    """No node: its cause, a doubt, or a driver that is up where the node isn't."""
    if up := system.registered():
        remedy = (
            "In a container: pass the device (docker run --device /dev/kvm); else: mknod /dev/kvm c 10 232"
        )
        return verdict("no-node", line, up, remedy=remedy)
    if found := _caused(system) or _doubted(system) or _likely(system):
        return _after(line, found)
    remedy = "In a container: pass the device (docker run --device /dev/kvm); else see `dmesg | grep -i kvm`"
    return verdict("no-node", line, *_signs(system), system.documents.absence(MISC), remedy=remedy)


def _after(line: str, found: Verdict) -> Verdict:
    return Verdict(found.answer, found.reason, (line, *found.evidence), found.remedy)


def _created(evidence: Evidence) -> Verdict | None:
    node = evidence.node
    if node is None:
        return None
    if node.api_version is None and not node.create_vm:
        return verdict(
            "not-tried", "/dev/kvm opens; nobody asked it anything", remedy="On the board: edgeagent probe"
        )
    if node.api_version != API_VERSION:
        return verdict("api-version", f"KVM_GET_API_VERSION = {node.api_version}, not {API_VERSION}")
    match node.create_vm:
        case "ok":
            return None
        case "":
            return verdict(
                "not-tried", "/dev/kvm opens; nobody made a VM", remedy="On the board: edgeagent probe"
            )
        case "EBUSY":
            remedy = "Another hypervisor holds the CPU's virtualisation (VirtualBox, VMware): stop it"
            return verdict("busy", "KVM_CREATE_VM: EBUSY", remedy=remedy)
    return verdict("create-vm-failed", f"KVM_CREATE_VM: {node.create_vm}", remedy="See `dmesg | grep -i kvm`")


def _complete(evidence: Evidence) -> Verdict | None:
    node, system = evidence.node, evidence.system
    if node is None:
        return None
    # One that wasn't asked for (an older capture) isn't known to be missing.
    lacking = [name for name in NEEDED.get(system.family, ()) if node.capabilities.get(name) == 0]
    lines: tuple[Line | str, ...] = tuple(f"KVM_CHECK_EXTENSION {name} = 0" for name in lacking)
    if system.family is Family.ARM64:
        gic = missing_vgic(system)
        if lacking == ["IRQCHIP"] or (gic and "IRQCHIP" not in node.capabilities):
            return verdict("gic-missing", *lines, *gic, remedy=EMULATED)
    if lacking:
        return verdict("capability-missing", *lines, remedy="A newer kernel may have it")
    if node.create_vcpu not in ("ok", ""):
        return verdict(
            "create-vcpu-failed", f"KVM_CREATE_VCPU: {node.create_vcpu}", remedy="See `dmesg | grep -i kvm`"
        )
    return None


def _measured(evidence: Evidence) -> Verdict:
    kvm, tcg, system = evidence.kvm, evidence.tcg, evidence.system
    version = evidence.node.api_version if evidence.node else None
    works = f"/dev/kvm opens and makes a VM (API {version})"
    without = _software(system)
    known = "sys/module/kvm_pvm" if without and system.module("kvm_pvm") else None
    host = "On a virtual machine: ask for nested virtualisation. On a real one: switch it on in the firmware"
    if kvm is None:
        untimed = evidence.vmm_failure or "no calibration guest was run"
        if known:
            return verdict("software-kvm", works, without, known, untimed, remedy=host)
        if without:
            return verdict(
                "not-measured", works, without, untimed, remedy="edgeagent probe --image IMAGE --fresh"
            )
        return verdict("works", works, *_signs(system), untimed)
    if kvm.ns is None:
        failed = f"a calibration guest failed under KVM: {kvm.failure}"
        return verdict("guest-failed", works, failed, remedy="A newer QEMU or kernel may help")
    timed = f"kvm: {show(kvm.ns)} for a guest instruction"
    if tcg is None or tcg.ns is None:
        return verdict("works", works, *_signs(system), timed)
    compared = f"tcg: {show(tcg.ns)}"
    if kvm.ns <= tcg.ns * TOLERANCE:
        return verdict("works", works, *_signs(system), timed, compared)
    if without:
        return verdict("software-kvm", works, timed, compared, without, known, remedy=host)
    remedy = "Nested virtualisation is often like this"
    return verdict("slower-than-tcg", works, timed, compared, *_signs(system), remedy=remedy)


def _software(system: System) -> str | None:
    """The line that shows an x86 CPU without virtualisation, so that what answers is made of software alone."""
    flags = system.cpuinfo.get("flags")
    if system.family is not Family.X86 or not flags or any({"vmx", "svm"} & one.words for one in flags):
        return None
    line = flags[0].line
    return f"{line.file}:{line.number}: flags: neither vmx nor svm"


def show(ns: float) -> str:
    """Three digits, or whole nanoseconds."""
    return f"{ns:,.0f} ns" if ns >= 100 else f"{ns:.3g} ns"
