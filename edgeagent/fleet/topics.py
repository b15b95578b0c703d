"""Core: the topics between boards and their fleet's controller and repository, and who may use them.

One folder of topics for each board: edgeagent/1/BOARD/... A board reads and writes nothing outside its own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from edgeagent.errors import ConfigError
from edgeagent.uplink.topics import NAME_RULE, PREFIX, check_board, is_name

DESIRED, REPORTED, ALIVE = "desired", "reported", "alive"
FETCH_REQUEST, FETCH_ANSWER = "fetch/request", "fetch/answer"
COMMAND, COMMAND_STATE = "command", "command-state"
"""Kinds of a parsed topic; the last two have an id: command/ID and command/ID/state."""

_PLAIN = (DESIRED, REPORTED, ALIVE, FETCH_REQUEST, FETCH_ANSWER)
_TOPIC = re.compile(rf"{PREFIX}/([^/]+)/(?:({'|'.join(_PLAIN)})|command/([^/]+)(/state)?)")

ALL_REPORTED = f"{PREFIX}/+/{REPORTED}"
ALL_ALIVE = f"{PREFIX}/+/{ALIVE}"
ALL_COMMAND_STATES = f"{PREFIX}/+/command/+/state"
ALL_REQUESTS = f"{PREFIX}/+/{FETCH_REQUEST}"
SHARED_REQUESTS = f"$share/repository/{ALL_REQUESTS}"
"""Repository servers share the requests of all boards (MQTT 5, 4.8.2)."""

_BOARD_READS = (DESIRED, "command/+", FETCH_ANSWER, "ack")
_BOARD_WRITES = (REPORTED, ALIVE, "command/+/state", FETCH_REQUEST, "batch")
_ROLES = {
    "controller": ((REPORTED, ALIVE, "command/+/state"), (DESIRED, "command/+")),
    "repository": ((FETCH_REQUEST,), (FETCH_ANSWER,)),
    "collector": (("batch",), ("ack",)),
}
"""Who else there is: what each reads and writes of every board."""


@dataclass(frozen=True, slots=True)
class Topic:
    """One of our topics. kind is a constant of this file; id is "" except for commands."""

    board: str
    kind: str
    id: str = ""


def topic(board: str, kind: str) -> str:
    """Of a board: kind is DESIRED, REPORTED, ALIVE, FETCH_REQUEST or FETCH_ANSWER."""
    if kind not in _PLAIN:
        raise ValueError(f"{kind!r} is no kind of topic")
    return f"{PREFIX}/{check_board(board)}/{kind}"


def command(board: str, name: str) -> str:
    """Where a command for a board is kept until its requester clears it."""
    return f"{PREFIX}/{check_board(board)}/command/{check_id(name)}"


def command_state(board: str, name: str) -> str:
    """Where the board says what became of it."""
    return f"{command(board, name)}/state"


def check_id(name: str) -> str:
    """The name, if a command or operation can be called that. ConfigError otherwise."""
    if not is_name(name):
        raise ConfigError(f"{name!r} can't be a command's name", remedy=NAME_RULE)
    return name


def of_board(board: str) -> tuple[str, ...]:
    """What a board subscribes to."""
    check_board(board)
    return tuple(f"{PREFIX}/{board}/{one}" for one in (DESIRED, "command/+", FETCH_ANSWER))


def parse(text: str) -> Topic | None:
    """One of our topics; None for any other."""
    match = _TOPIC.fullmatch(text)
    if match is None or not is_name(match[1]):
        return None
    if match[2]:
        return Topic(match[1], match[2])
    return Topic(match[1], COMMAND_STATE if match[4] else COMMAND, match[3]) if is_name(match[3]) else None


def acl(roles: dict[str, str] | None = None) -> str:
    """An ACL file for Mosquitto: each user is a board with its own topics only, except for those of ``roles``.

    roles: user by role ("controller", "repository", "collector"); a role that isn't given is its own name. No board
    may have a certificate with such a name: it would have the role's rights.
    """
    lines = ["# Every user is a board and has its own topics only (use_identity_as_username true)."]
    lines += [f"pattern read {PREFIX}/%u/{one}" for one in _BOARD_READS]
    lines += [f"pattern write {PREFIX}/%u/{one}" for one in _BOARD_WRITES]
    for role, (reads, writes) in _ROLES.items():
        user = check_board((roles or {}).get(role, role))
        lines += ["", f"user {user}"]
        lines += [f"topic read {PREFIX}/+/{one}" for one in reads]
        lines += [f"topic write {PREFIX}/+/{one}" for one in writes]
    return "\n".join(lines) + "\n"
