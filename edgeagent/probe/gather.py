"""Shell: reads the files of a board that a verdict may rest on, below a root: / on a live one, else a capture's folder.

Captures come from strangers: nothing outside of the folder is read, nothing but plain files, and no more than a bound.
"""

from __future__ import annotations

import errno
import os
import stat
import zlib
from collections.abc import Iterator
from pathlib import Path

from .cpuinfo import PATH as CPUINFO
from .documents import Documents
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
PLAIN = (CPUINFO, CMDLINE, MODULES, MISC, INTERRUPTS, MEMORY, CONFIG, LOG, UNAME, *ANSWERS)
PROPERTIES = frozenset({
    "compatible", "model", "status", "device_type", "method", "mmu-type",
    "riscv,isa", "riscv,isa-base", "riscv,isa-extensions",
    "reg", "interrupts", "interrupts-extended", "#address-cells", "#size-cells",
})  # fmt: skip
"""Of the device tree. Nothing in it names one board of many: no serial numbers, no addresses of networks."""
MODULE_FOLDERS = "sys/module"

MAX_FILE = 4 << 20
MAX_PROPERTY = 4096
MAX_FILES = 20_000
MAX_DEPTH = 12
MAX_CONFIGS = 16


def gather(root: Path) -> Documents:
    """Whatever of it is there."""
    reader = _Reader(root)
    for path in PLAIN:
        reader.take(path)
    for name in reader.names("boot")[:MAX_CONFIGS] if not reader.files.get(CONFIG) else ():
        if f"boot/{name}".startswith(CONFIG_PREFIX):
            reader.take(f"boot/{name}")
    for module in reader.names(MODULE_FOLDERS):
        if module == "kvm" or module.startswith("kvm_"):
            reader.files.setdefault(f"{MODULE_FOLDERS}/{module}/.present", b"")
            for name in reader.names(f"{MODULE_FOLDERS}/{module}/parameters"):
                reader.take(f"{MODULE_FOLDERS}/{module}/parameters/{name}", MAX_PROPERTY)
    for path in reader.walk(DEVICE_TREE, MAX_DEPTH):
        if path.rpartition("/")[2] in PROPERTIES:
            reader.take(path, MAX_PROPERTY)
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
        if len(self.files) >= MAX_FILES:
            return
        real = self._inside(path)
        if real is None:
            self.refused[path] = "leads out of the folder"
            return
        try:
            raw = _read(real, limit)
        except FileNotFoundError:
            return
        except OSError as error:
            self.refused[path] = errno.errorcode.get(error.errno or 0, "EIO")
            return
        if path == CONFIG:
            unpacked = _unpacked(raw)
            if unpacked is None:
                self.refused[path] = "damaged"
                return
            raw = unpacked
        self.files[path] = raw

    def names(self, folder: str) -> list[str]:
        """Sorted; nothing when it can't be listed."""
        real = self._inside(folder)
        try:
            return sorted(path.name for path in real.iterdir()) if real else []
        except OSError:
            return []

    def walk(self, folder: str, depth: int) -> Iterator[str]:
        """Files below it, no deeper than that."""
        for name in self.names(folder):
            path = f"{folder}/{name}"
            real = self._inside(path)
            if real is None:
                continue
            if not real.is_dir():
                yield path
            elif depth:
                yield from self.walk(path, depth - 1)


def _read(path: Path, limit: int) -> bytes:
    """A plain file's beginning. Files of /proc tell no size, and a pipe would make us wait."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_NOCTTY)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return file.read(limit)


def _unpacked(raw: bytes) -> bytes | None:
    """A gzip file's first MAX_FILE bytes, also when its end is missing; None when it is none."""
    if not raw.startswith(b"\x1f\x8b"):
        # Unpacked by hand, under its old name.
        return raw if raw.isascii() else None
    try:
        return zlib.decompressobj(wbits=31).decompress(raw, MAX_FILE)
    except zlib.error:
        return None
