"""Core: SUIT envelopes (draft-ietf-suit-manifest-34): a manifest, its author's signature, and payloads beside it.

The signature is verified before a byte of the manifest is parsed. Only the subset that edgeagent needs is understood;
everything else is refused, because what isn't understood can't be obeyed. CBOR must be deterministic.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from edgeagent.errors import RemoteProtocolError
from edgeagent.seal import cose, strict
from edgeagent.seal.cose import KeyedVerifier, Signer
from edgeagent.seal.strict import Tagged

ENVELOPE_TAG = 107
AUTHENTICATION, MANIFEST = 2, 3
SHA256 = -16
ED25519 = -19
"""COSE's fully specified algorithm (RFC 9864), as SUIT asks for; batches use the older number of the same."""

VALIDATE, LOAD, INVOKE, PAYLOAD_FETCH, INSTALL, TEXT = 7, 8, 9, 16, 20, 23
SECTIONS = {
    VALIDATE: "validate",
    LOAD: "load",
    INVOKE: "invoke",
    PAYLOAD_FETCH: "payload-fetch",
    INSTALL: "install",
}
"""Command sequences of a manifest, by their key."""
SEVERABLE = frozenset({PAYLOAD_FETCH, INSTALL, TEXT})

MAX_ENVELOPE = 16 << 20
"""Bytes, integrated payloads included."""
MAX_MANIFEST = 64 << 10
MAX_COMPONENTS = 16
MAX_SIGNATURES = 8
MAX_URI = 1024

_WHAT = "the SUIT envelope"
_VERSION, _SEQUENCE, _COMMON, _REFERENCE = 1, 2, 3, 4
_COMPONENTS, _SHARED = 2, 4
_FORMAT = 1


def fault(why: str) -> RemoteProtocolError:
    """An envelope that is refused."""
    return RemoteProtocolError(f"{_WHAT} is refused: {why}")


@dataclass(frozen=True, slots=True)
class Envelope:
    """The parts of an envelope, none of them trusted yet."""

    digest: bytes
    """SUIT_Digest of the manifest, encoded."""
    signatures: tuple[bytes, ...]
    manifest: bytes
    severed: Mapping[int, bytes] = field(default_factory=dict)
    """Members that the manifest only holds the digest of, encoded."""
    payloads: Mapping[str, bytes] = field(default_factory=dict)
    """Integrated payloads, by the URI that names them."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What its author says. sequences: command sequences by key of SECTIONS, encoded; shared: runs before each."""

    sequence: int
    components: tuple[tuple[bytes, ...], ...]
    shared: bytes | None
    sequences: Mapping[int, bytes]
    reference: str = ""


# ---- reading -----------------------------------------------------------------------------------------------------


def parse(data: bytes) -> Envelope:
    """The envelope's parts. RemoteProtocolError for what is none."""
    found = strict.loads(data, limit=MAX_ENVELOPE, what=_WHAT)
    if not isinstance(found, Tagged) or found.tag != ENVELOPE_TAG or not isinstance(found.item, dict):
        raise fault(f"it is no map tagged {ENVELOPE_TAG}")
    members = found.item
    if not all(isinstance(value, bytes) for value in members.values()):
        raise fault("a member is no byte string")
    if AUTHENTICATION not in members or MANIFEST not in members:
        raise fault("authentication or manifest is missing")
    digest, *signatures = _list(members[AUTHENTICATION], "the authentication wrapper")
    if not 0 < len(signatures) <= MAX_SIGNATURES:
        raise fault(f"it has {len(signatures)} signatures, not 1 to {MAX_SIGNATURES}")
    if not all(isinstance(one, bytes) for one in (digest, *signatures)):
        raise fault("digest or signature is no byte string")
    others = members.keys() - {AUTHENTICATION, MANIFEST}
    severed = {key: members[key] for key in others if isinstance(key, int)}
    if severed.keys() - SEVERABLE:
        raise fault(f"its members {sorted(severed.keys() - SEVERABLE)} aren't known")
    payloads = {key: members[key] for key in others if isinstance(key, str)}
    return Envelope(digest, tuple(signatures), members[MANIFEST], severed, payloads)


def verify(envelope: Envelope, keys: Iterable[KeyedVerifier]) -> tuple[Manifest, KeyedVerifier]:
    """The manifest and the author's key that signed it: one good signature by one of these keys is needed.

    Raises cose.UnknownKeyError when none of the signatures is by one of the keys, RemoteProtocolError else.
    """
    keys = tuple(keys)
    unknown: cose.UnknownKeyError | None = None
    for signature in envelope.signatures:
        try:
            key = cose.verify1_detached(signature, envelope.digest, keys)
        except cose.UnknownKeyError as error:
            unknown = error
            continue
        check_digest(envelope.digest, strict.dumps(envelope.manifest), "the manifest")
        return read_manifest(envelope), key
    raise unknown or fault("nobody signed it")


def signer_of(signature: bytes) -> bytes:
    """The key identifier that a signature names, unverified; empty where it names none."""
    match strict.loads(signature, limit=MAX_MANIFEST, what="a signature"):
        case Tagged(item=[_, {cose.KID: bytes(kid)}, *_]):
            return kid
    return b""


