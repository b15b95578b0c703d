"""Real guests for tests: images built once a session, and an owner that remembers what it was told."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from edgeagent.guest.events import Event
from edgeagent.guest.owner import Evidence, Hello, Status
from edgeagent.image import build as building
from edgeagent.image.build import SOURCE, ImageFile
from edgeagent.image.inspection import inspect
from edgeagent.vmm.port import Accelerator, MachineSpec
from edgeagent.wire import messages

MEMORY = 8 << 20
VM_USER = "edgeagent-vm"
GetImage = Callable[..., ImageFile]


def need(*programs: str) -> None:
    """Skip the test where a program is missing; fail it in CI."""
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        words = f"not installed: {', '.join(missing)}"
        if os.environ.get("CI") == "true":
            raise AssertionError(words)
        pytest.skip(words)


ROOT = SOURCE.parent
IMAGES = ROOT / "build" / "test-images"
SOURCES = (SOURCE, ROOT / "edgeagent" / "image")


def _newest(folders: Sequence[Path]) -> float:
    """When the youngest file was written, s."""
    files = (
        path for folder in folders for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc"
    )
    return max(path.stat().st_mtime for path in files)


@pytest.fixture(scope="session")
def guest_image() -> GetImage:
    """Factory: guest_image("echo") -> its ImageFile; built anew when a source is younger."""

    def get(app: str, arch: str = "x86_64") -> ImageFile:
        need(f"qemu-system-{arch}")
        path = IMAGES / arch / f"{app}.elf"
        if path.is_file() and path.stat().st_mtime > _newest(SOURCES):
            return ImageFile(path, inspect(path.read_bytes()))
        need("clang", "ld.lld")
        return building.build(SOURCE, IMAGES, arch, app)

    return get


def spec(image: ImageFile, accelerator: Accelerator = Accelerator.TCG, **more: object) -> MachineSpec:
    return MachineSpec("test", image.info.arch, accelerator, MEMORY, image.path, VM_USER, **more)


def readings(count: int, payload: bytes = b'{"t": 21.5}') -> list[bytes]:
    topic = messages.topic_item(b"home/room")
    return [messages.reading(seq, 1000 * seq, 65535, 0, topic, payload) for seq in range(1, count + 1)]


class ListReader:
    """An input log in memory; frames may be added while it is read."""

    def __init__(self, frames: list[bytes], last_seq: int) -> None:
        self.last_seq = last_seq
        self.closed = False
        self._frames = frames

    def read(self, max_bytes: int) -> bytes:
        taken: list[bytes] = []
        size = 0
        for frame in self._frames[self.last_seq :]:
            size += len(frame)
            if taken and size > max_bytes:
                break
            taken.append(frame)
        self.last_seq += len(taken)
        return b"".join(taken)

    def close(self) -> None:
        self.closed = True


@dataclass(frozen=True)
class Restorable:
    seq: int
    out: int
    state: bytes


@dataclass
class Recorder:
    """An owner that gives frames and keeps what it is told."""

    frames: list[bytes] = field(default_factory=list)
    saved: Restorable | None = None
    config: dict[str, object] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    states: list[Status] = field(default_factory=list)
    judge: Callable[[Event], None] = lambda _: None
    ends: list[Evidence] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def hello(self) -> Hello:
        return Hello("test", MEMORY, self.config)

    def checkpoint(self) -> Restorable | None:
        return self.saved

    def input_after(self, seq: int) -> ListReader:
        return ListReader(self.frames, seq)

    def on_event(self, event: Event) -> None:
        self.events.append(event)
        self.changed.set()
        self.judge(event)

    def on_state(self, status: Status) -> None:
        self.states.append(status)
        self.changed.set()

    def on_end(self, evidence: Evidence) -> None:
        self.ends.append(evidence)

    def of(self, kind: type) -> list[Event]:
        return [event for event in self.events if isinstance(event, kind)]

    async def until(self, reached: Callable[[], object]) -> None:
        """Wait, for as long as the test's own time limit lets us."""
        while not reached():
            self.changed.clear()
            await self.changed.wait()


def alive(pid: int) -> bool:
    """Whether there is such a process, a zombie not counted."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
