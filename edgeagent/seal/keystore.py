"""Shell: keys in a folder. Private files are 0600 in a folder of 0700, and are refused when others may read them.

A key lives in NAME.pem. While it is being replaced, its successor waits in NAME-next.pem: a collector already opens
with it, a board doesn't sign with it yet. ``retire`` puts the successor in its place and forgets the old key.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgeagent.errors import ConfigError, EnvironmentFaultError
from edgeagent.host.files import Files

from .batch import Entropy
from .keys import (
    MAX_PEM,
    RAW_SIZE,
    BoxKey,
    OpeningKey,
    SigningKey,
    VerifyKey,
    read_private,
    read_publics,
    rotation_statement,
)

SIGNING, OPENING = "signing", "opening"
ROLES = {"board": (SIGNING,), "collector": (SIGNING, OPENING)}
NEXT = "-next"
STATEMENT = "rotation.cose"
MAX_PUBLIC = 64 << 10
"""Bytes of a file of public keys."""
OTHERS = stat.S_IRWXG | stat.S_IRWXO

_MAKE: dict[str, Callable[[bytes], SigningKey | OpeningKey]] = {
    SIGNING: SigningKey.from_seed,
    OPENING: OpeningKey.from_seed,
}
_ALGORITHM = {SIGNING: "Ed25519", OPENING: "X25519"}


@dataclass(frozen=True, slots=True)
class Entry:
    """A key as it may be shown. state is "current" or "next"."""

    name: str
    algorithm: str
    kid: str
    state: str
    path: Path


def file_mode(path: Path) -> int:
    """Permission bits of a file or folder."""
    return stat.S_IMODE(path.stat().st_mode)


class KeyStore:
    """The keys of a folder. Methods raise EdgeAgentError with one clear line."""

    def __init__(self, files: Files, folder: Path, mode_of: Callable[[Path], int] = file_mode) -> None:
        self.folder = folder
        self._files = files
        self._mode_of = mode_of

    def _names(self) -> list[str]:
        try:
            return self._files.names(self.folder)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise _unusable(error, self.folder) from error

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.pem"

    def _write(self, name: str, pem: bytes) -> None:
        try:
            self._files.replace(self._path(name), pem, 0o600)
        except OSError as error:
            raise _unusable(error, self._path(name)) from error

    def _read(self, name: str) -> SigningKey | OpeningKey:
        path = self._path(name)
        try:
            for one, mode in ((self.folder, "700"), (path, "600")):
                if self._mode_of(one) & OTHERS:
                    raise EnvironmentFaultError(
                        "others than its owner have access to this private key",
                        where=str(one),
                        remedy=f"Run: chmod {mode} {one}",
                    )
            return read_private(self._files.read(path, MAX_PEM), str(path))
        except FileNotFoundError:
            raise EnvironmentFaultError(
                "the key is missing", where=str(path), remedy="Make keys with `edgeagent keys init`."
            ) from None
        except OSError as error:
            raise _unusable(error, path) from error

    # ---- for agents and collectors -------------------------------------------------------------------------------

    def signer(self) -> SigningKey:
        """The key that signs now."""
        key = self._read(SIGNING)
        if not isinstance(key, SigningKey):
            raise ConfigError("this key can't sign: it isn't Ed25519", where=str(self._path(SIGNING)))
        return key

    def opening_keys(self) -> list[OpeningKey]:
        """The keys that open batches, successors included; at least one."""
        names = [OPENING, *(name for name in (OPENING + NEXT,) if f"{name}.pem" in self._names())]
        keys = [(name, self._read(name)) for name in names]
        for name, key in keys:
            if not isinstance(key, OpeningKey):
                raise ConfigError("this key can't open: it isn't X25519", where=str(self._path(name)))
        return [key for _, key in keys if isinstance(key, OpeningKey)]

    # ---- for people ----------------------------------------------------------------------------------------------

    @property
    def role(self) -> str:
        """Whose keys these are: what is in the folder tells. EnvironmentFaultError when it has none."""
        names = self._names()
        if f"{SIGNING}.pem" not in names:
            raise EnvironmentFaultError(
                "there are no keys in this folder",
                where=str(self.folder),
                remedy="Make them with `edgeagent keys init`.",
            )
        return "collector" if f"{OPENING}.pem" in names else "board"

    def init(self, role: str, entropy: Entropy) -> list[Entry]:
        """Make a role's keys. ConfigError when any key is there already: nothing is ever overwritten."""
        if taken := [name for name in self._names() if name.endswith(".pem")]:
            raise ConfigError(
                f"there are keys already ({', '.join(taken)})",
                where=str(self.folder),
                remedy="Choose another folder, or `edgeagent keys rotate`.",
            )
        try:
            self._files.make_folder(self.folder, 0o700)
        except OSError as error:
            raise _unusable(error, self.folder) from error
        for name in reversed(ROLES[role]):
            self._write(name, _MAKE[name](entropy(RAW_SIZE)).pem())
        return self.entries()

    def entries(self) -> list[Entry]:
        """All keys, without anything private."""
        names = self._names()
        return [
            Entry(name, _ALGORITHM[name], self._read(stem).kid.hex(), state, self._path(stem))
            for name in ROLES[self.role]
            for stem, state in ((name, "current"), (name + NEXT, "next"))
            if f"{stem}.pem" in names
        ]

    def public(self) -> bytes:
        """The public keys, successors included, as PEMs one after the other."""
        return b"".join(self._read(entry.path.stem).public.pem() for entry in self.entries())

    def rotate(self, board: str, now_ms: int, entropy: Entropy) -> Path | None:
        """Make successors. For a board: the file with the statement for `collect enroll`, signed by the old key."""
        role = self.role
        if any(f"{name}{NEXT}.pem" in self._names() for name in ROLES[role]):
            raise ConfigError(
                "a rotation is under way already",
                where=str(self.folder),
                remedy="Finish it with `edgeagent keys retire`.",
            )
        old = self.signer()
        new = SigningKey.from_seed(entropy(RAW_SIZE))
        statement = self.folder / STATEMENT
        if role == "board":
            # The statement first: a key without it would end the rotation half done.
            try:
                self._files.replace(statement, rotation_statement(old, new, board, now_ms), 0o644)
            except OSError as error:
                raise _unusable(error, statement) from error
        else:
            self._write(OPENING + NEXT, OpeningKey.from_seed(entropy(RAW_SIZE)).pem())
        self._write(SIGNING + NEXT, new.pem())
        return statement if role == "board" else None

    def retire(self) -> list[Entry]:
        """Put successors in their places; the old keys are gone."""
        waiting = [name for name in ROLES[self.role] if f"{name}{NEXT}.pem" in self._names()]
        if not waiting:
            raise ConfigError(
                "no rotation is under way",
                where=str(self.folder),
                remedy="Begin one: `edgeagent keys rotate`.",
            )
        try:
            for name in waiting:
                self._files.rename(self._path(name + NEXT), self._path(name))
            self._files.sync_folder(self.folder)
        except OSError as error:
            raise _unusable(error, self.folder) from error
        return self.entries()


