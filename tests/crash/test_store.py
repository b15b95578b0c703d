"""The folder of crashes: what is written is found, it stays bounded, and a power cut leaves no half of a record."""

from __future__ import annotations

import errno
import random
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeagent.crash.inputs import inputs
from edgeagent.crash.record import MAX_JSON
from edgeagent.crash.retention import MAX_RECORDS
from edgeagent.crash.store import CrashStore, Draft
from edgeagent.errors import ConfigError, DamagedError, LocalProtocolError
from edgeagent.host.disk import DiskFiles
from tests.crash.given import IMAGE, IMAGE_PATH, draft, frames, record
from tests.sim.crashing_files import CrashingFiles, PowerCutError

FOLDER = Path("/state/crashes")
CAP = 4 << 20


def store(cap: int = CAP) -> CrashStore:
    files = CrashingFiles()
    files.make_folder(IMAGE_PATH.parent)
    files.replace(IMAGE_PATH, IMAGE)
    return CrashStore(files, FOLDER, cap)


def add(into: CrashStore, one: Draft):
    *_, made = into.adding(one)
    return made


def occupied(of: CrashStore) -> int:
    """Bytes of the files in its folder."""
    return sum(len(data) for path, data in of._files.files() if path.parent == FOLDER)


def at(seq: int, **changed):
    """A crash that no other one stands for."""
    return record(words=f"w 0x{seq:x}", **changed)


def test_a_crash_is_kept_and_found(tmp_path):
    image = tmp_path / "app.elf"
    image.write_bytes(IMAGE)
    on_disk = CrashStore(DiskFiles(), tmp_path / "crashes", CAP)
    assert on_disk.found().records == ()
    made = add(on_disk, draft(image=image))
    assert made.number == 1
    assert on_disk.found().records == (made,)
    case = on_disk.case(1)
    assert case.record == made
    assert (case.image, case.parts["state"], case.parts["ring"]) == (IMAGE, b"state", b"ring")
    assert [one.seq for one in inputs(case.parts["input"])] == [11, 12, 13, 14, 15]
    assert {oct(path.stat().st_mode & 0o777) for path in on_disk.folder.iterdir()} == {"0o600"}
    assert oct(on_disk.folder.stat().st_mode & 0o777) == "0o700"
    with pytest.raises(ConfigError, match="There are 1"):
        on_disk.case(2)
    on_disk.remove(1)
    assert list(on_disk.folder.iterdir()) == []
    with pytest.raises(ConfigError, match="There are none"):
        on_disk.remove(1)


def test_the_same_crash_is_counted():
    of = store()
    add(of, draft())
    again = add(of, draft(record(last_ms=5)))
    assert (again.number, again.times, again.last_ms) == (1, 2, 5)
    other = add(of, draft(at(1)))
    assert other.number == 2
    assert [one.times for one in of.found().records] == [2, 1]
    # One image for both, which goes with the last of them.
    images = [name for name in of._files.names(FOLDER) if name.endswith(".elf")]
    assert len(images) == 1
    of.remove(1)
    assert of.case(2).image == IMAGE
    of.remove(2)
    assert of._files.names(FOLDER) == []


def test_nothing_to_replay():
    """No input, no state, no ring, and an image that isn't the one that ran."""
    of = store()
    of._files.replace(IMAGE_PATH, b"another")
    made = add(of, draft(record(acked=10, given=10), state=b"", ring=b""))
    assert (made.parts, made.image.kept) == ({}, False)
    assert of.case(1).image == b""
    of._files.remove(IMAGE_PATH)
    assert not add(of, draft(at(1))).image.kept


def test_input_that_cant_be_read_is_left_out():
    of = store()

    def broken(_seq):
        raise DamagedError("segment is gone")

    made = add(of, replace(draft(), input_after=broken))
    assert "input" not in made.parts
    assert made.parts["state"].bytes == 5


def test_input_that_is_trimmed_meanwhile_is_left_out():
    of, asked = store(), []

    def trimmed(seq):
        asked.append(seq)
        if len(asked) > 1:
            raise LocalProtocolError("record 11 isn't there")
        return draft().input_after(seq)

    made = add(of, replace(draft(), input_after=trimmed))
    assert len(asked) == 2
    assert "input" not in made.parts
    assert "1.input" not in of._files.names(FOLDER)
    assert of.case(1).parts["state"] == b"state"


def test_too_much_input_keeps_the_newest_and_begins_anew():
    of = store()
    payload = bytes(100_000)
    known = frames(11, 40, payload)
    made = add(of, draft(record(acked=30, given=35), known=known))
    assert made.start.fresh
    assert "state" not in made.parts
    kept = list(inputs(of.case(1).parts["input"]))
    assert kept[-1].seq == 35
    assert kept[0].seq == made.start.seq + 1
    assert CAP // 4 - 400_000 < made.input_bytes <= CAP // 4


def test_too_much_state_alone():
    made = add(store(), draft(state=bytes(CAP)))
    assert made.start.fresh
    assert made.start.seq == 10
    assert made.input_bytes > 0
    assert "state" not in made.parts


