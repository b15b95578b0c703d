"""The folder of keys: modes, refusals in one line, never overwritten, rotation without a gap."""

from __future__ import annotations

import os
import stat

import pytest

from edgeagent.errors import ConfigError, EnvironmentFaultError
from edgeagent.host.disk import DiskFiles
from edgeagent.seal.keys import lookup, read_rotation
from edgeagent.seal.keystore import STATEMENT, KeyStore, load_recipients, load_verifiers


@pytest.fixture
def store(tmp_path):
    return KeyStore(DiskFiles(), tmp_path / "state" / "keys")


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize(("role", "names"), [("board", ["signing"]), ("collector", ["signing", "opening"])])
def test_init(store, role, names):
    entries = store.init(role, os.urandom)
    assert [entry.name for entry in entries] == names
    assert store.role == role
    assert mode(store.folder) == 0o700
    assert {mode(path) for path in store.folder.iterdir()} == {0o600}


def test_nothing_is_overwritten(store):
    store.init("board", os.urandom)
    before = store.signer().kid
    for role in ("board", "collector"):
        with pytest.raises(ConfigError, match=r"keys already \(signing.pem\)"):
            store.init(role, os.urandom)
    assert store.signer().kid == before


@pytest.mark.parametrize("bits", [0o640, 0o604, 0o660, 0o777])
def test_others_may_not_read(store, bits):
    store.init("board", os.urandom)
    path = store.folder / "signing.pem"
    path.chmod(bits)
    with pytest.raises(EnvironmentFaultError, match=f"Run: chmod 600 {path}$"):
        store.signer()
    path.chmod(0o600)
    store.folder.chmod(0o755)
    with pytest.raises(EnvironmentFaultError, match=f"Run: chmod 700 {store.folder}$"):
        store.signer()


def test_missing_and_damaged(store):
    with pytest.raises(EnvironmentFaultError, match=r"signing.pem: the key is missing. Make keys"):
        store.signer()
    with pytest.raises(EnvironmentFaultError, match="no keys in this folder"):
        store.entries()
    store.init("collector", os.urandom)
    (store.folder / "opening.pem").write_bytes((store.folder / "signing.pem").read_bytes())
    with pytest.raises(ConfigError, match="can't open: it isn't X25519"):
        store.opening_keys()
    (store.folder / "signing.pem").write_bytes(b"")
    with pytest.raises(ConfigError, match="no private key"):
        store.signer()


def test_rotation_of_a_board(store):
    store.init("board", os.urandom)
    old = store.signer()
    statement = store.rotate("attic", 5, os.urandom)
    assert statement == store.folder / STATEMENT
    assert store.signer().kid == old.kid
    with pytest.raises(ConfigError, match="under way already"):
        store.rotate("attic", 6, os.urandom)
    rotation = read_rotation(statement.read_bytes(), lookup([old.public]))
    assert [entry.state for entry in store.entries()] == ["current", "next"]
    store.retire()
    assert store.signer().public == rotation.new
    assert [entry.state for entry in store.entries()] == ["current"]
    with pytest.raises(ConfigError, match="no rotation is under way"):
        store.retire()


def test_rotation_of_a_collector(store, tmp_path):
    store.init("collector", os.urandom)
    (first,) = store.opening_keys()
    assert store.rotate("", 5, os.urandom) is None
    old, new = store.opening_keys()
    assert old.kid == first.kid
    public = tmp_path / "collector.pem"
    public.write_bytes(store.public())
    assert [key.kid for key in load_recipients(DiskFiles(), [public])] == [old.kid, new.kid]
    assert len(load_verifiers(DiskFiles(), [public])) == 2
    store.retire()
    assert [key.kid for key in store.opening_keys()] == [new.kid]


def test_public_files(store, tmp_path):
    store.init("board", os.urandom)
    public = tmp_path / "board.pem"
    public.write_bytes(store.public())
    assert b"PRIVATE" not in public.read_bytes()
    assert load_verifiers(DiskFiles(), [public]) == [store.signer().public]
    with pytest.raises(ConfigError, match=r"board.pem: the file has no X25519 key"):
        load_recipients(DiskFiles(), [public])
    with pytest.raises(ConfigError, match=r"none.pem: the public key file is missing"):
        load_verifiers(DiskFiles(), [tmp_path / "none.pem"])
