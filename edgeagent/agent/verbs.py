"""What the control socket answers: verbs that look, and verbs that change what a unit's guests do."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from edgeagent.control.server import Verb
from edgeagent.errors import ConfigError, EdgeAgentError, EnvironmentFaultError
from edgeagent.host.logs import KEPT_LINES, LogBook

from .listing import listing
from .snapshot import Parts, snapshot
from .stops import Stops
from .units import UnitRuntime
from .writer import WriterThread

DEFAULT_LINES = 100

_log = logging.getLogger("agent")

Request = dict[str, Any]
Answer = dict[str, Any]


class Verbs:
    """Answers for one agent. Changes go on after the answer; whoever asked looks at ``ps`` for what came of them."""

    def __init__(self, parts: Parts, book: LogBook, stops: Stops, writer: WriterThread) -> None:
        self._parts = parts
        self._book = book
        self._stops = stops
        self._writer = writer
        self._units = {unit.unit.name: unit for unit in parts.units}
        self._work: set[asyncio.Task[None]] = set()

    def table(self) -> dict[str, Verb]:
        """For the control server."""
        return {
            "status": Verb(self._status),
            "ps": Verb(self._ps),
            "logs": Verb(self._logs),
            "stop": Verb(self._stop, changes=True),
            "start": Verb(self._start, changes=True),
            "restart": Verb(self._restart, changes=True),
        }

    async def close(self) -> None:
        """Give up what goes on."""
        for task in self._work:
            task.cancel()
        await asyncio.gather(*self._work, return_exceptions=True)

    # ---- verbs that look -----------------------------------------------------------------------------------------

    async def _status(self, _: Request) -> Answer:
        return snapshot(self._parts)

    async def _ps(self, _: Request) -> Answer:
        return listing(self._parts)

    async def _logs(self, request: Request) -> Answer:
        """after: number of the newest line that the client has; most: lines; unit: "" for all."""
        after, most = request.get("after"), request.get("most")
        number, lines = self._book.after(after if isinstance(after, int) else 0, KEPT_LINES)
        if request.get("unit"):
            (unit,) = self._named({"units": [request["unit"]]})
            lines = [line for line in lines if is_of(line, unit.unit.name)]
        most = most if isinstance(most, int) and most >= 0 else DEFAULT_LINES
        return {"number": number, "lines": lines[-most:] if most else [], "agent": self._parts.started}

    # ---- verbs that change ---------------------------------------------------------------------------------------

    async def _stop(self, request: Request) -> Answer:
        return await self._change(request, lambda unit: unit.rest.stop(), stopped=True)

    async def _start(self, request: Request) -> Answer:
        return await self._change(request, lambda unit: unit.rest.start(), stopped=False)

    async def _restart(self, request: Request) -> Answer:
        return await self._change(request, lambda unit: unit.rest.restart(), stopped=False)

    async def _change(
        self, request: Request, do: Callable[[UnitRuntime], Awaitable[None]], *, stopped: bool
    ) -> Answer:
        """Durable first, then begun; the answer is how things were before."""
        units = self._named(request)
        before = listing(self._parts)
        for unit in units:
            name = unit.unit.name
            try:
                await self._writer(lambda name=name: self._stops.keep(name, stopped=stopped))  # type: ignore[misc]
            except OSError as error:
                raise EnvironmentFaultError(
                    f"that can't be written down: {error.strerror}", where=name
                ) from None
            task = asyncio.create_task(_logged(do(unit), name))
            self._work.add(task)
            task.add_done_callback(self._work.discard)
        return before

    def _named(self, request: Request) -> list[UnitRuntime]:
        """The units of a request. ConfigError for one that isn't there."""
        names = request.get("units")
        if not isinstance(names, list) or not names:
            raise ConfigError("no unit is named")
        units = []
        for name in dict.fromkeys(map(str, names)):
            if name not in self._units:
                raise ConfigError(
                    f"there is no unit {name[:64]!r}", remedy=f"Known: {', '.join(self._units)}"
                )
            if self._units[name].settling:
                raise EdgeAgentError(
                    f"unit {name} still finishes what was begun with its former configuration",
                    remedy="Try again when `edgeagent status` doesn't say so any more.",
                )
            units.append(self._units[name])
        return units


def is_of(line: str, unit: str) -> bool:
    """Whether a line of the log is about a unit or its guests (host/logs.py: time, level, logger, text)."""
    _, _, logger, text = (*line.split(" ", 3), "", "", "", "")[:4]
    room, _, rest = logger.removesuffix(":").partition(".")
    if room in ("unit", "guest"):
        return rest.partition(".")[0] == unit
    return text.startswith((f"unit {unit}:", f"{unit}:"))


async def _logged(work: Awaitable[None], name: str) -> None:
    try:
        await work
    except Exception:  # noqa: BLE001 - whoever asked has gone; the agent goes on
        _log.exception("unit %s: what was asked for came to nothing", name)
