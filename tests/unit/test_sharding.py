"""Every input goes to the guests that it is for, and to all of them as one sequence without gaps."""

from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeagent.unit.sharding import WHOLE, Shard, share, through, topic_at
from edgeagent.wire import messages
from edgeagent.wire.frame import HEADER, Decoder, FrameType

NOW = 1_790_000_000_000
topics = st.one_of(
    st.sampled_from([b"a", b"home/kitchen", b"x" * 23, b"x" * 24, b"y" * 255, b"z" * 256, b"z" * 1024])
)
things = st.one_of(st.sampled_from(["tick", "drain"]), st.tuples(topics, st.binary(max_size=300)))


def framed(listed, first=1):
    frames = []
    for seq, one in enumerate(listed, first):
        if isinstance(one, tuple):
            topic, payload = one
            frames.append(messages.reading(seq, NOW, 0, seq, messages.topic_item(topic), payload))
        else:
            frames.append((messages.tick if one == "tick" else messages.drain)(seq, NOW))
    return frames


def pairs(body):
    """The two integers of a tick, drain or skip."""
    return int.from_bytes(body[2:10], "big"), int.from_bytes(body[11:19], "big")


@given(topics, st.binary(max_size=70_000))
def test_a_topic_is_read_where_the_gate_wrote_it(topic, payload):
    (frame,) = framed([(topic, payload)])
    assert topic_at(b"12345" + frame, 5) == topic
    assert crc32(topic) % 7 == messages.shard_of(topic, 7)


@given(st.lists(things, max_size=40), st.integers(1, 5), st.integers(1, 1 << 40), st.lists(st.integers(1, 9)))
def test_all_shards_together_get_everything_once(listed, count, first, sizes):
    frames = framed(listed, first)
    cuts, at = [], 0
    for size in [*sizes, len(frames) + 1]:
        cuts.append(b"".join(frames[at : at + size]))
        at += size
    got = []
    for index in range(count):
        following = first
        for frame in Decoder().feed(b"".join(share(one, Shard(index, count)) for one in cuts)):
            if frame.type == FrameType.SKIP:
                begin, end = pairs(frame.body)
                assert begin == following <= end
                following = end + 1
                continue
            assert messages.sequence_of(frame.body) == following
            following += 1
            if frame.type == FrameType.READING:
                got.append(messages.parse_reading(frame.body))
                assert messages.shard_of(got[-1].topic, count) == index
            else:
                assert listed[messages.sequence_of(frame.body) - first] in ("tick", "drain")
        assert following == first + len(frames)
    said = [(seq, *one) for seq, one in enumerate(listed, first) if isinstance(one, tuple)]
    assert sorted((one.seq, one.topic, one.payload) for one in got) == said


def test_one_guest_gets_the_log_as_it_is():
    data = b"".join(framed([(b"a", b"1"), "tick"]))
    assert share(data, WHOLE) is data


def test_what_is_given_is_never_longer_than_the_log():
    """A guest's window bounds what is read of the log for it."""
    data = b"".join(framed([(b"a", b""), (b"b", b"")] * 50))
    assert {len(share(data, Shard(index, 2))) <= len(data) for index in (0, 1)} == {True}
    assert len(messages.skip(1, 1)) < len(framed([(b"a", b"")])[0])


@pytest.mark.parametrize(("last", "left"), [(4, 0), (5, 1), (6, 2), (7, 3), (8, 3)])
def test_through(last, left):
    frames = framed([(b"a", b"1"), "tick", (b"b", b"2")], 5)
    assert through(b"".join(frames), last) == b"".join(frames[:left])
    assert HEADER.size < len(frames[1])
