"""Which image a unit runs, and on what: inspected before anything starts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgeagent.config.schema import Board, Unit
from edgeagent.errors import ImageError
from edgeagent.image.inspection import ImageInfo, inspect
from edgeagent.unit.checkpointing import Checkpoint
from edgeagent.vmm.machines import MACHINES
from edgeagent.vmm.port import Accelerator

MAX_IMAGE = 64 << 20


@dataclass(frozen=True, slots=True)
class Choice:
    """An image and how it is run."""

    path: Path
    image: ImageInfo
    arch: str
    accelerator: Accelerator
    why: str


def read_image(unit: Unit, board: Board, arch: str) -> tuple[Path, ImageInfo]:
    """Find and inspect a unit's image for this board's arch. ImageError with one clear line when it can't run here."""
    path = unit.image or board.images / arch / f"{unit.app}.elf"
    try:
        with path.open("rb") as file:
            data = file.read(MAX_IMAGE + 1)
    except OSError as error:
        raise ImageError(
            f"the image of unit {unit.name} can't be read: {error.strerror}",
            where=str(path),
            remedy="Build it with `edgeagent image build`, or set board.images.",
        ) from None
    try:
        info = inspect(data[:MAX_IMAGE])
    except ImageError as error:
        raise ImageError(error.what, where=error.where or str(path), remedy=error.remedy) from None
    if info.arch != arch:
        raise ImageError(
            f"the image is for {info.arch}, this board runs {arch} guests",
            where=str(path),
            remedy=f"Give unit {unit.name} the image for {arch}.",
        )
    if arch not in MACHINES:
        raise ImageError(f"no machine is known for {arch}", where=str(path))
    if unit.memory < MACHINES[arch].minimum_memory:
        raise ImageError(
            f"unit {unit.name} has {unit.memory >> 20} MiB of memory; a machine of {arch} needs "
            f"{MACHINES[arch].minimum_memory >> 20} MiB",
            remedy="Raise its memory.",
        )
    return path, info


def check_state(path: Path, info: ImageInfo, start: Checkpoint, folder: Path) -> None:
    """Whether this image can go on from the checkpoint. ImageError says what can be done if not."""
    said = info.declaration
    if start.state and (start.app, start.state_version) != (said.app, said.state_version):
        raise ImageError(
            f"the checkpoint is of {start.app} with state {start.state_version}, "
            f"this image is {said.app} with state {said.state_version}",
            where=str(path),
            remedy=f"Put the former image back, or move {folder} away: its open windows are lost then.",
        )
