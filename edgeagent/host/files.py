"""File operations, as a port: the real one here, one that crashes at operation n in tests/sim.

Everything that must survive a power cut is written through this port. The rules follow from what POSIX promises and
what ext4, f2fs and UBIFS do: data is durable after ``sync`` on the file, a name is durable after ``sync_folder``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol


class File(Protocol):
    """An open file. Offsets and sizes are bytes. Every method may raise OSError."""

    def append(self, data: bytes) -> None:
        """Write all of data at the end, or raise; after an error the tail is undefined until truncate."""

    def read_at(self, offset: int, size: int) -> bytes:
        """Up to size bytes from offset; fewer only at the end of the file."""

    def truncate(self, size: int) -> None:
        """Cut (never extend) to size."""

    def sync(self) -> None:
        """Make data and size durable (fdatasync)."""

    def size(self) -> int:
        """Bytes in the file now."""

    def close(self) -> None:
        """Give the descriptor back; doesn't sync."""


class Files(Protocol):
    """A file system below which everything durable is kept."""

    def open(self, path: Path, *, create: bool = False) -> File:
        """Open for appending and reading; FileNotFoundError unless create. The name is not yet durable."""

    def read(self, path: Path, limit: int) -> bytes:
        """The whole file; OSError EFBIG when it has more than limit bytes."""

    def replace(self, path: Path, data: bytes, mode: int = 0o600) -> None:
        """Write atomically and durably: temporary file, fsync, rename, fsync of the folder."""

    def make_folder(self, folder: Path, mode: int = 0o700) -> None:
        """Create it and its parents if missing, durably."""

    def names(self, folder: Path) -> list[str]:
        """Sorted names of what is in the folder; temporary files of ``replace`` are left out."""

    def rename(self, old: Path, new: Path) -> None:
        """Atomic within a folder; durable after sync_folder."""

    def remove(self, path: Path) -> None:
        """Unlink; a missing file is no error."""

    def sync_folder(self, folder: Path) -> None:
        """Make names in the folder durable."""

    def free_bytes(self, folder: Path) -> int:
        """Bytes an unprivileged writer may still use there."""
