"""From a TOML file to a Config, or to one clear line: file, line, key, what is wrong, what to do."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from edgeagent.errors import ConfigError

from . import schema

MAX_FILE = 1 << 20
MAX_UNITS = 64

SECTIONS: dict[str, type[Any]] = {
    "board": schema.Board,
    "journal": schema.Journal,
    "mqtt": schema.Mqtt,
    "coap": schema.Coap,
    "seal": schema.Seal,
    "uplink": schema.Uplink,
    "metrics": schema.Metrics,
}
OFF_WHEN_ABSENT = {"mqtt", "coap"}
"""Sections that are off when they are absent; the others then have their defaults."""


class _Source:
    """The file's text, to name lines (tomllib keeps none)."""

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self._lines = text.splitlines()

    def where(self, section: str, index: int = 0, key: str = "") -> str:
        """file:line of a key in the index-th table of that name; of the table itself where the key is absent."""
        seen, at = -1, 0
        for number, line in enumerate(self._lines, 1):
            if header := re.match(r"\s*\[{1,2}\s*([\w.-]+)", line):
                seen += header[1] == section
                inside = header[1] == section and seen == index
                at = number if inside else at
            elif at and seen == index and key and re.match(rf'\s*"?{re.escape(key)}"?\s*=', line):
                at = number
                break
        place = f"{self.name}:{at}" if at else self.name
        return f"{place} [{section}] {key}".rstrip()


def _closest(word: str, known: list[str]) -> str:
    close = difflib.get_close_matches(word, known, 1)
    return f"Did you mean {close[0]}?" if close else f"Known: {', '.join(known)}."


def _table(source: _Source, section: str, index: int, kind: type[Any], table: Any, folder: Path) -> Any:
    if not isinstance(table, Mapping):
        raise ConfigError("this must be a table", where=source.where(section, index))
    rows = {of.name: schema.row(of) for of in fields(kind)}
    for key in table:
        if key not in rows:
            raise ConfigError(
                f"unknown setting {key}",
                where=source.where(section, index, key),
                remedy=_closest(key, [*rows]),
            )
    values = {}
    for key, (reader, default, doc) in rows.items():
        raw = table.get(key, default)
        if raw is schema.REQUIRED:
            raise ConfigError(
                f"{key} is missing", where=source.where(section, index), remedy=f"Set {key}: {doc}."
            )
        try:
            values[key] = _resolved(reader(raw), folder)
        except ConfigError as error:
            raise ConfigError(
                error.what, where=source.where(section, index, key), remedy=error.remedy or f"{key}: {doc}."
            ) from None
    return kind(**values)


def _resolved(value: Any, folder: Path) -> Any:
    if isinstance(value, Path):
        return folder / value
    if isinstance(value, tuple):
        return tuple(_resolved(one, folder) for one in value)
    return value


def parse(text: str, *, name: str, folder: Path) -> schema.Config:
    """Text of the file; folder is what relative paths start from. ConfigError names file and line."""
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"no valid TOML: {error}", where=name) from None
    source = _Source(name, text)
    for section in tree:
        if section not in SECTIONS and section != "unit":
            raise ConfigError(
                f"unknown section [{section}]",
                where=source.where(section),
                remedy=_closest(section, [*SECTIONS, "unit"]),
            )
    sections = {
        section: _table(source, section, 0, kind, tree.get(section, {}), folder)
        for section, kind in SECTIONS.items()
        if section in tree or section not in OFF_WHEN_ABSENT
    }
    tables = tree.get("unit", [])
    if not isinstance(tables, list) or not 1 <= len(tables) <= MAX_UNITS:
        raise ConfigError(f"there must be 1 to {MAX_UNITS} units", where=name, remedy="Add [[unit]] tables.")
    units = tuple(_table(source, "unit", i, schema.Unit, one, folder) for i, one in enumerate(tables))
    config = schema.Config(units=units, **sections)
    _check_together(config, source)
    if config.seal.keys is None:
        config = replace(config, seal=replace(config.seal, keys=config.board.state / "keys"))
    return config


def _check_together(config: schema.Config, source: _Source) -> None:
    """What one setting alone can't tell."""
    names = [unit.name for unit in config.units]
    for index, unit in enumerate(config.units):
        if names.index(unit.name) != index:
            raise ConfigError(
                f"a second unit has the name {unit.name}", where=source.where("unit", index, "name")
            )
        if unit.lateness > unit.window:
            raise ConfigError(
                "lateness is longer than the window", where=source.where("unit", index, "lateness")
            )
        if unit.deadband < 0:
            raise ConfigError("deadband is negative", where=source.where("unit", index, "deadband"))
    if config.mqtt is None and config.coap is None:
        raise ConfigError("there is nothing to listen to", where=source.name, remedy="Add [mqtt] or [coap].")
    if config.uplink.acknowledge == "collector" and not config.uplink.collector_keys:
        raise ConfigError(
            "acknowledge is collector, but there is no key to check its acknowledgements with",
            where=source.where("uplink", 0, "collector_keys"),
            remedy="Set collector_keys to its public key, or acknowledge to broker.",
        )


def load(path: Path) -> schema.Config:
    """The configuration in a file. ConfigError for whatever is wrong with it."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE + 1)
    except OSError as error:
        raise ConfigError(
            f"cannot be read: {error.strerror}", where=str(path), remedy="Give the file with --config."
        ) from None
    if len(data) > MAX_FILE:
        raise ConfigError(f"longer than {MAX_FILE} bytes", where=str(path))
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise ConfigError(f"no UTF-8 at byte {error.start}", where=str(path)) from None
    return parse(text, name=str(path), folder=path.parent.absolute())
