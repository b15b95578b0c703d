from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeagent.probe import speed
from edgeagent.probe.evidence import Evidence, KvmNode, Speed
from edgeagent.probe.report import Report
from edgeagent.probe.verdict import NEEDED, Answer, Choice, choose, judge
from edgeagent.vmm.port import Accelerator, VmmInfo

CAPTURES = Path(__file__).resolve().parents[2] / "../shared/boards"

ALL = {name: 1 for names in NEEDED.values() for name in names}
NODE = KvmNode("edgeagent", "ok", 0o660, 0, "kvm", 12, "ok", "ok", ALL)
GOOD = Evidence(
    arch="x86_64",
    node=NODE,
    modules=("kvm", "kvm_intel"),
    cpu_flags=frozenset({"vmx"}),
    vmm=VmmInfo("/usr/bin/qemu", "7.2", ("tcg", "kvm")),
    vmm_failure="",
    kvm=Speed(0.5),
    tcg=Speed(2.0),
    memory=1 << 30,
    cpus=2,
)


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
        found(kvm=Speed(1000.0), cpu_flags=frozenset(), modules=("kvm", "kvm_pvm")),
        "slow",
        "software-kvm",
        "/sys/module/kvm_pvm",
        "tcg",
    ),
    "slow, but nothing else": (found(kvm=Speed(900.0), tcg=Speed(None, "broken")), "yes", "works", "900 ns", "kvm"),
    "not timed": (found(kvm=None), "yes", "works", "no calibration guest", "tcg"),
    "not timed, no flag": (
        found(kvm=None, cpu_flags=frozenset()), "unknown", "not-measured", "edgeagent probe", "tcg",
    ),
    "guest fails": (found(kvm=Speed(None, "internal error")), "partial", "guest-failed", "internal error", "tcg"),
    "no VMM": (found(kvm=None, tcg=None, vmm=None, vmm_failure="no qemu"), "yes", "works", "no qemu", None),
    "nothing runs": (found(kvm=Speed(None, "a"), tcg=Speed(None, "b")), "partial", "guest-failed", "failed", None),
    "no node": (node(open="ENOENT"), "no", "no-node", "modprobe", "tcg"),
    "not in group": (node(open="EACCES"), "no", "permission-denied", "usermod -aG kvm edgeagent", "tcg"),
    "for root only": (
        node(open="EACCES", mode=0o600, group="root"), "no", "permission-denied", "chmod 0660 /dev/kvm", "tcg",
    ),
    "container": (node(open="EPERM"), "no", "device-cgroup", "DeviceAllow", "tcg"),
    "no driver": (node(open="ENODEV"), "no", "no-driver", "dmesg", "tcg"),
    "what": (node(open="EIO"), "unknown", "open-failed", "EIO", "tcg"),
    "not KVM": (node(api_version=11), "no", "api-version", "11", "tcg"),
    "VirtualBox": (node(create_vm="EBUSY"), "no", "busy", "VirtualBox", "tcg"),
    "no VM": (node(create_vm="EINVAL"), "no", "create-vm-failed", "EINVAL", "tcg"),
    "no VCPU": (node(create_vcpu="EIO"), "partial", "create-vcpu-failed", "EIO", "tcg"),
    "no irqchip": (
        node(capabilities={**ALL, "IRQCHIP": 0}), "partial", "capability-missing", "IRQCHIP = 0", "tcg",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TABLE)
def test_table(name: str) -> None:
    evidence, answer, reason, word, chosen = TABLE[name]
    verdict = judge(evidence)
    assert (verdict.answer, verdict.reason) == (answer, reason)
    assert word in "; ".join((*verdict.evidence, verdict.remedy))
    choice = choose(evidence, verdict)
    assert choice.chosen == chosen
    assert choice.why
    if chosen == "tcg":
        assert "not by hardware" in choice.why


def test_riscv_without_aia_is_complete() -> None:
    riscv = replace(node(capabilities={**ALL, "IRQCHIP": 0}), arch="riscv64", kvm=Speed(0.5))
    assert judge(riscv).answer is Answer.YES


@pytest.mark.parametrize(
    "board", sorted(path.parent.name for path in CAPTURES.glob("*/dev-kvm.json")) or [None]
)
def test_what_real_nodes_said(board: str | None) -> None:
    """The live part of the captures: where the node opened, or why it didn't."""
    if board is None:
        pytest.skip("no ../shared/boards")
    said = json.loads((CAPTURES / board / "dev-kvm.json").read_text())
    expected = json.loads((CAPTURES / board / "expect.json").read_text())
    group = "root" if said.get("gid") == 0 else "kvm"
    captured = KvmNode(
        "edgeagent", said["open"], 0o660, said.get("uid"), group, said.get("api_version"),
        said.get("create_vm", ""), "", said.get("capabilities", {}),
    )  # fmt: skip
    verdict = judge(replace(GOOD, arch=expected["arch"], node=captured, kvm=None, tcg=None))
    assert verdict.answer == expected["verdict"]
    if said["exists"]:
        assert verdict.reason == expected.get("reason", "works")
    else:
        assert verdict.reason == "no-node", "the cause behind it is for rules on cpuinfo and dmesg"


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
        "arch", "board", "kvm", "accelerator", "vmm", "memory", "cpus", "cgroup", "rtc", "tpm", "clock_synchronised",
    }  # fmt: skip
    assert set(report["kvm"]) == {
        "verdict", "reason", "evidence", "remedy", "api_version", "capabilities", "ns_per_instruction",
    }  # fmt: skip
    assert report["accelerator"] == {"chosen": "kvm", "why": "because"}


@given(st.floats(1e-10, 1e-4), st.floats(0, 0.01))
def test_the_loop_grows_until_it_is_long_enough(per_iteration: float, overhead: float) -> None:
    count, runs = speed.FIRST, 0
    while (longer := speed.next_count(count, overhead + count * per_iteration)) is not None:
        assert longer > count
        count, runs = longer, runs + 1
        assert runs < 12
    assert overhead + count * per_iteration < 64 * speed.ENOUGH_S, "slow machines aren't made to wait"
    short = count // speed.SHARE
    ns = speed.nanoseconds(
        "x86_64", (short, overhead + short * per_iteration), (count, overhead + count * per_iteration)
    )
    assert ns == pytest.approx(per_iteration * 1e9 / 3, rel=1e-3, abs=0.002)
