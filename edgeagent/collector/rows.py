"""Core: summaries and reports as database rows and back. Exact decimals are text; mean and variance are doubles."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from decimal import Context, Decimal
from typing import Any

from edgeagent.wire.messages import Report, Summary

EXACT = Context(prec=400)
"""Digits that hold every product and sum below exactly."""
QUOTIENT = Context(prec=60)
"""Digits of a quotient, far beyond a double's 17."""
PLAIN_EXPONENTS = range(-30, 31)

Row = dict[str, Any]


def exact_text(value: Decimal) -> str:
    """The decimal without loss: plain digits where that is short, else with an exponent."""
    text = str(value)
    return format(value, "f") if "E" in text and value.as_tuple().exponent in PLAIN_EXPONENTS else text


def _double(value: Decimal) -> float | None:
    """The nearest double; None where it would be infinite."""
    number = float(value)
    return number if math.isfinite(number) else None


def stored_text(value: str) -> str:
    """A name as PostgreSQL can hold it: NUL, which JSON keys may contain, becomes its symbol."""
    return value.replace("\0", "\u2400")


def mean(said: Summary) -> float | None:
    """The mean, sum / count, rounded once."""
    return _double(QUOTIENT.divide(said.sum, Decimal(said.count)))


def variance(said: Summary) -> float | None:
    """Population variance sq/n - (sum/n - first)^2, rounded once; never below zero."""
    count = Decimal(said.count)
    shift = EXACT.subtract(said.sum, EXACT.multiply(count, said.first))
    above = EXACT.subtract(EXACT.multiply(count, said.sq), EXACT.multiply(shift, shift))
    return (
        max(0.0, number) if (number := _double(QUOTIENT.divide(above, count * count))) is not None else None
    )


def summary_row(said: Summary) -> Row:
    """All values of a summary, its batch's head apart."""
    return {
        "out": said.out,
        "seq": said.seq,
        "source": stored_text(said.source),
        "field": stored_text(said.field),
        "measure": stored_text(said.unit),
        "start_ms": said.start,
        "length_ms": said.length,
        "count": said.count,
        "min": exact_text(said.min),
        "max": exact_text(said.max),
        "sum": exact_text(said.sum),
        "first": exact_text(said.first),
        "last": exact_text(said.last),
        "sq": exact_text(said.sq),
        "mean": mean(said),
        "variance": variance(said),
        "quantiles": json.dumps([exact_text(one) for one in said.quantiles]),
        "error": said.error,
        "skipped": said.skipped,
        "flags": said.flags,
    }


def report_row(said: Report) -> Row:
    """All values of a report, its batch's head apart."""
    return {
        "out": said.out,
        "seq": said.seq,
        "start_ms": said.start,
        "length_ms": said.length,
        "payloads": said.payloads,
        "values": said.values,
        "reasons": json.dumps({str(reason): count for reason, count in sorted(said.reasons.items())}),
    }


def summary_of(row: Mapping[str, Any]) -> Summary:
    """The summary that a row was made from."""
    return Summary(
        row["out"],
        row["seq"],
        row["source"],
        row["field"],
        row["measure"],
        row["start_ms"],
        row["length_ms"],
        row["count"],
        Decimal(row["min"]),
        Decimal(row["max"]),
        Decimal(row["sum"]),
        Decimal(row["first"]),
        Decimal(row["last"]),
        Decimal(row["sq"]),
        tuple(map(Decimal, json.loads(row["quantiles"]))),
        row["error"],
        row["skipped"],
        row["flags"],
    )
