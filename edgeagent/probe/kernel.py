"""Core: what the kernel was built and started with."""

from __future__ import annotations

import re
from collections.abc import Iterator

from .documents import Line
from .system import CMDLINE, LOG, System, config_path

_GENERATED = re.compile(r"Automatically generated file; DO NOT EDIT")
_ECHO = re.compile(r"(?:Kernel c|C)ommand line: (.*)$")


def configured(system: System, option: str) -> tuple[bool, Line] | None:
    """Whether the kernel has an option, and the line that says so; None when its configuration doesn't tell.

    A line that is missing means no only in a whole configuration, and that is said by the line above it all:
    minimised ones leave out what is the default.
    """
    path = config_path(system.documents, system.release)
    if path is None:
        return None
    wanted = re.compile(rf"^(?:{option}=(.*)|# {option} is not set)\s*$")
    for line in system.documents.lines(path):
        if found := wanted.match(line.text):
            return (found[1] or "n") in ("y", "m"), line
    whole = system.documents.find(path, _GENERATED)
    last = any(line.text.startswith(("CONFIG_", "# CONFIG_")) for line in system.documents.lines(path))
    return (
        (False, Line(path, whole.number, f"{option} isn't in this whole configuration"))
        if whole and last
        else None
    )


def built_in(system: System, option: str) -> bool:
    """Whether the option is known to be y, so that there is no module to load."""
    found = configured(system, option)
    return found is not None and found[0] and found[1].text.rstrip().endswith("=y")


def parameters(system: System) -> Iterator[tuple[str, str, Line]]:
    """Name and value of each word on the command line, and the word; - and _ in names are one, as for the kernel."""
    sources = [(line, line.text) for line in system.documents.lines(CMDLINE)]
    if not sources and (echo := system.documents.find(LOG, _ECHO)) and (found := _ECHO.search(echo.text)):
        sources = [(echo, found[1])]
    for line, text in sources:
        for word in text.split():
            if word == "--":
                return
            name, _, value = word.strip('"').partition("=")
            yield name.replace("-", "_"), value.strip('"'), Line(line.file, line.number, word)


def parameter(system: System, name: str) -> tuple[str, Line] | None:
    """The last value given for a name: it wins."""
    found = None
    for one, value, line in parameters(system):
        if one == name:
            found = (value, line)
    return found


def forbidden_module(system: System, *modules: str) -> Line | None:
    """The parameter that keeps one of the modules from being loaded."""
    for name, value, line in parameters(system):
        if name in ("module_blacklist", "modprobe.blacklist"):
            listed = {one.replace("-", "_") for one in value.split(",")}
            if listed & set(modules):
                return line
    return None
