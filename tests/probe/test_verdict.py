from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeagent.probe.answer import REASONS, Answer
from edgeagent.probe.choice import Choice, choose
from edgeagent.probe.evidence import Evidence, KvmNode, Speed
from edgeagent.probe.report import Report
from edgeagent.probe.verdict import NEEDED, judge
from edgeagent.vmm.port import Accelerator, VmmInfo
from tests.probe.boards import board, x86

ALL = {name: 1 for names in NEEDED.values() for name in names}
NODE = KvmNode("edgeagent", "ok", 0o660, 0, 104, "kvm", 12, "ok", "ok", ALL)
LIVE: dict[str, str | bytes] = {
    "uname.txt": "Linux (none) 6.12.1-amd64 #1 SMP x86_64\nx86_64\n",
    "proc/cpuinfo": x86("vmx"),
    "proc/modules": "kvm_intel 1 0 - Live 0x0\nkvm 1 1 kvm_intel, Live 0x0\n",
    "proc/misc": "232 kvm\n",
}
GOOD = board(
    LIVE,
    NODE,
    vmm=VmmInfo("/usr/bin/qemu", "7.2", ("tcg", "kvm")),
    kvm=Speed(0.5),
    tcg=Speed(2.0),
    memory=1 << 30,
    cpus=2,
)
SOFTWARE = board({**LIVE, "proc/cpuinfo": x86("hypervisor"), "sys/module/kvm_pvm/.present": b""}, NODE).system
FLAGLESS = board({**LIVE, "proc/cpuinfo": x86("hypervisor")}, NODE).system
RISCV = board({"uname.txt": "riscv64", "proc/cpuinfo": "isa : rv64imafdch_zicsr\n"}).system
ARM64 = board({"uname.txt": "aarch64"}).system
MIPS = board({"uname.txt": "mips64"}).system


def node(**changed: Any) -> Evidence:
    return replace(GOOD, node=replace(NODE, **changed), kvm=None)


def found(**changed: Any) -> Evidence:
    return replace(GOOD, **changed)


