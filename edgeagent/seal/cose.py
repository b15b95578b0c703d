"""COSE_Sign1 and COSE_Encrypt (RFC 9052, RFC 9053): bytes and keys in, bytes out.

The part that edgeagent speaks: Ed25519 signatures; AEAD content encryption; content keys for one or more recipients by
ephemeral ECDH with HKDF-SHA-256 and AES key wrap. Everything random is an argument. A reader is stricter than
the RFC: tags are required, algorithms must be protected and among those that the caller allows, and critical headers
are refused because none is understood. docs/adr/0002-cose.md says why this module exists.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from edgeagent.errors import RemoteProtocolError

from . import strict
from .strict import Tagged

# Header parameters (RFC 9052, 3.1; RFC 9053, 6.3.1)
ALG, CRIT, KID, IV, EPHEMERAL = 1, 2, 4, 5, -1
# Message tags
SIGN1_TAG, ENCRYPT_TAG = 18, 96

EDDSA = -8
A128GCM, A256GCM, CHACHA20_POLY1305 = 1, 3, 24
ECDH_ES_HKDF_256, ECDH_ES_A128KW, ECDH_ES_A192KW, ECDH_ES_A256KW = -25, -29, -30, -31

NONCE_SIZE = 12
MAX_MESSAGE = 1 << 20
"""Bytes of any COSE message that is read."""
MAX_HEADER = 1024
"""Bytes of a protected header."""
MAX_RECIPIENTS = 16

_AEAD: dict[int, tuple[type[AESGCM | ChaCha20Poly1305], int]] = {
    A128GCM: (AESGCM, 16),
    A256GCM: (AESGCM, 32),
    CHACHA20_POLY1305: (ChaCha20Poly1305, 32),
}
"""Content algorithm: implementation and key bytes."""

_WRAPS = {ECDH_ES_HKDF_256: None, ECDH_ES_A128KW: -3, ECDH_ES_A192KW: -4, ECDH_ES_A256KW: -5}
"""Recipient algorithm: the key wrap below it, or None where the derived key is the content key."""
WRAP_OVERHEAD = 8
"""Bytes that AES key wrap adds (RFC 3394)."""
_WRAP_KEY_SIZE = {-3: 16, -4: 24, -5: 32}

CONTENT_ALGORITHMS = frozenset({A256GCM, CHACHA20_POLY1305})
RECIPIENT_ALGORITHMS = frozenset({ECDH_ES_A256KW})
"""What edgeagent accepts. The other rows are there to hold this module to the public vectors."""


class UnknownKeyError(RemoteProtocolError):
    """The message names a key that isn't known here."""


class NotForUsError(RemoteProtocolError):
    """No recipient of the message is one of our keys."""


class Signer(Protocol):
    """A private signing key."""

    @property
    def algorithm(self) -> int:
        """COSE's number."""

    @property
    def kid(self) -> bytes:
        """What the message names the key by."""

    def sign(self, message: bytes) -> bytes:
        """The raw signature."""


class Verifier(Protocol):
    """A public signing key."""

    @property
    def algorithm(self) -> int:
        """COSE's number."""

    def verify(self, signature: bytes, message: bytes) -> bool:
        """Whether it is this key's signature."""


@dataclass(frozen=True, slots=True)
class Recipient:
    """For whom content is encrypted: secret is the ECDH result with the ephemeral key of ``ephemeral`` (a COSE_Key)."""

    kid: bytes
    ephemeral: dict[int, Any]
    secret: bytes = field(repr=False)


class KeyedVerifier(Verifier, Protocol):
    """A public signing key that messages name."""

    @property
    def kid(self) -> bytes:
        """What a message names the key by."""


Agree = Callable[[bytes, dict[Any, Any]], bytes | None]
"""(kid, ephemeral COSE_Key) -> ECDH secret, or None when the kid is none of ours. Raises ValueError for a bad key."""


def _fault(what: str, why: str) -> RemoteProtocolError:
    return RemoteProtocolError(f"{what} is refused: {why}")


def _headers(protected: Any, unprotected: Any, what: str) -> tuple[dict[Any, Any], bytes]:
    """All headers, and the protected ones as they enter the authenticated structure."""
    if not isinstance(protected, bytes) or not isinstance(unprotected, dict):
        raise _fault(what, "its headers are malformed")
    known = strict.loads(protected, limit=MAX_HEADER, what=f"{what}'s header") if protected else {}
    if not isinstance(known, dict):
        raise _fault(what, "its protected header is no map")
    if ALG not in known:
        raise _fault(what, "it doesn't protect its algorithm")
    if CRIT in known or CRIT in unprotected:
        raise _fault(what, "it has critical headers that aren't understood")
    if known.keys() & unprotected.keys():
        raise _fault(what, "a header is both protected and unprotected")
    return known | unprotected, protected


