"""Shell: the profiles that are there: ours, and a local one in place of ours or beside them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from edgeagent.config.load import read_text
from edgeagent.config.tables import closest
from edgeagent.errors import ConfigError, EnvironmentFaultError

from .match import Identity, Match, match
from .profile import Profile, parse

LOCAL = Path("/etc/edgeagent/boards")
"""Profiles of the board's owner; one replaces ours of the same name."""
INSTALLED = Path(__file__).parent / "profiles"
CHECKOUT = Path(__file__).parents[2] / "boards"
MAX_PROFILES = 1000
AUTO = "auto"


def read(path: Path) -> Profile:
    """One file, NAME.toml. ConfigError with file and line."""
    return parse(read_text(path), name=path.stem, where=str(path))


def shipped() -> Path:
    """The folder that came with edgeagent: in an installed package, or in a checkout beside the code."""
    for folder in (INSTALLED, CHECKOUT):
        if folder.is_dir():
            return folder
    raise EnvironmentFaultError(
        "the board profiles are missing", where=str(INSTALLED), remedy="Install edgeagent again."
    )


def load(folders: Iterable[Path]) -> Mapping[str, Profile]:
    """Profiles by name; those of a later folder replace those of an earlier one. A folder may be absent."""
    paths: dict[str, Path] = {}
    for folder in folders:
        paths |= {path.stem: path for path in sorted(folder.glob("*.toml"))}
    if len(paths) > MAX_PROFILES:
        raise ConfigError(f"more than {MAX_PROFILES} board profiles", where=str(LOCAL))
    return {name: read(path) for name, path in sorted(paths.items())}


@cache
def profiles() -> Mapping[str, Profile]:
    """What there is on this machine."""
    return load((shipped(), LOCAL))


def named(name: str) -> Profile:
    """One of them. ConfigError with the nearest name when there is none."""
    found = profiles().get(name)
    if found is None:
        raise ConfigError(
            f"there is no board profile {name}", remedy=closest(name, profiles(), "See `edgeagent boards`.")
        )
    return found


def recognise(identity: Identity) -> Match | None:
    """The profile of a machine; None when nothing describes even its architecture."""
    return match(identity, profiles().values())


def defaults(name: str, identity: Identity) -> tuple[str, Mapping[str, Mapping[str, Any]]]:
    """What a profile gives the configuration: its name, values by table. name: auto for the machine's own."""
    if name != AUTO:
        return name, named(name).defaults
    found = recognise(identity)
    return (found.profile.name, found.profile.defaults) if found else ("", {})
