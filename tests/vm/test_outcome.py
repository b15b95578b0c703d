"""What an end means: every row of docs/unikernels.md's table."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeagent.errors import ConfigError
from edgeagent.vm.outcome import ExitMap, Stop, Wanted, exit_map, judge
from edgeagent.vmm.port import Accelerator, End, Ending

QEMU = Wanted("qemu-system-x86_64", Accelerator.TCG)
KVM = replace(QEMU, accelerator=Accelerator.KVM)
HVT = Wanted("solo5-hvt", Accelerator.KVM)
EXPECTING = replace(QEMU, expect="READY", timeout_s=2)


def end(kind: End, status: int | None = None, stderr: str = "") -> Ending:
    return Ending(kind, status, (), stderr, "SIGSEGV" if kind is End.SIGNALLED else "")


ENDS = {
    "shut down": (end(End.SHUTDOWN), QEMU, 0, "shutdown", "it shut down"),
    "exited with 0": (end(End.EXITED, 0), QEMU, 0, "shutdown", "it shut down"),
    "shut down too early": (end(End.SHUTDOWN), EXPECTING, 1, "unexpected", "without 'READY'"),
    "panicked": (end(End.PANICKED), QEMU, 7, "panicked", "panicked"),
    "reset": (end(End.RESET), QEMU, 7, "guest-reset", "triple fault"),
    "debug exit": (end(End.EXITED, 83), QEMU, 7, "exited", "status 83. If that is success, give --exit-map 83=0"),
    "debug exit after a warning": (
        end(End.EXITED, 83, "qemu: warning: host doesn't support x\n"), QEMU, 7, "exited", "status 83.",
    ),
    "debug exit of 0": (end(End.EXITED, 1), QEMU, 7, "exited", "status 1."),
    "refused": (
        end(End.EXITED, 1, "qemu: warning: y\nqemu: unable to find CPU model 'x'\n"),
        QEMU, 3, "refused", "CPU model 'x'",
    ),
    "no kernel": (end(End.EXITED, 1, "qemu: could not load kernel '/dev/fd/5'"), QEMU, 6, "image", "image inspect"),
    "no memory": (end(End.EXITED, 1, "qemu: cannot set up guest memory"), QEMU, 3, "memory", "--memory"),
    "killed": (end(End.SIGNALLED, -11), QEMU, 7, "vmm-killed", "SIGSEGV"),
    "internal error": (
        end(End.INTERNAL_ERROR, None, "KVM internal error. Suberror: 1\nEAX=0"),
        KVM, 7, "internal-error", "(Suberror: 1). Run it with --accel tcg",
    ),
    "no kvm": (
        end(End.EXITED, 1, "Could not access KVM kernel module: Permission denied"),
        KVM, 3, "kvm-unavailable", "Permission denied. Run it with --accel tcg",
    ),
    "cpu": (end(End.SIGNALLED, -6, "error: failed to set MSR 0x10a to 0x0"), KVM, 3, "kvm-cpu", "--cpu"),
    "solo5 done": (end(End.EXITED, 0), HVT, 0, "shutdown", "it shut down"),
    "solo5 abort": (end(End.EXITED, 255), HVT, 7, "aborted", "aborted"),
    "solo5 failure": (end(End.EXITED, 1, "solo5-hvt: x\n"), HVT, 7, "exited", "status 1: solo5-hvt: x"),
}  # fmt: skip


@pytest.mark.parametrize("name", ENDS)
def test_ends(name: str) -> None:
    ending, wanted, status, kind, words = ENDS[name]
    told = judge(Stop.ENDED, ending, wanted)
    assert (told.status, told.kind) == (status, kind)
    assert words in str(told)
    assert "\n" not in str(told)


@pytest.mark.parametrize(
    ("stop", "wanted", "status", "words"),
    [
        (Stop.EXPECTED, EXPECTING, 0, "seen"),
        (Stop.TIMEOUT, EXPECTING, 124, "still running after 2 s without 'READY'"),
        (Stop.TIMEOUT, replace(QEMU, timeout_s=0.5), 124, "still running after 0.5 s"),
        (Stop.FLOODED, QEMU, 7, "--output-limit"),
        (Stop.UNREAD, QEMU, 0, "nobody reads"),
        (Stop.UNREAD, EXPECTING, 1, "nobody reads"),
        (Stop.QUIT, QEMU, 0, "keyboard"),
        (Stop.QUIT, EXPECTING, 1, "keyboard"),
        (Stop.SIGNAL, QEMU, 143, "told to end"),
    ],
)
def test_other_reasons(stop: Stop, wanted: Wanted, status: int, words: str) -> None:
    told = judge(stop, None, wanted, 15 if stop is Stop.SIGNAL else 0)
    assert told.status == status
    assert words in told.words


@pytest.mark.parametrize(
    ("text", "ending", "status"),
    [
        ("83=0", end(End.EXITED, 83), 0),
        ("83=0, 3=9", end(End.EXITED, 3), 9),
        ("0=5", end(End.EXITED, 0), 5),
        ("reset=0", end(End.RESET), 0),
        ("shutdown=1", end(End.SHUTDOWN), 1),
        ("panic=4,83=0", end(End.PANICKED), 4),
    ],
)
def test_the_exit_map_goes_first(text: str, ending: Ending, status: int) -> None:
    told = judge(Stop.ENDED, ending, replace(EXPECTING, exits=exit_map(text)))
    assert (told.status, told.kind) == (status, "mapped")
    assert f"--exit-map makes {status}" in told.words


@pytest.mark.parametrize(
    "text", ["", "83", "83=", "=0", "83=256", "256=0", "-1=0", "83=0,", "crash=0", "0x53=0"]
)
def test_what_is_no_exit_map(text: str) -> None:
    with pytest.raises(ConfigError, match="is no part of an exit map"):
        exit_map(text)


@given(
    st.sampled_from(End),
    st.none() | st.integers(-31, 255),
    st.text(max_size=200),
    st.sampled_from([QEMU, KVM, HVT, EXPECTING]),
)
def test_every_end_is_explained_in_one_line(
    kind: End, status: int | None, stderr: str, wanted: Wanted
) -> None:
    told = judge(Stop.ENDED, end(kind, status, stderr), wanted)
    assert told.kind
    assert told.words
    assert 0 <= told.status <= 255
    fine = kind is End.SHUTDOWN or (kind is End.EXITED and status == 0)
    assert (told.status == 0) == (fine and not wanted.expect)


def test_an_end_needs_its_evidence() -> None:
    with pytest.raises(ValueError, match="evidence"):
        judge(Stop.ENDED, None, QEMU)


def test_an_empty_map_says_nothing() -> None:
    assert ExitMap().find(end(End.EXITED, 0)) is None
