"""Which board a probed machine is, and what it has beside its processor, in words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from rich.text import Text

from edgeagent.boards import library
from edgeagent.boards.facts import Cgroup, Facts, Rtc, facts, identify
from edgeagent.boards.here import completed
from edgeagent.boards.seen import Seen, seen
from edgeagent.probe.report import Report
from edgeagent.vmm.cgroup import refusal


def with_board(report: Report, *, live: bool) -> Report:
    """The report with the board's name and what it has, from the files that it rests on. live: of this machine."""
    system = report.evidence.system
    identity = identify(system.documents, system.image_arch or system.arch, little=system.little)
    found = facts(system.documents)
    if live:
        found = completed(found, system.documents, delegated=not refusal())
    return replace(report, board=seen(identity, library.recognise(identity)), facts=found)


def board(found: Seen) -> str:
    """Its name, what people call it, and what it was recognised by."""
    match = found.match
    return f"{found.name}: {match.profile.board.title} ({match.by})" if match else found.name or "not known"


def rows(report: Report) -> Iterator[tuple[str, Text]]:
    """What the profile gives, what else there is, and a note when the verdict isn't the expected one."""
    if report.board.match:
        given = ", ".join(
            f"{table}.{setting} {value}"
            for table, values in report.board.match.profile.defaults.items()
            for setting, value in values.items()
        )
        yield "profile", Text(f"gives {given} where the configuration doesn't say")
    yield "beside", Text("; ".join(_beside(report.facts)))
    if warning := report.board.warning(report.verdict.answer, report.verdict.reason):
        yield "note", Text(warning, style="yellow")


def _beside(found: Facts) -> Iterator[str]:
    yield _groups(found.cgroup)
    yield _clock(found.rtc)
    if found.clock_synchronised is not None:
        yield "time synchronised" if found.clock_synchronised else "time not synchronised"
    yield f"TPM {found.tpm}" if found.tpm else "no TPM seen"


def _groups(found: Cgroup | None) -> str:
    if found is None:
        return "control groups not known"
    may = {True: ", delegated", False: ", not delegated", None: ""}[found.delegated]
    return f"control groups {found.version} ({' '.join(found.controllers) or 'no controllers'}{may})"


def _clock(found: Rtc | None) -> str:
    if found is None:
        return "clock chip not known"
    return f"clock chip {found.name}".rstrip() if found.present else "no clock chip"
