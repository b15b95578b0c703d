"""The file system that crashes does what the real one does, as long as it doesn't crash; and crashes as it says."""

from __future__ import annotations

import errno
import random
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeagent.host.disk import DiskFiles
from tests.sim.crashing_files import CrashingFiles, PowerCutError

NAMES = st.sampled_from(["a", "b", "c"])
OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), NAMES, st.binary(max_size=20)),
        st.tuples(st.just("truncate"), NAMES, st.integers(0, 30)),
        st.tuples(st.just("replace"), NAMES, st.binary(max_size=20)),
        st.tuples(st.just("rename"), NAMES, NAMES),
        st.tuples(st.just("remove"), NAMES),
        st.tuples(st.just("read"), NAMES, st.integers(0, 30)),
    ),
    max_size=15,
)


def outcome(files, folder: Path, name: str, *args):
    path = folder / args[0]
    try:
        if name == "append":
            file = files.open(path, create=True)
            file.append(args[1])
            file.sync()
            found = file.size(), file.read_at(2, 5)
            file.close()
            return found
        if name == "truncate":
            file = files.open(path)
            file.truncate(args[1])
            file.append(b"!")
            file.close()
        elif name == "replace":
            files.replace(path, args[1])
        elif name == "rename":
            files.rename(path, folder / args[1])
        elif name == "remove":
            files.remove(path)
        else:
            return files.read(path, args[1])
        files.sync_folder(folder)
        return files.names(folder)
    except OSError as error:
        return error.errno


@settings(max_examples=40, deadline=None)
@given(OPERATIONS)
def test_same_as_the_disk(script):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files, disk = CrashingFiles(), DiskFiles()
        files.make_folder(folder)
        for one in script:
            assert outcome(files, folder, *one) == outcome(disk, folder, *one), one


FOLDER = Path("/f")


def begun() -> CrashingFiles:
    files = CrashingFiles()
    files.make_folder(FOLDER)
    files.replace(FOLDER / "a", b"old")
    return files


def contents(files: CrashingFiles) -> dict[str, bytes]:
    return {path.name: bytes(data) for path, data in files.files()}


@pytest.mark.parametrize(
    ("mode", "possible"),
    [
        ("none", {b"old"}),
        ("prefix", {b"old", b"old1", b"old12"}),
        ("subset", {b"old", b"old1", b"old12", b"old\0002"}),
        ("torn", {b"old1", b"old12"}),
    ],
)
def test_what_a_crash_leaves_of_unsynced_writes(mode, possible):
    seen = set()
    for seed in range(60):
        files = begun()
        file = files.open(FOLDER / "a")
        file.append(b"1")
        file.append(b"2")
        files.power_cut(mode, random.Random(seed))
        seen.add(contents(files)["a"])
    assert seen == possible


def test_synced_data_and_names_stay():
    files = begun()
    file = files.open(FOLDER / "b", create=True)
    file.append(b"x")
    file.sync()
    files.open(FOLDER / "a").append(b"lost")
    files.sync_folder(FOLDER)
    files.remove(FOLDER / "b")
    files.power_cut("none", random.Random(0))
    assert contents(files) == {"a": b"old", "b": b"x"}


def test_synced_data_without_a_synced_name_goes():
    files = begun()
    file = files.open(FOLDER / "b", create=True)
    file.append(b"x")
    file.sync()
    files.power_cut("none", random.Random(0))
    assert contents(files) == {"a": b"old"}


def test_replace_is_old_or_new_at_every_crash():
    found = set()
    for n in range(10):
        for seed in range(20):
            files = begun()
            files.fail_at(n, "crash")
            try:
                files.replace(FOLDER / "a", b"new")
            except PowerCutError:
                files.power_cut("subset", random.Random(seed))
                found.add(files.read(FOLDER / "a", 9))
    assert found == {b"old", b"new"}


def test_failed_sync_loses_what_was_written_though_it_can_be_read():
    files = begun()
    file = files.open(FOLDER / "a")
    file.append(b"1")
    files.fail_at(0, errno.EIO)
    with pytest.raises(OSError, match="Input/output"):
        file.sync()
    file.sync()
    assert files.read(FOLDER / "a", 9) == b"old1"
    files.power_cut("torn", random.Random(0))
    assert files.read(FOLDER / "a", 9) == b"old"


def test_full_disk_takes_half():
    files = begun()
    file = files.open(FOLDER / "a")
    files.fail_at(0, errno.ENOSPC)
    with pytest.raises(OSError, match="space"):
        file.append(b"1234")
    assert files.read(FOLDER / "a", 9) == b"old12"
