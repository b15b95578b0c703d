"""Core: the contract of a bundle: what its author says that the image is, needs and must hold to be kept.

It travels as CBOR, a component of its own beside the image, and is covered by the author's signature as the image is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from decimal import Decimal, InvalidOperation
from typing import Any

from edgeagent.config import readers as r
from edgeagent.config.schema import setting
from edgeagent.config.tables import Source, check_sections, read_table
from edgeagent.errors import ConfigError, ImageError
from edgeagent.image.inspection import Declaration
from edgeagent.seal import strict

from .suit import fault

FORMAT = 1
MAX_CONTRACT = 256 << 10
"""Bytes, as CBOR and as TOML."""
MAX_PROBES = 16
MAX_READINGS = 256
"""Readings of a probe, and summaries that it expects."""
VERSION = r.text(r"\d{1,5}(\.\d{1,5}){0,3}", "version such as 0.1.0")


def _percent(low: int, high: int) -> r.Reader:
    return r.whole(low, high)


@dataclass(frozen=True, slots=True)
class App:
    """[app]: the image, as it declares itself, and where it may run."""

    name: str = setting(r.name, doc="app that every image declares")
    version: int = setting(r.whole(0, (1 << 32) - 1), doc="version that every image declares")
    state: int = setting(r.whole(0, (1 << 32) - 1), doc="version of its states, as declared")
    sequence: int = setting(r.whole(1, (1 << 63) - 1), doc="number of the bundle; boards never go below")
    agent: str = setting(VERSION, "0.1.0", "the oldest agent that can run it")
    boards: tuple[str, ...] = setting(r.many(r.name), [], "board profiles that it is for; empty: all")
    memory: int = setting(r.size("2MiB", "1GiB"), "8MiB", "least guest RAM")


@dataclass(frozen=True, slots=True)
class Health:
    """[health]: what must hold on trial, in the window after the new version took over."""

    window: int = setting(r.duration("5s", "1h"), "60s", "how long it is watched before it is kept")
    rejects: int = setting(
        _percent(0, 100),
        5,
        "most readings that it may reject more than the former version did, percent of all",
    )
    least: int = setting(_percent(0, 100), 50, "fewest summaries, percent of what the former version said")
    most: int = setting(_percent(100, 10_000), 200, "most summaries, percent of what the former version said")


@dataclass(frozen=True, slots=True)
class Reading:
    """A reading of a probe. time: ms since 1970; content_format: CoAP's number, 65535 where it isn't known."""

    topic: str
    payload: bytes
    time: int
    content_format: int = 65535


@dataclass(frozen=True, slots=True)
class Expected:
    """A summary that must come. start: ms since 1970."""

    source: str
    field: str
    start: int
    count: int
    sum: Decimal
    min: Decimal
    max: Decimal


@dataclass(frozen=True, slots=True)
class Probe:
    """Readings for a fresh guest of the image, and all summaries that it must give. config: settings of the app."""

    config: Mapping[str, Any]
    readings: tuple[Reading, ...]
    expected: tuple[Expected, ...]


@dataclass(frozen=True, slots=True)
class Contract:
    """A bundle's terms."""

    app: App
    health: Health = field(default_factory=lambda: Health(60_000, 5, 50, 200))
    probes: tuple[Probe, ...] = ()

    def check(self, said: Declaration, agent: str, where: str) -> None:
        """ImageError when the image isn't the one that the contract describes, or this agent is too old for it."""
        wanted = f"{self.app.name} {self.app.version} with state {self.app.state}"
        found = f"{said.app} {said.version} with state {said.state_version}"
        if wanted != found:
            raise ImageError(f"the image declares {found}, the contract is for {wanted}", where=where)
        if _numbers(agent) < _numbers(self.app.agent):
            raise ImageError(
                f"it needs agent {self.app.agent} or later, this is {agent}",
                where=where,
                remedy="Update the agent first.",
            )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:4])


# ---- as TOML, by hand --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Probe:
    """[[probe]]: readings, and the summaries that must come of them."""

    config: Mapping[str, Any] = setting(lambda value: _table(value, "settings"), {}, "settings of the unit")
    readings: tuple[Reading, ...] = setting(lambda value: _rows(value, _reading), doc="readings, in order")
    expect: tuple[Expected, ...] = setting(
        lambda value: _rows(value, _expected), doc="summaries that must come"
    )


_SECTIONS = ("app", "health", "probe")


