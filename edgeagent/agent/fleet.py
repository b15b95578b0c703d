"""The board's end of the fleet: one MQTT connection of its own, so that a stuck command never holds batches back."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

from edgeagent import __version__
from edgeagent.errors import ConfigError, EdgeAgentError, RemoteProtocolError
from edgeagent.fleet import payloads, topics
from edgeagent.fleet.board import Board, Publication
from edgeagent.fleet.payloads import Alive, Command, Reported, ReportedUnit, State
from edgeagent.host.clock import Clock
from edgeagent.uplink.link import FAILURE, Broker, Link, Lost, Message, Published, Will

TICK_S = 1.0
"""Between two looks at deadlines and at what is to be reported."""
REPORT_LEAST_S = 5.0
"""Between two reports."""
RECONNECT_FIRST_S = 1.0
RECONNECT_LONGEST_S = 60.0
LOG_EVERY_S = 60.0
LONGEST_S = 600.0
"""A command that isn't done by then has timed out, whatever its deadline: others wait behind it."""
SWAPS_UNSUPPORTED = "unsupported"
"""Reason of a desired state that asks for another bundle: this agent doesn't install any yet."""

_log = logging.getLogger("fleet")

T = TypeVar("T")


class Writer(Protocol):
    """Runs a function in the thread that writes."""

    async def __call__(self, work: Callable[[], T], /) -> T:
        """What work returns, or its exception."""


class Doer(Protocol):
    """What commands act upon."""

    def reported(self) -> tuple[ReportedUnit, ...]:
        """All units, as they are."""

    async def do(self, command: Command) -> str:
        """Do it to its end; a line about it. EdgeAgentError when it failed, UnsupportedError when nobody can."""


class UnsupportedError(EdgeAgentError):
    """The command is known, and there is nothing here that could do it."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the board says it is."""

    name: str
    arch: str
    profile: str
    tags: tuple[str, ...]


