"""Records of both kinds, over any bytes: damage ends a walk, never with another exception."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeagent.errors import DamagedError
from edgeagent.journal.batches import (
    Batch,
    BatchRecords,
    Last,
    Note,
    Position,
    encode_batch,
    encode_position,
    parse_note,
    parse_records,
)
from edgeagent.journal.formats import Header, header_size, parse_header
from edgeagent.journal.frames import FrameRecords, readings, split
from edgeagent.wire import messages
from edgeagent.wire.frame import FrameType, encode

TOPIC = messages.topic_item(b"home/kitchen")


def frame(seq: int) -> bytes:
    return messages.reading(seq, 5, 50, 9, TOPIC, b"x" * (seq % 50))


def batch(number: int) -> bytes:
    return encode_batch(Batch(number, "unit", number, number, 7, b"y" * (number % 50)))


KINDS = [(FrameRecords(), frame), (BatchRecords(), batch)]


@pytest.mark.parametrize(("records", "make"), KINDS)
@given(data=st.data())
def test_one_changed_byte_ends_the_walk_there(records, make, data):
    made = [make(number) for number in range(3, 9)]
    whole = bytearray(b"".join(made))
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at] ^= data.draw(st.integers(1, 255))
    used, number = records.walk(bytes(whole), 3)
    assert used == sum(map(len, made[: number - 3])) <= at < used + len(made[number - 3])
    found = records.find(bytes(whole), used)
    assert found is None if number == 8 else found == (used + len(made[number - 3]), number + 1)


@pytest.mark.parametrize(("records", "make"), KINDS)
def test_walk_ends_where_it_is_told_and_at_a_gap(records, make):
    whole = make(3) + make(4) + make(5) + make(7)
    assert records.walk(whole, 3) == (len(make(3) + make(4) + make(5)), 6)
    assert records.walk(whole, 3, 4) == (len(make(3)), 4)
    assert records.walk(whole, 3, 3) == (0, 3)
    assert records.walk(whole, 4) == (0, 4)
    assert records.walk(whole[:-1], 3)[1] == 6
    assert records.size(whole) == len(make(3))


@pytest.mark.parametrize(("records", "make"), KINDS)
@given(garbage=st.binary(max_size=300))
def test_garbage(records, make, garbage):
    assert records.walk(garbage, 0)[1] >= 0
    assert records.size(garbage) >= 0
    found = records.find(garbage + make(5), 0)
    assert found is not None
    assert records.find(garbage + make(5), found[0] + 1) is None or found[0] < len(garbage)


def test_frames_of_other_types_are_no_records():
    assert FrameRecords().walk(encode(FrameType.SUMMARY, frame(3)[12:]), 3) == (0, 3)


def test_split_on_whole_frames():
    frames = [frame(10), frame(11), frame(12)]
    whole = b"".join(frames)
    sizes = [len(one) for one in frames]
    assert split(whole, 1) == (sizes[0], 1)
    assert split(whole, sizes[0] + sizes[1]) == (sizes[0] + sizes[1], 2)
    assert split(whole, len(whole)) == (len(whole), 3)
    assert [one.seq for one in readings(whole + messages.tick(13, 1))] == [10, 11, 12]


@given(
    st.lists(
        st.one_of(
            st.builds(
                Batch,
                number=st.just(1),
                unit=st.text(min_size=1, max_size=16),
                first_out=st.integers(1, 2**63),
                last_out=st.integers(1, 2**63),
                seq=st.integers(0, 2**63),
                data=st.binary(max_size=40),
            ),
            st.builds(Position, *[st.integers(0, 2**63)] * 4),
        ),
        max_size=8,
    )
)
def test_records_say_what_was_put_in(said):
    encoded = b"".join(
        encode_batch(one) if isinstance(one, Batch) else encode_position(one, 1) for one in said
    )
    assert list(parse_records(encoded)) == said


@given(
    st.binary(min_size=16, max_size=16),
    st.builds(Position, *[st.integers(0, 2**63)] * 4),
    st.dictionaries(
        st.text(min_size=1, max_size=16), st.builds(Last, st.integers(0, 2**63), st.integers(0, 2**63))
    ),
    st.integers(1, 2**63),
)
def test_header_and_note(spool_id, position, last, first):
    note = Note(spool_id, position, last)
    data = Header(first, 3, 99, note.encode()).encode(b"EASP")
    assert header_size(data) == len(data)
    header = parse_header(data + b"more", b"EASP", "here", "")
    assert (header.first, header.before, header.finished) == (first, 3, 99)
    assert parse_note(header.note, "here") == note
    for cut in (10, 20, len(data) - 1):
        with pytest.raises(DamagedError, match="here"):
            parse_header(data[:cut], b"EASP", "here", "")
    with pytest.raises(DamagedError, match="note"):
        parse_note(header.note[:-1] if last else header.note[:40], "here")