def _message(data: bytes, tag: int, parts: int, what: str) -> list[Any]:
    found = strict.loads(data, limit=MAX_MESSAGE, what=what)
    if not isinstance(found, Tagged) or found.tag != tag:
        raise _fault(what, f"it isn't tagged {tag}")
    if not isinstance(found.item, list) or len(found.item) != parts:
        raise _fault(what, f"it is no array of {parts}")
    return found.item


# ---- signatures --------------------------------------------------------------------------------------------------


def _to_be_signed(protected: bytes, external: bytes, payload: bytes) -> bytes:
    return strict.dumps(["Signature1", protected, external, payload])


def sign1(payload: bytes, signer: Signer, *, external: bytes = b"") -> bytes:
    """A COSE_Sign1 over payload and external (RFC 9052, 4.2 and 4.4)."""
    protected = strict.dumps({ALG: signer.algorithm})
    signature = signer.sign(_to_be_signed(protected, external, payload))
    return strict.dumps(Tagged(SIGN1_TAG, [protected, {KID: signer.kid}, payload, signature]))


def verify1(data: bytes, key_of: Callable[[bytes], Verifier | None], *, external: bytes = b"") -> bytes:
    """The payload of a COSE_Sign1 whose kid names a key that key_of knows, and whose signature is that key's.

    Raises UnknownKeyError for a kid nobody knows, RemoteProtocolError for everything else.
    """
    what = "the signed message"
    protected, unprotected, payload, signature = _message(data, SIGN1_TAG, 4, what)
    headers, protected = _headers(protected, unprotected, what)
    kid = headers.get(KID)
    if not isinstance(payload, bytes) or not isinstance(signature, bytes) or not isinstance(kid, bytes):
        raise _fault(what, "payload, signature or key identifier is missing")
    key = key_of(kid)
    if key is None:
        raise UnknownKeyError(f"{what} is signed by the unknown key {kid.hex()}")
    if headers[ALG] != key.algorithm:
        raise _fault(what, f"its algorithm {headers[ALG]!r:.20} isn't its key's")
    if not key.verify(signature, _to_be_signed(protected, external, payload)):
        raise _fault(what, "its signature is wrong")
    return payload


def sign1_detached(payload: bytes, signer: Signer) -> bytes:
    """A COSE_Sign1 that doesn't carry its payload (RFC 9052, 4.1)."""
    protected = strict.dumps({ALG: signer.algorithm})
    signature = signer.sign(_to_be_signed(protected, b"", payload))
    return strict.dumps(Tagged(SIGN1_TAG, [protected, {KID: signer.kid}, None, signature]))


def verify1_detached(data: bytes, payload: bytes, keys: Iterable[KeyedVerifier]) -> KeyedVerifier:
    """The key whose signature of payload this COSE_Sign1 is; where it names no kid, every key is tried.

    Raises UnknownKeyError when it names or fits none of them, RemoteProtocolError for everything else.
    """
    what = "the detached signature"
    protected, unprotected, carried, signature = _message(data, SIGN1_TAG, 4, what)
    headers, protected = _headers(protected, unprotected, what)
    kid = headers.get(KID)
    if carried is not None or not isinstance(signature, bytes) or not isinstance(kid, bytes | None):
        raise _fault(what, "it carries a payload, or signature or key identifier is malformed")
    if headers.keys() - {ALG, KID}:
        raise _fault(what, "it has headers that nobody needs")
    named = [key for key in keys if kid in (None, key.kid)]
    if not named:
        raise UnknownKeyError(f"{what} is by the unknown key {kid.hex() if kid else '(none named)'}")
    fitting = [key for key in named if key.algorithm == headers[ALG]]
    if not fitting:
        raise _fault(what, f"its algorithm {headers[ALG]!r:.20} isn't its key's")
    signed = _to_be_signed(protected, b"", payload)
    for key in fitting:
        if key.verify(signature, signed):
            return key
    raise _fault(what, "its signature is wrong")


# ---- encryption --------------------------------------------------------------------------------------------------


def _content_aad(context: str, protected: bytes, external: bytes) -> bytes:
    return strict.dumps([context, protected, external])


def derive(secret: bytes, algorithm: int, size: int, protected: bytes) -> bytes:
    """HKDF-SHA-256 with the COSE_KDF_Context of RFC 9053, 5.2; no party information, no salt. size: key bytes."""
    nobody = [None, None, None]
    context = strict.dumps([algorithm, nobody, nobody, [size * 8, protected]])
    return HKDF(algorithm=SHA256(), length=size, salt=None, info=context).derive(secret)


