"""The COSE working group's vectors: what applies must open or be refused as they say; the rest is counted, with why."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, x25519
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from edgeagent.errors import RemoteProtocolError
from edgeagent.seal import cose, strict

FOLDER = (Path(__file__).resolve().parents[2] / "../shared/data/cose_examples").resolve()
CURVES = {"P-256": ec.SECP256R1(), "P-521": ec.SECP521R1()}
CURVE_NUMBERS = {1: ec.SECP256R1(), 3: ec.SECP521R1()}
CIPHERS = {cose.A128GCM, cose.A256GCM, cose.CHACHA20_POLY1305}
AGREEMENTS = {cose.ECDH_ES_HKDF_256, cose.ECDH_ES_A128KW, cose.ECDH_ES_A192KW, cose.ECDH_ES_A256KW}

OTHER = {
    "eddsa-examples/eddsa-01": "COSE_Sign with several signers",
    "eddsa-examples/eddsa-02": "COSE_Sign with several signers",
}
for _curve in ("p256", "p521"):
    for _size in ("128", "192", "256"):
        for _number in ("01", "02", "03"):
            OTHER[f"ecdh-wrap-examples/{_curve}-ss-wrap-{_size}-{_number}"] = "static-static ECDH"
        OTHER[f"ecdh-wrap-examples/{_curve}-wrap-{_size}-03"] = "COSE_Mac"
    for _number in ("01", "02", "03"):
        OTHER[f"ecdh-direct-examples/{_curve}-ss-hkdf-256-{_number}"] = "static-static ECDH"
        OTHER[f"ecdh-direct-examples/{_curve}-ss-hkdf-512-{_number}"] = "static-static ECDH"
        OTHER[f"ecdh-direct-examples/{_curve}-hkdf-512-{_number}"] = "HKDF-SHA-512"
    OTHER[f"ecdh-direct-examples/{_curve}-hkdf-256-03"] = "COSE_Mac"
OTHER["X25519-tests/x25519-ss-hkdf-256-direct"] = "static-static ECDH"
"""Vectors of what this module doesn't speak; each must be refused."""

STRICTER = {
    "sign1-tests/sign-pass-01": "algorithm isn't protected",
    "sign1-tests/sign-pass-03": "tag is missing",
    "encrypted-tests/enc-pass-01": "algorithm isn't protected",
    "encrypted-tests/enc-pass-03": "tag is missing",
}
"""Valid by the RFC, refused here by intent."""

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="../shared/data/cose_examples is absent")
NAMES = sorted(f"{path.parent.name}/{path.stem}" for path in FOLDER.glob("*/*.json") if FOLDER.is_dir())


def unb64(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def field(key: dict[str, str], name: str) -> bytes:
    return bytes.fromhex(key[f"{name}_hex"]) if f"{name}_hex" in key else unb64(key[name])


@dataclass
class Public:
    """A second Verifier, for the vectors' algorithms that edgeagent has no use for."""

    algorithm: int
    key: Any

    def verify(self, signature: bytes, message: bytes) -> bool:
        try:
            if isinstance(self.key, ec.EllipticCurvePublicKey):
                half = len(signature) // 2
                pair = (int.from_bytes(signature[:half], "big"), int.from_bytes(signature[half:], "big"))
                self.key.verify(encode_dss_signature(*pair), message, ec.ECDSA(SHA256()))
            else:
                self.key.verify(signature, message)
        except InvalidSignature:
            return False
        return True


def verifier(key: dict[str, str]) -> Public:
    if key["kty"] == "OKP":
        of = {"Ed25519": ed25519.Ed25519PublicKey, "Ed448": ed448.Ed448PublicKey}[key["crv"]]
        return Public(cose.EDDSA, of.from_public_bytes(field(key, "x")))
    point = b"\x04" + field(key, "x") + field(key, "y")
    return Public(-7, ec.EllipticCurvePublicKey.from_encoded_point(CURVES[key["crv"]], point))


def agreement(key: dict[str, str]) -> cose.Agree:
    def agree(_kid: bytes, ephemeral: dict[Any, Any]) -> bytes | None:
        if key["kty"] == "OKP":
            private = x25519.X25519PrivateKey.from_private_bytes(field(key, "d"))
            return private.exchange(x25519.X25519PublicKey.from_public_bytes(ephemeral[-2]))
        curve, x, y = CURVE_NUMBERS[ephemeral[-1]], ephemeral[-2], ephemeral[-3]
        point = b"\x04" + x + y
        theirs = ec.EllipticCurvePublicKey.from_encoded_point(curve, point)
        return ec.derive_private_key(int.from_bytes(field(key, "d"), "big"), curve).exchange(
            ec.ECDH(), theirs
        )

    return agree


def open_encrypt0(data: bytes, key: bytes, external: bytes) -> bytes:
    """COSE_Encrypt0: edgeagent never sends it, but its content layer is COSE_Encrypt's."""
    found = strict.loads(data, limit=cose.MAX_MESSAGE, what="the vector")
    if not isinstance(found, strict.Tagged) or found.tag != 16:
        raise RemoteProtocolError("it isn't tagged 16")
    return cose.open_content("Encrypt0", found.item, external, lambda *_: key, CIPHERS)


def outcome(vector: dict[str, Any]) -> bytes:
    source, data = vector["input"], bytes.fromhex(vector["output"]["cbor"])
    if "sign0" in source:
        part = source["sign0"]
        external = bytes.fromhex(part.get("external", ""))
        return cose.verify1(data, lambda _: verifier(part["key"]), external=external)
    if "encrypted" in source:
        part = source["encrypted"]
        external = bytes.fromhex(part.get("external", ""))
        return open_encrypt0(data, bytes.fromhex(vector["intermediates"]["CEK_hex"]), external)
    if "sign" in source:
        return cose.verify1(data, lambda _: verifier(source["sign"]["signers"][0]["key"]))
    part = source["mac" if "mac" in source else "enveloped"]
    key = part["recipients"][0]["key"]
    if key["kty"] == "oct":
        content = strict.loads(data, limit=cose.MAX_MESSAGE, what="the vector").item[:3]
        return cose.open_content("Encrypt", content, b"", lambda *_: field(key, "k"), CIPHERS)
    return cose.decrypt(data, agreement(key), allowed=CIPHERS, recipients=AGREEMENTS)


@pytest.mark.parametrize("name", NAMES)
def test_vector(name: str) -> None:
    vector = json.loads((FOLDER / f"{name}.json").read_text())
    if vector.get("fail") or name in OTHER or name in STRICTER:
        with pytest.raises(RemoteProtocolError):
            outcome(vector)
    else:
        assert outcome(vector) == vector["input"]["plaintext"].encode()


def test_what_was_tested() -> None:
    kinds = Counter[str]()
    for name in NAMES:
        failing = json.loads((FOLDER / f"{name}.json").read_text()).get("fail", False)
        kinds["refused"] += bool(failing)
        kinds["other"] += name in OTHER
        kinds["stricter"] += name in STRICTER
    kinds["opened"] = len(NAMES) - kinds.total()
    assert kinds == {"opened": 24, "refused": 12, "stricter": 4, "other": 47}
