"""Checkpoints of a unit's guest: two files in turn, so that there is always an older one to fall back to.

magic "EACP", version u16 = 1, length of app u16, generation u64, seq u64, out u64, state version u32,
length of state u32, CRC-32 of all the rest u32, app (UTF-8), state
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

from edgeagent.errors import DamagedError, LocalProtocolError
from edgeagent.host.files import Files

VERSION = 1
MAX_STATE = 64 << 20
"""Bytes of a guest's state."""

_MAGIC = b"EACP"
_HEAD = struct.Struct(">4sHHQQQII")
_CRC = struct.Struct(">I")
_FIXED = _HEAD.size + _CRC.size
_MAX_APP = 256


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A guest's state after input seq and output out; for images of that app and state version."""

    generation: int
    seq: int
    out: int
    app: str
    state_version: int
    state: bytes

    def encode(self) -> bytes:
        """As it stands in the file."""
        app = self.app.encode()
        head = _HEAD.pack(
            _MAGIC,
            VERSION,
            len(app),
            self.generation,
            self.seq,
            self.out,
            self.state_version,
            len(self.state),
        )
        crc = crc32(self.state, crc32(app, crc32(head)))
        return b"".join((head, _CRC.pack(crc), app, self.state))


def parse_checkpoint(data: bytes, where: str, remedy: str) -> Checkpoint | None:
    """The checkpoint, or None if it is damaged; DamagedError for a format of another version."""
    if len(data) < _FIXED or not data.startswith(_MAGIC):
        return None
    _, version, app_size, generation, seq, out, state_version, size = _HEAD.unpack_from(data)
    app, state = data[_FIXED : _FIXED + app_size], data[_FIXED + app_size :]
    if version != VERSION:
        raise DamagedError(
            f"format version {version} is not known to this agent, which knows {VERSION}",
            where=where,
            remedy=f"Update the agent. {remedy}",
        )
    (crc,) = _CRC.unpack_from(data, _HEAD.size)
    if len(state) != size or crc32(state, crc32(app, crc32(data[: _HEAD.size]))) != crc:
        return None
    return Checkpoint(generation, seq, out, app.decode(), state_version, state)


class Checkpoints:
    """One thread at a time. States aren't kept in memory."""

    def __init__(self, files: Files, folder: Path, name: str = "checkpoint") -> None:
        """The files are called NAME-0 and NAME-1. Raises DamagedError if there are some but none can be read."""
        files.make_folder(folder)
        self._names = (f"{name}-0", f"{name}-1")
        self._files = files
        self._folder = folder
        self._remedy = (
            f"Stop the agent, move {folder} away and start it again: this unit's open windows are lost"
        )
        self.damaged: list[str] = []
        """Files that can't be read; the next saves write over them. Report them."""
        present = files.names(folder)
        found = [self._read(name) if name in present else None for name in self._names]
        self._slots = [(one.generation, one.seq) if one else None for one in found]
        if self.damaged and not any(found):
            raise DamagedError(
                "no checkpoint can be read", where=" and ".join(self.damaged), remedy=self._remedy
            )

    def _read(self, name: str) -> Checkpoint | None:
        path = self._folder / name
        found = parse_checkpoint(
            self._files.read(path, _FIXED + _MAX_APP + MAX_STATE), str(path), self._remedy
        )
        if found is None:
            self.damaged.append(str(path))
        return found

    def load(self) -> Checkpoint | None:
        """The newest that is whole; None if nothing was ever saved."""
        order = sorted((slot[0], index) for index, slot in enumerate(self._slots) if slot)
        return next(
            (found for _, index in reversed(order) if (found := self._read(self._names[index]))), None
        )

    @property
    def trim_seq(self) -> int:
        """The log may be trimmed through this input: that of the older checkpoint, 0 while there is only one."""
        return min(slot[1] if slot else 0 for slot in self._slots)

    def save(self, seq: int, out: int, state: bytes, app: str, state_version: int) -> None:
        """Write over the older one, durably. After OSError the ones before still stand; save may be tried again."""
        if len(state) > MAX_STATE or len(app.encode()) > _MAX_APP:
            raise LocalProtocolError(
                f"a state of {len(state)} bytes is above {MAX_STATE}", where=str(self._folder)
            )
        generations = [slot[0] if slot else 0 for slot in self._slots]
        slot = generations.index(min(generations))
        made = Checkpoint(max(generations) + 1, seq, out, app, state_version, state)
        # Where this fails after its rename, the slot is taken for older than it is: trimming less is right either way.
        self._files.replace(self._folder / self._names[slot], made.encode())
        self._slots[slot] = made.generation, seq
