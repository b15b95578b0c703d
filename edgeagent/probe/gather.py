"""Shell: reads the files of a board that a verdict may rest on, below a root: / on a live one, else a capture's folder.

Captures come from strangers: nothing outside of the folder is read, nothing but plain files, and no more than a bound.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import zlib
from pathlib import Path

from .cpuinfo import PATH as CPUINFO
from .documents import Documents
from .redact import DMI, DMI_FOLDER, PROPERTIES
from .said import MEASURED, NODE
from .system import (
    CMDLINE,
    CONFIG,
    CONFIG_PREFIX,
    DEVICE_TREE,
    INTERRUPTS,
    LOG,
    MEMORY,
    MISC,
    MODULES,
    UNAME,
)

ANSWERS = (NODE, MEASURED)
"""What a live probe found out, in a capture."""
PLAIN = (
    CPUINFO,
    CMDLINE,
    MODULES,
    MISC,
    INTERRUPTS,
    MEMORY,
    CONFIG,
    LOG,
    UNAME,
    "proc/mounts",
    "proc/cgroups",
    *ANSWERS,
)
EFI, PRESENT = "sys/firmware/efi", ".present"
CLASSES: tuple[tuple[str, re.Pattern[str], tuple[str, ...]], ...] = (
    ("sys/module", re.compile(r"kvm(_\w+)?"), ()),
    ("sys/class/rtc", re.compile(r"rtc\d+"), ("name", "hctosys")),
    ("sys/class/tpm", re.compile(r"tpm0"), ("tpm_version_major",)),
)
"""Folders, which of their entries, and of those which files; none: all parameters."""

MAX_FILE = 4 << 20
MAX_PROPERTY = 4096
MAX_FILES = 8192
MAX_DEPTH = 12
MAX_CONFIGS = 16
MAX_ENTRIES = 64
_CONFIG = CONFIG_PREFIX.rpartition("/")[2]


def gather(root: Path) -> Documents:
    """Whatever of it is there."""
    reader = _Reader(root)
    for path in PLAIN:
        reader.take(path)
    for name in [name for name in reader.names("boot") if name.startswith(_CONFIG)][:MAX_CONFIGS]:
        reader.take(f"boot/{name}")
    for name in DMI:
        reader.take(f"{DMI_FOLDER}/{name}", MAX_PROPERTY)
    for folder, pattern, properties in CLASSES:
        for name in [name for name in reader.names(folder) if pattern.fullmatch(name)][:MAX_ENTRIES]:
            for one in (*properties, PRESENT):
                reader.take(f"{folder}/{name}/{one}", MAX_PROPERTY)
            if not properties:
                for one in reader.names(f"{folder}/{name}/parameters")[:MAX_ENTRIES]:
                    reader.take(f"{folder}/{name}/parameters/{one}", MAX_PROPERTY)
            reader.mark(f"{folder}/{name}")
    reader.mark(EFI)
    reader.mark("sys/class/rtc")
    reader.tree(DEVICE_TREE)
    return Documents(reader.files, reader.refused)


class _Reader:
    def __init__(self, root: Path) -> None:
        self.files: dict[str, bytes] = {}
        self.refused: dict[str, str] = {}
        self._root = Path(os.path.realpath(root))

    def _inside(self, path: str) -> Path | None:
        """Where it leads, links followed (/proc/device-tree is one); None when that is outside of the root."""
        real = Path(os.path.realpath(self._root / path))
        return real if real.is_relative_to(self._root) else None

    def take(self, path: str, limit: int = MAX_FILE) -> None:
        """A file, if it is there."""
        if real := self._inside(path):
            self._take(path, real, limit)
        else:
            self.refused[path] = "leads out of the folder"

    def mark(self, folder: str) -> None:
        """That a folder is there, also when nothing in it is of use."""
        if (real := self._inside(folder)) and real.is_dir() and len(self.files) < MAX_FILES:
            self.files.setdefault(f"{folder}/{PRESENT}", b"")

    def names(self, folder: str) -> list[str]:
        """Sorted; nothing when it can't be listed."""
        real = self._inside(folder)
        try:
            return sorted(path.name for path in real.iterdir()) if real else []
        except OSError:
            return []

    def tree(self, folder: str) -> None:
        """Properties below it. Links in it aren't followed."""
        if real := self._inside(folder):
            self._tree(folder, real, MAX_DEPTH)

    def _tree(self, folder: str, real: Path, depth: int) -> None:
        try:
            with os.scandir(real) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
        except OSError:
            return
        for entry in found:
            path = f"{folder}/{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                if depth:
                    self._tree(path, Path(entry.path), depth - 1)
            elif entry.name in PROPERTIES:
                self._take(path, Path(entry.path), MAX_PROPERTY)

    def _take(self, path: str, real: Path, limit: int) -> None:
        if len(self.files) >= MAX_FILES:
            return
        try:
            raw = _read(real, limit)
            self.files[path] = _unpacked(raw) if path == CONFIG else raw
        except (FileNotFoundError, NotADirectoryError):
            return
        except zlib.error:
            self.refused[path] = "damaged"
        except OSError as error:
            self.refused[path] = errno.errorcode.get(error.errno or 0, "EIO")


def _read(path: Path, limit: int) -> bytes:
    """A plain file's beginning. Files of /proc tell no size, and a pipe would make us wait."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_NOCTTY)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return file.read(limit)


def _unpacked(raw: bytes) -> bytes:
    """A gzip file's first MAX_FILE bytes, also when its end is missing; zlib.error when it is none.

    One that was unpacked by hand and kept its name is taken as it is.
    """
    if not raw or (raw.isascii() and b"CONFIG_" in raw):
        return raw
    return zlib.decompressobj(wbits=31).decompress(raw, MAX_FILE)
