"""`edgeagent vm run` as a process, and what it leaves behind."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.guests import alive

RUN = (sys.executable, "-m", "edgeagent", "vm", "run")
MOST_S = 60.0
"""For whatever is waited for; all of it takes a second or two."""


def run(
    image: Path, *more: str, typed: bytes = b"", accel: str = "tcg"
) -> subprocess.CompletedProcess[bytes]:
    """To its end, with pipes."""
    command = [*RUN, str(image), "--accel", accel, *more]
    return subprocess.run(command, input=typed, capture_output=True, check=False, timeout=MOST_S)


@contextmanager
def running(image: Path, *more: str, command: Sequence[str] = RUN) -> Iterator[subprocess.Popen[bytes]]:
    """In the middle of it; ended when the block is left."""
    process = subprocess.Popen(
        [*command, str(image), "--accel", "tcg", *more],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def vmm_of(pid: int) -> int:
    """The VMM that this process started."""
    return next(one for one in children(pid) if b"qemu" in Path(f"/proc/{one}/cmdline").read_bytes())


def gone(pid: int) -> bool:
    """Wait until there is no such process."""
    end = time.monotonic() + MOST_S
    while alive(pid) and time.monotonic() < end:
        time.sleep(0.01)
    return not alive(pid)


def read_until(fd: int, text: bytes) -> bytes:
    """From a pipe or terminal."""
    said = b""
    end = time.monotonic() + MOST_S
    while text not in said:
        assert select.select([fd], [], [], max(0.0, end - time.monotonic()))[0], said
        data = os.read(fd, 4096)
        assert data, said
        said += data
    return said
