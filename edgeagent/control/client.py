"""Shell: asks a running agent. Blocking; for commands."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any, Self

from edgeagent.errors import EdgeAgentError, UnreachableError

from .protocol import MAX_ANSWER, SOCKET, decode, encode

TIMEOUT_S = 10.0


class ControlClient:
    """A connection to the agent whose runtime folder is given; use as a context manager."""

    def __init__(self, folder: Path, timeout: float = TIMEOUT_S) -> None:
        self._path = folder / SOCKET
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(timeout)
        try:
            self._socket.connect(str(self._path))
        except OSError as error:
            self._socket.close()
            raise UnreachableError(
                f"no agent answers: {error.strerror or error}",
                where=str(self._path),
                remedy="Is it running (edgeagent run), and is this its runtime folder and user?",
            ) from None
        self._file = self._socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._socket.close()

    def ask(self, verb: str, **arguments: Any) -> dict[str, Any]:
        """The answer to a verb. EdgeAgentError with the agent's own words when it refuses."""
        try:
            self._socket.sendall(encode({"verb": verb, **arguments}))
            line = self._file.readline(MAX_ANSWER)
        except OSError as error:
            raise UnreachableError(
                f"the agent stopped answering: {error.strerror or error}", where=str(self._path)
            ) from None
        if not line.endswith(b"\n"):
            raise UnreachableError("the agent closed the connection", where=str(self._path))
        answer = decode(line)
        if "error" in answer:
            refused = EdgeAgentError(str(answer["error"]))
            refused.exit_code = int(answer.get("exit", refused.exit_code))
            raise refused
        result: dict[str, Any] = answer["ok"]
        return result
