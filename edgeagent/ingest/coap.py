"""CoAP: sensors POST or PUT what they measured to any path; the path is the topic. RFC 7252, 7959, 6690.

This file doesn't need aiocoap; it is imported when a server is started, so that an agent without CoAP stays small.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from dataclasses import dataclass

from edgeagent.errors import ConfigError, EnvironmentFaultError

from .intake import Intake


@dataclass(frozen=True, slots=True)
class CoapSettings:
    """Where to listen.

    host: sensors stand in the LAN, so all addresses by default; who configures CoAP wants that. UDP senders can't be
    told apart without DTLS, which is not offered: put sensors into a network of their own. prefixes: paths below which
    readings are taken; none: any path.
    """

    host: str = "::"
    port: int = 5683
    prefixes: tuple[str, ...] = ()


@dataclass(slots=True)
class CoapStatus:
    """Counted since the source was made."""

    address: str
    state: str = "idle"
    """idle, listening, stopped."""
    last_error: str = ""
    messages: int = 0
    bytes: int = 0
    duplicates: int = 0
    dropped: int = 0
    oversized: int = 0
    bad_requests: int = 0
    busy: int = 0
    """Answered 5.03: come again later."""
    waiting: int = 0
    """Requests that wait to be durable."""


class CoapSource:
    """A CoAP server; run() serves until cancelled."""

    def __init__(self, settings: CoapSettings, intake: Intake) -> None:
        self._settings = settings
        self._intake = intake
        self.status = CoapStatus(f"[{settings.host}]:{settings.port}")

    async def run(self) -> None:
        """Serve. EnvironmentFaultError if the port is taken, ConfigError if the host is none of ours."""
        from . import coap_site  # noqa: PLC0415  # aiocoap takes 8 MB

        settings = self._settings
        await _check_free(settings.host, settings.port)
        try:
            context = await coap_site.listen(settings, self._intake, self.status)
        except OSError as error:
            raise EnvironmentFaultError(
                f"CoAP can't listen: {error.strerror or error}",
                where=self.status.address,
                remedy="Check coap.host and coap.port, and that the kernel has IPv6",
            ) from error
        try:
            self.status.state = "listening"
            await asyncio.get_running_loop().create_future()
        finally:
            self.status.state = "stopped"
            await context.shutdown()


async def _check_free(host: str, port: int) -> None:
    """Ask first: aiocoap binds with SO_REUSEPORT, so it would share a taken port with its owner without a word."""
    where = f"[{host}]:{port}"
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    except socket.gaierror as error:
        raise ConfigError("no such address", where=host, remedy="Correct coap.host") from error
    family, kind, protocol, _, address = found[0]
    with socket.socket(family, kind, protocol) as probe:
        if family == socket.AF_INET6:
            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        try:
            probe.bind(address)
        except OSError as error:
            if error.errno == errno.EADDRNOTAVAIL:
                raise ConfigError(
                    "not an address of this machine", where=host, remedy="Correct coap.host"
                ) from error
            raise EnvironmentFaultError(
                "the UDP port is taken" if error.errno == errno.EADDRINUSE else f"no port: {error.strerror}",
                where=where,
                remedy="Stop the other CoAP server or choose another coap.port",
            ) from error
