"""Several guests that share a stream by topic say what one guest says; states move between any numbers of them."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeagent.unit.sharding import Shard, share
from edgeagent.wire import cbor, frame, messages
from edgeagent.wire.frame import FrameType
from edgeagent.wire.messages import Report, State, Summary
from tests.guest import native, streams
from tests.guest.test_aggregate_reference import frames_of

START = 1_700_000_000_000
AMPLE: dict[str, Any] = {"series": 64, "windows": 256, "buckets": 256}
"""No limit is met, neither by one guest nor by any of several."""


class Said:
    """What guests said of a stream, whoever said it: windows by what they are of, reports added up."""

    def __init__(self) -> None:
        self.windows: Counter[Summary] = Counter()
        self.rejects: Counter[tuple[int, int]] = Counter()
        self.counts: Counter[str] = Counter()

    def hear(self, outcome: native.Outcome) -> None:
        assert outcome.panic == ""
        assert not outcome.of(FrameType.REFUSED)
        for one in outcome.messages(FrameType.SUMMARY, FrameType.REPORT, FrameType.REJECT):
            match one:
                case Summary():
                    self.windows[replace(one, out=0)] += 1
                case Report():
                    self.counts.update({"payloads": one.payloads, "values": one.values})
                    self.counts.update({f"reason {reason}": n for reason, n in one.reasons.items()})
                case messages.Reject(seq, reason, _):
                    self.rejects[seq, reason] += 1

    def __eq__(self, other: object) -> bool:
        assert isinstance(other, Said)
        return (self.windows, self.rejects, self.counts) == (other.windows, other.rejects, other.counts)

    __hash__ = None  # type: ignore[assignment]


def state_of(outcome: native.Outcome) -> bytes:
    pieces = [one for one in outcome.messages(FrameType.STATE) if isinstance(one, State)]
    assert pieces
    return b"".join(one.piece for one in pieces)


def take_over(states: list[bytes], seq: int, shard: Shard) -> bytes:
    """What a guest is told that takes over from these."""
    restored = (messages.restore(index, seq, 0, state) for index, state in enumerate(states))
    return messages.shard(shard.index, shard.count, len(states)) + b"".join(restored)


def alone(config: dict[str, Any], frames: list[bytes]) -> Said:
    said = Said()
    said.hear(native.run([native.hello(config), *frames]))
    return said


def shared(config: dict[str, Any], frames: list[bytes], moves: list[tuple[int, int]], chunk: int = 7) -> Said:
    """moves: after so many frames, that many guests take over. One guest begins."""
    said = Said()
    states: list[bytes] = []
    at, count = 0, 1
    for until, following in [*moves, (len(frames), 1)]:
        made = []
        for index in range(count):
            shard = Shard(index, count)
            begin = take_over(states, at, shard) if at else b""
            # How the log is cut into pieces is chance, and so is how runs of others' inputs are.
            cut = [share(b"".join(frames[i : min(i + chunk, until)]), shard) for i in range(at, until, chunk)]
            outcome = native.run([native.hello(config), begin, *cut, messages.checkpoint(9)])
            said.hear(outcome)
            made.append(state_of(outcome))
        states, at, count = made, until, following
    return said


stream_of = st.builds(streams.stream, st.integers(0, 10**6), st.integers(1, 120))


def forward(stream: list[tuple[int, Any]]) -> list[tuple[int, Any]]:
    """Without a clock that is set back: guests notice that at inputs of their own."""
    return [(max(0, delay), step) for delay, step in stream]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(stream_of, st.lists(st.tuples(st.integers(1, 119), st.integers(1, 4)), max_size=4), st.integers(1, 40))
def test_guests_that_share_a_stream_say_what_one_says(
    made: tuple[dict[str, Any], list[tuple[int, Any]]], moves: list[tuple[int, int]], chunk: int
) -> None:
    config, stream = made
    config |= AMPLE
    frames = [data for data, _ in frames_of(forward(stream))]
    frames.append(messages.drain(len(frames) + 1, START + 10**7))
    within = sorted({at: n for at, n in moves if at < len(frames)}.items())
    assert shared(config, frames, within, chunk) == alone(config, frames)


def test_moves_with_many_topics_have_something_in_every_part() -> None:
    rng = random.Random(7)
    frames = []
    for seq in range(1, 900):
        if seq % 40 == 0:
            frames.append(messages.tick(seq, START + seq * 25))
        else:
            payload = f'{{"a":{rng.randrange(500) / 10},"b":{rng.randrange(9)}}}'
            frames.append(native.reading(seq, START + seq * 25, payload, topic=f"z/{rng.randrange(30)}"))
    frames.append(messages.drain(900, START + 900 * 25))
    config = AMPLE | {"window": 1000, "lateness": 500, "deadband": [0, 3], "heartbeat": 4}
    parts = [share(b"".join(frames), Shard(index, 4)) for index in range(4)]
    assert all(len(part) > 5000 for part in parts)
    one = alone(config, frames)
    assert sum(one.windows.values()) > 500
    assert shared(config, frames, [(200, 2), (400, 4), (500, 3), (700, 1)]) == one


def refusal(config: dict[str, Any], begin: bytes) -> str:
    (refused,) = native.run([native.hello(config), begin]).messages(FrameType.REFUSED)
    assert isinstance(refused, messages.Refused)
    return refused.reason


def states_of(config: dict[str, Any], topics: list[list[str]]) -> list[bytes]:
    """A state of a guest for each list of topics, all after as many inputs."""
    found = []
    for mine in topics:
        frames = [native.reading(i, START, "1", topic=topic) for i, topic in enumerate(mine, 1)]
        found.append(state_of(native.run([native.hello(config), *frames, messages.checkpoint(1)])))
    return found


def test_states_that_do_not_fit_into_one_guest_are_refused() -> None:
    config = {"series": 3, "windows": 8}
    full = states_of(config, [["a", "b"], ["c", "d"]])
    assert "larger than the limits" in refusal(config, take_over(full, 2, Shard(0, 1)))
    fits = states_of(config, [["a", "b"], ["c", "c"]])
    outcome = native.run([native.hello(config), take_over(fits, 2, Shard(0, 1)), messages.drain(3, START)])
    said = [m for m in outcome.messages(FrameType.SUMMARY) if isinstance(m, Summary)]
    assert [(m.source, m.count, m.out) for m in said] == [("a", 1, 1), ("b", 1, 2), ("c", 2, 3)]


def test_two_states_of_one_topic_are_refused() -> None:
    twice = states_of({}, [["a"], ["a"]])
    assert "malformed" in refusal({}, take_over(twice, 1, Shard(0, 1)))


def test_states_of_different_inputs_are_refused() -> None:
    one, other = states_of({}, [["a"], ["b"]])
    begin = messages.shard(0, 1, 2) + messages.restore(1, 1, 0, one) + messages.restore(2, 2, 0, other)
    assert refusal({}, begin) == "a piece of state is out of order"


def test_every_state_must_come_before_any_input() -> None:
    (one,) = states_of({}, [["a"]])
    begin = messages.shard(0, 1, 2) + messages.restore(1, 1, 0, one)
    assert native.run([native.hello(), begin, native.reading(2, START, "1")]).panic


def test_a_guest_with_several_states_acknowledges_once_it_has_all() -> None:
    empty = messages.shard(1, 2, 2) + messages.restore(1, 41, 7, b"") + messages.restore(2, 41, 7, b"")
    outcome = native.run([native.hello(), empty], read=50)
    assert outcome.messages(FrameType.ACK) == [messages.Ack(41, 7)]


@pytest.mark.parametrize(
    "values", [(0, 0, 1), (1, 1, 1), (0, 65, 1), (0, 1, 0), (0, 1), (0, 1, 1, 1)], ids=str
)
def test_a_malformed_shard_ends_the_guest(values: tuple[int, ...]) -> None:
    data = frame.encode(FrameType.SHARD, cbor.dumps(list(values)))
    assert native.run([native.hello(), data]).panic


def test_a_shard_comes_once_and_before_anything_else() -> None:
    shard = messages.shard(0, 2, 1)
    assert native.run([shard]).panic
    assert native.run([native.hello(), shard, shard]).panic
    assert native.run([native.hello(), messages.tick(1, START), shard]).panic


def test_a_skip_stands_for_inputs() -> None:
    frames = [native.reading(1, START, "1"), messages.skip(2, 9), native.reading(10, START, "2")]
    outcome = native.run([native.hello(), *frames, messages.drain(11, START), messages.skip(12, 12)])
    (said,) = outcome.messages(FrameType.SUMMARY)
    assert isinstance(said, Summary)
    assert (said.count, said.seq) == (2, 11)
    assert outcome.messages(FrameType.ACK)[-1] == messages.Ack(12, 2)


@pytest.mark.parametrize("between", [(3, 4), (1, 4), (2, 1)], ids=str)
def test_a_skip_that_does_not_follow_ends_the_guest(between: tuple[int, int]) -> None:
    outcome = native.run([native.hello(), native.reading(1, START, "1"), messages.skip(*between)])
    assert outcome.panic