def parse_toml(text: str, name: str) -> Contract:
    """A contract from the file that an author writes. ConfigError names the line."""
    source = Source(name, text)
    tree = source.tree()
    check_sections(source, tree, _SECTIONS)
    probes = tree.get("probe", [])
    if not isinstance(probes, list) or len(probes) > MAX_PROBES:
        raise ConfigError(f"probes are at most {MAX_PROBES} tables [[probe]]", where=source.where("probe"))
    found = [read_table(source, "probe", index, _Probe, one) for index, one in enumerate(probes)]
    return Contract(
        read_table(source, "app", 0, App, tree.get("app", {})),
        read_table(source, "health", 0, Health, tree.get("health", {})),
        tuple(Probe(one.config, one.readings, one.expect) for one in found),
    )


def _table(value: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ConfigError(f"{value!r} is no table of {what}")
    return value


def _rows(value: Any, read: Any) -> tuple[Any, ...]:
    if not isinstance(value, list) or not 0 < len(value) <= MAX_READINGS:
        raise ConfigError(f"this must be 1 to {MAX_READINGS} tables")
    return tuple(read(_table(one, "a row")) for one in value)


def _reading(row: Mapping[str, Any]) -> Reading:
    match row:
        case {"topic": str(topic), "payload": str(payload), "time": int(time)} if set(row) <= {
            "topic",
            "payload",
            "time",
            "format",
        }:
            content_format = row.get("format", 65535)
            if isinstance(content_format, int) and 0 < len(topic.encode()) <= 1024 and time >= 0:
                return Reading(topic, payload.encode(), time, content_format)
    raise ConfigError("a reading has topic, payload (text), time (ms) and at most format (number)")


def _expected(row: Mapping[str, Any]) -> Expected:
    names = [one.name for one in fields(Expected)]
    if sorted(row) != sorted(names):
        raise ConfigError(f"an expected summary has {', '.join(names)}")
    try:
        return Expected(
            str(row["source"]), str(row["field"]), int(row["start"]), int(row["count"]),
            *(Decimal(str(row[name])) for name in ("sum", "min", "max")),
        )  # fmt: skip
    except (ValueError, InvalidOperation, TypeError):
        raise ConfigError("start and count are whole numbers; sum, min and max are numbers") from None


# ---- as CBOR, on its way -----------------------------------------------------------------------------------------


def encode(contract: Contract) -> bytes:
    """Deterministic CBOR; numbers of summaries are texts, so that no digit is lost."""
    return strict.dumps({
        "format": FORMAT,
        "app": _plain(contract.app),
        "health": _plain(contract.health),
        "probes": [
            {
                "config": _plain_value(dict(probe.config)),
                "readings": [[one.topic, one.payload, one.time, one.content_format] for one in probe.readings],
                "expected": [_plain_value([getattr(one, of.name) for of in fields(one)]) for one in probe.expected],
            }
            for probe in contract.probes
        ],
    })  # fmt: skip


def _plain(row: App | Health) -> dict[str, Any]:
    return {of.name: _plain_value(getattr(row, of.name)) for of in fields(row)}


def _plain_value(value: Any) -> Any:
    match value:
        case list() | tuple():
            return [_plain_value(one) for one in value]
        case dict():
            return {key: _plain_value(one) for key, one in value.items()}
        case Decimal() | float() | bool():
            return str(value)
    return value


def decode(data: bytes) -> Contract:
    """A contract whose digest was checked. RemoteProtocolError when it isn't one that this agent understands."""
    found = strict.loads(data, limit=MAX_CONTRACT, what="the bundle's contract")
    try:
        match found:
            case {"format": 1, "app": dict(app), "health": dict(health), "probes": list(probes), **rest} if (
                not rest
            ):
                app["boards"] = tuple(app["boards"])
                return Contract(_checked(App(**app)), _checked(Health(**health)), tuple(map(_probe, probes)))
    except (TypeError, KeyError, ValueError, InvalidOperation) as error:
        raise fault(f"its contract is malformed: {error}") from error
    raise fault("its contract has another format, or members that aren't known")


def _checked(row: Any) -> Any:
    for of in fields(row):
        value = getattr(row, of.name)
        wanted = {"str": str, "int": int}.get(str(of.type), tuple)
        if not isinstance(value, wanted):
            raise TypeError(f"{of.name} is a {type(value).__name__}")
    return row


def _probe(row: Any) -> Probe:
    readings = tuple(Reading(*one) for one in row["readings"])
    expected = tuple(
        Expected(source, name, int(start), int(count), Decimal(total), Decimal(low), Decimal(high))
        for source, name, start, count, total, low, high in row["expected"]
    )
    for one in readings:
        if (
            not isinstance(one.topic, str)
            or not isinstance(one.payload, bytes)
            or not isinstance(one.time, int)
        ):
            raise TypeError("a probe's reading is malformed")
    return Probe(dict(row["config"]), readings, expected)
