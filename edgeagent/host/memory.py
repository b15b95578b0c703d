"""Keeps the C library's allocator from holding memory that a small board needs.

glibc gives every thread an arena of its own and raises its thresholds after the first large block, so that a burst of
readings would cost some megabytes for ever.
"""

from __future__ import annotations

import ctypes
import errno
import gc
from pathlib import Path

_OPTIONS = {
    -8: 1,  # M_ARENA_MAX: one arena for all threads; they seldom allocate at once
    -3: 65_536,  # M_MMAP_THRESHOLD: larger blocks are mapped, and go back when they are freed
    -1: 131_072,  # M_TRIM_THRESHOLD: so much may stay free at the top
}
"""mallopt(3): parameter and value."""


def board_memory(meminfo: Path = Path("/proc/meminfo")) -> int:
    """Bytes of RAM that the kernel has."""
    for line in meminfo.read_text("ascii", "replace").splitlines():
        name, _, rest = line.partition(":")
        if name == "MemTotal":
            return int(rest.split()[0]) << 10
    raise OSError(errno.ENODATA, "no MemTotal", str(meminfo))


def give_back() -> None:
    """After the start: drop what only the start needed, and don't look at what stays in every collection."""
    gc.collect()
    gc.freeze()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def spare_memory() -> None:
    """Before the first thread starts. Does nothing where the C library has no mallopt (musl)."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for option, value in _OPTIONS.items():
            mallopt(option, value)
