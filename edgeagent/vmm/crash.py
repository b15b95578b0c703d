"""Core: what an end means, in a hub owner's words, from the evidence."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .port import Accelerator, End, Ending

STOPPED: dict[str, End] = {
    "guest-panicked": End.PANICKED,
    "internal-error": End.INTERNAL_ERROR,
    "io-error": End.IO_ERROR,
    "watchdog": End.WATCHDOG,
}
"""QMP run states that are an end by themselves."""

EVENTS: dict[str, End] = {"GUEST_PANICKED": End.PANICKED}
"""QMP events that are an end by themselves: before the machine stops it may have gone on to reset."""

SHUTDOWNS: dict[str, End] = {"guest-reset": End.RESET, "guest-panic": End.PANICKED}
"""Reasons of QMP's SHUTDOWN; any other is a plain shutdown."""


def classify(status: str, shutdown_reason: str) -> End | None:
    """The end that a QMP run state means; None while the machine runs or is only paused."""
    if status == "shutdown":
        return SHUTDOWNS.get(shutdown_reason, End.SHUTDOWN)
    return STOPPED.get(status)


@dataclass(frozen=True, slots=True)
class Crash:
    """Why a guest ended. kind is a stable word; words and remedy are for people."""

    kind: str
    words: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.words}. {self.remedy}" if self.remedy else self.words


REPORT_BUG = "Its image is at fault, or was given a damaged state; `edgeagent crash show` has what is left"
TCG_OFFERED = 'Set accelerator = "tcg" for this unit, or "auto" to have the probe choose'
OVER_LIMIT = "Its image, or QEMU, is at fault: an honest guest stays within its memory"

# What QEMU says on stderr when it can't start, and what that means. First match counts.
_STDERR: tuple[tuple[str, str, str, str], ...] = (
    (
        r"Could not access KVM kernel module: (.*)|failed to initialize kvm: (.*)",
        "kvm-unavailable",
        "QEMU can't use KVM: {0}",
        TCG_OFFERED,
    ),
    (r"invalid accelerator kvm(.*)", "kvm-unavailable", "this QEMU is built without KVM{0}", TCG_OFFERED),
    (
        r"failed to set MSR (\S+)",
        "kvm-cpu",
        "this KVM doesn't know register {0} of the chosen CPU",
        TCG_OFFERED,
    ),
    (
        r"KVM internal error[.,]? *(.*)",
        "internal-error",
        "KVM couldn't run an instruction of the guest ({0})",
        TCG_OFFERED,
    ),
    (
        r"(?:could not load kernel|Unable to load kernel|invalid kernel header|linux kernel too old)(.*)",
        "image",
        "QEMU can't load the image{0}",
        "Check it with `edgeagent image inspect`",
    ),
    (
        r"cannot set up guest memory|unable to map backing store|Cannot allocate memory(.*)",
        "memory",
        "there is no memory for this guest",
        "Lower the unit's memory, or stop another",
    ),
)

_SIGNALS = {
    "SIGKILL": "Short of memory? See `dmesg`",
    "SIGSYS": "QEMU's sandbox refused a system call: its build doesn't get along with -sandbox",
    "SIGXFSZ": "QEMU tried to write a file, which its jail doesn't allow",
}
"""What a signal hints at."""


def explain(ending: Ending, accelerator: Accelerator, panic: str = "") -> Crash:
    """panic: the record in the guest's log ring, "" where there is none."""
    if ending.limit:
        return Crash("over-limit", f"QEMU went over its limit: {ending.limit}", OVER_LIMIT)
    if panic:
        return Crash("panicked", f"the guest gave up: {panic}", REPORT_BUG)
    for pattern, kind, words, remedy in _STDERR:
        if found := re.search(pattern, ending.stderr):
            detail = next((group.strip() for group in found.groups() if group), "")
            return Crash(kind, words.format(detail).replace(" ()", ""), remedy)
    last = ending.stderr.strip().rsplit("\n", 1)[-1]
    match ending.end:
        case End.INTERNAL_ERROR if accelerator is Accelerator.KVM:
            return Crash("internal-error", "KVM couldn't run an instruction of the guest", TCG_OFFERED)
        case End.SIGNALLED:
            return Crash("vmm-killed", f"QEMU was ended by {ending.signal}", _SIGNALS.get(ending.signal, ""))
        case End.EXITED:
            said = f": {last}" if last else ", and said nothing"
            return Crash("vmm-exited", f"QEMU ended with status {ending.status}{said}", "")
        case End.RESET:
            return Crash(
                "guest-reset",
                "the guest's CPU reset itself, without a panic record (triple fault)",
                REPORT_BUG,
            )
        case End.PANICKED:
            return Crash("panicked", "the guest panicked, and left no record", REPORT_BUG)
    return Crash(str(ending.end), f"the machine ended: {ending.end}", REPORT_BUG)
