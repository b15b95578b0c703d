"""The input log against a list, and what it says of damage."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeagent.errors import DamagedError, LocalProtocolError
from edgeagent.host.disk import DiskFiles
from edgeagent.journal.input_log import InputLog
from edgeagent.wire import messages
from edgeagent.wire.frame import FrameType
from tests.sim.crashing_files import CrashingFiles

FOLDER = Path("/state/unit")
TOPIC = messages.topic_item(b"home/kitchen")


def frame(seq: int, size: int = 30) -> bytes:
    return messages.reading(seq, 1_000 + seq, 50, seq % 7, TOPIC, bytes([seq % 251]) * size)


def group(first: int, sizes: list[int]) -> list[bytes]:
    return [frame(first + i, size) for i, size in enumerate(sizes)]


def everything(log: InputLog, after: int | None = None, step: int = 300) -> bytes:
    reader = log.reader(log.first_seq - 1 if after is None else after)
    pieces = []
    while piece := reader.read(step):
        pieces.append(piece)
    assert reader.last_seq == log.durable_seq
    reader.close()
    return b"".join(pieces)


def small(files, folder=FOLDER, **more) -> InputLog:
    return InputLog.open(files, folder, **{"segment_bytes": 700, "cap_bytes": 6000, **more})


GROUPS = st.lists(st.lists(st.integers(0, 900), min_size=1, max_size=8), max_size=10)


@given(
    groups=GROUPS,
    reopen=st.sets(st.integers(0, 9)),
    after=st.integers(0, 100),
    step=st.integers(1, 3000),
    trims=st.dictionaries(st.integers(0, 9), st.integers(0, 80)),
)
def test_is_a_list(groups, reopen, after, step, trims):
    files = CrashingFiles()
    log = small(files)
    frames: list[bytes] = []
    for index, sizes in enumerate(groups):
        made = group(len(frames) + 1, sizes)
        before = log.durable_seq
        log.append(b"".join(made), len(made))
        assert log.durable_seq == before
        log.commit(sync=True)
        frames += made
        if index in trims:
            before = log.first_seq
            log.trim(trims[index])
            assert before <= log.first_seq <= max(before, trims[index] + 1)
        if index in reopen:
            log.close()
            log = small(files)
            assert (log.recovery.cut, log.recovery.behind) == (0, 0)
        assert log.next_seq == log.durable_seq + 1 == len(frames) + 1
        assert log.bytes == sum(len(data) for _, data in files.files())
    assert everything(log, step=step) == b"".join(frames[log.first_seq - 1 :])
    after = max(log.first_seq - 1, min(after, len(frames)))
    assert everything(log, after, step) == b"".join(frames[after:])
    tail = list(log.tail())
    assert [one.seq for one in tail] == list(range(len(frames) - len(tail) + 1, len(frames) + 1))
    assert all(frame(one.seq, len(one.payload)) == frames[one.seq - 1] for one in tail)


def test_reader_follows_the_writer_over_segments():
    log = small(CrashingFiles())
    reader = log.reader(0)
    seen = b""
    for seq in range(1, 100):
        log.append(frame(seq), 1)
        assert reader.read() == b""
        log.commit(sync=True)
        seen += reader.read()
        assert reader.last_seq == seq
    assert seen == b"".join(map(frame, range(1, 100)))


def test_ticks_and_drains_are_logged_but_no_reading():
    log = small(CrashingFiles())
    log.append(messages.tick(1, 5) + messages.drain(2, 6) + frame(3), 3)
    log.commit(sync=True)
    assert [one.seq for one in log.tail()] == [3]
    assert everything(log)[2] == FrameType.TICK


def test_longest_frame_in_small_steps():
    log = small(CrashingFiles())
    frames = [frame(1, messages.MAX_PAYLOAD), frame(2), frame(3, messages.MAX_PAYLOAD)]
    log.append(b"".join(frames), 3)
    log.commit(sync=True)
    reader = log.reader(0)
    assert [reader.read(100) for _ in range(4)] == [*frames, b""]


def test_full_and_trim_keeps_two_segments():
    log = small(CrashingFiles())
    seq = 0
    while not log.full:
        seq += 1
        log.append(frame(seq), 1)
        log.commit(sync=True)
    assert 6000 <= log.bytes < 6200
    log.trim(seq)
    assert not log.full
    assert len({one.seq for one in log.tail()}) == seq + 1 - log.first_seq
    assert log.first_seq > 1


def test_sequence_is_held():
    log = small(CrashingFiles())
    with pytest.raises(LocalProtocolError, match="seq 1"):
        log.append(frame(2), 1)
    log.append(frame(1), 1)
    with pytest.raises(LocalProtocolError, match="only 1 to 0"):
        log.reader(1)


def test_first_start_after_known_inputs():
    log = small(CrashingFiles(), known_seq=41)
    assert log.next_seq == log.first_seq == 42
    log.append(frame(42), 1)
    log.commit(sync=True)
    assert everything(log) == frame(42)


def test_log_that_lost_processed_inputs():
    files = CrashingFiles()
    log = small(files)
    log.append(frame(1) + frame(2), 2)
    log.commit(sync=True)
    log.close()
    with pytest.raises(DamagedError, match=r"0001\.log: record 3 .*/state/unit away"):
        small(files, known_seq=3)
    assert small(files, known_seq=2).next_seq == 3
    log = small(files, known_seq=3, lossy=True)
    assert (log.first_seq, log.next_seq) == (4, 4)
    log.append(frame(4), 1)
    log.commit(sync=False)
    assert small(files, known_seq=3).last_seq == 4


def filled(files) -> InputLog:
    log = small(files)
    for seq in range(1, 60):
        log.append(frame(seq), 1)
    log.commit(sync=True)
    return log


def test_torn_tail_is_cut_and_told():
    files = CrashingFiles()
    filled(files).close()
    data = files.names_seen[FOLDER / max(files.names(FOLDER))].seen
    held = len(data)
    data[-3] ^= 1
    log = small(files)
    assert log.recovery.cut == len(frame(59))
    assert log.recovery.behind == 0
    assert log.next_seq == 59
    assert log.recovery.scanned == held
    log.append(frame(59), 1)
    log.commit(sync=True)
    assert everything(log) == b"".join(map(frame, range(1, 60)))


def test_whole_frames_behind_a_tear_are_counted():
    files = CrashingFiles()
    log = filled(files)
    first = [one.seq for one in log.tail()][-3]
    log.close()
    data = files.names_seen[FOLDER / max(files.names(FOLDER))].seen
    data[data.find(frame(first)) + 20] ^= 1
    log = small(files)
    assert (log.next_seq, log.recovery.behind) == (first, 2)


@pytest.mark.parametrize("at", [0, 5, 8, 20, 30, 38])
def test_damaged_header(at):
    files = CrashingFiles()
    filled(files).close()
    for name in files.names(FOLDER):
        data = files.names_seen[FOLDER / name].seen
        data[at] ^= 4
        with pytest.raises(
            DamagedError, match=rf"/state/unit/{name}.*Stop the agent, move the folder /state/unit"
        ):
            small(files)
        data[at] ^= 4
    small(files)


def test_unknown_version_says_what_to_do():
    files = CrashingFiles()
    filled(files).close()
    files.names_seen[FOLDER / files.names(FOLDER)[0]].seen[5] = 2
    with pytest.raises(DamagedError, match=r"version 2 .* knows 1\. Update the agent"):
        small(files)


def test_missing_and_shortened_segment():
    files = CrashingFiles()
    filled(files).close()
    names = files.names(FOLDER)
    inode = files.names_seen.pop(FOLDER / names[2])
    with pytest.raises(DamagedError, match=names[3]):
        small(files)
    files.names_seen[FOLDER / names[2]] = inode
    small(files).close()
    del inode.seen[-1:]
    with pytest.raises(DamagedError, match=names[3]):
        small(files)


def test_damage_in_the_middle_stops_the_reader_there():
    files = CrashingFiles()
    filled(files).close()
    name = files.names(FOLDER)[2]
    files.names_seen[FOLDER / name].seen[60] ^= 1
    log = small(files)
    reader = log.reader(0)
    good = b""
    while reader.last_seq < int(name[:-4]) - 1:
        good += reader.read()
    assert good == b"".join(map(frame, range(1, int(name[:-4]))))
    for _ in range(2):
        with pytest.raises(DamagedError, match=rf"{name}: record {int(name[:-4])} at byte 40 "):
            reader.read()
    with pytest.raises(DamagedError):
        log.reader(int(name[:-4]) + 2)


def test_reader_that_trimming_overtook():
    log = filled(CrashingFiles())
    reader = log.reader(0)
    reader.read(100)
    log.trim(50)
    with pytest.raises(LocalProtocolError, match="trimmed"):
        [reader.read() for _ in range(59)]


@pytest.mark.parametrize("fault", [errno.ENOSPC, errno.EIO, errno.EROFS])
def test_same_frames_again_after_a_fault(fault):
    files = CrashingFiles()
    log = filled(files)
    more = b"".join(map(frame, range(60, 100)))
    files.fail_at(0, fault, until=1000)
    with pytest.raises(OSError, match="Errno"):
        log.append(more, 40)
    assert log.next_seq == 60
    with pytest.raises(OSError, match="Errno"):
        log.append(more, 40)
    files.heal()
    log.append(more, 40)
    log.commit(sync=True)
    assert everything(log) == b"".join(map(frame, range(1, 100)))


def test_on_the_disk(tmp_path):
    log = small(DiskFiles(), tmp_path / "unit")
    frames = group(1, [10, 500, 700, 20, 2000, 30])
    log.append(b"".join(frames), 6)
    log.commit(sync=True)
    log.close()
    log = small(DiskFiles(), tmp_path / "unit")
    assert everything(log) == b"".join(frames)
    log.close()
