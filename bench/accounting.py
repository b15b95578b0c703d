"""CPU time and memory of processes, their children included, from /proc."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")


def _stat(pid: int) -> tuple[str, list[str]]:
    """Name and the fields from the state on (proc(5): field 3 is the first)."""
    text = Path(f"/proc/{pid}/stat").read_text()
    return text[text.index("(") + 1 : text.rindex(")")], text[text.rindex(")") + 2 :].split()


def family(pid: int) -> list[int]:
    """The process and its descendants that live."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents.setdefault(int(_stat(int(entry.name))[1][1]), []).append(int(entry.name))
            except (OSError, ValueError):
                continue  # it ended while we looked
    found = [pid]
    for one in found:
        found += parents.get(one, [])
    return found


def name(pid: int) -> str:
    """Of the program, as the kernel knows it (15 characters)."""
    return _stat(pid)[0]


def cpu_seconds(pid: int) -> float:
    """User and system time of one process, all its threads, without children."""
    fields = _stat(pid)[1]
    return (int(fields[11]) + int(fields[12])) / TICK


def memory(pid: int) -> dict[str, int]:
    """rss, pss and anonymous memory in KiB."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return {
        key.lower(): int(number)
        for key, number in re.findall(r"^(Rss|Pss|Anonymous):\s+(\d+) kB", text, re.MULTILINE)
    }


def children_named(pid: int, start: str) -> list[int]:
    """Descendants whose name begins with ``start``."""
    return [one for one in family(pid) if one != pid and name(one).startswith(start)]


@dataclass(slots=True)
class Meter:
    """CPU seconds of named processes since ``begin``."""

    pids: dict[str, int]
    _began: dict[str, float]

    @classmethod
    def begin(cls, pids: dict[str, int]) -> Meter:
        """From now on."""
        return cls(pids, {who: cpu_seconds(pid) for who, pid in pids.items()})

    def seconds(self) -> dict[str, float]:
        """Until now."""
        return {who: cpu_seconds(pid) - self._began[who] for who, pid in self.pids.items()}
