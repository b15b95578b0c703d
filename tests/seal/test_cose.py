"""COSE beyond the vectors: several recipients, both ciphers, determinism, and every damage refused."""

from __future__ import annotations

import pytest

from edgeagent.errors import RemoteProtocolError
from edgeagent.seal import cose, strict
from edgeagent.seal.cose import ALG, CRIT, KID, NotForUsError, UnknownKeyError
from edgeagent.seal.keys import OpeningKey, SigningKey, agree_with, lookup
from edgeagent.seal.strict import Tagged

SIGNER = SigningKey.from_seed(b"s" * 32)
KEYS = [OpeningKey.from_seed(bytes([i]) * 32) for i in range(3)]
ANYONE = agree_with(KEYS)


def encrypted(algorithm: int = cose.A256GCM, keys: list[OpeningKey] = KEYS[:1]) -> bytes:
    recipients = [key.public.recipient(bytes([64 + i]) * 32) for i, key in enumerate(keys)]
    return cose.encrypt(
        b"words", recipients, content_key=b"c" * 32, nonce=b"n" * 12, algorithm=algorithm, external=b"topic"
    )


@pytest.mark.parametrize("algorithm", sorted(cose.CONTENT_ALGORITHMS))
def test_each_recipient_opens(algorithm):
    data = encrypted(algorithm, KEYS)
    for key in KEYS:
        assert cose.decrypt(data, agree_with([key]), external=b"topic") == b"words"
    with pytest.raises(NotForUsError):
        cose.decrypt(data, agree_with([OpeningKey.from_seed(b"x" * 32)]), external=b"topic")


def test_same_arguments_same_bytes():
    assert encrypted() == encrypted()
    assert cose.sign1(b"x", SIGNER) == cose.sign1(b"x", SIGNER)


def test_other_topic_is_refused():
    with pytest.raises(RemoteProtocolError, match="another topic"):
        cose.decrypt(encrypted(), ANYONE, external=b"other")
    with pytest.raises(RemoteProtocolError, match="signature is wrong"):
        cose.verify1(cose.sign1(b"x", SIGNER, external=b"a"), lookup([SIGNER.public]), external=b"b")


def test_every_flipped_bit_is_refused():
    signed = cose.sign1(encrypted(), SIGNER, external=b"topic")
    for message, opened in (
        (encrypted(), lambda data: cose.decrypt(data, agree_with(KEYS[:1]), external=b"topic")),
        (signed, lambda data: cose.verify1(data, lookup([SIGNER.public]), external=b"topic")),
    ):
        for bit in range(len(message) * 8):
            changed = bytearray(message)
            changed[bit // 8] ^= 1 << bit % 8
            with pytest.raises(RemoteProtocolError):
                opened(bytes(changed))
        for size in range(len(message)):
            with pytest.raises(RemoteProtocolError):
                opened(message[:size])


def change(message: bytes, at: int, value: object) -> bytes:
    tagged = strict.loads(message, limit=cose.MAX_MESSAGE, what="it")
    return strict.dumps(Tagged(tagged.tag, [*tagged.item[:at], value, *tagged.item[at + 1 :]]))


@pytest.mark.parametrize(
    ("at", "value", "why"),
    [
        (0, strict.dumps({ALG: -7}), "isn't its key's"),
        (0, strict.dumps({ALG: cose.EDDSA, CRIT: [42], 42: 1}), "critical"),
        (0, strict.dumps({KID: SIGNER.kid, ALG: cose.EDDSA}), "both protected and unprotected"),
        (0, b"", "protect its algorithm"),
        (0, strict.dumps([1]), "no map"),
        (0, 7, "malformed"),
        (1, {}, "missing"),
        (1, {KID: SIGNER.kid, CRIT: [1]}, "critical"),
        (2, None, "missing"),
        (3, b"", "signature is wrong"),
        (3, None, "missing"),
    ],
)
def test_signed_message_of_another_form(at, value, why):
    with pytest.raises(RemoteProtocolError, match=why):
        cose.verify1(change(cose.sign1(b"x", SIGNER), at, value), lookup([SIGNER.public]))


def test_unknown_key_says_so():
    with pytest.raises(UnknownKeyError, match=SIGNER.kid.hex()):
        cose.verify1(cose.sign1(b"x", SIGNER), lookup([]))


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ([], "recipients"),
        ([[b"", {}, b""]] * 17, "recipients"),
        ([7], "malformed"),
        ([[strict.dumps({ALG: cose.ECDH_ES_HKDF_256}), {KID: KEYS[0].kid, -1: {}}, b""]], "none of our keys"),
        ([[strict.dumps({ALG: cose.ECDH_ES_A256KW}), {KID: KEYS[0].kid, -1: {}}, b""]], "ephemeral key"),
        (
            [
                [
                    strict.dumps({ALG: cose.ECDH_ES_A256KW}),
                    {KID: KEYS[0].kid, -1: {1: 1, -1: 4, -2: bytes(32)}},
                    b"",
                ]
            ],
            "ephemeral key",
        ),
        (
            [
                [
                    strict.dumps({ALG: cose.ECDH_ES_A256KW}),
                    {KID: KEYS[0].kid, -1: {1: 1, -1: 4, -2: b"x"}},
                    b"",
                ]
            ],
            "ephemeral key",
        ),
        (
            [
                [
                    strict.dumps({ALG: cose.ECDH_ES_A256KW}),
                    {KID: KEYS[0].kid, -1: {1: 1, -1: 4, -2: b"x" * 32}},
                    bytes(3),
                ]
            ],
            "wrong size",
        ),
    ],
)
def test_recipients_of_another_form(value, why):
    with pytest.raises(RemoteProtocolError, match=why):
        cose.decrypt(change(encrypted(), 3, value), ANYONE, external=b"topic")


def test_weak_cipher_is_refused_unless_allowed():
    with pytest.raises(RemoteProtocolError, match="isn't allowed"):
        cose.decrypt(encrypted(), ANYONE, external=b"topic", allowed={cose.CHACHA20_POLY1305})


@pytest.mark.parametrize("sizes", [(31, 12, 1), (32, 11, 1), (32, 12, 0), (32, 12, 17)])
def test_wrong_arguments(sizes):
    key, nonce, count = sizes
    with pytest.raises(ValueError):
        cose.encrypt(
            b"", [KEYS[0].public.recipient(b"e" * 32)] * count, content_key=bytes(key), nonce=bytes(nonce)
        )
