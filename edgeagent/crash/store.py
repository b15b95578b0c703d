"""Shell: the folder of crash records. A record is there when its NUMBER.json is; all else is written before it.

    NUMBER.json     the record (record.py)
    NUMBER.state    the checkpoint that a replay starts from
    NUMBER.input    the frames that the guest was given after it
    NUMBER.ring     the guest's log ring, as it stood in its memory
    DIGEST.elf      the image, once for all records of it

What has no record, because a power cut came between, is removed before the next one is written. Nothing is kept in
memory: `edgeagent crash` works on the folder beside a running agent, and without one.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from edgeagent.errors import ConfigError, DamagedError, EdgeAgentError
from edgeagent.host.files import Files

from . import record as records
from .case import MAX_IMAGE, Case
from .inputs import through
from .record import Part, Record
from .retention import SHARE, Entry, standing_for, surplus

FOLDER = "crashes"
"""Below board.state."""
CHUNK = 256 << 10
"""Bytes of input that are copied in one step."""
PARTS_JSON = 1024
"""More than a record's list of parts takes."""
_RECORD = re.compile(r"([1-9]\d{0,8})\.(json|state|input|ring)")
_IMAGE = re.compile(r"([0-9a-f]{64})\.elf")


class InputReader(Protocol):
    """Reads the frames that a guest gets, in order."""

    @property
    def last_seq(self) -> int:
        """Of the last frame handed out."""

    def read(self, max_bytes: int) -> bytes:
        """Whole frames, at least one if there is one; b"" at the end."""

    def close(self) -> None:
        """Give the descriptor back."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A crash to keep. record: without number and parts; input_after: a reader from the frame after that one."""

    record: Record
    state: bytes
    ring: bytes
    image: Path
    input_after: Callable[[int], InputReader]


@dataclass(frozen=True, slots=True)
class Found:
    """What is in the folder: records, oldest first, and what is wrong with those that can't be read, by number."""

    records: tuple[Record, ...]
    unreadable: dict[int, str]


