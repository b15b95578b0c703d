"""Holds what a collector stored against the truth: exactly, but for quantiles, which have a bound."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Protocol

from .faults import REASONS
from .truth import Series, Total, Window, total

MOST_ERROR = 10
"""Per mille: the relative error that quantiles may have (issue: at most 1 %)."""


class Row(Protocol):
    """A stored summary; wire.messages.Summary is one. Meaning and units as in edge.cddl."""

    @property
    def source(self) -> str: ...  # noqa: D102
    @property
    def field(self) -> str: ...  # noqa: D102
    @property
    def unit(self) -> str: ...  # noqa: D102
    @property
    def start(self) -> int: ...  # noqa: D102
    @property
    def length(self) -> int: ...  # noqa: D102
    @property
    def count(self) -> int: ...  # noqa: D102
    @property
    def min(self) -> Decimal: ...  # noqa: D102
    @property
    def max(self) -> Decimal: ...  # noqa: D102
    @property
    def sum(self) -> Decimal: ...  # noqa: D102
    @property
    def first(self) -> Decimal: ...  # noqa: D102
    @property
    def last(self) -> Decimal: ...  # noqa: D102
    @property
    def sq(self) -> Decimal: ...  # noqa: D102
    @property
    def quantiles(self) -> tuple[Decimal, ...]: ...  # noqa: D102
    @property
    def error(self) -> int: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Difference:
    """One disagreement. ``kind``: missing, extra, doubled, or what is wrong; start is None for totals."""

    kind: str
    series: Series
    start: int | None
    expected: str
    found: str

    def __str__(self) -> str:
        source, field, unit = self.series
        where = f"{source} {field or '(bare)'}{f' [{unit}]' if unit else ''}"
        window = "" if self.start is None else f" window {self.start}"
        return f"{self.kind}: {where}{window}: expected {self.expected}, found {self.found}"


def compare(
    windows: Iterable[Window], totals: Iterable[Total], rows: Iterable[Row], ranks: tuple[int, ...]
) -> list[Difference]:
    """All differences, in the order of the truth. ranks: the quantiles (per mille) that rows carry, in order."""
    found: dict[Series, dict[int, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        found[row.source, row.field, row.unit][row.start].append(row)
    differences: list[Difference] = []
    for window in windows:
        differences += _window(window, found[window.series].pop(window.start, []), ranks)
    for one in totals:
        differences += _total(one, [row for same in found.pop(one.series, {}).values() for row in same])
    for series, starts in found.items():
        for start, same in starts.items():
            differences.append(Difference("extra", series, start, "no such window", f"count {same[0].count}"))
    return differences


def _window(window: Window, rows: list[Row], ranks: tuple[int, ...]) -> Iterator[Difference]:
    def differs(kind: str, expected: object, got: object) -> Difference:
        return Difference(kind, window.series, window.start, str(expected), str(got))

    if not rows:
        yield differs("missing", f"count {window.count}", "nothing")
        return
    if len(rows) > 1:
        yield differs("doubled", "one", " and ".join(f"count {row.count}" for row in rows))
        return
    row = rows[0]
    for name in ("length", "count", "min", "max", "sum", "last"):
        expected, got = getattr(window, name), getattr(row, name)
        if expected != got:
            yield differs(name, expected, got)
    variance = Fraction(row.sq) / row.count - (Fraction(row.sum) / row.count - Fraction(row.first)) ** 2
    if variance != window.variance:
        yield differs("variance", float(window.variance), float(variance))
    if row.error > MOST_ERROR:
        yield differs("quantile error", f"at most {MOST_ERROR} per mille", row.error)
    for rank, got in zip(ranks, row.quantiles, strict=True):
        expected = window.quantiles[rank]
        if abs(got - expected) * 1000 > abs(expected) * row.error:
            yield differs(f"quantile {rank}", f"{expected} within {row.error} per mille", got)


def _total(one: Total, rows: list[Row]) -> Iterator[Difference]:
    if not rows:
        yield Difference("missing", one.series, None, f"count {one.count}", "nothing")
        return
    if len({row.start for row in rows}) != len(rows):
        yield Difference("doubled", one.series, None, "one row for each window", f"{len(rows)} rows")
    facts = {
        "count": (one.count, sum(row.count for row in rows)),
        "min": (one.min, min(row.min for row in rows)),
        "max": (one.max, max(row.max for row in rows)),
        "sum": (one.sum, total(row.sum for row in rows)),
    }
    for name, (expected, got) in facts.items():
        if expected != got:
            yield Difference(name, one.series, None, str(expected), str(got))


def compare_faults(faults: Mapping[str, int], reasons: Mapping[str, int]) -> list[str]:
    """What differs between the faults sent (by class) and the reasons reported (edge.cddl's words), in words.

    Reasons of no class, such as late, must not be there at all.
    """
    classes = {reason: name for name, words in REASONS.items() for reason in words}
    reported: Counter[str] = Counter()
    for reason, count in reasons.items():
        reported[classes.get(reason, reason)] += count
    return [
        f"{name}: {faults.get(name, 0)} were sent, {reported.get(name, 0)} reported"
        for name in sorted({*faults, *reported})
        if faults.get(name, 0) != reported.get(name, 0)
    ]
