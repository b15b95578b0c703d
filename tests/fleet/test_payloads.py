"""Payloads both ways: bounds hold, what isn't known is kept, what is signed counts at its own topic only."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeagent.errors import ConfigError, RemoteProtocolError
from edgeagent.fleet import payloads as p
from edgeagent.fleet import topics
from edgeagent.seal import strict
from edgeagent.seal.keys import SigningKey, lookup

FLEET_SEED = bytes([1]) * 32
FLEET, STRANGER = SigningKey.from_seed(FLEET_SEED), SigningKey.from_seed(bytes([2]) * 32)
UNIT = p.DesiredUnit(name="home", target="heating/home.suit", sequence=7)
DESIRED = p.Desired(version=3, operation="spring", issued=1000, deadline=2000, units=(UNIT,))
SAMPLES = [
    DESIRED,
    p.Reported(
        time=5,
        arch="x86_64",
        tags=("attic",),
        desired=3,
        operation="spring",
        state=p.State.FAILED,
        reason="health",
        units=(p.ReportedUnit(name="home", slot="B", sequence=7, digest=b"d" * 32),),
    ),
    p.Alive(online=1, time=9),
    p.Command(id="c-1", kind="restart", unit="home", issued=1, deadline=2),
    p.CommandState(id="c-1", state=p.State.SUCCESSFUL, time=4),
    p.FetchRequest(id=1, path="metadata/timestamp.json", offset=0, length=p.MAX_CHUNK),
    p.FetchAnswer(id=1, size=10, data=bytes(p.MAX_CHUNK)),
]


@pytest.mark.parametrize("value", SAMPLES, ids=lambda value: type(value).__name__)
def test_both_ways(value):
    assert p.decode(type(value), p.encode(value)) == value


def vectors():
    """What docs/fleet-vectors.json holds: name of the payload, or of what is signed: hex."""
    plain = {type(value).__name__: p.encode(value).hex() for value in SAMPLES[:-1]}
    topic = topics.topic("cellar", topics.DESIRED)
    return {**plain, f"signed Desired at {topic}": p.sign(DESIRED, FLEET, topic).hex()}


def test_vectors():
    """Boards in the field read these: a change here is another version of the protocol."""
    path = Path(__file__).parents[2] / "docs" / "fleet-vectors.json"
    assert json.loads(path.read_text()) == {"seed of the key": FLEET_SEED.hex(), **vectors()}


@pytest.mark.parametrize("value", SAMPLES, ids=lambda value: type(value).__name__)
def test_unknown_fields_are_kept(value):
    more = dataclasses.replace(value, extra={"later": [1, {"x": b"y"}]})
    assert p.decode(type(value), p.encode(more)) == more


def test_unknown_fields_of_units_are_kept():
    more = dataclasses.replace(DESIRED, units=(dataclasses.replace(UNIT, extra={"colour": "red"}),))
    assert p.decode(p.Desired, p.encode(more)).units[0].extra == {"colour": "red"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"version": 0}, "version"),
        ({"version": -1}, "version"),
        ({"version": "3"}, "version"),
        ({"operation": "a/b"}, "operation"),
        ({"deadline": 1 << 60}, "deadline"),
        ({"units": 5}, "units"),
        ({"v": 2}, "version 1"),
        ({"units": [{"name": "a", "target": "../x", "sequence": 1}]}, "target is no path"),
        ({"units": [{"name": "a", "target": "x", "sequence": 1, "health": 4}]}, "health"),
        ({"units": [{"name": "a", "target": "x", "sequence": 1, "shadow": "x"}]}, "shadow"),
        ({"units": [{"name": "a", "target": "x", "sequence": 1}] * 2}, "twice"),
        ({"units": [{"name": "a"}]}, "lacks"),
    ],
)
def test_out_of_bounds(change, words):
    plain = strict.loads(p.encode(DESIRED), limit=9999, what="it") | change
    with pytest.raises(RemoteProtocolError, match=words):
        p.decode(p.Desired, strict.dumps(plain))


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "a//b", "a/../b", "..", ".", "", "a/", "a\\b", "a\0b", "a\nb"]
)
def test_paths_that_leave_the_repository(path):
    with pytest.raises(ValueError, match="path"):
        p.encode(p.FetchRequest(id=1, path=path, offset=0, length=1))


@given(st.binary(max_size=200), st.sampled_from([type(one) for one in SAMPLES]))
def test_garbage_is_refused(data, kind):
    with pytest.raises(RemoteProtocolError):
        p.decode(kind, data)


def test_too_much_is_refused():
    with pytest.raises(RemoteProtocolError, match="limit"):
        p.decode(p.Reported, bytes(p.MAX_PAYLOAD + 1))
    with pytest.raises(RemoteProtocolError, match="too many"):
        p.verify(p.Desired, bytes(p.MAX_PAYLOAD + 1), lookup([]), "t")


def test_signed_for_one_topic_by_the_fleet():
    mine, other = (topics.topic(board, topics.DESIRED) for board in ("cellar", "attic"))
    key_of = lookup([FLEET.public])
    data = p.sign(DESIRED, FLEET, mine)
    assert p.verify(p.Desired, data, key_of, mine) == DESIRED
    for wrong, topic in ((data, other), (p.sign(DESIRED, STRANGER, mine), mine), (p.encode(DESIRED), mine)):
        with pytest.raises(RemoteProtocolError):
            p.verify(p.Desired, wrong, key_of, topic)


name = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,62}", fullmatch=True)


@given(name, name)
def test_topics_both_ways(board, command):
    for kind in (topics.DESIRED, topics.REPORTED, topics.ALIVE, topics.FETCH_REQUEST, topics.FETCH_ANSWER):
        assert topics.parse(topics.topic(board, kind)) == topics.Topic(board, kind)
    wanted = topics.Topic(board, topics.COMMAND, command)
    assert topics.parse(topics.command(board, command)) == wanted
    assert topics.parse(topics.command_state(board, command)) == dataclasses.replace(
        wanted, kind=topics.COMMAND_STATE
    )


@pytest.mark.parametrize("bad", ["", "+", "#", "a/b", "A", "$share", "a\n"])
def test_topics_with_bad_names(bad):
    with pytest.raises(ConfigError):
        topics.topic(bad, topics.DESIRED)
    with pytest.raises(ConfigError):
        topics.command("a", bad)
    assert topics.parse(f"edgeagent/1/{bad}/desired") is None
    assert topics.parse(f"edgeagent/1/a/command/{bad}") is None
