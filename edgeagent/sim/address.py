"""Addresses of brokers and CoAP servers as people write them."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from edgeagent.errors import ConfigError

PORTS = {"mqtt": 1883, "mqtts": 8883, "coap": 5683}


@dataclass(frozen=True, slots=True)
class Address:
    """scheme://host:port, the scheme's own port where none is written."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


def address(text: str, *schemes: str) -> Address:
    """Read one. ConfigError unless it is SCHEME://HOST[:PORT] with one of the schemes."""
    wanted = " or ".join(f"{scheme}://HOST[:PORT]" for scheme in schemes)
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ConfigError(f"{text!r} is no address such as {wanted}") from None
    if (
        parts.scheme not in schemes
        or not parts.hostname
        or port == 0
        or parts.path.strip("/")
        or parts.username
    ):
        raise ConfigError(f"{text!r} is no address such as {wanted}")
    return Address(parts.scheme, parts.hostname, port or PORTS[parts.scheme])
