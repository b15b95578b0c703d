"""What /proc says of a process (core: the texts; shell: reading them). See proc(5)."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from .port import Usage

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
KIB = 1 << 10


@dataclass(frozen=True, slots=True)
class Stat:
    """/proc/PID/stat: seconds of CPU, threads, resident bytes."""

    cpu_s: float
    threads: int
    rss: int


def parse_stat(text: str) -> Stat:
    """The name, in brackets, may hold anything; the field after it is the third. ValueError for what is no stat."""
    fields = text.rpartition(")")[2].split()
    if len(fields) < 22:
        raise ValueError(f"no /proc/PID/stat: {text[:80]!r}")
    user, system, threads, rss = (int(fields[number - 3]) for number in (14, 15, 20, 24))
    return Stat((user + system) / TICKS, threads, rss * PAGE)


def parse_sizes(text: str) -> dict[str, int]:
    """Bytes by name, of lines such as "Pss:  1234 kB" (smaps_rollup, status)."""
    return {name: int(kib) * KIB for name, kib in re.findall(r"^(\w+):\s+(\d+) kB$", text, re.MULTILINE)}


def stat(pid: int) -> Stat | None:
    """None when there is no such process any more."""
    text = _read(pid, "stat")
    return parse_stat(text) if text else None


def usage(pid: int) -> Usage | None:
    """None when there is no such process any more, or only a zombie of it."""
    seen = stat(pid)
    if seen is None or not seen.rss:
        return None
    sizes = parse_sizes(_read(pid, "smaps_rollup"))
    return Usage(seen.cpu_s, sizes.get("Rss", seen.rss), sizes.get("Pss", 0), seen.threads)


def private(pid: int) -> int:
    """Bytes that are this process's own, guest RAM among them; 0 when it is gone."""
    sizes = parse_sizes(_read(pid, "status"))
    return sizes.get("RssAnon", 0) + sizes.get("RssShmem", 0)


def _read(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_text("ascii", "replace")
    except OSError:
        # Ended, or another user's in a kernel without smaps_rollup.
        return ""
