"""Core: rows of summaries as CSV lines and as SenML (RFC 8428). Text in pieces, so that a year needs no memory."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

Row = Mapping[str, Any]

COLUMNS = (
    "board", "unit", "epoch", "out", "source", "field", "measure", "start", "start_ms", "length_ms", "count",
    "min", "max", "sum", "mean", "variance", "first", "last", "sq", "quantiles", "error", "skipped", "flags",
)  # fmt: skip
"""Of the CSV. start is ISO 8601 in UTC; mean and variance are doubles, the other numbers exact."""

ABSOLUTE_FROM_S = 1 << 28
"""SenML takes smaller times for relative ones (RFC 8428, 4.5.3)."""
STATISTICS = ("mean", "min", "max", "first", "last")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UNSAFE = re.compile(r"[^A-Za-z0-9\-./_]")


def iso(ms: int) -> str:
    """ISO 8601 in UTC with milliseconds; beyond the calendar the number itself."""
    try:
        return (_EPOCH + timedelta(milliseconds=ms)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    except OverflowError:
        return str(ms)


def csv_lines(rows: Iterable[Row]) -> Iterator[str]:
    """A line of names, then one line for each row (RFC 4180)."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)

    def line(values: Iterable[Any]) -> str:
        writer.writerow(values)
        text = buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()
        return text

    yield line(COLUMNS)
    for row in rows:
        yield line(iso(row["start_ms"]) if name == "start" else row[name] for name in COLUMNS)


def senml_name(text: str) -> str:
    """The text in SenML's alphabet (RFC 8428, 4.5.1); any other byte, and the colon, as :XX."""
    return _UNSAFE.sub(lambda match: "".join(f":{byte:02X}" for byte in match[0].encode()), text)


def _records(row: Row) -> list[dict[str, Any]]:
    """A base name and time, then one record for each statistic; numbers are the nearest doubles."""
    path = [row["board"], row["unit"], row["source"], row["field"]]
    base = {"bn": "/".join(senml_name(part) for part in path if part) + "/", "bt": row["start_ms"] / 1000}
    numbers = [(name, float(row[name])) for name in STATISTICS if row[name] is not None]
    unit = {"u": row["measure"]} if row["measure"] else {}
    records = [{"n": name, **unit, "v": number} for name, number in numbers if math.isfinite(number)]
    records.append({"n": "count", "u": "count", "v": row["count"]})
    return [base | records[0], *records[1:]]


def senml_lines(rows: Iterable[Row]) -> Iterator[str]:
    """One SenML JSON pack, a summary on each line. Windows before 1978 can't be said in SenML and are left out."""
    separator = "["
    for row in rows:
        if row["start_ms"] < ABSOLUTE_FROM_S * 1000:
            continue
        yield separator + ",".join(json.dumps(one, separators=(",", ":")) for one in _records(row))
        separator = ",\n"
    yield "]\n" if separator != "[" else "[]\n"
