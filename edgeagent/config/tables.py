"""Core: TOML tables to frozen dataclasses, row by row; whatever is wrong has its line (tomllib keeps none)."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from typing import Any

from edgeagent.errors import ConfigError

from . import schema

_HEADER = re.compile(r"\s*\[{1,2}\s*([\w.-]+)")
_QUOTES = re.compile(r'"""|\'\'\'')
_LINE = re.compile(r" \(at line (\d+), column \d+\)")


class Source:
    """A file's text, to name lines."""

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self._text = text
        self._lines = list(_outside_strings(text.splitlines()))

    def tree(self) -> dict[str, Any]:
        """The file as tomllib reads it. ConfigError with the line where it is no TOML."""
        try:
            return tomllib.loads(self._text)
        except RecursionError:
            raise ConfigError("arrays or tables are nested too deeply", where=self.name) from None
        except ValueError as error:
            line = _LINE.search(str(error))
            where = f"{self.name}:{line[1]}" if line else self.name
            raise ConfigError(f"no valid TOML: {_LINE.sub('', str(error))}", where=where) from None

    def where(self, section: str, index: int = 0, key: str = "") -> str:
        """file:line of a key in the index-th table of that name; of the table itself where the key is absent."""
        seen, at = -1, 0
        for number, line in self._lines:
            if header := _HEADER.match(line):
                seen += header[1] == section
                inside = header[1] == section and seen == index
                at = number if inside else at
            elif at and seen == index and key and re.match(rf'\s*"?{re.escape(key)}"?\s*=', line):
                at = number
                break
        place = f"{self.name}:{at}" if at else self.name
        return f"{place} [{section}] {key}".rstrip()


def _outside_strings(lines: Iterable[str]) -> Iterator[tuple[int, str]]:
    """Numbers and texts of the lines that don't begin within a multi-line string."""
    quote = ""
    for number, line in enumerate(lines, 1):
        rest = line
        if quote:
            _, closed, rest = line.partition(quote)
            if not closed:
                continue
        else:
            yield number, line
        quote = ""
        while opened := _QUOTES.search(rest):
            _, closed, rest = rest[opened.end() :].partition(opened[0])
            if not closed:
                quote = opened[0]


def closest(word: str, known: Iterable[str], otherwise: str = "") -> str:
    """What a person may have meant, as a remedy; where nothing is close ``otherwise``, or all that is known."""
    words = list(known)
    close = difflib.get_close_matches(word, words, 1)
    return f"Did you mean {close[0]}?" if close else otherwise or f"Known: {', '.join(words)}."


def check_sections(source: Source, tree: Mapping[str, Any], known: Iterable[str]) -> None:
    """ConfigError for a table that isn't known."""
    names = list(known)
    for section in tree:
        if section not in names:
            raise ConfigError(
                f"unknown section [{section}]",
                where=source.where(section),
                remedy=closest(section, names),
            )


def read_table(
    source: Source,
    section: str,
    index: int,
    kind: type[Any],
    table: Any,
    defaults: Mapping[str, Any] | None = None,
) -> Any:
    """A table as a kind whose fields are rows of the schema. defaults: TOML values that go before the rows' own.

    ConfigError names the line for an unknown key, a missing one, or a value that its reader refuses.
    """
    if not isinstance(table, Mapping):
        raise ConfigError("this must be a table", where=source.where(section, index))
    rows = {of.name: schema.row(of) for of in fields(kind)}
    for key in table:
        if key not in rows:
            raise ConfigError(
                f"unknown setting {key}", where=source.where(section, index, key), remedy=closest(key, rows)
            )
    values = {}
    given = {**(defaults or {}), **table}
    for key, (reader, default, doc) in rows.items():
        raw = given.get(key, default)
        if raw is schema.REQUIRED:
            raise ConfigError(
                f"{key} is missing", where=source.where(section, index), remedy=f"Set {key}: {doc}."
            )
        try:
            values[key] = reader(raw)
        except ConfigError as error:
            raise ConfigError(
                error.what, where=source.where(section, index, key), remedy=error.remedy or f"{key}: {doc}."
            ) from None
    return kind(**values)
