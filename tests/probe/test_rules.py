"""Rules, case by case (cases.py), with and without a node."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeagent.probe.answer import REASONS, Answer
from edgeagent.probe.evidence import Evidence, KvmNode
from edgeagent.probe.system import Family, read
from edgeagent.probe.verdict import RULES, judge
from tests.probe.boards import ABSENT, board, documents, x86
from tests.probe.cases import CASES, EL1, Files, amd, arm64, intel, loong, mips, riscv


@pytest.mark.parametrize("name", CASES)
def test_without_a_node(name: str) -> None:
    files, reason = CASES[name]
    verdict = judge(board(files))
    assert verdict.reason == reason, verdict
    assert verdict.answer is REASONS[reason][0]
    assert verdict.evidence[0] == "open(/dev/kvm) as edgeagent: ENOENT"
    if reason != "architecture-unknown":
        assert len(verdict.evidence) > 1, "and why"


FINAL = {"no-node": "not-tried"}
"""What a capture in which nobody opened /dev/kvm gives instead."""
GUESSES = {"x86: no list of modules"}


@pytest.mark.parametrize("name", CASES)
def test_untried(name: str) -> None:
    """The same files without dev-kvm.json: rules say the same, and never yes."""
    files, reason = CASES[name]
    verdict = judge(board(files, None))
    assert verdict.reason == ("not-tried" if name in GUESSES else FINAL.get(reason, reason))
    assert verdict.answer is not Answer.YES


@pytest.mark.parametrize("name", CASES)
def test_an_open_node_overrules_all(name: str) -> None:
    """Software KVM and wrong logs exist: what worked works."""
    files, _ = CASES[name]
    node = KvmNode("root", "ok", api_version=12, create_vm="ok")
    answer = judge(board(files, node)).answer
    assert answer is not Answer.NO
    if "Pi 3" not in name and "x86" not in name:
        assert answer is Answer.YES


def test_every_remedy_of_a_module_names_it() -> None:
    for files, module in (
        (intel(), "kvm_intel"),
        (amd(), "kvm_amd"),
        (riscv("rv64ih"), "kvm"),
        (loong("lvz"), "kvm"),
    ):
        assert f"modprobe {module};" in judge(board(files)).remedy


def test_a_node_without_a_driver_has_a_cause() -> None:
    """Static nodes (modules.devname) are there on boards that can't."""
    node = replace(ABSENT, open="ENODEV", mode=0o660)
    assert judge(board(mips(""), node)).reason == "no-vz"
    assert judge(board(riscv("rv64imafdch") | {"proc/modules": "kvm 1 0 -\n"}, node)).reason == "no-driver"


def test_refused_files_are_named() -> None:
    found = documents({"uname.txt": "aarch64"}, dmesg_dot_txt="EPERM")
    verdict = judge(Evidence(read(found), ABSENT))
    assert verdict.reason == "log-unreadable"
    assert "dmesg.txt: can't be read (EPERM)" in verdict.evidence
    assert "dmesg_restrict" in verdict.remedy


MODES = ("VHE", "Hyp nVHE", "Hyp hVHE", "Protected nVHE", "Protected hVHE", "VHE+NV2", "Hyp", "HYP")


@pytest.mark.parametrize("mode", MODES)
def test_a_driver_that_is_up_in_a_log_of_any_kernel(mode: str) -> None:
    """Then the log isn't cut off where it matters, though the line on the CPUs is gone."""
    verdict = judge(board(arm64(f"[ 1.6] kvm [1]: {mode} mode initialized successfully\n"), None))
    assert verdict.reason == "not-tried"
    assert mode in verdict.evidence[0]


def test_without_a_log_a_timer_hints_and_decides_nothing() -> None:
    files: Files = {"uname.txt": "aarch64", "proc/interrupts": " 11:  1  2  GICv3  27 Level  arch_timer\n"}
    verdict = judge(board(files))
    assert verdict.answer is Answer.UNKNOWN
    assert "proc/interrupts:1: arch_timer is the virtual one (27): points at EL1" in verdict.evidence
    files["proc/interrupts"] = " 11:  1  2  GICv3  30 Level  arch_timer\n"
    assert not [line for line in judge(board(files)).evidence if "interrupts" in line]


def test_evidence_names_file_and_line() -> None:
    verdict = judge(board(intel() | {"proc/cpuinfo": x86("\x1b[31mhypervisor")}))
    assert "proc/cpuinfo:4: flags: without vmx" in verdict.evidence
    assert "\x1b" not in "".join(verdict.evidence)
    verdict = judge(board(arm64("[ 0.1] x\n\n" + EL1)))
    assert "dmesg.txt:3: [ 0.2] CPU: All CPU(s) started at EL1" in verdict.evidence


REACHED = {reason for _, reason in CASES.values()}


def test_every_reason_of_a_rule_has_a_case() -> None:
    opened = {
        "works", "software-kvm", "slower-than-tcg", "capability-missing", "create-vcpu-failed", "guest-failed",
        "permission-denied", "device-cgroup", "no-driver", "api-version", "busy", "create-vm-failed", "not-tried",
        "not-measured", "open-failed",
    }  # fmt: skip
    assert set(REASONS) - opened == REACHED, "test_verdict.py has the others"


TEXT = st.text("abhmvrz0 :_=\n\t1", max_size=200) | st.sampled_from(
    [one for files, _ in CASES.values() for one in files.values()]
)


PATHS = (
    "proc/cpuinfo",
    "dmesg.txt",
    "uname.txt",
    "proc/cmdline",
    "proc/modules",
    "proc/config.gz",
    "proc/misc",
)


@given(
    st.dictionaries(
        st.sampled_from(PATHS),
        TEXT | st.binary(max_size=200),
    ),
    st.sampled_from([None, ABSENT, replace(ABSENT, open="EACCES"), replace(ABSENT, open="ENXIO")]),
)  # fmt: skip
def test_any_files_have_an_answer_that_isnt_yes(files: Files, node: KvmNode | None) -> None:
    verdict = judge(board(files, node))
    assert verdict.answer is not Answer.YES
    assert REASONS[verdict.reason][0] is verdict.answer
    assert verdict.evidence


def test_families_have_rules() -> None:
    assert set(RULES) == set(Family) - {Family.OTHER}
