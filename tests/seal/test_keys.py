"""Keys: PEM both ways, wrong files named in one line, private parts never shown, rotation statements."""

from __future__ import annotations

import hashlib

import pytest

from edgeagent.errors import ConfigError, RemoteProtocolError
from edgeagent.seal import cose, strict
from edgeagent.seal.keys import (
    OpeningKey,
    SigningKey,
    kid_of,
    lookup,
    read_private,
    read_public,
    read_publics,
    read_rotation,
    rotation_statement,
)

SEED = bytes(range(32))
SIGNER, OPENER = SigningKey.from_seed(SEED), OpeningKey.from_seed(SEED)
EC_PUBLIC = b"""-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEaxfR8uEsQkf4vOblY6RA8ncDfYEt
6zOg9KE5RdiYwpZP40Li/hp/m47n60p8D54WK84zV2sxXs7LtkBoN79R9Q==
-----END PUBLIC KEY-----
"""


def test_kid():
    assert SIGNER.kid == kid_of(SIGNER.public.raw) == hashlib.sha256(SIGNER.public.raw).digest()[:8]


@pytest.mark.parametrize("key", [SIGNER, OPENER], ids=repr)
def test_pem(key):
    again = read_private(key.pem(), "file")
    assert type(again) is type(key)
    assert again.public == key.public == read_public(key.public.pem(), "file")


def test_several_publics_in_a_file():
    pem = SIGNER.public.pem() + OPENER.public.pem()
    assert read_publics(pem, "file") == [SIGNER.public, OPENER.public]


@pytest.mark.parametrize(
    ("pem", "words"),
    [
        (b"", "no public key in PEM"),
        (b"\xff\x00", "no public key in PEM"),
        (SIGNER.pem(), "this is a private key.*Keep this one at home"),
        (SIGNER.public.pem()[:60], "no public key in PEM"),
        (EC_PUBLIC, "neither Ed25519 nor X25519"),
    ],
)
def test_wrong_public(pem, words):
    with pytest.raises(ConfigError, match=f"^some/file: .*{words}"):
        read_publics(pem, "some/file")


@pytest.mark.parametrize("pem", [b"", SIGNER.public.pem(), SIGNER.pem()[:70]])
def test_wrong_private(pem):
    with pytest.raises(ConfigError, match=r"^some/file: this is no private key") as caught:
        read_private(pem, "some/file")
    assert caught.value.__suppress_context__


def test_nothing_private_is_shown():
    for key in (SIGNER, OPENER):
        assert repr(key) == f"{type(key).__name__}({key.kid.hex()})"
        assert SEED.hex() not in repr(key)
    recipient = OPENER.public.recipient(b"e" * 32)
    assert "secret" not in repr(recipient)


NEW = SigningKey.from_seed(b"n" * 32)
STATEMENT = rotation_statement(SIGNER, NEW, "attic", 1_700_000_000_000)


def test_rotation():
    found = read_rotation(STATEMENT, lookup([SIGNER.public]))
    assert (found.board, found.new, found.old_kid) == ("attic", NEW.public, SIGNER.kid)


def test_rotation_by_a_stranger():
    with pytest.raises(cose.UnknownKeyError):
        read_rotation(STATEMENT, lookup([NEW.public]))
    with pytest.raises(RemoteProtocolError, match="longer"):
        read_rotation(bytes(5000), lookup([SIGNER.public]))


def test_rotation_to_a_key_that_does_not_agree():
    """The old key alone can't enroll somebody else's key: the new one must sign too."""
    body = strict.dumps(["attic", NEW.public.raw, SIGNER.kid, 1])
    purpose = b"edgeagent rotation 1"
    for inner in (cose.sign1(body, SIGNER, external=purpose), strict.dumps(["x"]), body):
        with pytest.raises(RemoteProtocolError):
            read_rotation(cose.sign1(inner, SIGNER, external=purpose), lookup([SIGNER.public]))


def test_rotation_of_every_flipped_bit():
    for bit in range(len(STATEMENT) * 8):
        changed = bytearray(STATEMENT)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(RemoteProtocolError):
            read_rotation(bytes(changed), lookup([SIGNER.public]))
