"""Keys as values: Ed25519 to sign, X25519 to agree; identifiers, PEM in and out, and the statement of a rotation.

A key identifier (kid) is the first 8 bytes of SHA-256 over the raw public key: short enough for every batch, and a
collision only makes a signature fail.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from edgeagent.errors import ConfigError, RemoteProtocolError

from . import strict
from .cose import EDDSA, Agree, Recipient, sign1, verify1

KID_SIZE = 8
RAW_SIZE = 32
"""Bytes of every key here, private and public."""
FIELD_PRIME = 2**255 - 19
MAX_PEM = 4096
MAX_STATEMENT = 1024

# COSE_Key parameters (RFC 9053, 7.2)
_KTY, _CRV, _X, _OKP, _X25519 = 1, -1, -2, 1, 4

_RAW = serialization.Encoding.Raw
_RAW_PUBLIC = serialization.PublicFormat.Raw
_PEM = serialization.Encoding.PEM


def kid_of(raw_public: bytes) -> bytes:
    """The identifier of a public key."""
    return hashlib.sha256(raw_public).digest()[:KID_SIZE]


@dataclass(frozen=True, slots=True)
class VerifyKey:
    """An Ed25519 public key, raw."""

    raw: bytes

    @property
    def algorithm(self) -> int:
        """EdDSA."""
        return EDDSA

    @property
    def kid(self) -> bytes:
        """Its identifier."""
        return kid_of(self.raw)

    def verify(self, signature: bytes, message: bytes) -> bool:
        """Whether it is this key's signature of message."""
        try:
            Ed25519PublicKey.from_public_bytes(self.raw).verify(signature, message)
        except InvalidSignature:
            return False
        return True

    def pem(self) -> bytes:
        """SPKI PEM."""
        return Ed25519PublicKey.from_public_bytes(self.raw).public_bytes(
            _PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )


