"""What the app aggregate must say, written a second time: plain Python, exact integers, no bound on effort.

It shares nothing with the C code but the rules of edge.cddl and of the guest's documentation, and is slow on purpose.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from decimal import ROUND_HALF_EVEN, Context, Decimal
from fractions import Fraction
from typing import Any
from zlib import crc32

from edgeagent.wire.messages import Reason, Reject, Report, Summary

NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
ISO = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:[.,](\d+))?(?:([Zz])|([+-])(\d\d)(?::?(\d\d))?)?",
    re.ASCII,
)
EIGHTEEN = Context(prec=18, rounding=ROUND_HALF_EVEN, Emin=-(10**7), Emax=10**7)
ACC_LIMIT = 10**37
LATEST = 253_402_300_799_999
MAX_VALUES, MAX_KEYS, MAX_DEPTH = 512, 1024, 32
MAX_FIELD = 64
OWN_CHUNKS, CHUNK, COARSEST = 2, 8, 15
FLAG_PARTIAL, FLAG_ROUNDED = 1, 2
BLANKS = " \t\n\r"


class Refusal(Exception):  # noqa: N818
    """A payload contributes nothing."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason


# ---- numbers -------------------------------------------------------------------------------------------------------


def split(number: Decimal) -> tuple[int, int]:
    """Mantissa without trailing zeros, and exponent; zero is (0, 0)."""
    sign, digits, exponent = number.as_tuple()
    assert isinstance(exponent, int)
    mantissa = int("".join(map(str, digits)))
    if not mantissa:
        return 0, 0
    while mantissa % 10 == 0:
        mantissa, exponent = mantissa // 10, exponent + 1
    return (-mantissa if sign else mantissa), exponent


def decimal(text: str) -> Decimal | None:
    """Rounded to 18 digits; None when out of the app's range."""
    mantissa, exponent = split(EIGHTEEN.create_decimal(text))
    return build(mantissa, exponent) if -60 <= exponent <= 40 else None


def build(mantissa: int, exponent: int) -> Decimal:
    """An exact decimal, unrounded by any context."""
    return Decimal((mantissa < 0, tuple(map(int, str(abs(mantissa)))), exponent))


def half_even(value: Fraction) -> int:
    """Round to an integer."""
    return round(value)


@dataclass
class Accumulator:
    """mantissa * 10^exponent of at most 37 digits."""

    mantissa: int = 0
    exponent: int = 0
    rounded: bool = False

    def _shift(self, digits: int) -> None:
        unit = 10**digits
        self.rounded |= self.mantissa % unit != 0
        self.mantissa = half_even(Fraction(self.mantissa, unit))
        self.exponent += digits

    def fit(self, bound: int) -> None:
        """Round the last digits away until it is below bound."""
        while abs(self.mantissa) >= bound:
            self._shift(1)

    def add(self, mantissa: int, exponent: int) -> None:
        """Add; the operand with the larger exponent is brought down as far as 37 digits allow."""
        if not mantissa:
            return
        if not self.mantissa:
            self.mantissa, self.exponent = mantissa, exponent
            return
        other = Accumulator(mantissa, exponent)
        high, low = (other, self) if exponent > self.exponent else (self, other)
        room = 37 - len(str(abs(high.mantissa)))
        up = min(high.exponent - low.exponent, room)
        high.mantissa *= 10**up
        high.exponent -= up
        if high.exponent > low.exponent:
            low._shift(high.exponent - low.exponent)
        self.rounded |= other.rounded
        self.mantissa += other.mantissa
        self.fit(ACC_LIMIT)

    def add_square(self, a: Decimal, b: Decimal) -> None:
        """(a - b)^2, the difference rounded to 18 digits."""
        difference = Accumulator(*split(a))
        mantissa, exponent = split(b)
        difference.add(-mantissa, exponent)
        difference.fit(10**18)
        self.rounded |= difference.rounded
        self.add(difference.mantissa**2, 2 * difference.exponent)

    def decimal(self) -> Decimal:
        """Without trailing zeros."""
        return build(*split(build(self.mantissa, self.exponent)))


# ---- quantiles -----------------------------------------------------------------------------------------------------


def bucket(value: Decimal) -> int:
    """The number of a value's bucket at full resolution; below zero for negative values."""
    mantissa, exponent = split(value)
    digits = str(abs(mantissa))
    top = int((digits + "00")[:3])
    place = (top - 100) // 2 if top < 200 else 50 + (top - 200) // 4 if top < 500 else 125 + (top - 500) // 10
    key = (exponent + len(digits) + 64) * 175 + place
    return key if mantissa > 0 else -1 - key


