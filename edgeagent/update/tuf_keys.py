"""Core: our Ed25519 keys as TUF has them."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from edgeagent.seal.keys import SigningKey, VerifyKey

from .tuf_library import Key, Signature, Signer, SSlibKey


def tuf_key(key: VerifyKey) -> SSlibKey:
    """A public key with TUF's identifier: SHA-256 over its canonical JSON, 64 hex digits."""
    return SSlibKey.from_crypto(Ed25519PublicKey.from_public_bytes(key.raw))


class TufSigner(Signer):
    """Signs with one of our keys."""

    def __init__(self, key: SigningKey) -> None:
        self._key = key
        self._public = tuf_key(key.public)

    @property
    def public_key(self) -> SSlibKey:
        """Its public half."""
        return self._public

    @classmethod
    def from_priv_key_uri(cls, priv_key_uri: str, public_key: Key, secrets_handler: object = None) -> Signer:
        """Not used: keys are read from files by the command."""
        raise NotImplementedError

    def sign(self, payload: bytes) -> Signature:
        """A signature of payload."""
        return Signature(self._public.keyid, self._key.sign(payload).hex())
