"""Crashes as people and programs read them."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable
from dataclasses import asdict
from itertools import islice
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from edgeagent.crash.case import Case
from edgeagent.crash.inputs import Input, inputs
from edgeagent.crash.player import Verdict
from edgeagent.crash.record import Record
from edgeagent.guest.ring import plain as clean
from edgeagent.quantities import show_size
from edgeagent.vmm.crash import REPORT_BUG

EXCERPT = 60
"""Bytes of a payload that are shown."""
__all__ = ["clean", "digest", "outcome", "page", "summary", "table", "verdict", "whole"]


def digest(data: bytes) -> str:
    """SHA-256, as records have it."""
    return hashlib.sha256(data).hexdigest()


def _when(ms: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(min(ms, 1 << 45) / 1000))


def _unit(record: Record) -> str:
    return clean(f"{record.unit}/{record.instance}" if record.instance else record.unit)


def _times(record: Record) -> str:
    return "once" if record.times == 1 else f"{record.times:,} times"


# ---- for programs ------------------------------------------------------------------------------------------------


def summary(record: Record) -> dict[str, Any]:
    """A row of the list. Times are ms since 1970."""
    return {
        "id": record.number,
        "unit": record.unit,
        "instance": record.instance,
        "kind": record.kind,
        "words": record.words,
        "times": record.times,
        "first_ms": record.first_ms,
        "last_ms": record.last_ms,
        "app": record.app,
        "build_id": record.image.build_id,
        "bytes": sum(part.bytes for part in record.parts.values()),
    }


def whole(case: Case, most: int) -> dict[str, Any]:
    """The record, and so many of the inputs that were with the guest; payloads and topics are hexadecimal."""
    return {**asdict(case.record), "inputs": [_input(one) for one in _with_guest(case, most)]}


def _input(one: Input) -> dict[str, Any]:
    found: dict[str, Any] = {"seq": one.seq, "time_ms": one.time_ms, "kind": one.kind}
    if one.reading:
        found |= {"topic": one.reading.topic.hex(), "payload": one.reading.payload.hex()}
    return found


def outcome(record: Record, found: Verdict, one: Input | None, accelerator: str) -> dict[str, Any]:
    """What a replay found. first and last are 0 where the guest didn't end."""
    return {
        "crash": record.number,
        "reproduced": found.reproduced,
        "words": found.words,
        "kind": found.crash.kind if found.crash else "",
        "first": found.first,
        "last": found.last,
        "accelerator": accelerator,
        "input": _input(one) if one else None,
    }


# ---- for people --------------------------------------------------------------------------------------------------


def table(records: Iterable[Record]) -> Table:
    """One row each."""
    shown = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("ID", "LAST SEEN (UTC)", "UNIT", "TIMES", "KIND"):
        shown.add_column(name, no_wrap=True, justify="right" if name in ("ID", "TIMES") else "left")
    shown.add_column("WHAT", overflow="fold")
    for one in records:
        what = Text(clean(one.words))
        shown.add_row(
            str(one.number), _when(one.last_ms), _unit(one), f"{one.times:,}", clean(one.kind), what
        )
    return shown


def page(case: Case, most: int) -> Group:
    """Everything there is to read of a crash."""
    record, machine, image, left = case.record, case.record.machine, case.record.image, case.record.left
    head = Text.assemble(
        (f"crash {record.number}", "bold"),
        f"  unit {_unit(record)}, {clean(record.kind)}, seen {_times(record)}, last {_when(record.last_ms)} UTC",
    )
    rows: list[tuple[str, str]] = [("", record.words)]
    # That remedy points here.
    if record.remedy and record.remedy != REPORT_BUG:
        rows.append(("to do", record.remedy))
    kept = "kept" if image.kept else "not kept: too large, or its file was another one by then"
    rows += [
        (
            "image",
            f"{record.app} {record.version}, build {image.build_id[:16]}, {show_size(image.bytes)}, {kept}",
        ),
        (
            "ran on",
            f"{machine.arch}, {machine.accelerator}, {show_size(machine.memory)}, {_programs(record)}",
        ),
    ]
    if left.end:
        status = "" if left.status is None else f", status {left.status}"
        rows.append(("machine", f"{left.end}{status}{f', {left.signal}' if left.signal else ''}"))
    rows += [("event", event) for event in left.events]
    rows += [("stderr", line) for line in left.stderr.splitlines()]
    rows += [("log", line) for line in record.log]
    rows += [("input", _given(record)), ("replay", _kept(record))]
    facts = _facts(rows)
    known = list(_with_guest(case, most))
    parts: list[RenderableType] = [head, Padding(facts, (0, 0, 0, 2))]
    if known:
        parts += [Text(), Padding(_inputs(known), (0, 0, 0, 2))]
        if left_out := record.given - known[-1].seq:
            found = f"`edgeagent crash replay {record.number}` finds the one at which it ended"
            parts.append(Text(f"  and {left_out:,} more (--inputs); {found}", style="dim"))
    return Group(*parts)


