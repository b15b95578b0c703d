"""Shell: the kernel's log as `dmesg` prints it, without what programs wrote into it (/dev/kmsg, Documentation/ABI)."""

from __future__ import annotations

import errno
import os
from pathlib import Path

KMSG = Path("/dev/kmsg")
RECORD = 8192
"""Bytes that hold any record."""
MAX_RECORDS = 20_000
MAX_LOST = 100
"""Records that may vanish under us because the kernel needs room."""
FACILITY = 3
"""Bits by which a priority is shifted; facility 0 is the kernel."""


def read(device: Path = KMSG) -> bytes:
    """From its oldest record on. OSError when it may not be read (sysctl kernel.dmesg_restrict)."""
    descriptor = os.open(device, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    lines: list[bytes] = []
    lost = 0
    try:
        while len(lines) < MAX_RECORDS and lost < MAX_LOST:
            try:
                record = os.read(descriptor, RECORD)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno != errno.EPIPE:
                    raise
                lost += 1
                continue
            if not record:
                break
            if line := _line(record):
                lines.append(line)
    finally:
        os.close(descriptor)
    return b"\n".join([*lines, b""])


def _line(record: bytes) -> bytes | None:
    """One record: priority,number,microseconds,flags;text, then lines KEY=value of the device."""
    head, found, text = record.partition(b";")
    fields = head.split(b",")
    if not found or len(fields) < 3 or not fields[0].isdigit() or not fields[2].isdigit():
        return None
    if int(fields[0]) >> FACILITY:
        return None
    micros = int(fields[2])
    stamp = f"[{micros // 1_000_000:5d}.{micros % 1_000_000:06d}] "
    return stamp.encode() + text.split(b"\n", 1)[0]