def encrypt(
    plaintext: bytes,
    recipients: Sequence[Recipient],
    *,
    content_key: bytes,
    nonce: bytes,
    algorithm: int = A256GCM,
    external: bytes = b"",
) -> bytes:
    """A COSE_Encrypt with one or more recipients by ECDH-ES + A256KW (RFC 9052, 5.1; RFC 9053, 6.4.1).

    content_key (of the algorithm's size) and nonce (12 bytes) must never be used together twice.
    """
    if not 0 < len(recipients) <= MAX_RECIPIENTS:
        raise ValueError(f"from 1 to {MAX_RECIPIENTS} recipients are possible, not {len(recipients)}")
    cipher, size = _AEAD[algorithm]
    if len(content_key) != size or len(nonce) != NONCE_SIZE:
        raise ValueError("the content key or nonce has the wrong size")
    protected = strict.dumps({ALG: algorithm})
    sealed = cipher(content_key).encrypt(nonce, plaintext, _content_aad("Encrypt", protected, external))
    for_each = strict.dumps({ALG: ECDH_ES_A256KW})
    wrapped = [
        [
            for_each,
            {KID: one.kid, EPHEMERAL: one.ephemeral},
            aes_key_wrap(derive(one.secret, -5, 32, for_each), content_key),
        ]
        for one in recipients
    ]
    return strict.dumps(Tagged(ENCRYPT_TAG, [protected, {IV: nonce}, sealed, wrapped]))


def open_content(
    context: str,
    parts: Sequence[Any],
    external: bytes,
    key_of: Callable[[int, int], bytes],
    allowed: Collection[int] = CONTENT_ALGORITHMS,
) -> bytes:
    """The content of [protected, unprotected, ciphertext]; key_of gets the algorithm and its key's size in bytes."""
    what = "the encrypted message"
    protected, unprotected, sealed = parts
    headers, protected = _headers(protected, unprotected, what)
    algorithm, nonce = headers[ALG], headers.get(IV)
    if algorithm not in allowed:
        raise _fault(what, f"its cipher {algorithm!r:.20} isn't allowed")
    if not isinstance(nonce, bytes) or len(nonce) != NONCE_SIZE or not isinstance(sealed, bytes):
        raise _fault(what, "nonce or content is missing")
    cipher, size = _AEAD[algorithm]
    key = key_of(algorithm, size)
    if len(key) != size:
        raise _fault(what, "its content key has the wrong size")
    try:
        return cipher(key).decrypt(nonce, sealed, _content_aad(context, protected, external))
    except InvalidTag:
        raise _fault(what, "its content was changed or belongs to another topic") from None


def _content_key(recipients: Any, content: int, size: int, agree: Agree, allowed: Collection[int]) -> bytes:
    what = "the encrypted message"
    if not isinstance(recipients, list) or not 0 < len(recipients) <= MAX_RECIPIENTS:
        raise _fault(what, f"it hasn't from 1 to {MAX_RECIPIENTS} recipients")
    for one in recipients:
        if not isinstance(one, list) or len(one) != 3:
            raise _fault(what, "a recipient is malformed")
        headers, protected = _headers(one[0], one[1], f"a recipient of {what}")
        algorithm, kid, ephemeral, wrapped = headers[ALG], headers.get(KID), headers.get(EPHEMERAL), one[2]
        if algorithm not in allowed or not isinstance(kid, bytes) or not isinstance(ephemeral, dict):
            continue
        try:
            secret = agree(kid, ephemeral)
        except ValueError:
            raise _fault(what, "an ephemeral key is malformed") from None
        if secret is None:
            continue
        wrap = _WRAPS[algorithm]
        if wrap is None:
            if wrapped != b"":
                raise _fault(what, "a directly agreed key is wrapped too")
            return derive(secret, content, size, protected)
        if not isinstance(wrapped, bytes) or len(wrapped) != size + WRAP_OVERHEAD:
            raise _fault(what, "our wrapped key has the wrong size")
        try:
            return aes_key_unwrap(derive(secret, wrap, _WRAP_KEY_SIZE[wrap], protected), wrapped)
        except InvalidUnwrap:
            raise _fault(what, "our wrapped key was changed") from None
    raise NotForUsError(f"{what} is for none of our keys")


def decrypt(
    data: bytes,
    agree: Agree,
    *,
    external: bytes = b"",
    allowed: Collection[int] = CONTENT_ALGORITHMS,
    recipients: Collection[int] = RECIPIENT_ALGORITHMS,
) -> bytes:
    """The plaintext of a COSE_Encrypt (RFC 9052, 5.3).

    Raises NotForUsError when no recipient is one of ours, RemoteProtocolError for everything else.
    """
    *content, for_whom = _message(data, ENCRYPT_TAG, 4, "the encrypted message")

    def content_key(algorithm: int, size: int) -> bytes:
        return _content_key(for_whom, algorithm, size, agree, recipients)

    return open_content("Encrypt", content, external, content_key, allowed)