@dataclass(frozen=True, slots=True)
class BoxKey:
    """An X25519 public key, raw: somebody who may open batches."""

    raw: bytes

    @property
    def kid(self) -> bytes:
        """Its identifier."""
        return kid_of(self.raw)

    def pem(self) -> bytes:
        """SPKI PEM."""
        return X25519PublicKey.from_public_bytes(self.raw).public_bytes(
            _PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    def recipient(self, ephemeral: bytes) -> Recipient:
        """Agree with the ephemeral private key (32 random bytes, used once)."""
        private = X25519PrivateKey.from_private_bytes(ephemeral)
        public = private.public_key().public_bytes(_RAW, _RAW_PUBLIC)
        secret = private.exchange(X25519PublicKey.from_public_bytes(self.raw))
        return Recipient(self.kid, {_KTY: _OKP, _CRV: _X25519, _X: public}, secret)


class SigningKey:
    """An Ed25519 private key. Its text form shows the public identifier only."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        self.public = VerifyKey(private.public_key().public_bytes(_RAW, _RAW_PUBLIC))
        self.kid = self.public.kid
        self.algorithm = EDDSA

    @classmethod
    def from_seed(cls, seed: bytes) -> SigningKey:
        """From 32 random bytes."""
        return cls(Ed25519PrivateKey.from_private_bytes(seed))

    def sign(self, message: bytes) -> bytes:
        """The raw signature, 64 bytes."""
        return self._private.sign(message)

    def pem(self) -> bytes:
        """PKCS#8 PEM, not encrypted: its file's mode guards it."""
        return _private_pem(self._private)

    def __repr__(self) -> str:
        return f"SigningKey({self.kid.hex()})"


class OpeningKey:
    """An X25519 private key. Its text form shows the public identifier only."""

    def __init__(self, private: X25519PrivateKey) -> None:
        self._private = private
        self.public = BoxKey(private.public_key().public_bytes(_RAW, _RAW_PUBLIC))
        self.kid = self.public.kid

    @classmethod
    def from_seed(cls, seed: bytes) -> OpeningKey:
        """From 32 random bytes."""
        return cls(X25519PrivateKey.from_private_bytes(seed))

    def agree(self, ephemeral: dict[Any, Any]) -> bytes:
        """The ECDH secret with a COSE_Key. ValueError unless that is an X25519 point of large order, written once.

        RFC 7748 would ignore the topmost bit and reduce the rest; here each point has one form, so that no bit of a
        batch can be changed unnoticed.
        """
        if ephemeral.get(_KTY) != _OKP or ephemeral.get(_CRV) != _X25519 or len(ephemeral) != 3:
            raise ValueError("the ephemeral key isn't X25519")
        raw = ephemeral.get(_X)
        if not isinstance(raw, bytes):
            raise ValueError("the ephemeral key has no x")  # noqa: TRY004 - the caller translates one class
        if len(raw) != RAW_SIZE or int.from_bytes(raw, "little") >= FIELD_PRIME:
            raise ValueError("the ephemeral key isn't in its normal form")
        return self._private.exchange(X25519PublicKey.from_public_bytes(raw))

    def pem(self) -> bytes:
        """PKCS#8 PEM, not encrypted: its file's mode guards it."""
        return _private_pem(self._private)

    def __repr__(self) -> str:
        return f"OpeningKey({self.kid.hex()})"


def _private_pem(private: Ed25519PrivateKey | X25519PrivateKey) -> bytes:
    return private.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def agree_with(keys: Iterable[OpeningKey]) -> Agree:
    """What cose.decrypt asks for the secret."""
    by_kid = {key.kid: key for key in keys}

    def agree(kid: bytes, ephemeral: dict[Any, Any]) -> bytes | None:
        key = by_kid.get(kid)
        return key.agree(ephemeral) if key else None

    return agree


def lookup(keys: Iterable[VerifyKey]) -> Callable[[bytes], VerifyKey | None]:
    """What cose.verify1 asks for a key."""
    return {key.kid: key for key in keys}.get


# ---- PEM ---------------------------------------------------------------------------------------------------------


def read_public(pem: bytes, where: str) -> VerifyKey | BoxKey:
    """An SPKI PEM. ConfigError naming ``where`` for anything but Ed25519 and X25519."""
    try:
        key = serialization.load_pem_public_key(pem[:MAX_PEM])
    except Exception as error:  # cryptography's own classes differ between its versions
        private = b"PRIVATE KEY" in pem
        raise ConfigError(
            "this is a private key" if private else "this is no public key in PEM",
            where=where,
            remedy="Give the file that `edgeagent keys public` writes."
            + (" Keep this one at home." * private),
        ) from error
    if isinstance(key, Ed25519PublicKey):
        return VerifyKey(key.public_bytes(_RAW, _RAW_PUBLIC))
    if isinstance(key, X25519PublicKey):
        return BoxKey(key.public_bytes(_RAW, _RAW_PUBLIC))
    raise ConfigError("the public key is neither Ed25519 nor X25519", where=where)


def read_publics(pem: bytes, where: str) -> list[VerifyKey | BoxKey]:
    """All keys of a file of concatenated PEMs, as `edgeagent keys public` writes; at least one."""
    end = b"-----END PUBLIC KEY-----"
    pieces = [piece + end for piece in pem.split(end)[:-1]]
    return [read_public(piece, where) for piece in pieces or [pem]]


def read_private(pem: bytes, where: str) -> SigningKey | OpeningKey:
    """A PKCS#8 PEM. ConfigError naming ``where`` for anything but Ed25519 and X25519; never shows what it read."""
    try:
        key = serialization.load_pem_private_key(pem[:MAX_PEM], password=None)
    except Exception:  # noqa: BLE001 - see read_public; and the cause could quote the key
        raise ConfigError("this is no private key in PEM (PKCS#8, not encrypted)", where=where) from None
    if isinstance(key, Ed25519PrivateKey):
        return SigningKey(key)
    if isinstance(key, X25519PrivateKey):
        return OpeningKey(key)
    raise ConfigError("the private key is neither Ed25519 nor X25519", where=where)


# ---- rotation ----------------------------------------------------------------------------------------------------

_ROTATION = b"edgeagent rotation 1"


def rotation_statement(old: SigningKey, new: SigningKey, board: str, time_ms: int) -> bytes:
    """The old key's word that the board signs with the new key too; the new key signs inside that it is its own.

    A COSE_Sign1 by the old key over a COSE_Sign1 by the new key over [board, new public key, old kid, time].
    """
    body = strict.dumps([board, new.public.raw, old.kid, time_ms])
    return sign1(sign1(body, new, external=_ROTATION), old, external=_ROTATION)


@dataclass(frozen=True, slots=True)
class Rotation:
    """A verified statement; time is ms since 1970."""

    board: str
    new: VerifyKey
    old_kid: bytes
    time_ms: int


def read_rotation(data: bytes, key_of: Callable[[bytes], VerifyKey | None]) -> Rotation:
    """Verify a statement against the keys the board has now. RemoteProtocolError when it isn't theirs."""
    if len(data) > MAX_STATEMENT:
        raise RemoteProtocolError(f"the rotation statement is longer than {MAX_STATEMENT} bytes")
    signers: list[bytes] = []

    def remember(kid: bytes) -> VerifyKey | None:
        signers.append(kid)
        return key_of(kid)

    inner = verify1(data, remember, external=_ROTATION)
    claimed = strict.loads(_unverified_payload(inner), limit=MAX_STATEMENT, what="the rotation statement")
    match claimed:
        case [str(board), bytes(raw), bytes(old_kid), int(time_ms)] if (
            len(raw) == RAW_SIZE and old_kid == signers[0]
        ):
            new = VerifyKey(raw)
            verify1(inner, lookup([new]), external=_ROTATION)
            return Rotation(board, new, old_kid, time_ms)
    raise RemoteProtocolError("the rotation statement is malformed")


def _unverified_payload(inner: bytes) -> bytes:
    """Of the new key's message: the key that verifies it is in there."""
    match strict.loads(inner, limit=MAX_STATEMENT, what="the rotation statement"):
        case strict.Tagged(item=[bytes(), dict(), bytes(payload), bytes()]):
            return payload
    raise RemoteProtocolError("the rotation statement is malformed")
