"""One connection to the broker on asyncio: bytes to the core, messages to the intake, acknowledgements back."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from edgeagent.errors import RemoteProtocolError, UnreachableError

from . import mqtt_errors
from .intake import Intake, Taken
from .mqtt_core import MqttReceiver, Phase
from .mqtt_events import DUP, RETAIN, Connected, Pong, Publish, Refused, Subscribed, Unsubscribed, Unusable
from .mqtt_session import MqttSession

CHUNK: Final = 65_536
"""Bytes taken from the socket at once: the most that is handed in after the intake became full."""
PING_AFTER: Final = 0.75
"""Of the keepalive; twice this without a byte means that the broker is gone."""

REST_S: Final = 0.005
"""While messages follow each other faster than this, reading rests so long between chunks. A broker sends them one by
one, and waking up for one costs several times what taking it does."""
RESTED: Final = CHUNK // 4
"""Bytes of a chunk after which there is no rest: they come in heaps already."""

_log = logging.getLogger(__name__)


class MqttLink(asyncio.BufferedProtocol):
    """One connection: moves bytes to the core, messages to the intake and acknowledgements back."""

    transport: asyncio.Transport

    def __init__(
        self,
        session: MqttSession,
        core: MqttReceiver,
        intake: Intake,
        buffer: bytearray,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.accepted: asyncio.Future[int] = loop.create_future()
        self._lost: asyncio.Future[None] = loop.create_future()
        self._session = session
        self._status = session.status
        self._core = core
        self._intake = intake
        self._view = memoryview(buffer)
        self._paused = False
        self._heard = True
        self._closed = False
        self._last = 0.0
        self._loop = loop

    def close(self) -> None:
        """Say goodbye if that's still possible; acknowledgements that come later are not sent."""
        if not self._closed and self._core.phase is Phase.OPEN:
            self._send(self._core.disconnect)
        self._closed = True
        self._status.unacknowledged = 0
        self.transport.close()
        for future in (self.accepted, self._lost):
            if future.done() and not future.cancelled():
                future.exception()
            future.cancel()

    async def keep_alive(self, keepalive: int) -> None:
        """Ping until the connection is lost; raises why."""
        period = keepalive * PING_AFTER or None
        while True:
            done, _ = await asyncio.wait((self._lost,), timeout=period)
            if done:
                return self._lost.result()
            # Paused, we don't read, so we can't know that the broker is silent.
            if not self._heard and not self._paused:
                raise UnreachableError(
                    f"no answer for {2 * PING_AFTER * keepalive:.0f} s",
                    where=self._status.broker,
                    remedy="Check the network and the broker",
                )
            self._heard = False
            self._send(self._core.ping)

    # ---- asyncio -------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send CONNECT."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101
        self.transport = transport
        self._send(self._core.connect)

    def connection_lost(self, exc: Exception | None) -> None:
        """End, with the reason."""
        self._end(exc or EOFError())

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002
        """Where the next bytes go; one buffer for all connections of the source."""
        return self._view

    def buffer_updated(self, nbytes: int) -> None:
        """Take a chunk apart; hand its messages in; acknowledge them once they're durable."""
        self._heard = True
        try:
            self._take(bytes(self._view[:nbytes]))
        except RemoteProtocolError as error:
            self._end(error)
        except Exception as error:  # noqa: BLE001  # asyncio would only log it; so it ends run()
            broken = RuntimeError("handing a message in failed")
            broken.__cause__ = error
            self._end(broken)
        else:
            now = self._loop.time()
            if now - self._last < REST_S and nbytes < RESTED and not self._paused and not self._closed:
                self.transport.pause_reading()
                self._loop.call_at(now + REST_S, self._rested)
            self._last = now

    # ---- the hot path --------------------------------------------------------------------------------------------

    def _take(self, data: bytes) -> None:
        session, core, intake, status = self._session, self._core, self._intake, self._status
        add, logged, number_of = intake.add, Taken.LOGGED, session.numbers.of
        take_retained = session.settings.take_retained
        acknowledge: list[int] = []
        status.bytes += len(data)
        for event in core.receive(data):
            if type(event) is not tuple:
                self._rare(event, acknowledge)
                continue
            topic, payload, content_format, packet_id, flags = event
            status.messages += 1
            if packet_id:
                acknowledge.append(packet_id)
            if not flags:
                became = add(topic, payload, content_format, packet_id and number_of(packet_id))
            elif flags & RETAIN and not take_retained:
                status.retained += 1
                continue
            else:
                tag = packet_id and number_of(packet_id)
                became = add(topic, payload, content_format, tag, maybe_duplicate=bool(flags & DUP))
            if became is not logged:
                self._not_logged(became)
        if acknowledge and core.phase is Phase.OPEN:
            status.unacknowledged += len(acknowledge)
            answer, count = core.acknowledge(acknowledge), len(acknowledge)
            intake.when_durable(lambda: self._acknowledge(answer, count))
            if status.unacknowledged >= session.hurry_at:
                intake.hurry()
        if core.failure:
            raise core.failure
        if intake.full and not self._paused:
            self._paused = True
            status.state = "paused"
            self.transport.pause_reading()
            intake.when_roomy(self._resume)

    def _acknowledge(self, answer: bytes, count: int) -> None:
        # After the end of this connection the broker delivers them again, to the next one.
        if not self._closed:
            self._status.unacknowledged -= count
            self.transport.write(answer)

    def _rested(self) -> None:
        if not self._closed and not self._paused:
            self._last = self._loop.time()
            self.transport.resume_reading()

    def _resume(self) -> None:
        if self._closed:
            return
        if self._intake.full:
            self._intake.when_roomy(self._resume)
            return
        self._paused = False
        self._heard = True
        self._status.state = "connected"
        self.transport.resume_reading()

    # ---- the rest ------------------------------------------------------------------------------------------------

    def _not_logged(self, became: Taken) -> None:
        if became is Taken.DUPLICATE:
            self._status.duplicates += 1
        else:
            self._status.dropped += 1

    def _rare(
        self,
        event: Connected | Refused | Subscribed | Unsubscribed | Unusable | Pong | Publish,
        acknowledge: list[int],
    ) -> None:
        session, status = self._session, self._status
        match event:
            case Connected():
                # Unless the same chunk held the end of the connection too.
                if session.accepted(event) and self._core.phase is Phase.OPEN:
                    wanted, retained = session.subscriptions, session.settings.take_retained
                    self.transport.write(self._core.subscribe(wanted, retained=retained))
                    self.transport.write(self._core.unsubscribe(session.unwanted()))
                if not self.accepted.done():
                    self.accepted.set_result(event.keepalive)
            case Subscribed():
                session.answered(event)
                if self._core.settled:
                    session.settled()
            case Unsubscribed():
                if self._core.settled:
                    session.settled()
            case Unusable():
                status.unusable += 1
                # A device may send thousands: the 1st, 2nd, 4th, 8th ... are logged.
                if not status.unusable & (status.unusable - 1):
                    _log.warning(
                        "%s: dropped a message to %.80r (%d so far): %s",
                        status.broker,
                        event.topic,
                        status.unusable,
                        event.why,
                    )
                if event.packet_id:
                    acknowledge.append(event.packet_id)
            case Refused():
                self._end(mqtt_errors.refused(event, status.broker))

    def _send(self, command: Callable[[], bytes]) -> None:
        if not self.transport.is_closing():
            self.transport.write(command())

    def _end(self, error: Exception) -> None:
        """Let run() see why, and stop reading."""
        self._closed = True
        for future in (self.accepted, self._lost):
            if not future.done():
                future.set_exception(error)
        self.transport.abort()
