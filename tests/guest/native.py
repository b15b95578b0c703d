"""Build the guest for this machine and drive it: frames on standard input, frames on standard output."""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from edgeagent.wire import frame, messages

IMAGES = Path(__file__).resolve().parents[2] / "firmware-images"
SHARED = Path(__file__).resolve().parents[3] / "shared/data"
PANICKED = 70
RUN_SECONDS = 60
MEMORY = 8 << 20

WARNINGS = ("-Wall", "-Wextra", "-Werror", "-Wconversion", "-Wshadow")
SANITIZERS = (
    "-O1",
    "-g",
    "-fsanitize=address,undefined",
    "-fno-sanitize-recover=all",
    "-fno-omit-frame-pointer",
)
FAST = ("-O2", "-g")

CONFIG: Mapping[str, Any] = {
    "window": 60_000,
    "lateness": 10_000,
    "ahead": 0,
    "series": 64,
    "windows": 128,
    "buckets": 256,
    "quantiles": [0, 500, 900, 1000],
    "times": ["Time", "last_seen"],
    "fields": [],
    "deadband": [0, 0],
    "heartbeat": 0,
}


def clang() -> str:
    """The compiler. Without one the test is skipped, but fails where CI=true."""
    found = shutil.which("clang")
    if found is None:
        if os.environ.get("CI") == "true":
            pytest.fail("clang is not installed")
        pytest.skip("clang is not installed")
    return found


def library_sources() -> list[Path]:
    """All of lib/ but the memory functions, which the machine's own C library has."""
    return sorted(path for path in (IMAGES / "lib").glob("*.c") if path.name != "mem.c")


def aggregate_sources() -> list[Path]:
    """The app."""
    return sorted((IMAGES / "app/aggregate").glob("*.c"))


@functools.cache
def compiled(sources: tuple[Path, ...], flags: tuple[str, ...]) -> Path:
    """The program made of these sources; compiled once per content, one object at a time."""
    compiler = clang()
    headers = [
        *IMAGES.glob("lib/*.h"),
        *IMAGES.glob("include/edge/*.h"),
        *IMAGES.glob("app/aggregate/*.h"),
        *IMAGES.glob("protocol/*.h"),
    ]
    digest = hashlib.sha256(repr(flags).encode())
    for path in sorted([*sources, *headers]):
        digest.update(str(path).encode() + b"\0" + path.read_bytes())
    folder = Path(tempfile.gettempdir()) / f"edgeagent-native-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    program = folder / digest.hexdigest()[:24]
    if not program.exists():
        with tempfile.TemporaryDirectory(dir=folder) as work:
            made = Path(work) / "program"
            subprocess.run(
                [
                    compiler, "-std=gnu11", *WARNINGS, *flags,
                    f"-I{IMAGES}/include", *map(str, sources), "-o", str(made),
                ],
                check=True, timeout=RUN_SECONDS,
            )  # fmt: skip
            made.replace(program)
    return program


def program(*, fast: bool = False) -> Path:
    """The app aggregate on the desk platform; sanitized unless fast."""
    sources = (*library_sources(), *aggregate_sources(), IMAGES / "host/native.c")
    return compiled(sources, FAST if fast else SANITIZERS)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run said. frames are whole; panic is the text of the panic record, or empty."""

    output: bytes
    frames: list[frame.Frame]
    panic: str

    def of(self, *types: int) -> list[frame.Frame]:
        """Frames of these types, in order."""
        return [item for item in self.frames if item.type in types]

    def messages(self, *types: int) -> list[messages.Message]:
        """Frames of these types, parsed by the agent's own wire room."""
        return [messages.parse(item.type, item.body) for item in self.of(*types)]


def run(data: bytes | Iterable[bytes], *, fast: bool = False, read: int = 65536) -> Outcome:
    """Feed bytes to a fresh guest and collect what it says. A sanitizer's finding is an error."""
    if not isinstance(data, bytes):
        data = b"".join(data)
    done = subprocess.run(
        [program(fast=fast)],
        input=data, capture_output=True, timeout=RUN_SECONDS, check=False,
        env={**os.environ, "EDGE_NATIVE_READ": str(read)},
    )  # fmt: skip
    panic = ""
    if done.returncode == PANICKED:
        panic = done.stderr.decode().removeprefix("panic: ").strip()
    elif done.returncode != 0:
        raise AssertionError(f"guest ended with {done.returncode}:\n{done.stderr.decode(errors='replace')}")
    decoder = frame.Decoder()
    return Outcome(done.stdout, decoder.feed(done.stdout), panic)


def hello(config: Mapping[str, Any] | None = None, memory: int = MEMORY) -> bytes:
    """The first frame, with the configuration above changed by config."""
    return messages.hello("unit", memory, {**CONFIG, **(config or {})})


def reading(
    seq: int,
    time_ms: int,
    payload: bytes | str,
    *,
    topic: str = "t",
    content_format: int = 65535,
    flags: int = 0,
) -> bytes:
    """A reading's frame."""
    body = payload.encode() if isinstance(payload, str) else payload
    return messages.reading(seq, time_ms, content_format, 0, messages.topic_item(topic.encode()), body, flags)
