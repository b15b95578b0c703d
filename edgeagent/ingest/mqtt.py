"""MQTT shell: keeps one connection to the broker, over TCP or TLS, and makes a new one whenever it is lost."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

from edgeagent.errors import ConfigError, EdgeAgentError

from . import mqtt_errors
from .backoff import Backoff
from .filter_memory import FilterMemory
from .intake import Intake
from .mqtt_core import MqttReceiver
from .mqtt_link import CHUNK, MqttLink
from .mqtt_session import MqttSession, MqttSettings, MqttStatus

CONNECT_TIMEOUT_S: Final = 15.0
"""For the name, TCP and TLS, and again for CONNACK."""

_log = logging.getLogger(__name__)


class MqttSource:
    """Receives from one broker until cancelled.

    newest_tag: the greatest MQTT tag in the input logs (delivery.newest_mqtt), 0 for none; jitter: numbers in [0, 1).
    memory: what the session was subscribed to before; without it, filters that left the configuration stay subscribed.
    ConfigError if a file that the settings name can't be used, or filters can't be merged.
    """

    def __init__(
        self,
        settings: MqttSettings,
        intake: Intake,
        *,
        newest_tag: int,
        jitter: Callable[[], float],
        memory: FilterMemory | None = None,
    ) -> None:
        self._host, self._port, tls = _address(settings.url)
        self._context = (
            mqtt_errors.tls_context(settings.ca, settings.certificate, settings.key) if tls else None
        )
        if settings.password_file:
            mqtt_errors.read_password(settings.password_file)
        self._settings = settings
        self._intake = intake
        self._backoff = Backoff(jitter)
        self._buffer = bytearray(CHUNK)
        self._session = MqttSession(settings, f"{self._host}:{self._port}", newest_tag, memory)

    @property
    def status(self) -> MqttStatus:
        """Live counters and state."""
        return self._session.status

    async def run(self) -> None:
        """Connect, receive, and connect again, until cancelled. RuntimeError if the intake fails."""
        loop = asyncio.get_running_loop()
        status = self.status
        try:
            while True:
                await self._until_roomy()
                began = loop.time()
                try:
                    await self._connection()
                except (EdgeAgentError, OSError, EOFError) as raised:
                    tls, accepted = self._context is not None, status.state in {"connected", "paused"}
                    error = str(mqtt_errors.explain(raised, status.broker, tls=tls, accepted=accepted))
                    lived = loop.time() - began if accepted else 0.0
                    status.state = "waiting"
                    if error != status.last_error:
                        _log.warning("%s", error)
                    status.last_error = error
                    await asyncio.sleep(self._backoff.after(lived))
        finally:
            status.state = "stopped"

    async def _until_roomy(self) -> None:
        if self._intake.full:
            self.status.state = "paused"
            roomy = asyncio.Event()
            self._intake.when_roomy(roomy.set)
            await roomy.wait()

    async def _connection(self) -> None:
        """One connection, from its making to its end, which is always an exception."""
        self.status.state = "connecting"
        loop = asyncio.get_running_loop()
        # Read again each time, so that a new password needs no restart.
        file = self._settings.password_file
        options = self._settings.connect(mqtt_errors.read_password(file) if file else None)
        link = MqttLink(self._session, MqttReceiver(options), self._intake, self._buffer, loop)
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            await loop.create_connection(lambda: link, self._host, self._port, ssl=self._context)
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                keepalive = await link.accepted
            await link.keep_alive(keepalive)
        finally:
            link.close()


def _address(url: str) -> tuple[str, int, bool]:
    """Host, port, and whether by TLS."""
    remedy = "Write mqtt.url as mqtt://HOST[:PORT] or mqtts://HOST[:PORT]"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ConfigError("not a broker's address", where=url, remedy=remedy) from error
    if parts.scheme not in {"mqtt", "mqtts"} or not parts.hostname or parts.username or parts.password:
        raise ConfigError("not a broker's address", where=parts.scheme + "://...", remedy=remedy)
    tls = parts.scheme == "mqtts"
    return parts.hostname, port or (8883 if tls else 1883), tls


__all__ = ["MqttSettings", "MqttSource", "MqttStatus"]
