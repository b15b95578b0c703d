"""Core: from what a machine says of itself to the profile that describes it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from edgeagent.errors import ConfigError

from .profile import Profile


@dataclass(frozen=True, slots=True)
class Identity:
    """What a machine says of itself. "" or nothing: not known.

    compatible: the device tree's names, the most specific first. dmi: fields of /sys/class/dmi/id.
    endianness: little or big.
    """

    arch: str
    endianness: str = ""
    compatible: tuple[str, ...] = ()
    dmi: Mapping[str, str] = field(default_factory=dict)
    cpu: str = ""
    uefi: bool = False


@dataclass(frozen=True, slots=True)
class Match:
    """A profile and the mark it was recognised by, for people."""

    profile: Profile
    by: str


def match(identity: Identity, profiles: Iterable[Profile]) -> Match | None:
    """The most specific one; None when not even the architecture is known. ConfigError when two are as good.

    The device tree names a board whatever kernel runs on it; other marks count on the profile's architecture only.
    """
    rated = [(one, found) for one in profiles if (found := _rate(identity, one))]
    best = max((rank for _, (rank, _) in rated), default=None)
    matches = [Match(one, mark) for one, (rank, mark) in rated if rank == best]
    if len(matches) > 1:
        names = " and ".join(sorted(one.profile.name for one in matches))
        raise ConfigError(
            f"the board profiles {names} both describe this board ({matches[0].by})",
            remedy="Set board.profile to one of them.",
        )
    return matches[0] if matches else None


def _rate(identity: Identity, profile: Profile) -> tuple[tuple[int, int], str] | None:
    """How specific a profile's best mark is, and that mark; None when it isn't the board's."""
    marks = profile.recognise
    for place, name in enumerate(identity.compatible):
        if name in marks.compatible:
            return (4, -place), f"device tree: {name}"
    if identity.arch != profile.board.arch or identity.endianness not in ("", profile.board.endianness):
        return None
    tables = [one for one in marks.dmi if all(_fits(identity.dmi.get(key, ""), one[key]) for key in one)]
    if tables:
        most = max(tables, key=len)
        return (3, len(most)), f"DMI: {' '.join(identity.dmi[key] for key in most)}"
    if any(_fits(identity.cpu, pattern) for pattern in marks.cpu):
        return (2, 0), f"CPU: {identity.cpu}"
    if marks.firmware == "uefi" and identity.uefi:
        return (1, 0), "UEFI firmware"
    return ((0, 0), f"architecture: {identity.arch}") if profile.fallback else None


def _fits(text: str, pattern: str) -> bool:
    return text.startswith(pattern[:-1]) if pattern.endswith("*") else text == pattern
