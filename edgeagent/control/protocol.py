"""Core: one JSON object per line. A request names a verb; the answer has `ok` or `error`."""

from __future__ import annotations

import json
from typing import Any

from edgeagent.errors import RemoteProtocolError

SOCKET = "agent.sock"
MAX_REQUEST = 4_096
MAX_ANSWER = 8 << 20


def encode(message: dict[str, Any]) -> bytes:
    """A message as a line."""
    return json.dumps(message, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


def decode(line: bytes) -> dict[str, Any]:
    """A line as a message. RemoteProtocolError for anything else."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise RemoteProtocolError(f"the control socket got no JSON: {error}") from None
    if not isinstance(message, dict):
        raise RemoteProtocolError("the control socket got no JSON object")
    return message
