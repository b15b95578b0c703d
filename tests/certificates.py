"""Certificates for TLS tests, made once per run: nothing secret lies in the repository, nothing expires."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import NamedTuple

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

USAGES = (
    "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
    "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
)  # fmt: skip


class Certificates(NamedTuple):
    """Paths of PEM files: a CA, a server certificate for localhost, a client's, and a CA that signed none of them."""

    ca: Path
    server: Path
    server_key: Path
    client: Path
    client_key: Path
    stranger: Path


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Made once per run, with cryptography."""
    folder = tmp_path_factory.mktemp("certificates")
    made = Certificates(
        *(
            folder / name
            for name in ("ca.pem", "server.pem", "server.key", "client.pem", "client.key", "stranger.pem")
        )
    )
    ca_name, ca_key, ca = _certificate("edgeagent test CA", None)
    _, server_key, server = _certificate("localhost", (ca_name, ca_key))
    _, client_key, client = _certificate("board", (ca_name, ca_key))
    _, _, stranger = _certificate("stranger", None)
    pairs = zip(made, (ca, server, server_key, client, client_key, stranger), strict=True)
    for path, item in pairs:
        path.write_bytes(_pem(item))
    return made


def _pem(item) -> bytes:
    if hasattr(item, "private_bytes"):
        return item.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    return item.public_bytes(serialization.Encoding.PEM)


def _certificate(common_name: str, issuer):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)])
    issuer_name, issuer_key = issuer or (name, key)
    now = dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer_name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=2))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False
        )
    )
    if issuer is None:
        # Python 3.13 and later verify strictly (RFC 5280, 4.2.1.3).
        usage = dict.fromkeys(USAGES, False) | {"key_cert_sign": True, "crl_sign": True}
        builder = builder.add_extension(x509.KeyUsage(**usage), critical=True)
    else:
        builder = builder.add_extension(
            x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False
        )
    return name, key, builder.sign(issuer_key, hashes.SHA256())
