"""Random streams: what the guest says is what the reference says."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from edgeagent.wire import frame, messages
from edgeagent.wire.frame import FrameType
from edgeagent.wire.messages import Reject
from tests.guest import native, streams
from tests.guest.reference import Reference

START = 1_700_000_000_000
SAID = (FrameType.SUMMARY, FrameType.REPORT, FrameType.REJECT)

configs = st.fixed_dictionaries(
    {
        "window": st.sampled_from([1000, 10_000, 60_000]),
        "lateness": st.sampled_from([0, 500, 1000]),
        "ahead": st.sampled_from([0, 0, 5000]),
        "series": st.sampled_from([1, 2, 3, 64]),
        "windows": st.sampled_from([1, 3, 128]),
        "buckets": st.sampled_from([4, 8, 256]),
        "quantiles": st.lists(st.integers(0, 1000), max_size=4),
        "times": st.sampled_from([[], ["t"], ["u", "t"]]),
        "fields": st.sampled_from([[], ["a", "b*"]]),
        "deadband": st.sampled_from([[0, 0], [-1, 5], [0, 3]]),
        "heartbeat": st.sampled_from([0, 1, 3]),
    }
)

plain = st.integers(-1000, 1000).map(lambda n: f"{n / 10}")
wild = st.builds(
    lambda m, f, e: f"{m}{f}{e}",
    st.integers(-(10**22), 10**22),
    st.sampled_from(["", ".5", ".000", ".12345678901234567890123"]),
    st.sampled_from(["", "e0", "E+3", "e-20", "e-57", "e19", "e400", "e-400"]),
)
numbers = st.one_of(plain, plain, plain, wild)
scalars = st.one_of(
    numbers,
    numbers.map(lambda n: f'"{n}"'),
    st.sampled_from(["null", "true", "false", '"ON"', '""', '" 1"', '"1 "', '"+1"', '"\\u0031"', '"é"']),
)
keys = st.sampled_from(["a", "b", "bc", "c", "", "x" * 40, "k" * 64, "k" * 65, "é", 'q\\"', "\\u0061"])


def members(children: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.lists(st.tuples(keys, children), max_size=4).map(
        lambda pairs: "{" + ",".join(f'"{k}":{v}' for k, v in pairs) + "}"
    )


values = st.recursive(
    scalars,
    lambda children: st.one_of(
        members(children), st.lists(children, max_size=3).map(lambda xs: "[" + ", ".join(xs) + " ]")
    ),
    max_leaves=6,
)
stamps = st.one_of(
    st.integers(-5, 200).map(lambda s: str(START // 1000 + s)),
    st.integers(-5000, 200_000).map(lambda ms: str(START + ms)),
    st.sampled_from(
        [
            '"2023-11-14T22:13:25"',
            '"2023-11-14T23:13:25.25+01:00"',
            '"2023-11-14 22:13:40Z"',
            '"2023-02-29T00:00:00"',
            "null",
            "-1",
            '"x"',
            '"1700000010"',
            "1e99",
        ]
    ),
)
objects = st.builds(
    lambda pairs, stamp: "{" + ",".join([f'"{k}":{v}' for k, v in pairs] + stamp) + "}",
    st.lists(st.tuples(keys, values), max_size=4),
    st.one_of(st.just([]), stamps.map(lambda s: [f'"t":{s}']), stamps.map(lambda s: [f'"u":{s}'])),
)
# What a device says again and again: only the numbers change, and sometimes more than that.
shapes = st.sampled_from(
    [
        '{{"a":{0},"b":{1},"c":"5","bc":true}}',
        '{{"a":{0},"b":{{"c":[{1},{0}]}},"é":"ON"}}',
        ' {{"t":{2},"a":{0}, "b": {1} }}',
        '{{"a":{0},"t":{2},"b":{1}}}\n',
        '{{"u":"{3}","a":{0}}}',
        '{{"a":{0},"t":"{3}"}}',
        '{{"a":{0},"a":{1}}}',
    ]
)
usual = st.builds(
    lambda shape, a, b, ms, text: shape.format(a, b, ms, text),
    shapes,
    st.one_of(plain, plain, plain, wild, st.sampled_from(["-", "01", "null", "1.", "-0", "5,"])),
    plain,
    st.integers(0, 100_000).map(lambda ms: START + ms),
    st.sampled_from(
        [
            "2023-11-14T22:13:21",
            "2023-11-14T22:13:25.5Z",
            "2023-11-14T23:13:39+01:00",
            "1700000020",
            "x",
            "2023\\u002d11-14T22:13:21",
            "",
        ]
    ),
)
payloads = st.one_of(
    objects,
    usual,
    usual,
    usual,
    st.one_of(numbers, values),
    st.sampled_from(["ON", "true", "  21.5\n", "", " ", "{", '{"a":1,}', "[1 2]", '"\\ud800"', "nan", "01"]),
    st.text(max_size=8),
).map(lambda text: text.encode(errors="ignore"))
steps = st.one_of(
    st.tuples(st.just("reading"), st.sampled_from(["t", "t/2", "u"]), payloads),
    st.tuples(st.just("reading"), st.sampled_from(["t", "t/2", "u"]), numbers.map(str.encode)),
    st.tuples(st.just("tick"), st.none(), st.none()),
    st.tuples(st.just("drain"), st.none(), st.none()),
)
delays = st.one_of(st.integers(0, 3000), st.sampled_from([0, 1, 999, 60_000, -500, -2000, -200_000]))
short_streams = st.lists(st.tuples(delays, steps), max_size=30)


def frames_of(stream: list[tuple[int, Any]]) -> list[tuple[bytes, tuple[Any, ...]]]:
    """Encoded frames and what the reference is to be told."""
    now = START
    frames = []
    for seq, (delay, (kind, topic, payload)) in enumerate(stream, 1):
        now += delay
        if kind == "reading":
            data = native.reading(seq, now, payload, topic=topic, content_format=0)
            frames.append((data, (kind, seq, now, payload, topic)))
        else:
            data = messages.tick(seq, now) if kind == "tick" else messages.drain(seq, now)
            frames.append((data, (kind, seq, now)))
    return frames


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(configs, short_streams)
def test_says_what_the_reference_says(config: dict[str, Any], stream: list[tuple[int, Any]]) -> None:
    frames = frames_of(stream)
    reference = Reference({**native.CONFIG, **config})
    for _, (kind, *arguments) in frames:
        getattr(reference, kind)(*arguments)
    outcome = native.run([native.hello(config), *(data for data, _ in frames)])
    assert outcome.panic == ""
    assert said_by(outcome) == reference.said


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(configs, short_streams, st.integers(1, 70))
@example({}, [(100, ("reading", "t", b'{"a":1,"b":[2,3]}'))] * 5, 1)
def test_a_restored_guest_goes_on_as_if_it_had_never_stopped(
    config: dict[str, Any], stream: list[tuple[int, Any]], read: int
) -> None:
    frames = [data for data, _ in frames_of(stream)]
    hello = native.hello(config)
    # One run asks for a checkpoint after every input; that must change nothing either.
    whole = native.run(
        [hello, *(part for i, f in enumerate(frames) for part in (f, messages.checkpoint(i)))], read=read
    )
    plain = native.run([hello, *frames])
    assert whole.of(*SAID) == plain.of(*SAID)
    after = 0
    said_before: list[list[Any]] = []
    pieces: list[list[messages.State]] = []
    said = []
    for item in whole.frames:
        if item.type in SAID:
            said.append(item)
        elif item.type == FrameType.STATE:
            state = messages.parse(item.type, item.body)
            assert isinstance(state, messages.State)
            if state.index == 0:
                pieces.append([])
                said_before.append(list(said))
            pieces[-1].append(state)
    assert len(pieces) == len(frames)
    for after, (state, before) in enumerate(zip(pieces, said_before, strict=True), 1):
        restore = messages.restore(1, state[0].seq, state[0].out, b"".join(piece.piece for piece in state))
        rest = native.run([hello, restore, messages.checkpoint(9), *frames[after:]])
        assert before + rest.of(*SAID) == whole.of(*SAID)
        again = [m for m in rest.messages(FrameType.STATE) if isinstance(m, messages.State)]
        assert [m.piece for m in again] == [m.piece for m in state]


def said_by(outcome: native.Outcome) -> list[messages.Message]:
    """Summaries, reports and rejects; where a payload failed is no business of the reference."""
    return [
        replace(item, offset=-1) if isinstance(item, Reject) else item for item in outcome.messages(*SAID)
    ]


@pytest.mark.parametrize("first", range(0, 60, 20))
def test_long_streams(first: int) -> None:
    counts: Counter[str] = Counter()
    for seed in range(first, first + 20):
        config, stream = streams.stream(seed, 250)
        frames = frames_of(stream)
        reference = Reference({**native.CONFIG, **config})
        for _, (kind, *arguments) in frames:
            getattr(reference, kind)(*arguments)
        outcome = native.run([native.hello(config), *(data for data, _ in frames)])
        assert said_by(outcome) == reference.said, seed
        for item in reference.said:
            if isinstance(item, messages.Summary):
                counts.update(["summary", f"error {item.error}", f"flags {item.flags}"])
                counts["skipped"] += item.skipped
                counts["many"] += item.count > 10
            elif isinstance(item, messages.Report):
                counts.update(item.reasons)
    # The streams are of use only while they reach what they are for.
    assert counts["many"] > 20
    assert counts["error 20"] + counts["error 40"] + counts["error 80"] > 3
    assert counts["skipped"] > 10
    for reason in ("LATE", "WINDOW_LIMIT", "SERIES_LIMIT", "DUPLICATE_KEY", "NO_NUMBER", "NUMBER_RANGE"):
        assert counts[messages.Reason[reason]] > 0, reason


@pytest.mark.parametrize("seed", range(100, 112))
def test_long_streams_restored(seed: int) -> None:
    config, stream = streams.stream(seed, 200)
    frames = [data for data, _ in frames_of(stream)]
    whole = native.run(
        [native.hello(config), *(p for i, f in enumerate(frames) for p in (f, messages.checkpoint(i)))]
    )
    said: list[frame.Frame] = []
    states: dict[int, list[messages.State]] = {}
    before: dict[int, int] = {}
    for item in whole.frames:
        if item.type in SAID:
            said.append(item)
        elif item.type == FrameType.STATE:
            piece = messages.parse(item.type, item.body)
            assert isinstance(piece, messages.State)
            states.setdefault(piece.seq, []).append(piece)
            before[piece.seq] = len(said)
    for cut in range(seed % 17 + 1, len(frames), 17):
        state = b"".join(piece.piece for piece in states[cut])
        restore = messages.restore(1, cut, states[cut][0].out, state)
        rest = native.run([native.hello(config), restore, messages.checkpoint(9), *frames[cut:]])
        assert said[: before[cut]] + rest.of(*SAID) == said, cut
        again = [m for m in rest.messages(FrameType.STATE) if isinstance(m, messages.State)]
        assert b"".join(m.piece for m in again) == state


def test_json_numbers_survive_the_trip() -> None:
    payload = json.dumps({f"f{i}": i * 1.5 for i in range(40)}).encode()
    outcome = native.run([native.hello(), native.reading(1, START, payload), messages.drain(2, START)])
    summaries = {m.field: m for m in outcome.messages(FrameType.SUMMARY) if isinstance(m, messages.Summary)}
    assert {name: float(m.sum) for name, m in summaries.items()} == {f"f{i}": i * 1.5 for i in range(40)}
