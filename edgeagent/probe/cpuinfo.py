"""Core: /proc/cpuinfo of any architecture, or what is left of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from .documents import Documents, Line

PATH = "proc/cpuinfo"
MAX_FIELDS = 200_000
_FIELD = re.compile(r"^\s*([^:]{1,60}?)\s*:(.*)$")


@dataclass(frozen=True, slots=True)
class Field:
    """One line "key : value". key: lower case."""

    key: str
    value: str
    line: Line

    @property
    def words(self) -> frozenset[str]:
        """Of the value, lower case."""
        return frozenset(self.value.lower().split())


@dataclass(frozen=True, slots=True)
class Cpuinfo:
    """All fields of all processors, in order."""

    fields: tuple[Field, ...]

    def get(self, *keys: str) -> tuple[Field, ...]:
        """All fields of these keys."""
        return tuple(one for one in self.fields if one.key in keys)

    def value(self, key: str) -> str:
        """Of the first such field; "" when there is none."""
        return next((one.value for one in self.fields if one.key == key), "")

    @property
    def processors(self) -> int:
        """How many are listed; 0: not known."""
        # "Processor : ARMv7 Processor rev 5" is the head of old ARM kernels, and "# processors" s390's.
        return sum(one.value.isdigit() for one in self.get("processor")) or len(self.get("hart"))


def parse(documents: Documents) -> Cpuinfo:
    """Whatever has the form of a field; other lines (a prompt above a dump, damage) are passed over."""
    fields: list[Field] = []
    for line in documents.lines(PATH):
        if (found := _FIELD.match(line.text)) and len(fields) < MAX_FIELDS:
            fields.append(Field(found[1].lower(), found[2].strip(), line))
    return Cpuinfo(tuple(fields))


@dataclass(frozen=True, slots=True)
class Presence:
    """Whether a feature is on every processor. known: False when there is no field that could tell.

    field: the one to show: where it is missing, else the first.
    """

    known: bool
    everywhere: bool
    field: Field | None = None


def presence(fields: tuple[Field, ...], has: Callable[[Field], bool]) -> Presence:
    """A feature that one field of each processor names. What is missing in a torn field may have been cut off."""
    if lacking := next((one for one in fields if one.line.complete and not has(one)), None):
        return Presence(known=True, everywhere=False, field=lacking)
    if having := next((one for one in fields if has(one)), None):
        return Presence(known=True, everywhere=True, field=having)
    return Presence(known=False, everywhere=False, field=fields[0] if fields else None)