def _unusable(error: OSError, path: Path) -> EnvironmentFaultError:
    return EnvironmentFaultError(f"the keys can't be used: {error.strerror or error}", where=str(path))


# ---- public keys of others ---------------------------------------------------------------------------------------


def _publics(files: Files, paths: Iterable[Path]) -> Iterable[tuple[Path, Sequence[VerifyKey | BoxKey]]]:
    for path in paths:
        try:
            yield path, read_publics(files.read(path, MAX_PUBLIC), str(path))
        except FileNotFoundError:
            raise ConfigError(
                "the public key file is missing", where=str(path), remedy="See `edgeagent keys public`."
            ) from None
        except OSError as error:
            raise _unusable(error, path) from error


def load_recipients(files: Files, paths: Iterable[Path]) -> list[BoxKey]:
    """The X25519 keys of files that `edgeagent keys public` wrote; each file must have one."""
    found: list[BoxKey] = []
    for path, keys in _publics(files, paths):
        boxes = [key for key in keys if isinstance(key, BoxKey)]
        if not boxes:
            raise ConfigError("the file has no X25519 key to encrypt for", where=str(path))
        found += boxes
    return found


def load_verifiers(files: Files, paths: Iterable[Path]) -> list[VerifyKey]:
    """The Ed25519 keys of files that `edgeagent keys public` wrote; each file must have one."""
    found: list[VerifyKey] = []
    for path, keys in _publics(files, paths):
        signers = [key for key in keys if isinstance(key, VerifyKey)]
        if not signers:
            raise ConfigError("the file has no Ed25519 key that could sign", where=str(path))
        found += signers
    return found
