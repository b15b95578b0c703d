"""The spool against a dict, its policies, and damage."""

from __future__ import annotations

import errno
import random
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeagent.errors import DamagedError, LocalProtocolError
from edgeagent.host.disk import DiskFiles
from edgeagent.journal.batches import MAX_BATCH, MAX_UNITS, Batch, Last, Position
from edgeagent.journal.spool import Spool
from tests.sim.crashing_files import CrashingFiles

FOLDER = Path("/state/spool")
ID = bytes(range(16))


def small(files, folder=FOLDER, **more) -> Spool:
    return Spool.open(files, folder, **{"new_id": ID, "cap_bytes": 8_000, "segment_bytes": 1_000, **more})


def put(spool: Spool, *sizes: int, unit: str = "u", items: int = 2) -> list[int]:
    numbers = []
    for size in sizes:
        out = spool.last(unit).out
        data = bytes([out % 251]) * size
        numbers.append(spool.append(unit, out + 1, out + items, out * 10, data))
    spool.commit(sync=True)
    return numbers


OPERATIONS = st.lists(
    st.one_of(
        st.tuples(
            st.just("put"), st.lists(st.integers(0, 700), min_size=1, max_size=5), st.sampled_from("ab")
        ),
        st.tuples(st.just("ack"), st.sets(st.integers(0, 40), max_size=8)),
        st.tuples(st.just("through"), st.integers(0, 40)),
        st.tuples(st.just("reopen")),
    ),
    max_size=25,
)


@given(OPERATIONS)
def test_is_a_dict(script):
    files = CrashingFiles()
    spool = small(files)
    waiting: dict[int, bytes] = {}
    outs = {"a": 0, "b": 0}
    last = 0
    ahead: dict[int, bytes] = {}
    for name, *args in script:
        if name == "put":
            sizes, unit = args
            for size in sizes:
                last += 1
                waiting[last] = bytes([outs[unit] % 251]) * size
                outs[unit] += 2
            assert put(spool, *sizes, unit=unit) == list(range(last - len(sizes) + 1, last + 1))
        elif name == "ack":
            spool.acknowledge(args[0])
            gone = {n: waiting.pop(n) for n in args[0] if n in waiting}
            ahead |= gone
        elif name == "through":
            spool.acknowledge_through(args[0])
            waiting = {n: data for n, data in waiting.items() if n > args[0]}
        else:
            spool.commit(sync=True)
            spool.trim()
            spool.close()
            spool = small(files, new_id=bytes(16))
            # Acknowledgements beyond a gap are forgotten, so those batches come again.
            first = min(waiting, default=last + 1)
            waiting |= {n: data for n, data in ahead.items() if n > first}
        assert dict(spool.pending()) == waiting
        assert (spool.spool_id, spool.last_number) == (ID, last)
        assert {unit: spool.last(unit).out for unit in outs} == outs
        assert spool.position.gone == min(waiting, default=last + 1) - 1
    assert spool.position.dropped_batches == 0
    assert spool.bytes == sum(len(data) for _, data in files.files())


def test_what_is_known_outlives_all_batches():
    files = CrashingFiles()
    spool = small(files)
    put(spool, *[300] * 30, unit="cellar")
    put(spool, *[300] * 30, unit="kitchen")
    spool.acknowledge_through(60)
    spool.commit(sync=True)
    spool.trim()
    assert len(files.names(FOLDER)) == 1
    spool = small(files)
    assert spool.last("cellar") == Last(60, 580)
    assert spool.last("attic") == Last(0, 0)
    assert list(spool.pending()) == []
    assert put(spool, 10, unit="cellar") == [61]
    assert [n for n, _ in spool.pending()] == [61]


def test_reader_gives_the_whole_batch_and_goes_on():
    spool = small(CrashingFiles())
    reader = spool.reader()
    assert reader.read() is None
    put(spool, 5, 700)
    assert reader.read() == Batch(1, "u", 1, 2, 0, bytes(5))
    assert reader.read().number == 2
    assert reader.read() is None
    put(spool, 900, 900)
    assert [reader.read().number, reader.read().number, reader.read()] == [3, 4, None]
    reader.close()


def test_pending_from_anywhere():
    spool = small(CrashingFiles())
    put(spool, *[300] * 9)
    one = iter(spool.pending(3))
    assert next(one)[0] == 4
    one.close()
    assert [n for n, _ in spool.pending(4)] == [5, 6, 7, 8, 9]
    assert [n for n, _ in spool.pending(1)] == [2, 3, 4, 5, 6, 7, 8, 9]
    assert [n for n, _ in spool.pending(9)] == []


def test_uncommitted_batches_are_not_shown_nor_acknowledged():
    spool = small(CrashingFiles())
    spool.append("u", 1, 2, 1, b"x")
    spool.acknowledge([1])
    spool.acknowledge_through(1)
    assert list(spool.pending()) == []
    spool.commit(sync=True)
    assert [n for n, _ in spool.pending()] == [1]


def test_block_when_full():
    spool = small(CrashingFiles())
    while not spool.full:
        put(spool, 200)
    assert 8_000 <= spool.bytes < 8_300
    spool.acknowledge_through(spool.last_number)
    assert spool.full
    spool.commit(sync=True)
    spool.trim()
    assert not spool.full


