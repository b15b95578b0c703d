"""The collector's word that batches are durable in its database. Signed: no broker can make a board delete data."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise

from edgeagent.errors import RemoteProtocolError

from . import cose, strict
from .batch import MAX_NUMBER, MAX_SPOOL_ID
from .keys import SigningKey

VERSION = 1
MAX_RANGES = 256
MAX_ACK = 8192
"""Bytes of an acknowledgement that is read."""


@dataclass(frozen=True, slots=True)
class Ack:
    """Batches of a board's spool that are durable; ranges are (first, last), ascending."""

    board: str
    spool_id: bytes
    ranges: tuple[tuple[int, int], ...]

    def covers(self, number: int) -> bool:
        """Whether that batch is acknowledged."""
        return any(first <= number <= last for first, last in self.ranges)


def ranges_of(numbers: Iterable[int]) -> list[tuple[int, int]]:
    """The numbers as few ascending ranges, both ends included."""
    found: list[tuple[int, int]] = []
    for number in sorted(set(numbers)):
        if found and found[-1][1] == number - 1:
            found[-1] = (found[-1][0], number)
        else:
            found.append((number, number))
    return found


def make_acks(
    board: str, spool_id: bytes, numbers: Iterable[int], *, signer: SigningKey, topic: str
) -> list[bytes]:
    """Signed acknowledgements of these batches: one, or more when there are above MAX_RANGES gaps."""
    ranges = ranges_of(numbers)
    return [
        cose.sign1(
            strict.dumps([VERSION, board, spool_id, [list(one) for one in ranges[at : at + MAX_RANGES]]]),
            signer,
            external=topic.encode(),
        )
        for at in range(0, len(ranges), MAX_RANGES)
    ]


def read_ack(data: bytes, *, board: str, key_of: Callable[[bytes], cose.Verifier | None], topic: str) -> Ack:
    """Verify an acknowledgement for this board. RemoteProtocolError for forgery, damage and other boards' ones."""
    if len(data) > MAX_ACK:
        raise RemoteProtocolError(f"the acknowledgement is longer than {MAX_ACK} bytes")
    payload = cose.verify1(data, key_of, external=topic.encode())
    match strict.loads(payload, limit=MAX_ACK, what="the acknowledgement"):
        case [1, str(whose), bytes(spool_id), [*pairs]] if (
            whose == board and 0 < len(spool_id) <= MAX_SPOOL_ID and 0 < len(pairs) <= MAX_RANGES
        ):
            ranges = [(one[0], one[1]) for one in pairs if _is_range(one)]
            if len(ranges) == len(pairs) and all(a[1] < b[0] for a, b in pairwise(ranges)):
                return Ack(whose, spool_id, tuple(ranges))
    raise RemoteProtocolError("the acknowledgement is malformed or for another board")


def _is_range(pair: object) -> bool:
    match pair:
        case [int(first), int(last)]:
            return 1 <= first <= last <= MAX_NUMBER
    return False