def edge(key: int) -> Fraction:
    """Lower edge of a positive bucket."""
    decade, place = divmod(key, 175)
    top = (
        100 + 2 * place if place < 50 else 200 + 4 * (place - 50) if place < 125 else 500 + 10 * (place - 125)
    )
    return top * Fraction(10) ** (decade - 67)


def middle(key: int, shift: int) -> Decimal:
    """What stands for a bucket."""
    if key < 0:
        return -middle(-1 - key, shift)
    low, high = edge(key << shift), edge((key + 1) << shift)
    if shift == 0:
        return exact((low + high) / 2)
    low_decade, high_decade = (key << shift) // 175, ((key + 1) << shift) // 175
    if high_decade - low_decade > 7:
        return exact(2 * low)
    unit = Fraction(10) ** (low_decade - 71)
    mean = math.floor(2 * low * high / (low + high) / unit)
    while mean >= 1_000_000:
        mean, unit = (mean + 5) // 10, unit * 10
    return exact(mean * unit)


def exact(value: Fraction) -> Decimal:
    """A fraction that is a decimal."""
    exponent = 0
    while value.denominator != 1:
        value, exponent = value * 10, exponent - 1
    return build(*split(build(int(value), exponent)))


@dataclass
class Sketch:
    """Counts of buckets."""

    counts: dict[int, int] = field(default_factory=dict)
    zeros: int = 0
    shift: int = 0

    def extra(self) -> int:
        """Chunks beyond a sketch's own."""
        return max(0, len({key // CHUNK for key in self.counts}) - OWN_CHUNKS)

    def coarsen(self) -> None:
        """Merge neighbours."""
        merged: dict[int, int] = {}
        for key, count in self.counts.items():
            merged[key >> 1] = merged.get(key >> 1, 0) + count
        self.counts = merged
        self.shift += 1

    def rank(self, rank: int) -> Decimal:
        """The value at a rank."""
        ordered = sorted(self.counts.items())
        negative = [item for item in ordered if item[0] < 0]
        positive = [item for item in ordered if item[0] >= 0]
        for key, count in [*negative, (None, self.zeros), *positive]:
            if rank <= count:
                return Decimal(0) if key is None else middle(key, self.shift)
            rank -= count
        raise AssertionError


# ---- payloads ------------------------------------------------------------------------------------------------------


class _Members(list[tuple[str, Any]]):
    """An object's members in the order of the text."""


def _surrogate(text: str) -> bool:
    return any(0xD800 <= ord(c) < 0xE000 for c in text)


def parse_json(text: str) -> Any:
    """Strictly RFC 8259; numbers as their text, wrapped. Refusal otherwise."""

    def constant(_: str) -> Any:
        raise ValueError("not JSON")

    depth = deepest = 0
    quoted = escaped = False
    for c in text:
        if quoted:
            quoted = escaped or c != '"'
            escaped = c == "\\" and not escaped
        elif c == '"':
            quoted = True
        else:
            depth += (c in "[{") - (c in "]}")
            deepest = max(deepest, depth)
    try:
        value = json.loads(
            text,
            parse_float=Written,
            parse_int=Written,
            parse_constant=constant,
            object_pairs_hook=_Members,
        )
    except (ValueError, RecursionError) as error:
        raise Refusal(Reason.MALFORMED_JSON) from error
    if deepest > MAX_DEPTH:
        raise Refusal(Reason.TOO_DEEP)
    return value


@dataclass(frozen=True)
class Written:
    """A number as it stood in the text."""

    text: str


@dataclass
class Found:
    """A number of a payload, or why it doesn't count."""

    field: str
    unit: str
    number: Decimal | None
    reason: Reason | None
    time: int


class Payload:
    """Everything one JSON payload says."""

    def __init__(self, text: str, times: list[str], now: int) -> None:
        self.duplicates = 0
        self.keys = 0
        self.found: list[Found] = []
        value = parse_json(text)
        if _surrogate_inside(value):
            raise Refusal(Reason.NOT_UTF8)
        time = now
        if isinstance(value, _Members):
            stated = dict(value)
            for name in times:
                if stated.get(name) is not None:
                    time = event_time(stated[name])
                    break
        self._walk(value, "", top=True, times=times)
        if self.keys > MAX_KEYS or len(self.found) > MAX_VALUES:
            raise Refusal(Reason.TOO_MANY_VALUES)
        for item in self.found:
            item.time = time

    def _walk(self, value: Any, path: str, *, top: bool, times: list[str]) -> None:
        match value:
            case _Members():
                self.keys += len(dict(value))
                self.duplicates += len(value) - len(dict(value))
                seen: dict[str, list[Found]] = {}
                for key, item in value:
                    before = self.found
                    self.found = []
                    if not (top and key in times):
                        self._walk(item, key if top else f"{path}.{key}", top=False, times=times)
                    if key in seen:
                        dead = {id(old) for old in seen[key]}
                        before = [old for old in before if id(old) not in dead]
                    seen[key] = self.found
                    self.found = before + self.found
            case list():
                for index, item in enumerate(value):
                    self._walk(item, str(index) if top else f"{path}.{index}", top=False, times=times)
            case bool():
                self._add(path, str(int(value)))
            case Written(text):
                self._add(path, text)
            case str() if NUMBER.fullmatch(value):
                self._add(path, value)

    def _add(self, path: str, text: str) -> None:
        number = decimal(text)
        reason = None
        if len(path.encode()) > MAX_FIELD:
            reason = Reason.TOO_LONG
        elif number is None:
            reason = Reason.NUMBER_RANGE
        self.found.append(Found(path, "", number, reason, 0))


def _surrogate_inside(value: Any) -> bool:
    match value:
        case _Members():
            return any(_surrogate(key) or _surrogate_inside(item) for key, item in value)
        case list():
            return any(map(_surrogate_inside, value))
        case str():
            return _surrogate(value)
    return False


def event_time(value: Any) -> int:
    """A time field's value in ms. Refusal when it isn't a time."""
    if isinstance(value, str) and NUMBER.fullmatch(value):
        value = Written(value)
    if isinstance(value, Written):
        number = EIGHTEEN.create_decimal(value.text)
        mantissa, exponent = split(number)
        if number >= 0 and -128 <= exponent <= 127:
            ms = half_even(Fraction(mantissa) * Fraction(10) ** exponent * (1000 if number < 10**11 else 1))
            if ms <= LATEST:
                return ms
    elif isinstance(value, str) and (match := ISO.fullmatch(value)):
        year, month, day, hour, minute, second = map(int, match.groups()[:6])
        ms = int(((match[7] or "") + "000")[:3])
        east = timedelta(hours=int(match[10] or 0), minutes=int(match[11] or 0))
        if east < timedelta(days=1) and int(match[11] or 0) < 60:
            zone = timezone(-east if match[9] == "-" else east)
            try:
                moment = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
            except ValueError as error:
                raise Refusal(Reason.BAD_TIME) from error
            epoch = datetime(1970, 1, 1, tzinfo=UTC)
            offset = zone.utcoffset(None)
            ms += (moment - epoch) // timedelta(milliseconds=1) - offset // timedelta(milliseconds=1)
            if 0 <= ms <= LATEST:
                return ms
    raise Refusal(Reason.BAD_TIME)


def take_text(payload: bytes, times: list[str], now: int) -> tuple[list[Found], int]:
    """Format 0: a bare number, JSON, or a word. Gives the numbers and how many keys were said again."""
    try:
        text = payload.decode()
    except UnicodeDecodeError as error:
        raise Refusal(Reason.NOT_UTF8) from error
    if not text.strip(BLANKS):
        raise Refusal(Reason.EMPTY)
    if text.lstrip(BLANKS)[0] in '{["':
        parsed = Payload(text, times, now)
        found, duplicates = parsed.found, parsed.duplicates
    else:
        word = text.strip(BLANKS)
        duplicates = 0
        found = []
        if NUMBER.fullmatch(word):
            number = decimal(word)
            found.append(Found("", "", number, None if number is not None else Reason.NUMBER_RANGE, now))
    return found, duplicates


# ---- windows -------------------------------------------------------------------------------------------------------


@dataclass
class Window:
    """One open window."""

    start: int
    values: list[tuple[int, Decimal]] = field(default_factory=list)
    sum: Accumulator = field(default_factory=Accumulator)
    square: Accumulator = field(default_factory=Accumulator)
    sketch: Sketch = field(default_factory=Sketch)


@dataclass
class Series:
    """One (source, field, unit)."""

    key: tuple[str, str, str]
    newest: int | None = None
    heard: int = 0
    windows: dict[int, Window] = field(default_factory=dict)
    reference: Decimal | None = None
    held: int = 0

    def clock(self, silence: int) -> int:
        """Event time after that much silence."""
        return (self.newest or 0) + max(0, silence - self.heard)


class Reference:
    """The app. Strings are not bounded here: tests keep topics and fields short."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.config = config
        self.places: list[Series] = []
        self.idle: list[Series] = []
        self.said: list[Summary | Report | Reject] = []
        self.out = self.seq = self.now = self.latest = self.ticked = self.silence = 0
        self.started = False
        self.report_start = 0
        self.payloads = self.values = 0
        self.reasons: dict[int, int] = {}
        exponent, mantissa = config["deadband"]
        self.deadband = build(mantissa, exponent)
        self.reserve = 4 * config["windows"] + config["buckets"]

    @classmethod
    def taken_over(
        cls, config: Mapping[str, Any], states: list[Reference], index: int, count: int
    ) -> Reference:
        """What guest index of count makes of the states of guests that heard the same ticks."""
        app = cls(config)
        for one in states:
            mine = [series for series in one.places if crc32(series.key[0].encode()) % count == index]
            app.places += mine
            app.idle += [series for series in one.idle if series in mine]
            app.started |= one.started
            app.latest, app.ticked = max(app.latest, one.latest), max(app.ticked, one.ticked)
            app.silence = max(app.silence, one.silence)
            app.report_start = max(app.report_start, one.report_start)
            if index == 0:
                app.payloads += one.payloads
                app.values += one.values
                for reason, number in one.reasons.items():
                    app.reasons[reason] = app.reasons.get(reason, 0) + number
        return app

    # frames

    def reading(
        self, seq: int, now: int, payload: bytes, topic: str = "t", *, clock_unset: bool = False
    ) -> None:
        """A reading of format 0."""
        self.clock_unset = clock_unset
        self._time(seq, now)
        self.payloads += 1
        try:
            found, duplicates = take_text(payload, self.config["times"], now)
            self._count(Reason.DUPLICATE_KEY, duplicates)
            reason = None if found else Reason.NO_NUMBER
        except Refusal as refusal:
            found, reason = [], refusal.reason
        if reason is not None:
            self._count(reason)
            self.said.append(Reject(seq, reason, -1))
        for item in found:
            self._apply(topic, item)

    def tick(self, seq: int, now: int) -> None:
        """Silence was heard."""
        self._time(seq, now)
        self.silence += self._since_tick()
        self.ticked = now
        self._sweep()

    def drain(self, seq: int, now: int) -> None:
        """Close every window."""
        self._time(seq, now)
        self._sweep(everything=True)
        self._report()

    # time

    def _since_tick(self) -> int:
        return min(max(0, self.now - self.ticked), 2000)

    def _time(self, seq: int, now: int) -> None:
        length = self.config["window"]
        self.seq, self.now = seq, now
        if not self.started:
            self.started = True
            self.latest = self.ticked = now
            self.report_start = now - now % length
        back = now + length + self.config["lateness"] < self.latest
        if back:
            self._sweep(everything=True, partial=True)
            for series in self.places:
                series.newest, series.heard = None, 0
            self.latest = self.ticked = now
        self.latest = max(self.latest, now)
        if back or now >= self.report_start + length:
            self._report()

    def _sweep(self, *, everything: bool = False, partial: bool = False) -> None:
        length, lateness = self.config["window"], self.config["lateness"]
        due = []
        for place, series in enumerate(self.places):
            for window in series.windows.values():
                over = window.start + length <= series.clock(self.silence)
                if everything or window.start + length + lateness <= series.clock(self.silence):
                    due.append((window.start, place, partial or not over))
        for start, place, cut in sorted(due):
            self._close(self.places[place], start, partial=cut)

    def _report(self) -> None:
        length = self.config["window"]
        if self.payloads or self.values or self.reasons:
            self.out += 1
            reasons = {int(k): v for k, v in self.reasons.items()}
            self.said.append(
                Report(self.out, self.seq, self.report_start, length, self.payloads, self.values, reasons)
            )
        self.payloads = self.values = 0
        self.reasons = {}
        self.report_start = self.now - self.now % length

    def _count(self, reason: Reason, times: int = 1) -> None:
        if times:
            self.reasons[reason] = self.reasons.get(reason, 0) + times

    # values

    def _takes(self, name: str) -> bool:
        patterns = self.config["fields"]
        return not patterns or any(
            name.startswith(p[:-1]) if p.endswith("*") else name == p for p in patterns
        )

    def _apply(self, topic: str, item: Found) -> None:
        reason = self._try(topic, item)
        if reason is not None:
            self._count(reason)

    def _try(self, topic: str, item: Found) -> Reason | None:
        config = self.config
        if item.reason is Reason.TOO_LONG:
            return item.reason
        if not self._takes(item.field):
            return None
        if item.reason is not None:
            return item.reason
        if config["ahead"] and not self.clock_unset and item.time > self.now + config["ahead"]:
            return Reason.AHEAD
        assert item.number is not None
        length = config["window"]
        start = item.time - item.time % length
        key = (topic, item.field, item.unit)
        series = next((s for s in self.places if s.key == key), None)
        if (
            series is not None
            and series.newest is not None
            and start + length + config["lateness"] <= series.clock(self.silence)
        ):
            return Reason.LATE
        if series is None or start not in series.windows:
            if sum(len(s.windows) for s in self.places) >= config["windows"]:
                return Reason.WINDOW_LIMIT
            if series is None:
                series = Series(key)
                if len(self.places) < config["series"]:
                    self.places.append(series)
                elif self.idle:
                    gone = self.idle.pop(0)
                    self.places[self.places.index(gone)] = series
                else:
                    return Reason.SERIES_LIMIT
            if not series.windows and series in self.idle:
                self.idle.remove(series)
            series.windows[start] = Window(start)
        if series.newest is None or item.time > series.clock(self.silence):
            series.newest, series.heard = item.time, self.silence + self._since_tick()
        self._accumulate(series.windows[start], item)
        self.values += 1
        for due in sorted(series.windows):
            if due + length + config["lateness"] <= series.clock(self.silence):
                self._close(series, due, partial=False)
        return None

    def _accumulate(self, window: Window, item: Found) -> None:
        number = item.number
        assert number is not None
        window.values.append((item.time, number))
        window.sum.add(*split(number))
        window.square.add_square(number, window.values[0][1])
        self._add_bucket(window.sketch, number)

    def _add_bucket(self, sketch: Sketch, number: Decimal) -> None:
        if not number:
            sketch.zeros += 1
            return
        full = bucket(number)
        others = sum(w.sketch.extra() for s in self.places for w in s.windows.values()) - sketch.extra()
        while True:
            trial = Sketch({**sketch.counts}, 0, sketch.shift)
            trial.counts[full >> sketch.shift] = trial.counts.get(full >> sketch.shift, 0) + 1
            if trial.extra() <= sketch.extra() or others + trial.extra() <= self.reserve:
                break
            sketch.coarsen()
        sketch.counts = trial.counts
        while len(sketch.counts) > self.config["buckets"] and sketch.shift < COARSEST:
            sketch.coarsen()

    def _quantile(self, window: Window, per_mille: int) -> Decimal:
        count = len(window.values)
        ordered = sorted(number for _, number in window.values)
        rank = max(1, -(-per_mille * count // 1000))
        if rank in (1, count):
            return ordered[rank - 1]
        return min(max(window.sketch.rank(rank), ordered[0]), ordered[-1])

    def _close(self, series: Series, start: int, *, partial: bool) -> None:
        window = series.windows.pop(start)
        if not series.windows:
            self.idle.append(series)
        numbers = [number for _, number in window.values]
        low, high = min(numbers), max(numbers)
        last = max(enumerate(window.values), key=lambda item: (item[1][0], item[0]))[1][1]
        ref = series.reference
        near = ref is not None and all(
            abs(Fraction(n) - Fraction(ref)) <= Fraction(self.deadband) for n in (low, high)
        )
        if self.deadband and near and series.held < self.config["heartbeat"]:
            series.held += 1
            return
        self.out += 1
        rounded = window.sum.rounded or window.square.rounded
        self.said.append(
            Summary(
                self.out, self.seq, *series.key, start, self.config["window"], len(numbers), low, high,
                window.sum.decimal(), numbers[0], last, window.square.decimal(),
                tuple(self._quantile(window, q) for q in self.config["quantiles"]),
                min(10 << window.sketch.shift, 1000), series.held,
                (FLAG_PARTIAL if partial else 0) | (FLAG_ROUNDED if rounded else 0),
            )
        )  # fmt: skip
        series.reference = last
        series.held = 0
