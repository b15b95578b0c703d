"""The receiving core by a table, and the ring of keys that it gets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeagent.collector import keyring
from edgeagent.collector.keyring import KeyRing
from edgeagent.collector.receive import Received, Refusal, Refused, receive
from edgeagent.seal.keys import OpeningKey, SigningKey, agree_with
from edgeagent.uplink import topics
from tests.seal.given import BOARD, OPENER, SIGNER, TOPIC, head, sealed

KEYS = {SIGNER.kid: SIGNER.public}
STRANGER = SigningKey.from_seed(b"x" * 32)


def got(topic: str = TOPIC, data: bytes | None = None, keys=KEYS, opener=OPENER) -> Received | Refused:
    return receive(topic, sealed() if data is None else data, agree=agree_with([opener]), keys=keys)


def test_good():
    found = got()
    assert isinstance(found, Received)
    assert (found.batch.head, found.size) == (head(), len(sealed()))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"topic": "x"}, Refusal.NOT_OURS),
        ({"topic": topics.ack(BOARD)}, Refusal.NOT_OURS),
        ({"topic": "edgeagent/1/../batch"}, Refusal.NOT_OURS),
        ({"keys": None}, Refusal.UNKNOWN_BOARD),
        ({"keys": {}}, Refusal.UNKNOWN_KEY),
        ({"data": sealed(signer=STRANGER)}, Refusal.UNKNOWN_KEY),
        ({"keys": {SIGNER.kid: STRANGER.public}}, Refusal.DAMAGED),
        ({"opener": OpeningKey.from_seed(b"y" * 32)}, Refusal.NOT_FOR_US),
        ({"topic": topics.batch("cellar")}, Refusal.DAMAGED),
        ({"data": sealed(board="cellar")}, Refusal.OTHER_BOARD),
        ({"data": b""}, Refusal.DAMAGED),
        ({"data": bytes(2 << 20)}, Refusal.DAMAGED),
    ],
)
def test_refused(changes, reason):
    found = got(**changes)
    assert isinstance(found, Refused)
    assert found.reason is reason
    assert "\n" not in found.detail


@given(st.binary(max_size=300))
def test_any_bytes_are_refused(data):
    assert isinstance(got(data=data), Refused)


def test_ring(monkeypatch):
    monkeypatch.setattr(keyring, "MAX_BOARDS", 2)
    known, asked, now = {"a": KEYS}, [], [0.0]

    def load(board):
        asked.append(board)
        return known.get(board)

    ring = KeyRing(load, lambda: now[0])
    assert ring.keys("a") == ring.keys("a") == KEYS
    assert ring.keys("b") is None
    assert ring.keys("b", doubtful=True) is None
    assert asked == ["a", "b"]
    known["b"] = {}
    now[0] = keyring.AGAIN_S
    assert ring.keys("b") == {}
    assert ring.keys("a", doubtful=True) == KEYS
    assert asked == ["a", "b", "b", "a"]
    now[0] = 2 * keyring.FRESH_S
    assert ring.keys("a") == KEYS
    assert asked[4:] == ["a"]
    ring.keys("c")
    ring.keys("a")
    ring.keys("b")
    assert asked[5:] == ["c", "b"]
