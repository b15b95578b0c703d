"""Core: the metadata of a repository (TUF specification 1.0): who may sign what, and how the next version comes about.

Root signs who the others are (2 of 3, offline). Targets delegates to teams; a team's role names its bundles. Snapshot
and timestamp are signed by the machine that publishes. Times are UTC.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from edgeagent.errors import ConfigError, DamagedError

from .tuf_library import (
    DelegatedRole,
    Delegations,
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    SSlibKey,
    TargetFile,
    Targets,
    Timestamp,
    exceptions,
)

ROOT, TARGETS, SNAPSHOT, TIMESTAMP = "root", "targets", "snapshot", "timestamp"
TOP = (ROOT, TARGETS, SNAPSHOT, TIMESTAMP)
ONLINE = (SNAPSHOT, TIMESTAMP)
LIFETIMES: Mapping[str, timedelta] = {
    SNAPSHOT: timedelta(days=30),
    TIMESTAMP: timedelta(days=7),
}
LIFETIME = timedelta(days=365)
"""Of every other role."""
MAX_METADATA = 4 << 20
"""Bytes of one metadata file."""

Document = Metadata[Any]


@dataclass(frozen=True, slots=True)
class Signed:
    """How far a document is signed. missing: signatures that are still needed."""

    role: str
    version: int
    expires: datetime
    good: int
    missing: int

    @property
    def complete(self) -> bool:
        """Whether the threshold is reached."""
        return not self.missing


def expiry(role: str, now: datetime) -> datetime:
    """When a version of the role that is made now ends."""
    return (now + LIFETIMES.get(role, LIFETIME)).replace(microsecond=0)


def parse(data: bytes, where: str) -> Document:
    """A document from its file. DamagedError when it is none."""
    try:
        return Metadata.from_bytes(data)
    except (exceptions.RepositoryError, ValueError, RecursionError) as error:
        raise DamagedError(f"this is no TUF metadata: {error}", where=where) from error


# ---- the first versions ------------------------------------------------------------------------------------------


def first_root(
    keys: Mapping[str, Sequence[SSlibKey]], thresholds: Mapping[str, int], now: datetime
) -> Document:
    """Version 1 of root: for each top-level role its keys, and how many of them must sign."""
    root = Root(version=1, expires=expiry(ROOT, now), consistent_snapshot=True)
    for role in TOP:
        for key in keys[role]:
            root.add_key(key, role)
        _check_threshold(role, thresholds[role], len(keys[role]))
        root.roles[role].threshold = thresholds[role]
    return Metadata(root)


def first_targets(role: str, now: datetime) -> Document:
    """Version 1 of targets or of a team's role: no targets yet."""
    return Metadata(Targets(version=1, expires=expiry(role, now)))


def _check_threshold(role: str, threshold: int, keys: int) -> None:
    if not 1 <= threshold <= keys:
        raise ConfigError(f"{threshold} signatures of {keys} keys can't be asked for", where=role)


# ---- the next ones -----------------------------------------------------------------------------------------------


def following(document: Document, role: str, now: datetime) -> Document:
    """A copy with the next version number, a new expiry and no signatures."""
    made = copy.deepcopy(document)
    made.signed.version += 1
    made.signed.expires = expiry(role, now)
    made.signatures.clear()
    return made


def delegate(
    document: Document, team: str, keys: Sequence[SSlibKey], threshold: int, paths: Sequence[str]
) -> None:
    """Let a team name targets below those paths (shell patterns). ConfigError when there is such a team."""
    targets: Targets = document.signed
    if team in TOP or not team.isidentifier():
        raise ConfigError("this can't be a team's name: letters, digits and _ are allowed", where=team)
    if targets.delegations is None:
        targets.delegations = Delegations({}, {})
    roles = targets.delegations.roles
    if roles is None or team in roles:
        raise ConfigError("there is a team of that name", where=team)
    _check_threshold(team, threshold, len(keys))
    roles[team] = DelegatedRole(team, [], threshold, terminating=True, paths=list(paths))
    for key in keys:
        targets.add_key(key, team)


def add_target(document: Document, path: str, data: bytes, custom: Mapping[str, Any]) -> TargetFile:
    """Name a target, or its new content. custom: what a fleet's commands show of it."""
    target = TargetFile.from_data(path, data, ["sha256"])
    if custom:
        target.unrecognized_fields["custom"] = dict(custom)
    document.signed.targets[path] = target
    return target


def remove_target(document: Document, path: str) -> None:
    """Boards can't be given it any more. ConfigError when there is no such target."""
    if document.signed.targets.pop(path, None) is None:
        raise ConfigError("there is no such target", where=path)


def exchange_key(document: Document, role: str, old: str, new: SSlibKey) -> None:
    """Replace a key of a role; document is the role's delegator. old: the start of its identifier."""
    delegator: Root | Targets = document.signed
    found = [keyid for keyid in delegator.get_delegated_role(role).keyids if keyid.startswith(old)]
    if len(found) != 1:
        raise ConfigError(
            f"{len(found)} keys of role {role} have identifiers that begin so", where=old or "--old"
        )
    threshold = delegator.get_delegated_role(role).threshold
    delegator.revoke_key(found[0], role)
    delegator.add_key(new, role)
    delegator.get_delegated_role(role).threshold = threshold


def next_snapshot(current: Document | None, versions: Mapping[str, int], now: datetime) -> Document:
    """A snapshot of those versions (role: version). DamagedError if one would go back."""
    if current is None:
        made: Document = Metadata(Snapshot(version=1, expires=expiry(SNAPSHOT, now), meta={}))
    else:
        made = following(current, SNAPSHOT, now)
    for role, version in versions.items():
        name = f"{role}.json"
        if name in made.signed.meta and made.signed.meta[name].version > version:
            raise DamagedError(f"version {version} of role {role} is older than what was published")
        made.signed.meta[name] = MetaFile(version)
    return made


def next_timestamp(current: Document | None, snapshot: Document, now: datetime) -> Document:
    """A timestamp that names this snapshot by version, length and hash."""
    data = snapshot.to_bytes()
    meta = MetaFile.from_data(snapshot.signed.version, data, ["sha256"])
    if current is None:
        return Metadata(Timestamp(version=1, expires=expiry(TIMESTAMP, now), snapshot_meta=meta))
    made = following(current, TIMESTAMP, now)
    made.signed.snapshot_meta = meta
    return made


# ---- signatures --------------------------------------------------------------------------------------------------


def signed(role: str, document: Document, delegator: Document, former_root: Document | None = None) -> Signed:
    """How far a document is signed; a root also needs the keys of the root before it."""
    judges = [delegator] if former_root is None else [former_root, delegator]
    results = [
        one.signed.get_verification_result(role, document.signed_bytes, document.signatures) for one in judges
    ]
    return Signed(
        role,
        document.signed.version,
        document.signed.expires,
        min(len(one.signed) for one in results),
        max(one.missing for one in results),
    )
