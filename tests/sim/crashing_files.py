"""A file system in memory that knows what a power cut would leave of it.

Each operation that a disk could see is numbered: a crash or an error can be asked for at number n. What was written but
not synced is kept as a list of small changes, of which a crash keeps none, a prefix, any subset, or all with the last
write torn.
"""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

TORN = 512
"""Bytes that a disk writes whole."""


class PowerCutError(BaseException):
    """The power went; no except Exception or OSError may catch it."""


@dataclass
class Inode:
    """A file's bytes, as programs see them and as the disk has them."""

    seen: bytearray = field(default_factory=bytearray)
    durable: bytearray = field(default_factory=bytearray)


@dataclass
class Change:
    """Something not yet on the disk."""

    apply: Callable[[CrashingFiles], None]
    inode: Inode | None = None
    folder: Path | None = None
    torn: Callable[[CrashingFiles, int], None] | None = None
    size: int = 0


class CrashingFiles:
    """Implements Files. ``operations`` counts; ``at`` is the number at which ``then`` happens, before the operation.

    then: "crash"; or an errno, once (``until`` = 1) or for so many operations.
    """

    def __init__(self) -> None:
        self.folders: set[Path] = {Path("/")}
        self.names_seen: dict[Path, Inode] = {}
        self.names_durable: dict[Path, Inode] = {}
        self.pending: list[Change] = []
        self.operations = 0
        self.at = -1
        self.then: int | str = "crash"
        self.until = 1

    # ---- faults --------------------------------------------------------------------------------------------------

    def fail_at(self, n: int, then: int | str, until: int = 1) -> None:
        """Let operation n (counted from now) crash or fail; an errno goes on for ``until`` operations."""
        self.operations, self.at, self.then, self.until = 0, n, then, until

    def heal(self) -> None:
        """No more faults."""
        self.at = -1

    def step(self, kind: str, path: Path, change: Change | None = None) -> None:
        """Count an operation; crash or fail if it is its turn. A write that fails or crashes is half done."""
        n = self.operations
        self.operations += 1
        if self.at < 0 or n < self.at:
            return
        if self.then == "crash":
            if change is not None:
                self.pending.append(change)
            raise PowerCutError(kind, path)
        assert isinstance(self.then, int)
        if n < self.at + self.until and self._hits(kind, self.then):
            raise OSError(self.then, os.strerror(self.then), str(path))

    def _hits(self, kind: str, number: int) -> bool:
        touches = {
            errno.ENOSPC: {"write", "create", "mkdir"},
            errno.EIO: {"write", "sync", "sync folder", "truncate", "create", "rename", "remove"},
            errno.EROFS: {"write", "create", "mkdir", "truncate", "rename", "remove"},
        }[number]
        return kind in touches

    def power_cut(self, mode: str, chance: random.Random) -> None:
        """Forget what programs saw; keep of the unsynced changes none, a prefix, a subset, or a torn last write."""
        pending = self.pending
        keep: list[Change] = []
        if mode == "prefix":
            keep = pending[: chance.randint(0, len(pending))]
        elif mode == "subset":
            keep = [one for one in pending if chance.random() < 0.5]
        elif mode == "torn":
            keep = pending[:]
        elif mode != "none":
            raise ValueError(mode)
        for one in keep:
            if mode == "torn" and one is keep[-1] and one.torn is not None:
                one.torn(self, chance.randint(0, one.size))
            else:
                one.apply(self)
        self.pending = []
        self.names_seen = dict(self.names_durable)
        for inode in self.names_durable.values():
            inode.seen = bytearray(inode.durable)
        self.heal()

    # ---- Files ---------------------------------------------------------------------------------------------------

    def open(self, path: Path, *, create: bool = False) -> CrashingFile:
        inode = self.names_seen.get(path)
        if inode is None:
            if not create:
                raise FileNotFoundError(errno.ENOENT, "No such file", str(path))
            self.step("create", path)
            inode = self._link(path, Inode())
        return CrashingFile(self, path, inode)

    def _link(self, path: Path, inode: Inode) -> Inode:
        assert path.parent in self.folders, path
        self.names_seen[path] = inode
        self.pending.append(
            Change(lambda files: files.names_durable.__setitem__(path, inode), folder=path.parent)
        )
        return inode

    def read(self, path: Path, limit: int) -> bytes:
        data = bytes(self.open(path).inode.seen)
        if len(data) > limit:
            raise OSError(errno.EFBIG, "too long", str(path))
        return data

    def replace(self, path: Path, data: bytes, mode: int = 0o600) -> None:
        temporary = path.with_name(f".{path.name}.replacing")
        self.names_seen.pop(temporary, None)
        try:
            file = self.open(temporary, create=True)
            file.append(data)
            file.sync()
        except OSError:
            self.names_seen.pop(temporary, None)
            raise
        self.rename(temporary, path)
        self.sync_folder(path.parent)

    def make_folder(self, folder: Path, mode: int = 0o700) -> None:
        if folder not in self.folders:
            self.make_folder(folder.parent)
            self.step("mkdir", folder)
            self.folders.add(folder)

    def names(self, folder: Path) -> list[str]:
        if folder not in self.folders:
            raise FileNotFoundError(errno.ENOENT, "No such folder", str(folder))
        return sorted(
            path.name
            for path in self.names_seen
            if path.parent == folder and not (path.name.startswith(".") and path.name.endswith(".replacing"))
        )

    def rename(self, old: Path, new: Path) -> None:
        inode = self.names_seen.get(old)
        if inode is None:
            raise FileNotFoundError(errno.ENOENT, "No such file", str(old))

        def apply(files: CrashingFiles) -> None:
            files.names_durable.pop(old, None)
            files.names_durable[new] = inode

        change = Change(apply, folder=new.parent)
        self.step("rename", new, change)
        del self.names_seen[old]
        self.names_seen[new] = inode
        self.pending.append(change)

    def remove(self, path: Path) -> None:
        if path in self.names_seen:

            def apply(files: CrashingFiles) -> None:
                files.names_durable.pop(path, None)

            change = Change(apply, folder=path.parent)
            self.step("remove", path, change)
            del self.names_seen[path]
            self.pending.append(change)

    def sync_folder(self, folder: Path) -> None:
        self.step("sync folder", folder)
        self.settle(lambda one: one.folder == folder)

    def free_bytes(self, folder: Path) -> int:
        return 1 << 30

    def settle(self, which: Callable[[Change], bool]) -> None:
        """Bring these changes to the disk, in order."""
        for one in [one for one in self.pending if which(one)]:
            one.apply(self)
        self.pending = [one for one in self.pending if not which(one)]

    def files(self) -> Iterator[tuple[Path, bytearray]]:
        """Everything, to look at and to damage."""
        for path, inode in self.names_seen.items():
            yield path, inode.seen