def read_manifest(envelope: Envelope) -> Manifest:
    """What the manifest says, whoever wrote it: for looking at, never for obeying. ``verify`` is for that."""
    members = _map(envelope.manifest, "the manifest")
    if members.get(_VERSION) != _FORMAT:
        raise fault(f"its manifest version {members.get(_VERSION)!r:.20} isn't {_FORMAT}")
    unknown = members.keys() - {_VERSION, _SEQUENCE, _COMMON, _REFERENCE, *SECTIONS, TEXT}
    if unknown:
        raise fault(f"the manifest's members {sorted(map(str, unknown))} aren't known")
    sequence, reference = members.get(_SEQUENCE), members.get(_REFERENCE, "")
    if not isinstance(sequence, int) or sequence < 0:
        raise fault("the manifest has no sequence number")
    if not isinstance(reference, str) or len(reference) > MAX_URI:
        raise fault("the manifest's reference URI is no short text")
    common = _map(members.get(_COMMON), "the manifest's common part")
    if common.keys() - {_COMPONENTS, _SHARED}:
        raise fault("the manifest's common part has members that aren't known")
    sequences = {key: _member(key, members[key], envelope) for key in SECTIONS if key in members}
    _member(TEXT, members.get(TEXT, b""), envelope, optional=True)
    shared = common.get(_SHARED)
    if not isinstance(shared, bytes | None):
        raise fault("the shared sequence is no byte string")
    return Manifest(sequence, _components(common.get(_COMPONENTS)), shared, sequences, reference)


def _member(key: int, value: Any, envelope: Envelope, *, optional: bool = False) -> bytes:
    """A member of the manifest: inside, or severed with its digest inside."""
    if isinstance(value, bytes):
        return value
    severed = envelope.severed.get(key)
    if key not in SEVERABLE or not isinstance(value, list):
        raise fault(f"the manifest's member {key} is no byte string")
    if severed is None:
        if optional:
            return b""
        raise fault(f"the manifest's {SECTIONS[key]} sequence was severed, and isn't in the envelope")
    check_digest(strict.dumps(value), strict.dumps(severed), f"member {key}")
    return severed


def _components(value: Any) -> tuple[tuple[bytes, ...], ...]:
    if not isinstance(value, list) or not 0 < len(value) <= MAX_COMPONENTS:
        raise fault(f"the manifest hasn't from 1 to {MAX_COMPONENTS} components")
    if not all(isinstance(one, list) and all(isinstance(part, bytes) for part in one) for one in value):
        raise fault("a component identifier is no array of byte strings")
    found = tuple(tuple(one) for one in value)
    if len(set(found)) != len(found):
        raise fault("a component is named twice")
    return found


def _map(data: Any, what: str) -> dict[Any, Any]:
    found = strict.loads(data, limit=MAX_MANIFEST, what=what) if isinstance(data, bytes) else None
    if not isinstance(found, dict):
        raise fault(f"{what} is no map")
    return found


def _list(data: bytes, what: str) -> list[Any]:
    found = strict.loads(data, limit=MAX_MANIFEST, what=what)
    if not isinstance(found, list) or not found:
        raise fault(f"{what} is no array")
    return found


def read_digest(data: Any) -> bytes:
    """The 32 bytes of an encoded SUIT_Digest; only SHA-256 is known."""
    match strict.loads(data, limit=MAX_MANIFEST, what="the digest") if isinstance(data, bytes) else None:
        case [int(algorithm), bytes(digest)] if algorithm == SHA256 and len(digest) == 32:
            return digest
    raise fault("a digest isn't SHA-256")


def check_digest(digest: bytes, data: bytes, what: str) -> None:
    """Raises RemoteProtocolError unless this is the digest of data."""
    if read_digest(digest) != hashlib.sha256(data).digest():
        raise fault(f"the digest of {what} is wrong")


# ---- writing -----------------------------------------------------------------------------------------------------


def digest_of(data: bytes) -> bytes:
    """An encoded SUIT_Digest."""
    return strict.dumps([SHA256, hashlib.sha256(data).digest()])


def encode_manifest(manifest: Manifest) -> bytes:
    """As it is signed."""
    common: dict[int, Any] = {_COMPONENTS: [list(one) for one in manifest.components]}
    if manifest.shared is not None:
        common[_SHARED] = manifest.shared
    members: dict[int, Any] = {
        _VERSION: _FORMAT,
        _SEQUENCE: manifest.sequence,
        _COMMON: strict.dumps(common),
        **manifest.sequences,
    }
    if manifest.reference:
        members[_REFERENCE] = manifest.reference
    return strict.dumps(members)


def sign(manifest: bytes, signers: Iterable[Signer]) -> Envelope:
    """An envelope around an encoded manifest, with a signature by each; no payloads yet."""
    digest = digest_of(strict.dumps(manifest))
    return Envelope(digest, tuple(cose.sign1_detached(digest, one) for one in signers), manifest)


def encode(envelope: Envelope) -> bytes:
    """The envelope's bytes."""
    wrapper = strict.dumps([envelope.digest, *envelope.signatures])
    members: dict[Any, bytes] = {AUTHENTICATION: wrapper, MANIFEST: envelope.manifest}
    members.update(envelope.severed)
    members.update(envelope.payloads)
    return strict.dumps(Tagged(ENVELOPE_TAG, members))
