"""Shell: answers on the control socket."""

from __future__ import annotations

import asyncio
import logging
import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from edgeagent.errors import EdgeAgentError, EnvironmentFaultError

from .protocol import MAX_REQUEST, SOCKET, decode, encode

IDLE_S = 60.0
"""A client that asks nothing for so long is dropped."""
MAX_CLIENTS = 16

Verb = Callable[[dict[str, Any]], dict[str, Any]]

_log = logging.getLogger("control")


class ControlServer:
    """Serves verbs: name -> function of the request's object. ``start`` and ``stop`` once each."""

    def __init__(self, folder: Path, verbs: Mapping[str, Verb]) -> None:
        self.path = folder / SOCKET
        self._verbs = verbs
        self._server: asyncio.Server | None = None
        self._clients = 0

    async def start(self) -> None:
        """Listen. EnvironmentFaultError when another agent does, or the folder can't be used."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            await self._clear_leftover()
            old = os.umask(0o177)
            try:
                self._server = await asyncio.start_unix_server(self._serve, self.path, limit=MAX_REQUEST)
            finally:
                os.umask(old)
        except OSError as error:
            raise EnvironmentFaultError(
                f"the control socket can't be made: {error.strerror or error}",
                where=str(self.path),
                remedy="Set board.runtime to a folder that the agent may write.",
            ) from error

    async def _clear_leftover(self) -> None:
        try:
            if not stat.S_ISSOCK(self.path.lstat().st_mode):
                raise EnvironmentFaultError("in the way is something that is no socket", where=str(self.path))
            _, writer = await asyncio.open_unix_connection(self.path)
        except FileNotFoundError:
            return
        except ConnectionRefusedError:
            self.path.unlink()
            return
        writer.close()
        raise EnvironmentFaultError(
            "another agent is running",
            where=str(self.path),
            remedy="Stop it, or give this one its own folders.",
        )

    async def stop(self) -> None:
        """Stop listening and remove the socket."""
        if self._server is not None:
            self._server.close()
            self.path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._clients >= MAX_CLIENTS:
            writer.close()
            return
        self._clients += 1
        try:
            while line := await asyncio.wait_for(reader.readline(), IDLE_S):
                writer.write(encode(self._answer(line)))
                await writer.drain()
        except (TimeoutError, ValueError, OSError):
            pass  # idle, an overlong line, gone: no business of ours
        finally:
            self._clients -= 1
            writer.close()

    def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            request = decode(line)
            verb = self._verbs.get(str(request.get("verb")))
            if verb is None:
                return {"error": f"unknown verb; known: {', '.join(self._verbs)}"}
            return {"ok": verb(request)}
        except EdgeAgentError as error:
            return {"error": str(error)}
        except Exception as error:  # noqa: BLE001 - a defect in a verb must not end the agent
            _log.exception("a request failed")
            return {"error": f"internal error: {error!r}"}
