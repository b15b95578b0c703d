"""Core: a crash record with everything that belongs to it, and as one file that a person can send to another."""

from __future__ import annotations

import hashlib
import io
import tarfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from edgeagent.errors import DamagedError

from . import record as records
from .record import Part, Record

MAX_IMAGE = 64 << 20
MAX_FILE = 512 << 20
"""Bytes of an exported file's parts."""
RECORD: Final = "record.json"
IMAGE: Final = "image.elf"


@dataclass(frozen=True, slots=True)
class Case:
    """image: b"" where it isn't kept."""

    record: Record
    parts: Mapping[str, bytes]
    image: bytes

    def check(self, where: str) -> None:
        """DamagedError when a part or the image isn't what the record says."""
        record = self.record
        for name, part in record.parts.items():
            if not _is(self.parts.get(name, b""), part):
                raise DamagedError(f"the {name} of crash {record.number} is damaged", where=where)
        if record.image.kept and not _is(self.image, Part(record.image.bytes, record.image.digest)):
            raise DamagedError(f"the image of crash {record.number} is damaged", where=where)


def _is(data: bytes, part: Part) -> bool:
    return len(data) == part.bytes and hashlib.sha256(data).hexdigest() == part.digest


def pack(case: Case) -> bytes:
    """A compressed tar file with record.json, its parts and image.elf."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        members = {RECORD: records.encode(case.record), **case.parts}
        if case.image:
            members[IMAGE] = case.image
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode, info.mtime = len(data), 0o600, case.record.last_ms // 1000
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def unpack(data: bytes, where: str) -> Case:
    """The reverse of pack, for a file from a stranger: nothing is written, and DamagedError for whatever is wrong."""
    limits = {RECORD: records.MAX_JSON, IMAGE: MAX_IMAGE} | dict.fromkeys(records.PARTS, MAX_FILE)
    members: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as tar:
            for info in tar:
                if info.name not in limits or not info.isreg() or info.size > limits.pop(info.name):
                    raise DamagedError(f"{info.name!r} is nothing that an exported crash has", where=where)
                file = tar.extractfile(info)
                members[info.name] = file.read() if file else b""
    except (tarfile.TarError, zlib.error, OSError, EOFError, ValueError) as error:
        raise DamagedError(f"no exported crash: {error}", where=where) from None
    if RECORD not in members:
        raise DamagedError(f"no exported crash: it has no {RECORD}", where=where)
    record = records.decode(members.pop(RECORD), where)
    image = members.pop(IMAGE, b"")
    case = Case(record, {name: members.get(name, b"") for name in record.parts}, image)
    case.check(where)
    return case
