"""What the windows must be, computed exactly and apart from everything that is tested by it.

The rules are those of edge.cddl: tumbling windows of event time, aligned to 1970, per (source, field, unit). Values
without an event time fall into the window of their arrival, which nobody here knows: they are kept as totals.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Context, Decimal
from fractions import Fraction

from .message import Message

Series = tuple[str, str, str]
"""(source, field, unit)."""

EXACT = Context(prec=200)


@dataclass(frozen=True, slots=True)
class Window:
    """One window of one series. start and length in ms; ``quantiles`` per mille -> nearest-rank value."""

    series: Series
    start: int
    length: int
    count: int
    min: Decimal
    max: Decimal
    sum: Decimal
    squares: Decimal
    last: Decimal
    quantiles: dict[int, Decimal]

    @property
    def mean(self) -> Fraction:
        """Exact."""
        return Fraction(self.sum) / self.count

    @property
    def variance(self) -> Fraction:
        """Exact; of the population."""
        return Fraction(self.squares) / self.count - self.mean**2


@dataclass(frozen=True, slots=True)
class Total:
    """All of a series whose windows go by arrival."""

    series: Series
    count: int
    min: Decimal
    max: Decimal
    sum: Decimal


def total(numbers: Iterable[Decimal]) -> Decimal:
    """The exact sum."""
    result = Decimal(0)
    for number in numbers:
        result = EXACT.add(result, number)
    return result


def nearest_rank(ordered: list[Decimal], per_mille: int) -> Decimal:
    """The smallest value that at least per_mille of 1000 aren't above (inverted_cdf, Hyndman and Fan's type 1)."""
    return ordered[max(1, -(-len(ordered) * per_mille // 1000)) - 1]


class Truth:
    """Takes every message that was sent; gives windows once nothing more can fall into them.

    Memory holds the values of windows not yet taken out with ``closed``. ``payloads``, ``values`` and ``faults`` (by
    class, see faults.py) count all messages taken.
    """

    def __init__(self, length: int, quantiles: Iterable[int]) -> None:
        self.length = length
        self.quantiles = tuple(quantiles)
        self.payloads = 0
        self.values = 0
        self.faults: Counter[str] = Counter()
        self._open: dict[tuple[int, Series], list[tuple[int, Decimal]]] = {}
        self._totals: dict[Series, Total] = {}

    def add(self, message: Message) -> None:
        """Count what the message says."""
        self.payloads += 1
        self.values += len(message.values)
        if message.fault:
            self.faults[message.fault] += 1
        for value in message.values:
            series = (message.topic, value.field, value.unit)
            if value.time is None:
                self._add_total(series, value.number)
            else:
                start = value.time - value.time % self.length
                self._open.setdefault((start, series), []).append((value.time, value.number))

    def _add_total(self, series: Series, number: Decimal) -> None:
        old = self._totals.get(series)
        self._totals[series] = (
            Total(
                series,
                old.count + 1,
                min(old.min, number),
                max(old.max, number),
                EXACT.add(old.sum, number),
            )
            if old
            else Total(series, 1, number, number, number)
        )

    def closed(self, before: int | None = None) -> Iterator[Window]:
        """Take out the windows that end at or before that time (ms); all of them if it is None."""
        ready = sorted(key for key in self._open if before is None or key[0] + self.length <= before)
        for start, series in ready:
            yield self._window(start, series, self._open.pop((start, series)))

    def _window(self, start: int, series: Series, stamped: list[tuple[int, Decimal]]) -> Window:
        numbers = [number for _, number in stamped]
        ordered = sorted(numbers)
        return Window(
            series=series,
            start=start,
            length=self.length,
            count=len(numbers),
            min=ordered[0],
            max=ordered[-1],
            sum=total(numbers),
            squares=total(EXACT.multiply(number, number) for number in numbers),
            # The newest event; of equally new ones the one that arrived last.
            last=max(enumerate(stamped), key=lambda item: (item[1][0], item[0]))[1][1],
            quantiles={rank: nearest_rank(ordered, rank) for rank in self.quantiles},
        )

    def totals(self) -> Iterator[Total]:
        """Of all series without event time, sorted."""
        for series in sorted(self._totals):
            yield self._totals[series]
