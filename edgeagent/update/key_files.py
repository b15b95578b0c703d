"""Shell: signing keys in single files, for people who keep them apart: on a stick, in a safe, on another machine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from edgeagent.errors import ConfigError, EnvironmentFaultError
from edgeagent.host.files import Files
from edgeagent.seal.keys import MAX_PEM, RAW_SIZE, SigningKey, VerifyKey, read_private, read_publics
from edgeagent.seal.keystore import OTHERS, file_mode

PUBLIC_SUFFIX = ".pub"


def make(files: Files, path: Path, entropy: Callable[[int], bytes]) -> SigningKey:
    """Write PATH (private, 0600) and PATH.pub. ConfigError when either is there: nothing is overwritten."""
    public = public_path(path)
    for one in (path, public):
        if one.exists():
            raise ConfigError("this file is there already", where=str(one), remedy="Choose another name.")
    key = SigningKey.from_seed(entropy(RAW_SIZE))
    files.make_folder(path.parent, 0o700)
    files.replace(path, key.pem(), 0o600)
    files.replace(public, key.public.pem(), 0o644)
    return key


def public_path(path: Path) -> Path:
    """Of a private key's file."""
    return path.with_name(path.name + PUBLIC_SUFFIX)


def read(files: Files, path: Path) -> SigningKey:
    """A private Ed25519 key. ConfigError or EnvironmentFaultError when it can't be used."""
    try:
        if file_mode(path) & OTHERS:
            raise EnvironmentFaultError(
                "others than its owner have access to this private key",
                where=str(path),
                remedy=f"Run: chmod 600 {path}",
            )
        key = read_private(files.read(path, MAX_PEM), str(path))
    except OSError as error:
        raise ConfigError(f"the key can't be read: {error.strerror}", where=str(path)) from error
    if not isinstance(key, SigningKey):
        raise ConfigError("this key can't sign: it isn't Ed25519", where=str(path))
    return key


def read_public(files: Files, path: Path) -> VerifyKey:
    """A public Ed25519 key. ConfigError when it is none."""
    try:
        found = read_publics(files.read(path, MAX_PEM), str(path))
    except OSError as error:
        raise ConfigError(f"the key can't be read: {error.strerror}", where=str(path)) from error
    match found:
        case [VerifyKey() as key]:
            return key
    raise ConfigError("the file holds no single Ed25519 public key", where=str(path))
