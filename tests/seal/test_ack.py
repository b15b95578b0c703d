"""Acknowledgements: only the collector's own word, for this board and spool, makes a board forget."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeagent.errors import RemoteProtocolError
from edgeagent.seal import cose, strict
from edgeagent.seal.ack import MAX_RANGES, Ack, make_acks, ranges_of, read_ack
from edgeagent.seal.keys import SigningKey, lookup
from edgeagent.uplink import topics

COLLECTOR = SigningKey.from_seed(b"c" * 32)
TOPIC = topics.ack("attic")
SPOOL = b"spool"


def read(data: bytes, board: str = "attic", topic: str = TOPIC) -> Ack:
    return read_ack(data, board=board, key_of=lookup([COLLECTOR.public]), topic=topic)


@given(st.sets(st.integers(1, 2000), min_size=1))
def test_round_trip(numbers):
    acks = [read(data) for data in make_acks("attic", SPOOL, numbers, signer=COLLECTOR, topic=TOPIC)]
    assert {n for n in range(2001) if any(ack.covers(n) for ack in acks)} == numbers
    assert all(ack.spool_id == SPOOL and len(ack.ranges) <= MAX_RANGES for ack in acks)


def test_many_gaps_make_several():
    assert len(make_acks("attic", SPOOL, range(1, 2 * MAX_RANGES + 2, 2), signer=COLLECTOR, topic=TOPIC)) == 2


def test_ranges():
    assert ranges_of([5, 1, 2, 2, 3, 7]) == [(1, 3), (5, 5), (7, 7)]


def test_every_flipped_bit_is_refused():
    (data,) = make_acks("attic", SPOOL, [1, 2, 9], signer=COLLECTOR, topic=TOPIC)
    for bit in range(len(data) * 8):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(RemoteProtocolError):
            read(bytes(changed))


def test_forged_and_misdirected():
    forged = make_acks("attic", SPOOL, [1], signer=SigningKey.from_seed(b"e" * 32), topic=TOPIC)[0]
    with pytest.raises(cose.UnknownKeyError):
        read(forged)
    (other,) = make_acks("cellar", SPOOL, [1], signer=COLLECTOR, topic=TOPIC)
    with pytest.raises(RemoteProtocolError, match="another board"):
        read(other)
    (mine,) = make_acks("attic", SPOOL, [1], signer=COLLECTOR, topic=TOPIC)
    with pytest.raises(RemoteProtocolError, match="signature is wrong"):
        read(mine, topic=topics.ack("cellar"))


@pytest.mark.parametrize(
    "payload",
    [
        [2, "attic", SPOOL, [[1, 1]]],
        [1, "attic", b"", [[1, 1]]],
        [1, "attic", SPOOL, []],
        [1, "attic", SPOOL, [[2, 1]]],
        [1, "attic", SPOOL, [[0, 1]]],
        [1, "attic", SPOOL, [[1, 2], [2, 3]]],
        [1, "attic", SPOOL, [[1, 2**63]]],
        [1, "attic", SPOOL, [[1, 1]] * (MAX_RANGES + 1)],
        [1, "attic", SPOOL, [7]],
        "attic",
    ],
)
def test_signed_but_malformed(payload):
    data = cose.sign1(strict.dumps(payload), COLLECTOR, external=TOPIC.encode())
    with pytest.raises(RemoteProtocolError):
        read(data)


def test_too_long():
    with pytest.raises(RemoteProtocolError, match="longer than"):
        read(bytes(10_000))
