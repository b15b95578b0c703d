"""Shell: answers on the control socket."""

from __future__ import annotations

import asyncio
import grp
import logging
import os
import socket
import stat
import struct
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeagent.errors import ConfigError, EdgeAgentError, EnvironmentFaultError

from .access import Peer, may
from .protocol import MAX_REQUEST, SOCKET, decode, encode

IDLE_S = 60.0
"""A client that asks nothing for so long is dropped."""
ANSWER_S = 8.0
"""Longest time that an answer may take; less than clients wait."""
MAX_CLIENTS = 16

_CREDENTIALS = struct.Struct("=iII")
"""struct ucred: pid, uid, gid."""

_log = logging.getLogger("control")


@dataclass(frozen=True, slots=True)
class Verb:
    """What a client may ask for: the request's object in, the answer's object out, within ANSWER_S.

    changes: it changes something, so not everybody may ask for it, and it is written to the log who did.
    """

    answer: Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]
    changes: bool = False


class ControlServer:
    """Serves verbs by name. ``start`` and ``stop`` once each. group: whose members may look; "" for none."""

    def __init__(self, folder: Path, verbs: Mapping[str, Verb], group: str = "") -> None:
        self.path = folder / SOCKET
        self._verbs = verbs
        self._group = group
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
            if self._group:
                self._let_in(self._group)
        except ConfigError:
            await self.stop()
            raise
        except OSError as error:
            raise EnvironmentFaultError(
                f"the control socket can't be made: {error.strerror or error}",
                where=str(self.path),
                remedy="Set board.runtime to a folder that the agent may write.",
            ) from error

    def _let_in(self, group: str) -> None:
        """Members of the group reach the socket, and see nothing else of the folder."""
        try:
            number = grp.getgrnam(group).gr_gid
            os.chown(self.path, -1, number)
            self.path.chmod(0o660)
            folder = self.path.parent
            os.chown(folder, -1, number)
            folder.chmod(stat.S_IMODE(folder.stat().st_mode) | stat.S_IXGRP)
        except (KeyError, PermissionError):
            raise ConfigError(
                f"the control socket can't be given to group {group}",
                where="board.group",
                remedy="Name a group that exists, and that the agent's user is in.",
            ) from None

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
            peer = _peer(writer.get_extra_info("socket"))
            while line := await asyncio.wait_for(reader.readline(), IDLE_S):
                writer.write(encode(await self._answer(line, peer)))
                await writer.drain()
        except (TimeoutError, ValueError, OSError):
            pass  # idle, an overlong line, gone: no business of ours
        finally:
            self._clients -= 1
            writer.close()

    async def _answer(self, line: bytes, peer: Peer) -> dict[str, Any]:
        try:
            request = decode(line)
            name = str(request.pop("verb", ""))
            verb = self._verbs.get(name)
            if verb is None:
                return {"error": f"unknown verb; known: {', '.join(self._verbs)}"}
            _admit(peer, name, request, verb)
            async with asyncio.timeout(ANSWER_S):
                return {"ok": await verb.answer(request)}
        except EdgeAgentError as error:
            return {"error": str(error), "exit": error.exit_code}
        except TimeoutError:
            return {"error": f"no answer within {ANSWER_S:g} s; it may still be done"}
        except Exception as error:  # noqa: BLE001 - a defect in a verb must not end the agent
            _log.exception("a request failed")
            return {"error": f"internal error: {error!r}"}


def _peer(connection: socket.socket) -> Peer:
    data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, _ = _CREDENTIALS.unpack(data)
    return Peer(pid, uid)


def _admit(peer: Peer, name: str, request: dict[str, Any], verb: Verb) -> None:
    """Let through what the peer may ask for, and write down who wants something changed: the only place."""
    allowed = may(peer, os.geteuid(), changes=verb.changes)
    if verb.changes:
        _log.log(
            logging.INFO if allowed else logging.WARNING,
            "%s %s: %s, by %s",
            name,
            " ".join(f"{key}={value}" for key, value in request.items()),
            "allowed" if allowed else "refused",
            peer,
        )
    if not allowed:
        raise EnvironmentFaultError(
            f"user {peer.uid} may look, but not {name}",
            remedy="Ask as root or as the agent's own user: sudo edgeagent ...",
        )
