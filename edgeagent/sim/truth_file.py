"""The truth as a file of JSON lines: one window or total on each, numbers as text so that they stay exact."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from edgeagent.errors import DamagedError

from .truth import Total, Truth, Window

VERSION = 1


@dataclass(frozen=True, slots=True)
class Told:
    """A truth read back. Counts are of all messages sent; faults by class (faults.py)."""

    windows: list[Window]
    totals: list[Total]
    payloads: int
    values: int
    faults: dict[str, int]


def window_line(window: Window) -> str:
    """One line, without its end."""
    numbers = {name: str(getattr(window, name)) for name in ("min", "max", "sum", "squares", "last")}
    quantiles = {str(rank): str(number) for rank, number in window.quantiles.items()}
    whole = {"start": window.start, "length": window.length, "count": window.count}
    return json.dumps(
        {"window": window.series, **whole, **numbers, "quantiles": quantiles}, ensure_ascii=False
    )


def end_lines(truth: Truth) -> Iterable[str]:
    """The totals, then the line that says that the file is whole."""
    for one in truth.totals():
        numbers = {name: str(getattr(one, name)) for name in ("min", "max", "sum")}
        yield json.dumps({"total": one.series, "count": one.count, **numbers}, ensure_ascii=False)
    counts = {"payloads": truth.payloads, "values": truth.values, "faults": truth.faults}
    yield json.dumps({"end": VERSION, **counts})


def _numbers(row: dict[str, Any], *names: str) -> dict[str, Decimal]:
    return {name: Decimal(row[name]) for name in names}


def told(lines: Iterable[str], where: str) -> Told:
    """Read a file's lines. DamagedError unless it is whole."""
    windows, totals = [], []
    try:
        for line in lines:
            row = json.loads(line)
            if "window" in row:
                exact = _numbers(row, "min", "max", "sum", "squares", "last")
                ranks = {int(rank): Decimal(number) for rank, number in row["quantiles"].items()}
                series = tuple(row["window"])
                windows.append(
                    Window(series, row["start"], row["length"], row["count"], **exact, quantiles=ranks)
                )
            elif "total" in row:
                totals.append(Total(tuple(row["total"]), row["count"], **_numbers(row, "min", "max", "sum")))
            elif row["end"] == VERSION:
                return Told(windows, totals, row["payloads"], row["values"], row["faults"])
    except (ValueError, KeyError, TypeError, ArithmeticError) as error:
        raise DamagedError(f"no truth file: {error!r}", where=where) from error
    raise DamagedError("the truth file has no end", where=where, remedy="Was the simulator stopped by force?")
