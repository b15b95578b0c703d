"""From a TOML file to a Config, or to one clear line: file, line, key, what is wrong, what to do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from edgeagent.errors import ConfigError

from . import schema
from .tables import Source, check_sections, read_table

MAX_FILE = 1 << 20
MAX_UNITS = 64

SECTIONS: dict[str, type[Any]] = {
    "board": schema.Board,
    "journal": schema.Journal,
    "mqtt": schema.Mqtt,
    "coap": schema.Coap,
    "seal": schema.Seal,
    "uplink": schema.Uplink,
    "fleet": schema.Fleet,
    "metrics": schema.Metrics,
}
OFF_WHEN_ABSENT = {"mqtt", "coap", "fleet"}
"""Sections that are off when they are absent; the others then have their defaults."""


def _resolved(value: Any, folder: Path) -> Any:
    if isinstance(value, Path):
        return folder / value
    if isinstance(value, tuple):
        return tuple(_resolved(one, folder) for one in value)
    return value


Defaults = Callable[[str], tuple[str, Mapping[str, Mapping[str, Any]]]]
"""From board.profile to the profile's name, and its values by table for what a file leaves unset. Or ConfigError."""


def no_defaults(_profile: str) -> tuple[str, Mapping[str, Mapping[str, Any]]]:
    """The schema's own defaults only."""
    return "", {}


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads tables of one file. defaults: TOML values by table, for what the file leaves unset."""

    source: Source
    folder: Path
    defaults: Mapping[str, Mapping[str, Any]]

    def table(self, section: str, index: int, kind: type[Any], table: Any) -> Any:
        """One table; its relative paths start from the file's folder."""
        read = read_table(self.source, section, index, kind, table, self.defaults.get(section))
        return replace(
            read, **{of.name: _resolved(getattr(read, of.name), self.folder) for of in fields(kind)}
        )


def parse(text: str, *, name: str, folder: Path, defaults: Defaults = no_defaults) -> schema.Config:
    """Text of the file; folder is what relative paths start from. ConfigError names file and line."""
    source = Source(name, text)
    tree = source.tree()
    check_sections(source, tree, [*SECTIONS, "unit"])
    profile, values = _profile(_Reader(source, folder, {}), tree.get("board", {}), defaults)
    read = _Reader(source, folder, values)
    sections = {
        section: read.table(section, 0, kind, tree.get(section, {}))
        for section, kind in SECTIONS.items()
        if section in tree or section not in OFF_WHEN_ABSENT
    }
    tables = tree.get("unit", [])
    if not isinstance(tables, list) or not 1 <= len(tables) <= MAX_UNITS:
        raise ConfigError(f"there must be 1 to {MAX_UNITS} units", where=name, remedy="Add [[unit]] tables.")
    units = tuple(read.table("unit", index, schema.Unit, one) for index, one in enumerate(tables))
    given = [("board", "", tree.get("board", {})), *(("unit", one["name"], one) for one in tables)]
    from_profile = schema.FromProfile(
        profile,
        {
            (section, unit, key): value
            for section, unit, table in given
            for key, value in values.get(section, {}).items()
            if key not in table
        },
    )
    config = schema.Config(units=units, **sections, from_profile=from_profile)
    _check_together(config, source)
    if config.seal.keys is None:
        config = replace(config, seal=replace(config.seal, keys=config.board.state / "keys"))
    return config


def _profile(read: _Reader, board: Any, defaults: Defaults) -> tuple[str, Mapping[str, Mapping[str, Any]]]:
    """The board's profile must be known before the tables are read that it has defaults for."""
    wanted = read.table("board", 0, schema.Board, board).profile
    try:
        return defaults(wanted)
    except ConfigError as error:
        where = error.where or read.source.where("board", 0, "profile")
        raise ConfigError(error.what, where=where, remedy=error.remedy) from None


def _check_together(config: schema.Config, source: Source) -> None:
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


def read_text(path: Path, *, remedy: str = "") -> str:
    """A text file of at most MAX_FILE bytes. ConfigError when it is none."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE + 1)
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", where=str(path), remedy=remedy) from None
    if len(data) > MAX_FILE:
        raise ConfigError(f"longer than {MAX_FILE} bytes", where=str(path))
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise ConfigError(f"no UTF-8 at byte {error.start}", where=str(path)) from None


def load(path: Path, defaults: Defaults = no_defaults) -> schema.Config:
    """The configuration in a file. ConfigError for whatever is wrong with it."""
    text = read_text(path, remedy="Give the file with --config.")
    return parse(text, name=str(path), folder=path.parent.absolute(), defaults=defaults)
