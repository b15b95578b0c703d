"""Core: what came over MQTT is a board's batch, or is refused for a reason."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass

from edgeagent.errors import RemoteProtocolError
from edgeagent.seal import cose
from edgeagent.seal.batch import Batch, open_batch
from edgeagent.seal.keys import VerifyKey
from edgeagent.uplink import topics


class Refusal(enum.Enum):
    """Why a batch isn't taken; the words of logs and counters."""

    NOT_OURS = "no topic of a board"
    UNKNOWN_BOARD = "unknown board"
    UNKNOWN_KEY = "unknown signing key"
    NOT_FOR_US = "encrypted for somebody else"
    OTHER_BOARD = "another board's batch"
    DAMAGED = "damaged or forged"


@dataclass(frozen=True, slots=True)
class Received:
    """A verified batch and its size on the wire, bytes."""

    batch: Batch
    size: int


@dataclass(frozen=True, slots=True)
class Refused:
    """Not taken. detail is for people; board is empty where the topic names none."""

    reason: Refusal
    board: str
    detail: str


def board_of(topic: str) -> str | None:
    """The board that publishes batches there."""
    match topics.parse(topic):
        case (board, "batch"):
            return board
    return None


def receive(
    topic: str, data: bytes, *, agree: cose.Agree, keys: Mapping[bytes, VerifyKey] | None
) -> Received | Refused:
    """Open and check a batch. keys: the enrolled keys of the topic's board by kid; None where it isn't enrolled."""
    board = board_of(topic)
    if board is None:
        return Refused(Refusal.NOT_OURS, "", f"topic {topic!r:.100}")
    if keys is None:
        return Refused(
            Refusal.UNKNOWN_BOARD, board, f"enroll it: edgeagent collect enroll {board} PUBLIC.pem"
        )
    try:
        batch = open_batch(data, agree=agree, key_of=keys.get, topic=topic)
    except cose.NotForUsError as error:
        return Refused(Refusal.NOT_FOR_US, board, str(error))
    except cose.UnknownKeyError as error:
        return Refused(Refusal.UNKNOWN_KEY, board, str(error))
    except RemoteProtocolError as error:
        return Refused(Refusal.DAMAGED, board, str(error))
    if batch.head.board != board:
        return Refused(Refusal.OTHER_BOARD, board, f"it says that it is from {batch.head.board!r:.70}")
    return Received(batch, len(data))
