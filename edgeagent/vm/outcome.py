"""Core: what the end of a machine means, as an exit status and in words."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from edgeagent.errors import ConfigError, EnvironmentFaultError, GuestError, ImageError
from edgeagent.vmm.crash import explain
from edgeagent.vmm.port import Accelerator, End, Ending

OK, NO, TIMED_OUT = 0, 1, 124
"""Exit statuses that aren't an error's; 124 is what timeout(1) has."""
SIGNALLED = 128
"""Plus the signal's number: we were told to end."""

WORDS: Mapping[str, End] = {"shutdown": End.SHUTDOWN, "reset": End.RESET, "panic": End.PANICKED}
"""Ends that an exit map may name."""


class Stop(enum.StrEnum):
    """Why we stopped attending. The first of two that come together counts."""

    SIGNAL = "signal"
    QUIT = "quit"
    EXPECTED = "expected"
    FLOODED = "flooded"
    UNREAD = "unread"
    ENDED = "ended"
    TIMEOUT = "timeout"


@dataclass(frozen=True, slots=True)
class ExitMap:
    """What ends mean to whoever runs the image, before anything else."""

    statuses: Mapping[int, int] = field(default_factory=dict)
    ends: Mapping[End, int] = field(default_factory=dict)

    def find(self, ending: Ending) -> int | None:
        """Our exit status, None where nothing is said."""
        if ending.end is End.EXITED and ending.status is not None:
            return self.statuses.get(ending.status)
        return self.ends.get(ending.end)


def exit_map(text: str) -> ExitMap:
    """Read "83=0,3=7,reset=0": the VMM's exit status or a word, and what it becomes. ConfigError in one line."""
    statuses: dict[int, int] = {}
    ends: dict[End, int] = {}
    for pair in text.split(","):
        left, _, right = (part.strip() for part in pair.partition("="))
        if (
            not right.isdecimal()
            or int(right) > 255
            or not (left in WORDS or (left.isdecimal() and int(left) <= 255))
        ):
            raise ConfigError(
                f"{pair.strip()!r} is no part of an exit map",
                remedy=f"Write it as 83=0,reset=0: a status up to 255 or one of {', '.join(WORDS)}, and a status",
            )
        if left in WORDS:
            ends[WORDS[left]] = int(right)
        else:
            statuses[int(left)] = int(right)
    return ExitMap(statuses, ends)


@dataclass(frozen=True, slots=True)
class Outcome:
    """status: our exit status; kind: a stable word."""

    status: int
    kind: str
    words: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.words}. {self.remedy}" if self.remedy else self.words


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was asked for. vmm: its program's name; timeout in seconds, 0 for none."""

    vmm: str
    accelerator: Accelerator | None
    expect: str = ""
    timeout_s: float = 0.0
    exits: ExitMap = field(default_factory=ExitMap)


def judge(stop: Stop, ending: Ending | None, wanted: Wanted, signal: int = 0) -> Outcome:
    """ending: where stop is ENDED; signal: its number where stop is SIGNAL."""
    missing = f"without {wanted.expect!r}"
    match stop:
        case Stop.EXPECTED:
            return Outcome(OK, "expected", "the expected text was seen")
        case Stop.TIMEOUT:
            lacking = f" {missing}" if wanted.expect else ""
            return Outcome(TIMED_OUT, "timeout", f"still running after {wanted.timeout_s:g} s{lacking}")
        case Stop.FLOODED:
            return Outcome(GuestError.exit_code, "flooded", "it printed more than --output-limit allows")
        case Stop.QUIT:
            return Outcome(NO if wanted.expect else OK, "quit", "ended from the keyboard")
        case Stop.UNREAD:
            return Outcome(NO if wanted.expect else OK, "unread", "nobody reads its console any more")
        case Stop.SIGNAL:
            return Outcome(SIGNALLED + signal, "interrupted", "told to end")
    if ending is None:
        raise ValueError("an end without its evidence")
    mapped = wanted.exits.find(ending)
    if mapped is not None:
        return Outcome(mapped, "mapped", f"{_how(ending, wanted)}, which --exit-map makes {mapped}")
    if ending.end is End.SHUTDOWN or (ending.end is End.EXITED and ending.status == 0):
        if wanted.expect:
            return Outcome(NO, "unexpected", f"it shut down {missing}")
        return Outcome(OK, "shutdown", "it shut down")
    return _failure(ending, wanted)


def _how(ending: Ending, wanted: Wanted) -> str:
    if ending.end is End.EXITED:
        return f"{wanted.vmm} ended with status {ending.status}"
    return f"the machine ended ({ending.end})"


_TCG = "Run it with --accel tcg"
_KINDS: Mapping[str, tuple[int, str]] = {
    "internal-error": (GuestError.exit_code, _TCG),
    "kvm-unavailable": (EnvironmentFaultError.exit_code, f"{_TCG}, or see `edgeagent probe`"),
    "kvm-cpu": (EnvironmentFaultError.exit_code, f"Give another --cpu, or: {_TCG.lower()}"),
    "image": (ImageError.exit_code, "See `edgeagent image inspect`"),
    "memory": (EnvironmentFaultError.exit_code, "Give less --memory"),
}
"""Kind of a crash: our exit status and what to do. Any other is the guest's failure."""

SOLO5_ABORT = 255
"""solo5.h: SOLO5_EXIT_ABORT."""
QEMU_REFUSES = 1
"""QEMU's status when it can't do what its arguments say."""


def _failure(ending: Ending, wanted: Wanted) -> Outcome:
    solo5 = wanted.vmm.startswith("solo5-")
    last = _complaint(ending.stderr)
    if ending.end is End.EXITED and solo5:
        if ending.status == SOLO5_ABORT:
            return Outcome(GuestError.exit_code, "aborted", "the guest aborted")
        return Outcome(
            GuestError.exit_code,
            "exited",
            f"{_how(ending, wanted)}{f': {last}' if last else ''}",
            _hint(ending),
        )
    told = explain(ending, wanted.accelerator or Accelerator.TCG)
    if told.kind == "vmm-exited":
        if last and ending.status == QEMU_REFUSES:
            # A guest that ends it by a device leaves it nothing to say.
            return Outcome(EnvironmentFaultError.exit_code, "refused", f"{_how(ending, wanted)}: {last}")
        return Outcome(GuestError.exit_code, "exited", f"{_how(ending, wanted)}", _hint(ending))
    if told.kind == str(End.RESET):
        return Outcome(
            GuestError.exit_code,
            "guest-reset",
            "the guest's CPU was reset: it crashed (on x86, a triple fault), or asked for a restart",
            "If that is how it ends, give --exit-map reset=0",
        )
    words = "the guest panicked" if told.kind == "panicked" else told.words
    status, remedy = _KINDS.get(told.kind, (GuestError.exit_code, ""))
    return Outcome(status, told.kind, words, remedy)


def _complaint(stderr: str) -> str:
    """The last line that isn't only a warning."""
    lines = [line for line in stderr.splitlines() if line.strip() and "warning:" not in line]
    return lines[-1].strip() if lines else ""


def _hint(ending: Ending) -> str:
    return f"If that is success, give --exit-map {ending.status}=0"
