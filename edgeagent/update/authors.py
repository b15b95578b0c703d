"""Core: authors of bundles: Ed25519 keys under the algorithm number that SUIT asks for."""

from __future__ import annotations

from dataclasses import dataclass

from edgeagent.seal.keys import SigningKey, VerifyKey

from .suit import ED25519


@dataclass(frozen=True, slots=True)
class Author:
    """Somebody whose bundles are trusted. Implements KeyedVerifier."""

    key: VerifyKey
    algorithm: int = ED25519

    @property
    def kid(self) -> bytes:
        """What signatures name it by."""
        return self.key.kid

    def verify(self, signature: bytes, message: bytes) -> bool:
        """Whether it is this author's signature of message."""
        return self.key.verify(signature, message)


class AuthorSigner:
    """An author who signs. Implements Signer."""

    def __init__(self, key: SigningKey) -> None:
        self._key = key
        self.kid = key.kid
        self.algorithm = ED25519
        self.author = Author(key.public)

    def sign(self, message: bytes) -> bytes:
        """The raw signature, 64 bytes."""
        return self._key.sign(message)
