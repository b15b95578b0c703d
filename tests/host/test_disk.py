"""The real file system, with what it does seldom: short writes, a full disk, a leftover."""

from __future__ import annotations

import errno
import os
import resource
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from edgeagent.errors import EnvironmentFaultError
from edgeagent.host import disk
from edgeagent.host.disk import DiskFiles, FolderLock, remove_leftovers


@pytest.fixture
def files():
    return DiskFiles()


def test_append_read_truncate(files, tmp_path):
    with pytest.raises(FileNotFoundError):
        files.open(tmp_path / "f")
    file = files.open(tmp_path / "f", create=True)
    file.append(b"0123456789")
    file.append(b"abc")
    file.sync()
    assert (file.size(), file.read_at(8, 4), file.read_at(8, 100), file.read_at(50, 1)) == (
        13,
        b"89ab",
        b"89abc",
        b"",
    )
    file.truncate(4)
    file.append(b"x")
    file.truncate(100)
    assert file.read_at(0, 100) == b"0123x"
    file.close()
    again = files.open(tmp_path / "f", create=True)
    again.append(b"y")
    assert files.read(tmp_path / "f", 6) == b"0123xy"
    again.close()
    with pytest.raises(OSError, match="more than 5 bytes") as caught:
        files.read(tmp_path / "f", 5)
    assert caught.value.errno == errno.EFBIG
    assert stat.S_IMODE((tmp_path / "f").stat().st_mode) == 0o600


def test_other_descriptor_sees_appended(files, tmp_path):
    writer = files.open(tmp_path / "f", create=True)
    reader = files.open(tmp_path / "f")
    writer.append(b"abc")
    assert reader.read_at(1, 9) == b"bc"
    (tmp_path / "f").unlink()
    assert reader.read_at(0, 9) == b"abc"
    writer.close()
    reader.close()


LIMITED = """
import resource, signal, sys
from pathlib import Path
from edgeagent.host.disk import DiskFiles
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
file = DiskFiles().open(Path(sys.argv[1]), create=True)
file.append(b"a" * 900)
try:
    file.append(b"b" * 200)
except OSError as error:
    print(error)
file.truncate(900)
file.append(b"c" * 100)
assert file.read_at(0, 2000) == b"a" * 900 + b"c" * 100
"""


def test_write_that_the_kernel_cuts_short(tmp_path):
    """A limit on file size gives a short write, then EFBIG: as a disk that fills does."""
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, tmp_path / "f"],
        check=True,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert done.stdout == f"[Errno 27] File too large: '{tmp_path}/f'\n"


def test_full_disk_names_the_file(files):
    file = files.open(Path("/dev/full"))
    with pytest.raises(OSError, match="No space left on device: '/dev/full'"):
        file.append(b"x")
    file.close()


def test_replace(files, tmp_path):
    path = tmp_path / "state"
    files.replace(path, b"one", 0o640)
    files.replace(path, b"two")
    assert path.read_bytes() == b"two"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["state"]


def test_replace_is_not_led_astray_by_a_leftover(files, tmp_path):
    other = tmp_path / "other"
    other.write_bytes(b"keep")
    (tmp_path / f".state{disk.LEFTOVER}").symlink_to(other)
    files.replace(tmp_path / "state", b"new")
    assert other.read_bytes() == b"keep"
    assert files.names(tmp_path) == ["other", "state"]
    assert not (tmp_path / "state").is_symlink()


def test_failed_replace_leaves_the_old_one(files, tmp_path):
    (tmp_path / "state").mkdir()
    with pytest.raises(OSError, match="state"):
        files.replace(tmp_path / "state", b"new")
    with pytest.raises(FileNotFoundError):
        files.replace(tmp_path / "nowhere" / "state", b"new")


def test_leftovers_are_hidden_and_removed(files, tmp_path):
    files.make_folder(tmp_path / "a" / "b")
    for name in ("a/.x.replacing", "a/b/.y.replacing"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "a" / "kept").write_bytes(b"")
    assert files.names(tmp_path / "a") == ["b", "kept"]
    assert remove_leftovers(tmp_path) == 2
    assert sorted(os.listdir(tmp_path / "a")) == ["b", "kept"]


def test_make_folder(files, tmp_path):
    before = os.umask(0o077)
    try:
        files.make_folder(tmp_path / "a" / "b", 0o750)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o750
    files.make_folder(tmp_path / "a" / "b")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(FileExistsError):
        files.make_folder(tmp_path / "file")


def test_rename_remove_free(files, tmp_path):
    (tmp_path / "a").write_bytes(b"1")
    files.rename(tmp_path / "a", tmp_path / "b")
    files.sync_folder(tmp_path)
    assert files.names(tmp_path) == ["b"]
    files.remove(tmp_path / "b")
    files.remove(tmp_path / "b")
    assert files.names(tmp_path) == []
    assert files.free_bytes(tmp_path) > 0


def test_read_only_file_can_be_read(files):
    """/proc files that can't be opened for writing stand for a read-only file system."""
    path = Path("/proc/sys/kernel/osrelease" if os.geteuid() == 0 else "/etc/passwd")
    file = files.open(path)
    assert file.read_at(0, 4)
    with pytest.raises(OSError, match=str(path)):
        file.append(b"x")
    file.close()


def test_lock_keeps_others_out(tmp_path):
    lock = FolderLock(tmp_path)
    code = "import sys, pathlib, edgeagent.host.disk as d; d.FolderLock(pathlib.Path(sys.argv[1]))"
    again = subprocess.run(
        [sys.executable, "-c", code, tmp_path],
        check=False,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert f"another agent (process {os.getpid()}) uses this folder. Stop it" in again.stderr
    with pytest.raises(EnvironmentFaultError):
        FolderLock(tmp_path)
    lock.release()
    FolderLock(tmp_path).release()
