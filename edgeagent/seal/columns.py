"""Summaries side by side: one column per field instead of one array per summary, because alike bytes compress.

Names become indexes into a dictionary; what grows slowly becomes differences from the row above; the numbers of a row
share one exponent and are written as distances from the row's least value. A row's decimals are the protocol's
(firmware-images/protocol/edge.cddl, ``dec``), and come back as equal values in the protocol's normal form.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from itertools import accumulate
from typing import Any

from edgeagent.errors import RemoteProtocolError
from edgeagent.wire.decimals import EXPONENTS, MAX_MANTISSA
from edgeagent.wire.messages import Summary

MAX_ROWS = 10_000
MAX_SPREAD = 18
"""Decimal places between the finest and the coarsest number of a row; a wider row isn't for columns."""

MAX_BITS = 256
"""Of a number in a column: 128 bits and MAX_SPREAD places, times a count, fit. Sums of larger ones would eat memory."""
ZERO = Decimal(0)

Row = Sequence[Any]
"""A summary as edge.cddl has it, decoded."""

_NAMES = (2, 3, 4)
_STEADY = (0, 1, 5, 6, 7, 15, 16, 17)
"""Places of out, seq, start, length, count, error, skipped and flags: kept as differences."""
_MIN, _MAX, _SUM, _FIRST, _LAST, _SQ, _QUANTILES, _COUNT = 8, 9, 10, 11, 12, 13, 14, 7


def _base(row: Row) -> int:
    """The finest exponent of a row's numbers, its sum of squares apart."""
    numbers = [*row[_MIN : _LAST + 1], *row[_QUANTILES]]
    return min((exponent for exponent, mantissa in numbers if mantissa), default=0)


def fits(row: Row) -> bool:
    """Whether the row's numbers are near enough to each other to share an exponent."""
    base = _base(row)
    numbers = [*row[_MIN : _LAST + 1], *row[_QUANTILES]]
    return all(exponent - base <= MAX_SPREAD for exponent, mantissa in numbers if mantissa)


def _differences(values: Sequence[int]) -> list[int]:
    return [value - before for before, value in zip((0, *values), values, strict=False)]


def _dictionary(names: Sequence[str]) -> tuple[list[str], list[int]]:
    known = {name: index for index, name in enumerate(dict.fromkeys(names))}
    return list(known), _differences([known[name] for name in names])


def _numbers(row: Row) -> list[int]:
    """base, min, max, sum, first, last, sq's exponent and mantissa, quantiles: distances where that is smaller."""
    base = _base(row)
    low, high, total, first, last, *quantiles = (
        mantissa * int(10 ** (exponent - base)) if mantissa else 0
        for exponent, mantissa in (*row[_MIN : _LAST + 1], *row[_QUANTILES])
    )
    exponent, mantissa = row[_SQ]
    return [
        base,
        low,
        high - low,
        total - row[_COUNT] * low,
        first - low,
        last - low,
        exponent - 2 * base if mantissa else 0,
        mantissa,
        *(quantile - low for quantile in quantiles),
    ]


def encode(rows: Sequence[Row]) -> list[Any]:
    """CBOR-ready columns of rows that fit, all with the same number of quantiles."""
    names = [_dictionary([row[place] for row in rows]) for place in _NAMES]
    steady = [_differences([row[place] for row in rows]) for place in _STEADY]
    numbers = [list(column) for column in zip(*map(_numbers, rows), strict=True)]
    return [[known for known, _ in names], [indexes for _, indexes in names], steady, numbers]


def _malformed(why: str) -> RemoteProtocolError:
    return RemoteProtocolError(f"the batch's columns are malformed: {why}")


def _column(value: Any, rows: int | None) -> list[int]:
    if not isinstance(value, list) or (rows is not None and len(value) != rows) or len(value) > MAX_ROWS:
        raise _malformed("a column has the wrong length")
    if any(type(one) is not int or one.bit_length() > MAX_BITS for one in value):
        raise _malformed("a column has something else than integers, or huge ones")
    return value


def _named(known: Any, column: Any, rows: int) -> Iterable[str]:
    if not isinstance(known, list) or any(type(name) is not str for name in known) or len(known) > rows:
        raise _malformed("a dictionary has something else than names")
    indexes = list(accumulate(_column(column, rows)))
    if any(not 0 <= index < len(known) for index in indexes):
        raise _malformed("an index points beyond its dictionary")
    return [known[index] for index in indexes]


def _decimal(exponent: int, mantissa: int) -> Decimal:
    """The protocol's normal form of mantissa * 10^exponent."""
    if not mantissa:
        return ZERO
    if mantissa.bit_length() > MAX_BITS:
        raise _malformed("a number has too many digits")
    while mantissa % 10 == 0:
        mantissa //= 10
        exponent += 1
    if exponent not in EXPONENTS or not -MAX_MANTISSA <= mantissa < MAX_MANTISSA:
        raise _malformed("a number is beyond the protocol's range")
    return Decimal(f"{mantissa}E{exponent}")  # from text, because no context rounds that


def decode(value: Any) -> list[Summary]:
    """The summaries of what ``encode`` made. RemoteProtocolError for anything else."""
    match value:
        case [[*known], [*indexes], [[*outs], *steady], [*numbers]] if (
            len(known) == len(indexes) == len(_NAMES) and len(steady) == len(_STEADY) - 1
        ):
            pass
        case _:
            raise _malformed("its parts are wrong")
    rows = len(_column(outs, None))
    if not rows:
        return []
    if len(numbers) < 8:
        raise _malformed("numbers are missing")
    sources, fields, units = (_named(k, c, rows) for k, c in zip(known, indexes, strict=True))
    plain = [list(accumulate(_column(column, rows))) for column in (outs, *steady)]
    if any(one < 0 for column in plain for one in column):
        raise _malformed("a count or time is negative")
    numbered = [_column(column, rows) for column in numbers]
    found: list[Summary] = []
    for names, wholes, row in zip(
        zip(sources, fields, units, strict=True),
        zip(*plain, strict=True),
        zip(*numbered, strict=True),
        strict=True,
    ):
        out, seq, start, length, count, error, skipped, flags = wholes
        base, low, high, total, first, last, squares, mantissa, *quantiles = row
        found.append(
            Summary(
                out,
                seq,
                *names,
                start,
                length,
                count,
                _decimal(base, low),
                _decimal(base, low + high),
                _decimal(base, total + count * low),
                _decimal(base, low + first),
                _decimal(base, low + last),
                _decimal(squares + 2 * base, mantissa),
                tuple(_decimal(base, low + one) for one in quantiles),
                error,
                skipped,
                flags,
            )
        )
    return found
