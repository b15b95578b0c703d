"""Core: QEMU's machine protocol without I/O: bytes in, greeting, replies and events out; commands to bytes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgeagent.errors import LocalProtocolError, RemoteProtocolError

MAX_LINE = 65_536
"""Bytes; what we ask and listen for takes some hundred."""


@dataclass(frozen=True, slots=True)
class Greeting:
    """QEMU's first word; version is "7.2.22"."""

    version: str


@dataclass(frozen=True, slots=True)
class Event:
    """Something happened in the machine."""

    name: str
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Reply:
    """What a command returned; error is "" or QEMU's words."""

    ident: int
    command: str
    value: Any
    error: str


Received = Greeting | Event | Reply


class Qmp:
    """One monitor connection. Commands are refused before the greeting has come: QEMU wouldn't understand them."""

    def __init__(self) -> None:
        self._rest = b""
        self._greeted = False
        self._next = 1
        self._asked: dict[int, str] = {}

    def command(self, name: str, **arguments: Any) -> bytes:
        """The bytes of a command. LocalProtocolError before the greeting."""
        if not self._greeted:
            raise LocalProtocolError(f"QMP command {name} before QEMU's greeting")
        ident = self._next
        self._next += 1
        self._asked[ident] = name
        message: dict[str, Any] = {"execute": name, "id": ident}
        if arguments:
            message["arguments"] = arguments
        return json.dumps(message, separators=(",", ":")).encode() + b"\n"

    def receive(self, data: bytes) -> list[Received]:
        """What has become complete. RemoteProtocolError for what isn't QMP or longer than MAX_LINE."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > MAX_LINE or any(len(line) > MAX_LINE for line in lines):
            raise RemoteProtocolError(f"QMP line of more than {MAX_LINE} bytes")
        return [self._message(line) for line in lines if line.strip()]

    def _message(self, line: bytes) -> Received:
        try:
            match json.loads(line):
                case {"QMP": {"version": {"qemu": {"major": major, "minor": minor, "micro": micro}}}}:
                    self._greeted = True
                    return Greeting(f"{major}.{minor}.{micro}")
                case {"event": str(name), **rest}:
                    data = rest.get("data")
                    return Event(name, data if isinstance(data, dict) else {})
                case {"return": value, "id": int(ident)} if ident in self._asked:
                    return Reply(ident, self._asked.pop(ident), value, "")
                case {"error": {"desc": str(words)}, "id": int(ident)} if ident in self._asked:
                    return Reply(ident, self._asked.pop(ident), None, words)
        except (ValueError, RecursionError) as error:
            raise RemoteProtocolError(f"QMP line is no JSON: {error}") from error
        raise RemoteProtocolError(f"QMP line is no greeting, event or reply: {line[:80]!r}")