# evidence -> verdict, reason, a word of evidence or remedy, accelerator
TABLE: dict[str, tuple[Evidence, str, str, str, str | None]] = {
    "works": (GOOD, "yes", "works", "0.5 ns", "kvm"),
    "as fast": (found(kvm=Speed(2.0)), "yes", "works", "2 ns", "kvm"),
    "nested": (found(kvm=Speed(300.0)), "slow", "slower-than-tcg", "300 ns", "tcg"),
    "software": (
        found(kvm=Speed(1000.0), system=SOFTWARE),
        "slow",
        "software-kvm",
        "sys/module/kvm_pvm",
        "tcg",
    ),
    "slow, but nothing else": (found(kvm=Speed(900.0), tcg=Speed(None, "broken")), "yes", "works", "900 ns", "kvm"),
    "not timed": (found(kvm=None), "yes", "works", "no calibration guest", "tcg"),
    "not timed, no flag": (
        found(kvm=None, system=FLAGLESS), "unknown", "not-measured", "edgeagent probe", "tcg",
    ),
    "guest fails": (found(kvm=Speed(None, "internal error")), "partial", "guest-failed", "internal error", "tcg"),
    "no VMM": (found(kvm=None, tcg=None, vmm=None, vmm_failure="no qemu"), "yes", "works", "no qemu", None),
    "nothing runs": (found(kvm=Speed(None, "a"), tcg=Speed(None, "b")), "partial", "guest-failed", "failed", None),
    "no node": (node(open="ENOENT"), "no", "no-node", "--device /dev/kvm", "tcg"),
    "not in group": (node(open="EACCES"), "no", "permission-denied", "usermod -aG kvm edgeagent", "tcg"),
    "for root only": (
        node(open="EACCES", mode=0o600, group="root", gid=0), "no", "permission-denied", "chmod 0660 /dev/kvm", "tcg",
    ),
    "container": (node(open="EPERM"), "no", "device-cgroup", "DeviceAllow", "tcg"),
    "no driver": (node(open="ENODEV"), "no", "no-driver", "dmesg", "tcg"),
    "what": (node(open="EIO"), "unknown", "open-failed", "EIO", "tcg"),
    "not KVM": (node(api_version=11), "no", "api-version", "11", "tcg"),
    "VirtualBox": (node(create_vm="EBUSY"), "no", "busy", "VirtualBox", "tcg"),
    "no VM": (node(create_vm="EINVAL"), "no", "create-vm-failed", "EINVAL", "tcg"),
    "no VCPU": (node(create_vcpu="EIO"), "partial", "create-vcpu-failed", "EIO", "tcg"),
    "untimed software": (found(kvm=None, system=SOFTWARE), "slow", "software-kvm", "kvm_pvm", "tcg"),
    "group without a name": (
        node(open="EACCES", group="", gid=104), "no", "permission-denied", "usermod -aG kvm edgeagent", "tcg",
    ),
    "nobody asked": (node(api_version=None, create_vm=""), "unknown", "not-tried", "nobody", "tcg"),
    "nobody made a VM": (node(create_vm=""), "unknown", "not-tried", "nobody made", "tcg"),
    "not a KVM": (node(api_version=None, create_vm="ENOTTY"), "no", "api-version", "None", "tcg"),
    "arm without irqchip": (
        replace(node(capabilities={**ALL, "IRQCHIP": 0}), system=ARM64), "partial", "gic-missing", "IRQCHIP", "tcg",
    ),
    "mips with VZ": (replace(node(), system=MIPS), "yes", "works", "API 12", "tcg"),
    "no irqchip": (
        node(capabilities={**ALL, "IRQCHIP": 0}), "partial", "capability-missing", "IRQCHIP = 0", "tcg",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TABLE)
def test_table(name: str) -> None:
    evidence, answer, reason, word, chosen = TABLE[name]
    verdict = judge(evidence)
    assert (verdict.answer, verdict.reason) == (answer, reason)
    assert REASONS[reason][0] == answer
    assert word in "; ".join((*verdict.evidence, verdict.remedy))
    choice = choose(evidence, verdict)
    assert choice.chosen == chosen
    assert choice.why
    if chosen == "tcg":
        assert "not by hardware" in choice.why


def test_riscv_without_aia_is_complete() -> None:
    riscv = replace(node(capabilities={**ALL, "IRQCHIP": 0}), system=RISCV, kvm=Speed(0.5))
    assert judge(riscv).answer is Answer.YES


@given(
    st.sampled_from(["ok", "ENOENT", "EACCES", "EPERM", "ENODEV", "EMFILE"]),
    st.none() | st.integers(0, 20),
    st.sampled_from(["ok", "", "EBUSY", "EINVAL"]),
    st.none() | st.builds(Speed, st.none() | st.floats(0.01, 1e6), st.just("why")),
    st.none() | st.builds(Speed, st.none() | st.floats(0.01, 1e6), st.just("why")),
)
def test_kvm_is_never_chosen_in_vain(
    opened: str, version: int | None, made: str, kvm: Speed | None, tcg: Speed | None
) -> None:
    evidence = replace(
        GOOD, node=replace(NODE, open=opened, api_version=version, create_vm=made), kvm=kvm, tcg=tcg
    )
    verdict = judge(evidence)
    choice = choose(evidence, verdict)
    if choice.chosen is Accelerator.KVM:
        assert kvm is not None
        assert kvm.ns is not None
        assert tcg is None or tcg.ns is None or kvm.ns <= tcg.ns
    if verdict.answer is not Answer.YES:
        assert verdict.evidence
    assert json.loads(json.dumps(Report(evidence, verdict, choice, cached=False).as_json()))


def test_json_keys() -> None:
    report = Report(GOOD, judge(GOOD), Choice(Accelerator.KVM, "because"), cached=False).as_json()
    assert set(report) == {
        "arch", "board", "profile", "kvm", "accelerator", "vmm", "memory", "cpus", "cgroup", "rtc", "tpm",
        "clock_synchronised",
    }  # fmt: skip
    assert set(report["kvm"]) == {
        "verdict", "reason", "evidence", "remedy", "api_version", "capabilities", "ns_per_instruction",
    }  # fmt: skip
    assert report["accelerator"] == {"chosen": "kvm", "why": "because"}
