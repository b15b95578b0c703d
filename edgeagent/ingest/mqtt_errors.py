"""What went wrong between us and a broker, as one line for a person: what, where, what to do."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

from edgeagent.errors import ConfigError, EdgeAgentError, UnreachableError

from .mqtt_events import Refused

MAX_PASSWORD = 4096
"""Bytes of a password file."""


def explain(error: BaseException, where: str, *, tls: bool, accepted: bool) -> EdgeAgentError:
    """Translate what connecting or a lost connection raised. accepted: whether the broker had taken us."""
    if isinstance(error, EdgeAgentError):
        return error
    what, remedy = _words(error, tls=tls, accepted=accepted)
    return UnreachableError(what, where=where, remedy=remedy)


def _words(error: BaseException, *, tls: bool, accepted: bool) -> tuple[str, str]:
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"the broker's certificate can't be trusted: {error.verify_message}",
            "Set mqtt.ca to the CA that signed it, and use in mqtt.url the host name that it names",
        )
    if isinstance(error, ssl.SSLError):
        reason = (error.reason or str(error)).replace("_", " ").lower()
        return (
            f"TLS failed: {reason}",
            "Check that the port speaks TLS, and whether the broker wants mqtt.certificate and mqtt.key",
        )
    if isinstance(error, socket.gaierror):
        return "the host name can't be resolved", "Check mqtt.url and the name server"
    if isinstance(error, ConnectionRefusedError):
        return "nothing listens there", "Start the broker or correct mqtt.url"
    if isinstance(error, TimeoutError):
        return "no answer", "Check the network, a firewall, and mqtt.url"
    if isinstance(error, OSError) and error.strerror and not isinstance(error, ConnectionError):
        return f"the connection failed: {error.strerror}", "Check the network and the broker's log"
    if accepted:
        return (
            "the broker closed the connection",
            "If this goes on, another client may use our mqtt.client_id; the broker's log says so",
        )
    hint = "mqtt.user, mqtt.certificate" if tls else "mqtt.user, and whether the port wants TLS (mqtts://)"
    return "the broker closed the connection before it took us", f"Check the broker's log, {hint}"


def refused(event: Refused, where: str) -> UnreachableError:
    """The broker said no, or goodbye."""
    return UnreachableError(f"the broker refuses us: {event.reason}", where=where, remedy=event.remedy)


def read_password(path: Path) -> bytes:
    """The first line of a password file; ConfigError names the file if it can't be had."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_PASSWORD + 1)
    except OSError as error:
        raise ConfigError(
            f"password file: {error.strerror}", where=str(path), remedy="Correct mqtt.password_file"
        ) from error
    line = data.split(b"\n", 1)[0].rstrip(b"\r")
    if not line or len(line) > MAX_PASSWORD:
        raise ConfigError(
            f"the first line must be a password of 1..{MAX_PASSWORD} bytes", where=str(path), remedy=""
        )
    return line


def tls_context(ca: Path | None, certificate: Path | None, key: Path | None) -> ssl.SSLContext:
    """TLS 1.2 or later that verifies the broker. ConfigError names the file that can't be used."""
    for path, name in ((ca, "mqtt.ca"), (certificate, "mqtt.certificate"), (key, "mqtt.key")):
        if path is not None and not path.is_file():
            raise ConfigError("no such file", where=str(path), remedy=f"Correct {name}")
    if key is not None and certificate is None:
        raise ConfigError("a key without a certificate", where=str(key), remedy="Set mqtt.certificate too")
    try:
        context = ssl.create_default_context(cafile=str(ca) if ca else None)
    except (ssl.SSLError, OSError) as error:
        raise ConfigError(
            "no CA certificates in PEM form", where=str(ca), remedy="Correct mqtt.ca"
        ) from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if certificate is not None:
        try:
            # A key with a passphrase would ask at the terminal; an agent has none.
            context.load_cert_chain(certificate, key, password=lambda: "")
        except (ssl.SSLError, OSError) as error:
            raise ConfigError(
                "certificate and key can't be used",
                where=str(certificate),
                remedy="Both must be PEM, belong together, and the key have no passphrase",
            ) from error
    return context
