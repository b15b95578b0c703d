"""Real Mosquittos for tests: ``mosquitto_broker(...)`` starts one, and all are gone at the end of the test."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

from edgeagent.errors import EnvironmentFaultError
from edgeagent.sim.broker import Broker, find_mosquitto

StartBroker = Callable[..., Broker]


class Certificates(NamedTuple):
    """Paths of PEM files: a CA, a server certificate for localhost, a client's, and a CA that signed none of them."""

    ca: Path
    server: Path
    server_key: Path
    client: Path
    client_key: Path
    stranger: Path


@pytest.fixture
def mosquitto_broker() -> Iterator[StartBroker]:
    """Factory: mosquitto_broker(["max_inflight_messages 20"]) -> a running Broker (edgeagent/sim/broker.py)."""
    try:
        find_mosquitto()
    except EnvironmentFaultError as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(error))
    with ExitStack() as stack:

        def start(lines: Sequence[str] = (), **options: object) -> Broker:
            return stack.enter_context(Broker(lines, **options))

        yield start


def password_file(folder: Path, user: str, password: str) -> list[str]:
    """Configuration lines for Broker(anonymous=False)."""
    path = folder / "passwords"
    path.write_text(f"{user}:{password}\n")
    subprocess.run(["mosquitto_passwd", "-U", str(path)], check=True)
    return [f"password_file {path}"]


def tls_lines(certificates: Certificates, *, require_client: bool = False) -> list[str]:
    """Configuration lines that make the broker's listener speak TLS."""
    return [
        f"cafile {certificates.ca}",
        f"certfile {certificates.server}",
        f"keyfile {certificates.server_key}",
        f"require_certificate {'true' if require_client else 'false'}",
    ]


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
    from cryptography.hazmat.primitives import serialization as s

    if hasattr(item, "private_bytes"):
        return item.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.NoEncryption())
    return item.public_bytes(s.Encoding.PEM)


def _certificate(common_name: str, issuer):
    import datetime

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)])
    issuer_name, issuer_key = issuer or (name, key)
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer_name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=2))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False
        )
    )
    if issuer:
        builder = builder.add_extension(
            x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False
        )
    return name, key, builder.sign(issuer_key, hashes.SHA256())