def _programs(record: Record) -> str:
    vmm = f"VMM {record.machine.vmm}, " if record.machine.vmm else ""
    return f"{vmm}edgeagent {record.agent}"


def _facts(rows: list[tuple[str, str]]) -> Table:
    facts = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column(overflow="fold")
    last = ""
    for name, words in rows:
        facts.add_row("" if name == last else name, Text(clean(words)))
        last = name
    return facts


def _given(record: Record) -> str:
    if record.given <= record.acked:
        return f"nothing was with the guest; it had taken everything through {record.acked:,}"
    return f"{record.acked + 1:,} to {record.given:,} was with the guest when it ended"


def _kept(record: Record) -> str:
    start = record.start
    if start.fresh:
        words = f"begins anew after input {start.seq:,}: the state before it isn't kept"
    elif start.seq:
        words = f"from the checkpoint after input {start.seq:,}"
    else:
        words = "from the beginning"
    if "input" not in record.parts:
        return f"{words}; no input is kept"
    return f"{words}, {show_size(record.input_bytes)} of input"


def _with_guest(case: Case, most: int) -> Iterable[Input]:
    later = (one for one in inputs(case.parts.get("input", b"")) if one.seq > case.record.acked)
    return islice(later, most)


def _inputs(known: Iterable[Input]) -> Table:
    shown = Table(box=None, padding=(0, 2, 0, 0))
    shown.add_column("INPUT", justify="right", no_wrap=True)
    shown.add_column("ARRIVED (UTC)", no_wrap=True)
    shown.add_column("TOPIC", overflow="fold")
    shown.add_column("PAYLOAD", overflow="fold")
    for one in known:
        when = _when(one.time_ms) if one.time_ms else ""
        if one.reading:
            topic, payload = _escaped(one.reading.topic, 1024), _escaped(one.reading.payload, EXCERPT)
            shown.add_row(str(one.seq), when, Text(topic), Text(payload))
        else:
            shown.add_row(str(one.seq), when, Text(f"({one.kind})", style="dim"), "")
    return shown


def _escaped(data: bytes, most: int) -> str:
    """Text where it is text, escapes where it isn't."""
    text = data[:most].decode("utf-8", "backslashreplace")
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return f"{shown}… ({len(data):,} bytes)" if len(data) > most else shown


def verdict(record: Record, found: Verdict, one: Input | None) -> Group:
    """What a replay found, and what to think of it."""
    colour = "green" if found.reproduced else "yellow"
    said = "reproduced" if found.reproduced else "not reproduced"
    line = Text.assemble(f"crash {record.number}: ", (said, f"bold {colour}"), f": {clean(found.words)}")
    parts: list[RenderableType] = [line]
    if one:
        parts.append(Padding(_inputs([one]), (0, 0, 0, 2)))
    if not found.reproduced:
        parts += [Text(f"  {words}", style="dim") for words in _reasons(record)]
    return Group(*parts)


def _reasons(record: Record) -> Iterable[str]:
    """Why a crash may not come again."""
    if record.left.signal:
        yield f"It was ended from outside ({clean(record.left.signal)}), which no input does."
    if record.start.fresh:
        yield "Its state isn't kept, and perhaps not all input after it: the guest began anew."
    elif record.began < record.start.seq:
        yield (
            f"The guest had run since input {record.began:,}; the replay goes on from its checkpoint after "
            f"{record.start.seq:,}, so what its state doesn't hold isn't there."
        )
    if "input" not in record.parts and record.given > record.start.seq:
        yield "Its input couldn't be read when it ended."
