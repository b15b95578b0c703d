"""Which crashes are counted with others, and which go."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from edgeagent.crash.retention import ALIKE, MAX_RECORDS, Entry, occupied, standing_for, surplus
from tests.crash.given import record


def test_the_same_crash_is_counted():
    first = record(number=1)
    assert standing_for(record(acked=11, given=13), [first]) == first
    assert standing_for(record(words="the guest gave up: other"), [first]) is None
    assert standing_for(record(unit="other"), [first]) is None
    assert standing_for(record(image=replace(first.image, digest="c" * 64)), [first]) is None


def test_crashes_alike_are_kept_up_to_a_bound():
    kept = []
    for seq in range(ALIKE + 5):
        new = record(number=seq + 1, start=replace(record().start, seq=seq))
        stands = standing_for(new, kept)
        if stands is None:
            kept.append(new)
        else:
            assert stands == kept[-1]
    assert len(kept) == ALIKE


entries = st.lists(
    st.builds(
        Entry,
        number=st.integers(1, 1000),
        what=st.tuples(st.sampled_from("ab"), st.sampled_from(["hang", "panicked"])),
        bytes=st.integers(0, 100),
        image=st.sampled_from(["", "x", "y"]),
    ),
    max_size=MAX_RECORDS + 5,
    unique_by=lambda one: one.number,
)


@given(entries, st.dictionaries(st.sampled_from("xy"), st.integers(0, 50)), st.integers(-10, 3000))
def test_what_goes(known, images, room):
    gone = surplus(known, images, room)
    assert len(gone) == len(set(gone))
    left = [one for one in known if one.number not in gone]
    assert len(left) < MAX_RECORDS
    assert not left or occupied(left, images) <= room
    # Not one more than needed.
    if gone:
        before = [one for one in known if one.number not in gone[:-1]]
        assert len(before) >= MAX_RECORDS or occupied(before, images) > room
    # The newest of a kind goes only after everything that isn't.
    newest = {}
    for one in sorted(known, key=lambda one: one.number):
        newest[one.what] = one.number
    if any(number in newest.values() for number in gone):
        assert all(one.number in newest.values() for one in left)