class FleetLink:
    """``run`` lasts until it is cancelled. What is asked for is done one at a time."""

    def __init__(
        self, who: Identity, broker: Broker, board: Board, doer: Doer, writer: Writer, clock: Clock
    ) -> None:
        gone = payloads.encode(Alive(online=0, time=0))
        self._broker = replace(broker, will=Will(topics.topic(who.name, topics.ALIVE), gone))
        self._who = who
        self._board = board
        self._doer = doer
        self._writer = writer
        self._clock = clock
        self._link: Link | None = None
        self._said: Reported | None = None
        self._said_at = self._logged_at = float("-inf")
        self._again = True
        self.state, self.error = "connecting", ""

    def status(self) -> dict[str, Any]:
        """For `edgeagent status`."""
        progress = self._board.progress
        return {
            "state": self.state,
            "error": self.error,
            "desired": progress.version,
            "desired_state": str(progress.state),
            "reason": self._reason,
            "refused": self._board.refused,
        }

    async def run(self) -> None:
        """Connect, and again, until cancelled; what is asked for goes on meanwhile. Only a ConfigError ends it.

        The board is open already.
        """
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._work())
                tasks.create_task(self._connections())
        except* ConfigError as group:
            raise group.exceptions[0] from None

    # ---- the connection ------------------------------------------------------------------------------------------

    async def _connections(self) -> None:
        wait = RECONNECT_FIRST_S
        while True:
            self.state = "connecting"
            try:
                link = await Link.connect(self._broker, topics.of_board(self._who.name))
            except ConfigError:
                raise
            except EdgeAgentError as error:
                self._trouble(str(error))
                wait = min(2 * wait, RECONNECT_LONGEST_S)
            else:
                since = self._clock.monotonic()
                try:
                    await self._talk(link)
                finally:
                    self._link = None
                    await asyncio.shield(self._leave(link))
                # Mosquitto drops whoever its ACL refuses twice: one that didn't last is no reason to hurry.
                lasted = self._clock.monotonic() - since > RECONNECT_LONGEST_S
                wait = RECONNECT_FIRST_S if lasted else min(2 * wait, RECONNECT_LONGEST_S)
            self.state = "waiting"
            await asyncio.sleep(wait)

    async def _talk(self, link: Link) -> None:
        self._link, self.state, self.error = link, "connected", ""
        now = self._clock.now_ms()
        self._publish(
            [
                (topics.topic(self._who.name, topics.ALIVE), payloads.encode(Alive(online=1, time=now))),
                *self._board.states(),
            ]
        )
        self._again = True
        while True:
            match await link.event():
                case Message() as message:
                    if not await self._take(message):
                        return
                    link.acknowledge(message)
                case Published(code=code, words=words) if code >= FAILURE:
                    self._trouble(f"the broker refuses what this board reports: {words}")
                case Lost(words):
                    self._trouble(words)
                    return

    async def _take(self, message: Message) -> bool:
        """Durable before it is acknowledged. False: it can't be kept; it is retained, so the next connection has it."""
        now = self._clock.now_ms()
        try:
            self._publish(await self._writer(lambda: self._board.take(message.topic, message.payload, now)))
            self._again = True
        except RemoteProtocolError as error:
            self._trouble(f"{message.topic}: {error}")
        except OSError as error:
            self._trouble(f"what the fleet asks for can't be kept: {error.strerror or error}")
            return False
        return True

    async def _leave(self, link: Link) -> None:
        """A will isn't published after a goodbye: say it ourselves."""
        gone = payloads.encode(Alive(online=0, time=self._clock.now_ms()))
        link.publish(topics.topic(self._who.name, topics.ALIVE), gone, retain=True)
        await link.close()

    def _publish(self, publications: list[Publication]) -> None:
        """Without a connection nothing is lost: a new one gets all states."""
        if self._link is not None:
            for topic, data in publications:
                self._link.publish(topic, data, retain=True)

    def _trouble(self, words: str) -> None:
        self.error = words
        now = self._clock.monotonic()
        if now - self._logged_at >= LOG_EVERY_S:
            self._logged_at = now
            _log.warning("%s", words)

    # ---- the work ------------------------------------------------------------------------------------------------

    async def _work(self) -> None:
        while True:
            try:
                await self._round()
            except OSError as error:
                self._trouble(f"what became of a command can't be kept: {error.strerror or error}")
            await asyncio.sleep(TICK_S)

    async def _round(self) -> None:
        now = self._clock.now_ms()
        if self._clock.synchronised():
            await self._writer(lambda: self._board.confirm_time(now))
        self._publish(await self._writer(lambda: self._board.settle(now)))
        self._report()
        while (begun := await self._writer(lambda: self._board.begin_next(self._clock.now_ms()))) is not None:
            command, publication = begun
            self._publish([publication])
            await self._execute(command)
        if self._board.progress.open:
            await self._writer(self._advance)

    async def _execute(self, command: Command) -> None:
        left = min(LONGEST_S, max(0.0, (command.deadline - self._clock.now_ms()) / 1000))
        state, reason, detail = State.SUCCESSFUL, "", ""
        try:
            async with asyncio.timeout(left):
                detail = await self._doer.do(command)
        except TimeoutError:
            state, reason = State.TIMED_OUT, "deadline"
        except UnsupportedError as error:
            state, reason, detail = State.REJECTED, "unsupported", str(error)
        except (EdgeAgentError, OSError) as error:
            state, reason, detail = State.FAILED, type(error).__name__, str(error)
        now = self._clock.now_ms()
        self._publish([await self._writer(lambda: self._board.end(command.id, state, now, reason, detail))])
        self._again |= command.kind == payloads.Kind.REFRESH

    def _advance(self) -> None:
        wanted = self._board.progress.desired
        if wanted is not None and wanted.units:
            self._board.advance(State.REJECTED, SWAPS_UNSUPPORTED)
        else:
            self._board.advance(State.SUCCESSFUL)

    @property
    def _reason(self) -> str:
        if self._board.waits_for_clock:
            return "clock"
        return self._board.progress.reason

    def _report(self) -> None:
        """When something changed, at most every REPORT_LEAST_S; a new connection and a refresh don't wait."""
        if self._link is None:
            return
        progress = self._board.progress
        said = Reported(
            time=0,
            arch=self._who.arch,
            profile=self._who.profile,
            agent=__version__,
            tags=self._who.tags,
            desired=progress.version,
            operation=progress.desired.operation if progress.desired else "",
            state=progress.state,
            reason=self._reason,
            units=self._doer.reported(),
        )
        now = self._clock.monotonic()
        if not self._again and (said == self._said or now - self._said_at < REPORT_LEAST_S):
            return
        self._again, self._said, self._said_at = False, said, now
        data = payloads.encode(replace(said, time=self._clock.now_ms()))
        self._publish([(topics.topic(self._who.name, topics.REPORTED), data)])