def test_a_record_that_cant_be_read_hides_no_other():
    of = store()
    for seq in range(3):
        add(of, draft(at(seq)))
    of._files.replace(FOLDER / "2.json", b"{}")
    found = of.found()
    assert [one.number for one in found.records] == [1, 3]
    assert list(found.unreadable) == [2]
    with pytest.raises(DamagedError, match=r"2\.json"):
        of.case(2)
    # It and its parts stay until there is need for room.
    assert add(of, draft(at(4))).number == 4
    assert "2.input" in of._files.names(FOLDER)
    of.remove(2)
    assert "2.input" not in of._files.names(FOLDER)


def test_removing_disturbs_no_writer():
    """The command line removes a record while the agent writes another one of the same image."""
    for pause in range(1, 8):
        of = store()
        add(of, draft(at(1)))
        steps = of.adding(draft(at(2)))
        for _ in range(pause):
            next(steps, None)
        CrashStore(of._files, FOLDER).remove(1)
        for _ in steps:
            pass
        (one,) = of.found().records
        assert of.case(one.number).image == IMAGE


def test_a_damaged_part_is_seen():
    of = store()
    add(of, draft())
    of._files.replace(FOLDER / "1.state", b"etats")
    with pytest.raises(DamagedError, match="the state of crash 1 is damaged"):
        of.case(1)
    of._files.remove(FOLDER / "1.state")
    with pytest.raises(DamagedError, match=r"1\.state of crash 1 is missing"):
        of.case(1)


drafts = st.lists(
    st.tuples(st.integers(0, 9), st.sampled_from(["a", "b"]), st.integers(0, 2_000), st.integers(0, 40)),
    max_size=12,
)


@settings(max_examples=30, deadline=None)
@given(drafts)
def test_it_stays_within_its_cap(wanted):
    of = store(cap=30_000)
    last = 0
    for seq, unit, state, count in wanted:
        made = add(of, draft(at(seq, unit=unit, given=10 + count), state=bytes(state)))
        assert occupied(of) <= 30_000
        assert of.case(made.number).record == made
        last = max(last, made.number)
        kept = {(one.unit, one.kind) for one in of.found().records}
        assert (unit, "panicked") in kept
    assert len(of.found().records) < MAX_RECORDS


def test_their_number_is_bounded():
    of = store(cap=1 << 30)
    for seq in range(MAX_RECORDS + 3):
        add(of, draft(at(seq)))
    numbers = [one.number for one in of.found().records]
    assert numbers == list(range(4, MAX_RECORDS + 4))


CASES = (draft(), draft(), draft(at(1)), draft(at(2), state=bytes(30_000)), draft(at(3, unit="b")))


def scenario(of: CrashStore, done: list[int]) -> None:
    for one in CASES:
        add(of, one)
        done.append(1)
    of.remove(2)
    done.append(1)


def steps() -> int:
    of = store(cap=80_000)
    of._files.fail_at(10**9, "crash")
    scenario(of, [])
    return of._files.operations


@pytest.mark.parametrize("mode", ["none", "prefix", "subset", "torn"])
def test_a_power_cut_at_every_operation(mode):
    chance = random.Random(7)
    total = steps()
    assert total > 30
    for n in range(total):
        of, done = store(cap=80_000), []
        files = of._files
        files.fail_at(n, "crash")
        with pytest.raises(PowerCutError):
            scenario(of, done)
        files.power_cut(mode, chance)
        again = CrashStore(files, FOLDER, 80_000)
        found = again.found()
        assert not found.unreadable
        for one in found.records:
            case = again.case(one.number)
            assert case.image or not one.image.kept
        if done and len(done) < len(CASES):
            assert found.records
        # What was left behind takes no room for ever.
        made = add(again, draft(at(99)))
        kept = {str(one.number) for one in again.found().records}
        assert {name.split(".")[0] for name in files.names(FOLDER) if not name.endswith(".elf")} == kept
        assert again.case(made.number).record == made
        assert occupied(again) <= 80_000


@pytest.mark.parametrize("fault", [errno.ENOSPC, errno.EIO, errno.EROFS])
def test_a_disk_that_fails_at_every_operation(fault):
    total = steps()
    for n in range(total):
        of = store(cap=80_000)
        of._files.fail_at(n, fault, until=3)
        for one in CASES:
            try:
                add(of, one)
            except OSError as error:
                assert error.errno == fault  # noqa: PT017 - most don't fail
        of._files.heal()
        assert not of.found().unreadable
        for one in of.found().records:
            of.case(one.number)
        add(of, draft(at(99)))
        assert occupied(of) <= 80_000


def test_a_record_with_many_topics_can_be_read_back():
    topics = tuple(f"{'t' * 1000}/{number}" for number in range(1000))
    of = store(cap=16 << 20)
    made = add(of, draft(record(start=replace(record().start, topics=topics))))
    assert of.found().records == (made,)
    assert of._files.open(FOLDER / "1.json").size() < MAX_JSON