class CrashStore:
    """One folder. cap: bytes that all records and images may take together."""

    def __init__(self, files: Files, folder: Path, cap: int = 0) -> None:
        self.folder = folder
        self._files = files
        self._cap = cap

    # ---- read ----------------------------------------------------------------------------------------------------

    def found(self) -> Found:
        """All records. OSError when the folder can't be read; a folder that isn't there is empty."""
        return self._found(self._names())

    def _names(self) -> list[str]:
        try:
            return self._files.names(self.folder)
        except FileNotFoundError:
            return []

    def _found(self, names: list[str]) -> Found:
        read: list[Record] = []
        unreadable = {}
        for number in sorted(
            int(name[1]) for one in names if (name := _RECORD.fullmatch(one)) and name[2] == "json"
        ):
            try:
                read.append(self._record(number))
            except FileNotFoundError:
                continue  # removed meanwhile
            except (DamagedError, OSError) as error:
                unreadable[number] = str(error)
        return Found(tuple(read), unreadable)

    def _record(self, number: int) -> Record:
        path = self.folder / f"{number}.json"
        found = records.decode(self._files.read(path, records.MAX_JSON), str(path))
        if found.number != number:
            raise DamagedError(f"this is the record of crash {found.number}", where=str(path))
        return found

    def case(self, number: int) -> Case:
        """A record with its parts. ConfigError when there is none of that number, DamagedError when it is damaged."""
        try:
            record = self._record(number)
        except FileNotFoundError:
            raise self._unknown(number) from None
        parts = {
            name: self._part(record, f"{number}.{name}", part.bytes) for name, part in record.parts.items()
        }
        image = record.image
        elf = self._part(record, f"{image.digest}.elf", image.bytes) if image.kept else b""
        case = Case(record, parts, elf)
        case.check(str(self.folder / f"{number}.json"))
        return case

    def _part(self, record: Record, name: str, size: int) -> bytes:
        try:
            return self._files.read(self.folder / name, size)
        except OSError as error:
            missing = isinstance(error, FileNotFoundError)
            if not missing and error.errno != errno.EFBIG:
                raise
            fate = "is missing" if missing else "is damaged"
            raise DamagedError(f"{name} of crash {record.number} {fate}", where=str(self.folder)) from None

    def _unknown(self, number: int) -> ConfigError:
        known = ", ".join(str(one.number) for one in self.found().records)
        return ConfigError(
            f"there is no crash {number}",
            where=str(self.folder),
            remedy=f"There are {known}." if known else "There are none.",
        )

    # ---- write ---------------------------------------------------------------------------------------------------

    def remove(self, number: int) -> None:
        """Forget a record, and what only it needed. ConfigError when there is none of that number."""
        found = self.found()
        if number not in found.unreadable and all(one.number != number for one in found.records):
            raise self._unknown(number)
        self._remove(number)
        # No sweep: an agent may be writing parts whose record comes last.
        needed = {one.image.digest for one in found.records if one.number != number}
        for one in found.records:
            if one.number == number and one.image.digest not in needed and not found.unreadable:
                self._files.remove(self.folder / f"{one.image.digest}.elf")

    def _remove(self, number: int) -> None:
        # The record first, durably: without it the parts are nothing.
        self._files.remove(self.folder / f"{number}.json")
        self._files.sync_folder(self.folder)
        for name in records.PARTS:
            self._files.remove(self.folder / f"{number}.{name}")

    def _sweep(self, names: list[str]) -> None:
        """Remove parts and images that belong to no record."""
        found = self._found(names)
        there = {one.number for one in found.records} | found.unreadable.keys()
        needed = {one.image.digest for one in found.records}
        for name in names:
            part, image = _RECORD.fullmatch(name), _IMAGE.fullmatch(name)
            # A record that can't be read (of a later version) may need any image.
            if (part and int(part[1]) not in there) or (
                image and image[1] not in needed and not found.unreadable
            ):
                self._files.remove(self.folder / name)

    def adding(self, draft: Draft) -> Iterator[Record | None]:
        """Keep a crash, in steps of at most CHUNK bytes; the last one gives its record. One at a time.

        A crash that another one stands for is counted with that. OSError when the disk can't take it: nothing is left.
        """
        self._files.make_folder(self.folder)
        names = self._names()
        numbers = [int(found[1]) for name in names if (found := _RECORD.fullmatch(name))]
        number = max(numbers, default=0) + 1
        self._sweep(names)
        names = self._names()
        if stands := standing_for(draft.record, self._found(names).records):
            yield self._count(stands, draft.record)
            return
        try:
            yield from self._write(number, draft)
        except OSError:
            with contextlib.suppress(OSError):
                self._remove(number)
            raise

    def _count(self, stands: Record, new: Record) -> Record:
        counted = replace(stands, times=stands.times + 1, last_ms=new.last_ms)
        self._files.replace(self.folder / f"{stands.number}.json", records.encode(counted))
        return counted

    def _write(self, number: int, draft: Draft) -> Iterator[Record | None]:
        record, allowed = draft.record, self._cap // SHARE
        image = self._image(draft, allowed)
        allowed -= len(image)
        chunks: list[tuple[int, int]] = []
        yield from self._measure(draft, chunks)
        size = len(draft.state) + sum(size for _, size in chunks)
        state, start = draft.state, record.start
        if size > allowed:
            size -= len(state)
            state = b""
            while size > allowed:
                size -= chunks.pop(0)[1]
            start = replace(start, seq=chunks[0][0] if chunks else record.given, fresh=True)
        written = len(records.encode(record)) + PARTS_JSON
        self._make_room(len(image) + size + len(draft.ring) + written)
        yield None
        parts: dict[str, Part] = {}
        for name, data in (("state", state), ("ring", draft.ring)):
            if data:
                self._put(number, name, data)
                parts[name] = Part(len(data), hashlib.sha256(data).hexdigest())
        if chunks:
            yield from self._copy(number, draft, start.seq, parts)
        record = replace(
            record, number=number, start=start, parts=parts, image=replace(record.image, kept=bool(image))
        )
        self._files.sync_folder(self.folder)
        # Last of all, since whoever removes the last record of an image removes the image.
        if image and f"{record.image.digest}.elf" not in self._names():
            self._files.replace(self.folder / f"{record.image.digest}.elf", image)
        self._files.replace(self.folder / f"{number}.json", records.encode(record))
        yield record

    def _image(self, draft: Draft, allowed: int) -> bytes:
        """The image, b"" where it isn't the one that ran any more or is too large."""
        try:
            image = self._files.read(draft.image, min(allowed, MAX_IMAGE))
        except OSError:
            return b""
        return image if hashlib.sha256(image).hexdigest() == draft.record.image.digest else b""

    def _measure(self, draft: Draft, chunks: list[tuple[int, int]]) -> Iterator[None]:
        """The input as (the seq before it, bytes) of pieces; none where it can't be read."""
        try:
            for before, data in self._pieces(draft, draft.record.start.seq):
                chunks.append((before, len(data)))
                yield None
        except (OSError, EdgeAgentError):
            chunks.clear()

    def _pieces(self, draft: Draft, after: int) -> Iterator[tuple[int, bytes]]:
        given = draft.record.given
        if given <= after:
            return
        reader = draft.input_after(after)
        try:
            while (before := reader.last_seq) < given and (data := through(reader.read(CHUNK), given)):
                yield before, data
        finally:
            reader.close()

    def _copy(self, number: int, draft: Draft, after: int, parts: dict[str, Part]) -> Iterator[None]:
        digest, size = hashlib.sha256(), 0
        file = self._files.open(self.folder / f"{number}.input", create=True)
        with contextlib.closing(file):
            try:
                for _, data in self._pieces(draft, after):
                    file.append(data)
                    digest.update(data)
                    size += len(data)
                    yield None
            except (FileNotFoundError, EdgeAgentError):
                # Trimmed meanwhile.
                self._files.remove(self.folder / f"{number}.input")
                return
            file.sync()
        parts["input"] = Part(size, digest.hexdigest())

    def _put(self, number: int, name: str, data: bytes) -> None:
        file = self._files.open(self.folder / f"{number}.{name}", create=True)
        with contextlib.closing(file):
            file.append(data)
            file.sync()

    def _make_room(self, needed: int) -> None:
        names = self._names()
        kept, (sizes, images) = self._found(names), self._sizes(names)
        entries = [
            Entry(
                one.number,
                (one.unit, one.kind),
                sizes.get(one.number, 0),
                one.image.digest if one.image.kept else "",
            )
            for one in kept.records
        ]
        entries += [Entry(number, ("", "unreadable"), sizes.get(number, 0), "") for number in kept.unreadable]
        if kept.unreadable:
            # Nobody knows which images they need, so none goes.
            needed += sum(images.values())
            images = dict.fromkeys(images, 0)
        gone = surplus(entries, images, self._cap - needed)
        for number in gone:
            self._remove(number)
        if gone:
            self._sweep(self._names())

    def _sizes(self, names: list[str]) -> tuple[dict[int, int], dict[str, int]]:
        """Bytes of each record's files, and of each image."""
        of_records: dict[int, int] = {}
        of_images = {}
        for name in names:
            try:
                with contextlib.closing(self._files.open(self.folder / name)) as file:
                    size = file.size()
            except FileNotFoundError:
                continue  # removed meanwhile
            if found := _RECORD.fullmatch(name):
                of_records[int(found[1])] = of_records.get(int(found[1]), 0) + size
            elif image := _IMAGE.fullmatch(name):
                of_images[image[1]] = size
        return of_records, of_images
