"""The topics between boards and collectors, and back: the only place that spells them (fleet/topics.py: others)."""

from __future__ import annotations

import re

from edgeagent.errors import ConfigError

PREFIX = "edgeagent/1"
"""Of every topic that boards have; the number is the protocol's version."""
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
NAME_RULE = "Use 1 to 63 of a-z 0-9 _ -, beginning with a letter or digit."
_TOPIC = re.compile(rf"{PREFIX}/({_NAME.pattern})/(batch|ack)")

SHARED_GROUP = "collectors"
ALL_BATCHES = f"{PREFIX}/+/batch"
SHARED_BATCHES = f"$share/{SHARED_GROUP}/{ALL_BATCHES}"
"""Collectors share the batches of all boards (MQTT 5, 4.8.2)."""


def check_board(name: str) -> str:
    """The name, if it can be part of a topic. ConfigError otherwise."""
    if not is_name(name):
        raise ConfigError(f"{name!r} can't be a board's name", remedy=NAME_RULE)
    return name


def is_name(name: str) -> bool:
    """Whether a board or collector may be called that."""
    return _NAME.fullmatch(name) is not None


def batch(board: str) -> str:
    """Where a board publishes its batches."""
    return f"{PREFIX}/{check_board(board)}/batch"


def ack(board: str) -> str:
    """Where collectors acknowledge a board's batches."""
    return f"{PREFIX}/{check_board(board)}/ack"


def parse(topic: str) -> tuple[str, str] | None:
    """(board, "batch" or "ack") of one of our topics; None for any other."""
    match = _TOPIC.fullmatch(topic)
    return (match[1], match[2]) if match else None
