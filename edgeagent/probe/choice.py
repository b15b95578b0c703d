"""Core: the accelerator that guests get where the configuration leaves it open."""

from __future__ import annotations

from dataclasses import dataclass

from edgeagent.vmm.machines import MACHINES
from edgeagent.vmm.port import Accelerator

from .answer import Answer, Verdict
from .evidence import Evidence

EMULATED = "guests are emulated (tcg), held by the jail and not by hardware"


@dataclass(frozen=True, slots=True)
class Choice:
    """chosen: None when nothing here can run a guest."""

    chosen: Accelerator | None
    why: str


def runs_under_kvm(arch: str | None) -> bool:
    """Whether our VMM has a KVM machine for guests of this architecture."""
    row = MACHINES.get(arch or "")
    return row is not None and Accelerator.KVM in row.cpu


def choose(evidence: Evidence, verdict: Verdict) -> Choice:
    """What `accelerator = "auto"` means here: KVM only where it was timed, works and isn't slower.

    Of a capture in which nobody looked for a VMM: what the board would choose with one.
    """
    kvm, tcg, arch = evidence.kvm, evidence.tcg, evidence.system.image_arch
    if arch is None:
        machine = evidence.system.arch or "an unknown machine"
        return Choice(None, f"there are no guest images for {machine} (32 bits, big endian or unknown)")
    if evidence.vmm is None and evidence.vmm_failure:
        return Choice(None, f"there is no VMM: {evidence.vmm_failure}")
    kvm_ns = kvm.ns if kvm else None
    if tcg and tcg.ns is None:
        if kvm_ns is None:
            return Choice(None, f"no guest runs here: KVM: {verdict.reason}; tcg: {tcg.failure}")
        return Choice(Accelerator.KVM, f"KVM works, and emulation fails: {tcg.failure}")
    if verdict.answer is Answer.YES and not runs_under_kvm(arch):
        return Choice(
            Accelerator.TCG, f"KVM works, but there is no KVM machine for {arch} guests; {EMULATED}"
        )
    if verdict.answer is Answer.YES and (kvm_ns is not None or evidence.vmm is None):
        timed = "" if kvm_ns is not None else "; the board times a guest before it chooses"
        return Choice(
            Accelerator.KVM,
            f"KVM works here: guests are isolated by the processor and run at its speed{timed}",
        )
    if verdict.answer is Answer.SLOW and kvm_ns and tcg and tcg.ns:
        kind = "a software KVM" if verdict.reason == "software-kvm" else "a KVM"
        why = f"this is {kind} that works, but is {kvm_ns / tcg.ns:,.0f} times slower than emulation"
    else:
        why = _WHY_NOT[verdict.answer].format(verdict.reason)
    return Choice(Accelerator.TCG, f"{why}; {EMULATED}")


_WHY_NOT = {
    Answer.YES: "KVM seems to work, but no guest was timed in it",
    Answer.SLOW: "KVM is slow here ({})",
    Answer.PARTIAL: "KVM works in part only ({})",
    Answer.NO: "KVM can't be used here ({})",
    Answer.UNKNOWN: "whether KVM works isn't known ({})",
}
