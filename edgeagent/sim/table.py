"""Time series in text tables: lines in, rows of exact numbers out; whatever is wrong names its line."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation

from edgeagent.errors import ConfigError, DamagedError

MAX_LINE = 65_536
"""Characters; a longer one is no line of a table."""
WILDCARDS = "+#\0"
"""What a topic to publish to mustn't have."""
SCALES = {"ms": 0, "s": 3}
"""Decimal places from the unit to ms."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How to read a table.

    ``columns``: names, empty where the first line has them; ``time``: columns that hold the time, joined by a space;
    ``time_unit``: ms, s, iso or a strptime format (UTC where it has no zone); ``fields``: columns with numbers, empty
    for all but time and ``labels``; ``labels``: columns that name the source; ``missing``: texts that stand for
    nothing, as is an empty one; ``decimal``: the decimal mark.
    """

    time: tuple[str, ...]
    time_unit: str = "iso"
    columns: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    missing: frozenset[str] = frozenset()
    delimiter: str = ","
    decimal: str = "."


@dataclass(frozen=True, slots=True)
class Row:
    """One line: its number, event time in ms since 1970, the labels, and what it has of the fields."""

    line: int
    time: int
    labels: Mapping[str, str]
    numbers: Mapping[str, Decimal]


def rows(lines: Iterable[str], layout: Layout, where: str) -> Iterator[Row]:
    """Read a table. ConfigError for a column that isn't there, DamagedError for a line that can't be read."""
    reader = csv.reader(
        _bounded(lines, where), delimiter=layout.delimiter, skipinitialspace=True, strict=True
    )
    names: Sequence[str] = layout.columns
    fields: Sequence[str] = ()
    try:
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if not names:
                names = [cell.strip() for cell in cells]
                continue
            fields = fields or _fields(layout, names, where)
            yield _row(
                dict(zip(names, map(str.strip, cells), strict=False)), layout, fields, where, reader.line_num
            )
    except csv.Error as error:
        raise DamagedError(f"no line of a table: {error}", where=f"{where}:{reader.line_num}") from None


def _bounded(lines: Iterable[str], where: str) -> Iterator[str]:
    for number, line in enumerate(lines, 1):
        if len(line) > MAX_LINE:
            raise DamagedError(f"longer than {MAX_LINE} characters", where=f"{where}:{number}")
        yield line


def _fields(layout: Layout, names: Sequence[str], where: str) -> Sequence[str]:
    for wanted in (*layout.time, *layout.labels, *layout.fields):
        if wanted not in names:
            raise ConfigError(
                f"there is no column {wanted}", where=where, remedy=f"Columns: {', '.join(names)}."
            )
    kept = {*layout.time, *layout.labels, ""}
    return layout.fields or [name for name in names if name not in kept]


def _row(cells: Mapping[str, str], layout: Layout, fields: Sequence[str], where: str, line: int) -> Row:
    place = f"{where}:{line}"
    absent = [name for name in (*layout.time, *layout.labels) if not cells.get(name)]
    if absent:
        raise DamagedError(f"nothing in column {absent[0]}", where=place)
    stamp = " ".join(cells[name] for name in layout.time)
    numbers = {}
    for name in fields:
        cell = cells.get(name, "")
        if cell and cell not in layout.missing:
            numbers[name] = _number(cell.replace(layout.decimal, "."), f"{place}: column {name}")
    return Row(line, _time(stamp, layout, place), {name: cells[name] for name in layout.labels}, numbers)


def _number(text: str, where: str) -> Decimal:
    try:
        number = Decimal(text)
    except InvalidOperation:
        number = Decimal("nan")
    if not number.is_finite():
        raise DamagedError(
            f"{text!r} is no number", where=where, remedy="If it stands for nothing: --missing."
        )
    return number


def _time(text: str, layout: Layout, where: str) -> int:
    unit = layout.time_unit
    try:
        if unit in SCALES:
            return int(Decimal(text).scaleb(SCALES[unit]).to_integral_value())
        # A time without a zone is UTC, which is set below.
        parsed = datetime.fromisoformat(text) if unit == "iso" else datetime.strptime(text, unit)  # noqa: DTZ007
    except (ValueError, ArithmeticError):
        raise DamagedError(f"{text!r} is no time in {layout.time_unit}", where=where) from None
    parsed = parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
    return round(parsed.timestamp() * 1000)


def template_labels(topic: str) -> tuple[str, ...]:
    """The columns that a topic such as room/{node} names."""
    return tuple(dict.fromkeys(re.findall(r"\{([^{}]+)\}", topic)))


def filled(topic: str, labels: Mapping[str, str]) -> str:
    """The topic of a row. ConfigError when nobody can publish to it (MQTT 5, 4.7.1)."""
    found = re.sub(r"\{([^{}]+)\}", lambda match: labels[match[1]], topic)
    if not found or set(found) & set(WILDCARDS):
        raise ConfigError(
            f"{found!r:.70} can't be published to", where="--topic", remedy="A topic has neither + nor #."
        )
    return found