def test_drop_oldest_counts_what_it_drops():
    files = CrashingFiles()
    spool = small(files, when_full="drop-oldest")
    put(spool, *[200] * 3, items=5)
    spool.acknowledge([2])
    reader = spool.reader()
    assert reader.read().number == 1
    for _ in range(60):
        put(spool, 200, items=5)
        spool.trim()
        assert not spool.full
        assert spool.bytes <= 8_000
    numbers = [n for n, _ in spool.pending()]
    assert numbers == list(range(numbers[0], 64))
    dropped = spool.position
    assert dropped == Position(numbers[0] - 1, numbers[0] - 2, 5 * (numbers[0] - 2), 0)
    spool.close()
    assert small(files).position == dropped
    assert reader.read().number == numbers[0]


def broken(**more) -> tuple[CrashingFiles, Spool]:
    """Batch 5, not the first of its segment, is damaged on the disk; nothing was read yet."""
    files = CrashingFiles()
    spool = small(files)
    put(spool, *[300] * 12)
    spool.close()
    for _, data in files.files():
        at = data.find(bytes([8]) * 300)
        if at >= 0:
            data[at] ^= 1
    return files, small(files, **more)


def test_damage_stops_reading():
    _, spool = broken()
    reader = spool.reader()
    assert [reader.read().number for _ in range(4)] == [1, 2, 3, 4]
    for _ in range(2):
        with pytest.raises(DamagedError, match=r"record 5 .* move the folder /state/spool away"):
            reader.read()


def test_damage_is_skipped_and_counted_where_policy_says_so():
    files, spool = broken(on_damage="skip")
    assert [n for n, _ in spool.pending()] == [1, 2, 3, 4, 6, 7, 8, 9, 10, 11, 12]
    assert [n for n, _ in spool.pending()] == [1, 2, 3, 4, 6, 7, 8, 9, 10, 11, 12]
    assert spool.position == Position(0, 0, 0, 1)
    spool.acknowledge_through(12)
    spool.commit(sync=True)
    spool.trim()
    spool.close()
    assert small(files).position == Position(12, 0, 0, 1)


def test_damage_to_the_end_of_a_segment_is_skipped():
    files, spool = broken(on_damage="skip")
    spool.close()
    data = files.names_seen[FOLDER / files.names(FOLDER)[0]].seen
    data[100:] = bytes(len(data) - 100)
    spool = small(files, on_damage="skip")
    assert [n for n, _ in spool.pending()] == [3, 4, 6, 7, 8, 9, 10, 11, 12]
    assert spool.position == Position(2, 0, 0, 3)


def test_damaged_position_costs_no_batch():
    files = CrashingFiles()
    spool = small(files)
    put(spool, 10)
    spool.acknowledge([1])
    spool.commit(sync=True)
    put(spool, 20, *[300] * 9)
    spool.close()
    path = FOLDER / files.names(FOLDER)[0]
    data = files.names_seen[path].seen
    data[data.find(b"\xea\x5b\x02") + 46] ^= 1
    spool = small(files, on_damage="skip")
    spool._position = Position()
    assert [n for n, _ in spool.pending()] == list(range(1, 12))
    assert spool.position.damaged_batches == 0


def test_segments_that_are_gone_say_what_was_acknowledged():
    files = CrashingFiles()
    spool = small(files)
    put(spool, *[300] * 12)
    spool.acknowledge_through(9)
    spool.commit(sync=False)
    spool.trim()
    files.power_cut("none", random.Random(0))
    spool = small(files)
    assert spool.position.gone == 8
    assert [n for n, _ in spool.pending()] == [9, 10, 11, 12]


def test_segment_of_nothing_but_positions_is_not_followed_by_one_of_its_name():
    files = CrashingFiles()
    spool = small(files, segment_bytes=100)
    for _ in range(3):
        spool._position = replace(spool.position, damaged_batches=spool.position.damaged_batches + 1)
        spool.commit(sync=True)
    put(spool, 90, 90)
    spool.close()
    assert [n for n, _ in small(files).pending()] == [1, 2]


def test_outputs_follow_and_bounds_hold():
    spool = small(CrashingFiles())
    put(spool, 1)
    with pytest.raises(LocalProtocolError, match="2 to 3 don't follow on 2"):
        spool.append("u", 2, 3, 1, b"")
    with pytest.raises(LocalProtocolError, match="above"):
        spool.append("u", 3, 3, 1, bytes(MAX_BATCH + 1))
    for n in range(MAX_UNITS - 1):
        spool.append(f"unit {n}", 1, 1, 1, b"")
    with pytest.raises(LocalProtocolError, match="1024 units"):
        spool.append("one more", 1, 1, 1, b"")
    spool.commit(sync=True)
    assert spool.last_number == MAX_UNITS


@pytest.mark.parametrize("fault", [errno.ENOSPC, errno.EIO])
def test_same_batches_again_after_a_fault(fault):
    files = CrashingFiles()
    spool = small(files)
    put(spool, 10)
    spool.append("u", 3, 4, 1, bytes(500))
    files.fail_at(0, fault, until=100)
    with pytest.raises(OSError, match="Errno"):
        put(spool, 500)
    files.heal()
    assert (spool.last_number, spool.last("u").out) == (1, 2)
    assert put(spool, 500, 500) == [2, 3]
    assert [n for n, _ in small(files).pending()] == [1, 2, 3]


def test_on_the_disk(tmp_path):
    spool = small(DiskFiles(), tmp_path)
    put(spool, *range(0, 2000, 100))
    assert [len(data) for _, data in spool.pending()] == list(range(0, 2000, 100))
    spool.close()
    spool = small(DiskFiles(), tmp_path)
    assert len(list(spool.pending(7))) == 13
    spool.close()
