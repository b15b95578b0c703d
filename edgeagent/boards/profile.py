"""Core: a board profile, boards/NAME.toml: how a board is recognised, and what is known of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any

from edgeagent.config import readers as r
from edgeagent.config import schema
from edgeagent.config.schema import setting
from edgeagent.config.tables import Source, check_sections, closest, read_table
from edgeagent.errors import ConfigError

VERDICTS = ("yes", "slow", "partial", "no", "unknown")
"""What the probe may answer; unknown: the profile expects nothing."""
DMI = ("sys_vendor", "product_name", "product_family", "board_vendor", "board_name")
"""Files of /sys/class/dmi/id that say nothing about their owner."""

_prose = r.text(r"(?s:.{0,2000})", "text of at most 2000 characters")
_word = r.text(r"[a-z0-9]+(-[a-z0-9]+)*", "word such as module-not-loaded")
_pattern = r.text(r"[^*]{1,200}\*?", "text, with a * at its end at most")


def _switch(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ConfigError(f"{value!r} is neither true nor false")
    return value


def _dmi(value: Any) -> Mapping[str, str]:
    if not isinstance(value, dict) or not value:
        raise ConfigError(f"{value!r} is no table of DMI fields", remedy=f"Give some of {', '.join(DMI)}.")
    for key in value:
        if key not in DMI:
            raise ConfigError(f"unknown DMI field {key}", remedy=closest(key, DMI))
    return {key: _pattern(text) for key, text in value.items()}


@dataclass(frozen=True, slots=True)
class Board:
    """[board]: what it is."""

    title: str = setting(r.text(r"[^\x00-\x1f\x7f]{1,100}", "title of one line"), doc="what people call it")
    arch: str = setting(
        r.text(r"[a-z0-9_]{1,32}", "architecture such as aarch64"), doc="of its kernel and of its guests"
    )
    endianness: str = setting(r.choice("little", "big"), doc="byte order of its kernel")
    sources: tuple[str, ...] = setting(r.many(r.text()), [], "where the facts come from")


@dataclass(frozen=True, slots=True)
class Recognise:
    """[recognise]: any one of these marks is enough; no mark at all: what its architecture gets otherwise.

    A * at the end of a text stands for any rest.
    """

    compatible: tuple[str, ...] = setting(
        r.many(r.text(r"[^\0\s*]{1,100}", "device-tree name such as raspberrypi,4-model-b")),
        [],
        "names in /proc/device-tree/compatible, whatever kernel runs",
    )
    dmi: tuple[Mapping[str, str], ...] = setting(
        r.many(_dmi), [], "fields of /sys/class/dmi/id, all of a table's at once"
    )
    cpu: tuple[str, ...] = setting(r.many(_pattern), [], "model name in /proc/cpuinfo")
    firmware: str = setting(r.choice("", "uefi"), "", "uefi: /sys/firmware/efi is there")


@dataclass(frozen=True, slots=True)
class Kvm:
    """[kvm]: what the probe should find."""

    verdict: str = setting(r.choice(*VERDICTS), doc="answer to expect; unknown: any")
    reason: str = setting(_word, "works", "reason to expect")
    trap: str = setting(_prose, "", "what makes it differ, and what to do then")


PLACES = {
    of.name: (section, of)
    for section, kind in (("unit", schema.Unit), ("board", schema.Board))
    for of in fields(kind)
}
"""Where the configuration has a setting of a name."""


def _row(name: str) -> Any:
    """The row of the configuration's setting of that name; a profile must give it."""
    reader, _, doc = schema.row(PLACES[name][1])
    return setting(reader, doc=doc)


@dataclass(frozen=True, slots=True)
class Guests:
    """[guests]: what holds where the configuration leaves the setting of the same name unset."""

    accelerator: str = _row("accelerator")
    memory_budget: r.Amount = _row("memory_budget")
    memory: int = _row("memory")
    cpu: int = _row("cpu")


@dataclass(frozen=True, slots=True)
class Flash:
    """[flash]: how an operating system gets on it."""

    method: str = setting(
        r.choice("card", "disk", "installer", "vendor", "emulated"), doc="kind of procedure"
    )
    image: str = setting(_prose, "", "what is written")
    boot_partition: str = setting(_prose, "", "where first-boot configuration goes")
    ab_root: bool = setting(_switch, False, "two root partitions, one of them in use, are possible")
    how: str = setting(_prose, doc="in words")


SECTIONS: Mapping[str, type[Any]] = MappingProxyType(
    {"board": Board, "recognise": Recognise, "kvm": Kvm, "guests": Guests, "flash": Flash}
)


@dataclass(frozen=True, slots=True)
class Profile:
    """One board, or family of boards that differ in nothing that matters here.

    defaults: TOML values of the configuration by its tables, for what it leaves unset.
    """

    name: str
    board: Board
    recognise: Recognise
    kvm: Kvm
    guests: Guests
    flash: Flash
    defaults: Mapping[str, Mapping[str, Any]]

    @property
    def fallback(self) -> bool:
        """Whether it stands for every board of its architecture that nothing else describes."""
        marks = self.recognise
        return not (marks.compatible or marks.dmi or marks.cpu or marks.firmware)


def parse(text: str, *, name: str, where: str) -> Profile:
    """A profile's text; where: its file, for messages. ConfigError names file and line."""
    source = Source(where, text)
    try:
        r.name(name)
    except ConfigError as error:
        raise ConfigError(error.what, where=where, remedy="Rename the file to NAME.toml.") from None
    tree = source.tree()
    check_sections(source, tree, SECTIONS)
    tables = {
        section: read_table(source, section, 0, kind, tree.get(section, {}))
        for section, kind in SECTIONS.items()
    }
    defaults: dict[str, dict[str, Any]] = {}
    for key, value in tree["guests"].items():
        defaults.setdefault(PLACES[key][0], {})[key] = value
    return Profile(name, **tables, defaults=defaults)
