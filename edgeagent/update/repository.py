"""Shell: a TUF repository in a folder that any web server, broker or USB stick can carry.

metadata/N.ROLE.json and metadata/timestamp.json, targets/PATH with the content's SHA-256 in front of the file name.
What isn't signed yet waits in staged/. Boards see a publication whole or not at all: timestamp.json is written last.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any

from edgeagent.errors import ConfigError, EnvironmentFaultError
from edgeagent.host.files import Files

from . import roles
from .roles import MAX_METADATA, ONLINE, ROOT, SNAPSHOT, TARGETS, TIMESTAMP, Document, Signed
from .tuf_keys import TufSigner
from .tuf_library import SSlibKey

MAX_TARGET = 64 << 20
PUBLIC = 0o644


class Repository:
    """One folder. Methods raise EdgeAgentError with one clear line, and OSError for the disk; one writer at a time."""

    def __init__(self, files: Files, folder: Path) -> None:
        self.folder = folder
        self._files = files
        self._metadata, self._staged, self._targets = (
            folder / one for one in ("metadata", "staged", "targets")
        )

    # ---- documents -----------------------------------------------------------------------------------------------

    def _names(self, folder: Path) -> list[str]:
        try:
            return self._files.names(folder)
        except FileNotFoundError:
            return []

    def _read(self, path: Path) -> Document:
        return roles.parse(self._files.read(path, MAX_METADATA), str(path))

    def published(self, role: str) -> Document | None:
        """The newest version that boards can see; None when there is none."""
        version = self._version(role)
        if version is None:
            return None
        name = f"{role}.json" if role == TIMESTAMP else f"{version}.{role}.json"
        return self._read(self._metadata / name)

    def _version(self, role: str) -> int | None:
        names = self._names(self._metadata)
        if role == ROOT:
            versions = [int(name.split(".")[0]) for name in names if name.endswith(".root.json")]
            return max(versions, default=None)
        if f"{TIMESTAMP}.json" not in names:
            return None
        timestamp = self._read(self._metadata / f"{TIMESTAMP}.json").signed
        if role == TIMESTAMP:
            return int(timestamp.version)
        if role == SNAPSHOT:
            return int(timestamp.snapshot_meta.version)
        snapshot = self._read(self._metadata / f"{timestamp.snapshot_meta.version}.{SNAPSHOT}.json").signed
        meta = snapshot.meta.get(f"{role}.json")
        return None if meta is None else int(meta.version)

    def staged(self) -> dict[str, Document]:
        """What waits for signatures, by role."""
        names = [name.removesuffix(".json") for name in self._names(self._staged) if name.endswith(".json")]
        return {role: self._read(self._staged / f"{role}.json") for role in names}

    def newest(self, role: str) -> Document:
        """The staged version, else the published one. ConfigError when there is no such role."""
        found = self.staged().get(role) or self.published(role)
        if found is None:
            where, remedy = role, "See `edgeagent repo status`."
            if role in (ROOT, TARGETS):
                where, remedy = str(self.folder), "Make one with `edgeagent repo init`."
            raise ConfigError(
                "there is no such role here" if where == role else "this is no repository",
                where=where,
                remedy=remedy,
            )
        return found

    def _stage(self, role: str, document: Document) -> None:
        self._files.make_folder(self._staged, 0o755)
        self._files.replace(self._staged / f"{role}.json", document.to_bytes(), PUBLIC)

    def _next(self, role: str, now: datetime) -> Document:
        """The version to change: a staged one loses its signatures, a published one gets a successor."""
        staged = self.staged().get(role)
        if staged is None:
            return roles.following(self.newest(role), role, now)
        staged.signatures.clear()
        staged.signed.expires = roles.expiry(role, now)
        return staged

    def teams(self) -> list[str]:
        """Names of the teams' roles."""
        delegations = self.newest(TARGETS).signed.delegations
        return sorted(delegations.roles or {}) if delegations else []

    def key_ids(self, role: str) -> list[str]:
        """Identifiers of the keys that may sign a role."""
        delegator = self.newest(ROOT if role in roles.TOP else TARGETS).signed
        return list(delegator.get_delegated_role(role).keyids)

    # ---- changes, all of them staged -----------------------------------------------------------------------------

    def init(
        self, keys: Mapping[str, Sequence[SSlibKey]], thresholds: Mapping[str, int], now: datetime
    ) -> None:
        """Stage the first root and targets. ConfigError where a repository is."""
        self.require_new()
        self._stage(ROOT, roles.first_root(keys, thresholds, now))
        self._stage(TARGETS, roles.first_targets(TARGETS, now))

    def require_new(self) -> None:
        """ConfigError where a repository is."""
        if self._names(self._metadata) or self._names(self._staged):
            raise ConfigError(
                "there is a repository already", where=str(self.folder), remedy="Choose another folder."
            )

    def delegate(
        self, team: str, keys: Sequence[SSlibKey], threshold: int, paths: Sequence[str], now: datetime
    ) -> None:
        """Stage a team and its empty role."""
        targets = self._next(TARGETS, now)
        roles.delegate(targets, team, keys, threshold, paths)
        self._stage(team, roles.first_targets(team, now))
        self._stage(TARGETS, targets)

    def add(self, role: str, path: str, data: bytes, custom: Mapping[str, Any], now: datetime) -> None:
        """Store a target's content, and stage that the role names it."""
        _check_path(path)
        if len(data) > MAX_TARGET:
            raise ConfigError(f"a target of {len(data)} bytes is above the limit of {MAX_TARGET}", where=path)
        document = self._next(role, now)
        self._check_allowed(role, path)
        target = roles.add_target(document, path, data, custom)
        (name,) = target.get_prefixed_paths()
        file = self._targets / name
        self._files.make_folder(file.parent, 0o755)
        self._files.replace(file, data, PUBLIC)
        self._stage(role, document)

    def _check_allowed(self, role: str, path: str) -> None:
        delegations = self.newest(TARGETS).signed.delegations
        if role != TARGETS and delegations and not delegations.roles[role].is_delegated_path(path):
            allowed = ", ".join(delegations.roles[role].paths or ())
            raise ConfigError(f"team {role} may only name targets like {allowed}", where=path)

    def remove(self, role: str, path: str, now: datetime) -> None:
        """Stage that the role doesn't name a target any more."""
        document = self._next(role, now)
        roles.remove_target(document, path)
        self._stage(role, document)

    def exchange_key(self, role: str, old: str, new: SSlibKey, now: datetime) -> None:
        """Stage another key for a role: a new root or, for a team, new targets."""
        delegator = ROOT if role in roles.TOP else TARGETS
        document = self._next(delegator, now)
        roles.exchange_key(document, role, old, new)
        self._stage(delegator, document)
        if role not in (ROOT, *ONLINE):
            # What the old key signed doesn't count any more.
            self._stage(role, self._next(role, now))

    def discard(self) -> list[str]:
        """Give up all that is staged; the roles."""
        staged = [*self.staged()]
        for role in staged:
            self._files.remove(self._staged / f"{role}.json")
        return staged

    # ---- signatures ----------------------------------------------------------------------------------------------

    def _signed(self, role: str, document: Document, staged: Mapping[str, Document]) -> Signed:
        former = self.published(ROOT) if role == ROOT else None
        if role == ROOT:
            return roles.signed(role, document, document, former)
        delegator = ROOT if role in roles.TOP else TARGETS
        return roles.signed(role, document, staged.get(delegator) or self.newest(delegator))

    def waiting(self) -> list[Signed]:
        """How far each staged role is signed."""
        staged = self.staged()
        return [self._signed(role, document, staged) for role, document in sorted(staged.items())]

    def sign(self, signer: TufSigner) -> list[str]:
        """Sign what is staged and the key may sign; the roles. ConfigError when it may sign nothing of it."""
        staged = self.staged()
        done = []
        for role, document in staged.items():
            if signer.public_key.keyid in self._keyids(role, document, staged):
                document.sign(signer, append=True)
                self._stage(role, document)
                done.append(role)
        if not done:
            raise ConfigError(
                f"key {signer.public_key.keyid[:16]} may sign nothing of what is staged",
                where=str(self.folder),
                remedy="See `edgeagent repo status`.",
            )
        return done

    def _keyids(self, role: str, document: Document, staged: Mapping[str, Document]) -> set[str]:
        if role == ROOT:
            former = self.published(ROOT)
            roots = [document.signed, *([former.signed] if former else [])]
            return {keyid for one in roots for keyid in one.roles[ROOT].keyids}
        delegator = ROOT if role in roles.TOP else TARGETS
        judge = (staged.get(delegator) or self.newest(delegator)).signed
        return set(judge.get_delegated_role(role).keyids)

    # ---- publication ---------------------------------------------------------------------------------------------

    def publish(self, signers: Iterable[TufSigner], now: datetime) -> list[str]:
        """Make what is staged visible, with a new snapshot and timestamp by these keys; the roles.

        Without anything staged the timestamp is renewed. May be repeated after it was cut short at any point.
        ConfigError, and nothing changes, while a signature is missing.
        """
        staged = self.staged()
        for one in self.waiting():
            if not one.complete:
                raise ConfigError(
                    f"{one.role} version {one.version} isn't signed enough; missing: {one.missing}",
                    where=str(self.folder),
                    remedy="Sign it: edgeagent repo sign --key FILE",
                )
        root = staged.get(ROOT) or self.newest(ROOT)
        online = self._online(root, signers)
        self._files.make_folder(self._metadata, 0o755)
        for role, document in staged.items():
            self._put(f"{document.signed.version}.{role}.json", document)
        versions = {role: document.signed.version for role, document in staged.items() if role != ROOT}
        snapshot = self.published(SNAPSHOT)
        if (
            snapshot is None
            or versions
            or snapshot.signed.expires - now < roles.LIFETIMES[SNAPSHOT] / 2
            or ROOT in staged
        ):
            snapshot = roles.next_snapshot(snapshot, versions, now)
            _sign(snapshot, online[SNAPSHOT])
            self._put(f"{snapshot.signed.version}.{SNAPSHOT}.json", snapshot)
        timestamp = roles.next_timestamp(self.published(TIMESTAMP), snapshot, now)
        _sign(timestamp, online[TIMESTAMP])
        self._put(f"{TIMESTAMP}.json", timestamp)
        self.discard()
        return [*staged]

    def _online(self, root: Document, signers: Iterable[TufSigner]) -> dict[str, list[TufSigner]]:
        signers = tuple(signers)
        found = {}
        for role in ONLINE:
            wanted = root.signed.roles[role]
            found[role] = [one for one in signers if one.public_key.keyid in wanted.keyids]
            if len(found[role]) < wanted.threshold:
                raise EnvironmentFaultError(
                    f"{len(found[role])} of {wanted.threshold} keys of role {role} are here",
                    where=str(self.folder),
                    remedy="Give the folder of the online keys with --keys.",
                )
        return found

    def _put(self, name: str, document: Document) -> None:
        self._files.replace(self._metadata / name, document.to_bytes(), PUBLIC)


def _sign(document: Document, signers: Iterable[TufSigner]) -> None:
    for signer in signers:
        document.sign(signer, append=True)


def _check_path(path: str) -> None:
    parts = PurePosixPath(path).parts
    if not path or path.startswith("/") or ".." in parts or "\\" in path or path != "/".join(parts):
        raise ConfigError(
            "a target's path is relative, and has no empty, . or .. parts", where=path or "(empty)"
        )