class CrashingFile:
    """Implements File."""

    def __init__(self, files: CrashingFiles, path: Path, inode: Inode) -> None:
        self.files = files
        self.path = path
        self.inode = inode
        self.end = len(inode.seen)
        self.closed = False

    def append(self, data: bytes) -> None:
        assert not self.closed
        inode, at = self.inode, self.end
        change = Change(
            lambda _: _put(inode.durable, at, data),
            inode=inode,
            torn=lambda _, size: _put(inode.durable, at, data[: size // TORN * TORN] or data[: size % TORN]),
            size=len(data),
        )
        try:
            self.files.step("write", self.path, change)
        except OSError:
            # A disk that fills takes the first half.
            half = data[: len(data) // 2]
            _put(inode.seen, at, half)
            self.files.pending.append(Change(lambda _: _put(inode.durable, at, half), inode=inode))
            raise
        _put(inode.seen, at, data)
        self.end += len(data)
        self.files.pending.append(change)

    def read_at(self, offset: int, size: int) -> bytes:
        assert not self.closed
        return bytes(self.inode.seen[offset : offset + size])

    def truncate(self, size: int) -> None:
        inode = self.inode
        change = Change(lambda _: inode.durable.__delitem__(slice(size, None)), inode=inode)
        self.files.step("truncate", self.path, change)
        del inode.seen[size:]
        self.end = min(self.end, size)
        self.files.pending.append(change)

    def sync(self) -> None:
        assert not self.closed
        try:
            self.files.step("sync", self.path)
        except OSError:
            # The kernel marks the pages clean and forgets: programs still see them, the disk never will.
            self.files.pending = [one for one in self.files.pending if one.inode is not self.inode]
            raise
        self.files.settle(lambda one: one.inode is self.inode)

    def size(self) -> int:
        return len(self.inode.seen)

    def close(self) -> None:
        self.closed = True


def _put(into: bytearray, at: int, data: bytes) -> None:
    if len(into) < at:
        into.extend(bytes(at - len(into)))
    into[at : at + len(data)] = data
