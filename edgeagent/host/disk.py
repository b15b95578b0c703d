"""The machine's file system behind the port of files.py, and the lock that keeps a second agent out.

No O_APPEND: the end is remembered here, so that a failed write can be cut off and written again at the same place.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from edgeagent.errors import EnvironmentFaultError

from .files import File

LEFTOVER = ".replacing"
"""Suffix of replace's temporary files. One for each name: a crash leaves at most one, the next replace removes it."""

_READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Calls on a descriptor raise OSError without a file name; people need one."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


def _write_all(descriptor: int, data: bytes, at: int) -> None:
    """A write of any size may be short (a signal, a disk that fills): go on until the kernel says why not."""
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, at)
        if not written:
            raise OSError(errno.EIO, "the file system takes no more bytes and doesn't say why")
        view, at = view[written:], at + written


class DiskFile:
    """See File. Reads may come from other threads than writes; writes from one thread at a time."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor
        self._end = os.fstat(descriptor).st_size

    def append(self, data: bytes) -> None:
        """See File.append."""
        with _naming(self._path):
            _write_all(self._descriptor, data, self._end)
        self._end += len(data)

    def read_at(self, offset: int, size: int) -> bytes:
        """See File.read_at."""
        with _naming(self._path):
            data = os.pread(self._descriptor, size, offset)
            if not data or len(data) == size:
                return data
            pieces = [data]
            missing = size - len(data)
            while missing and (more := os.pread(self._descriptor, missing, offset + size - missing)):
                pieces.append(more)
                missing -= len(more)
            return b"".join(pieces)

    def truncate(self, size: int) -> None:
        """See File.truncate."""
        with _naming(self._path):
            # What a failed append left lies beyond our end, so ask the file, not ourselves.
            if os.fstat(self._descriptor).st_size > size:
                os.ftruncate(self._descriptor, size)
        self._end = min(self._end, size)

    def sync(self) -> None:
        """See File.sync. An error means that the kernel may have dropped the pages: write them again."""
        with _naming(self._path):
            os.fdatasync(self._descriptor)

    def size(self) -> int:
        """See File.size."""
        with _naming(self._path):
            return os.fstat(self._descriptor).st_size

    def close(self) -> None:
        """See File.close."""
        os.close(self._descriptor)


class DiskFiles:
    """See Files. Paths are taken as they are; nothing is cached."""

    def open(self, path: Path, *, create: bool = False) -> File:
        """See Files.open. On a read-only file system it can be read; writing raises OSError there."""
        flags = os.O_RDWR | os.O_CLOEXEC
        try:
            descriptor = os.open(path, flags | (os.O_CREAT if create else 0), 0o600)
        except OSError as error:
            if create or error.errno not in _READ_ONLY:
                raise
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        return DiskFile(path, descriptor)

    def read(self, path: Path, limit: int) -> bytes:
        """See Files.read."""
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        with contextlib.closing(DiskFile(path, descriptor)) as file:
            data = file.read_at(0, limit + 1)
        if len(data) > limit:
            raise OSError(errno.EFBIG, f"more than {limit} bytes", str(path))
        return data

    def replace(self, path: Path, data: bytes, mode: int = 0o600) -> None:
        """See Files.replace."""
        temporary = path.with_name(f".{path.name}{LEFTOVER}")
        # Created anew, so that a leftover's mode, owner or link doesn't matter.
        self.remove(temporary)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        try:
            with _naming(temporary):
                os.fchmod(descriptor, mode)
                _write_all(descriptor, data, 0)
                os.fsync(descriptor)
        except OSError:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
        finally:
            os.close(descriptor)
        temporary.replace(path)
        self.sync_folder(path.parent)

    def make_folder(self, folder: Path, mode: int = 0o700) -> None:
        """See Files.make_folder. mode is for the folders that are made, whatever the umask."""
        if folder.is_dir():
            return
        self.make_folder(folder.parent, mode)
        folder.mkdir(mode, exist_ok=True)
        try:
            folder.chmod(mode)
            self.sync_folder(folder.parent)
        except OSError:
            # Or the next call would take it for durable.
            with contextlib.suppress(OSError):
                folder.rmdir()
            raise

    def names(self, folder: Path) -> list[str]:
        """See Files.names."""
        return sorted(name for name in (one.name for one in folder.iterdir()) if not _is_leftover(name))

    def rename(self, old: Path, new: Path) -> None:
        """See Files.rename."""
        old.replace(new)

    def remove(self, path: Path) -> None:
        """See Files.remove."""
        path.unlink(missing_ok=True)

    def sync_folder(self, folder: Path) -> None:
        """See Files.sync_folder."""
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            with _naming(folder):
                os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def free_bytes(self, folder: Path) -> int:
        """See Files.free_bytes."""
        found = os.statvfs(folder)
        return found.f_bavail * found.f_frsize


def _is_leftover(name: str) -> bool:
    return name.startswith(".") and name.endswith(LEFTOVER)


def remove_leftovers(folder: Path) -> int:
    """Remove what replaces that were cut short left below folder; how many. For the start, under the lock."""
    count = 0
    for where, _, names in os.walk(folder):
        for name in filter(_is_leftover, names):
            Path(where, name).unlink(missing_ok=True)
            count += 1
    return count


class FolderLock:
    """Held while this agent is the one that writes in a folder; the kernel gives it back when the process dies.

    Raises EnvironmentFaultError when another process holds it.
    """

    NAME = "lock"

    def __init__(self, folder: Path) -> None:
        path = folder / self.NAME
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(self._descriptor, 32, 0).decode("ascii", "replace").strip()
            os.close(self._descriptor)
            raise EnvironmentFaultError(
                f"another agent (process {holder or 'unknown'}) uses this folder",
                where=str(folder),
                remedy="Stop it, or give this one another board.state folder",
            ) from error
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let others in."""
        os.close(self._descriptor)
