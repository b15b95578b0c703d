"""A chain of segment files: appended to in groups, cut back after a failure, recovered after a crash.

What makes a crash decidable:
- a segment is synced before the next one exists, and a segment exists only with a whole header (Files.replace); so
  only the last segment can have a torn tail, and anything else that is wrong anywhere is damage;
- old segments go one by one, oldest first, so a gap between segments is damage too;
- after a failed write or sync everything behind the last commit is cut off, because the kernel may have dropped those
  pages and would call a second sync a success.

One case is left: a process is killed, the disk fails the sync of what it wrote when the next one opens the chain, the
one after that opens it without an error, and then the power fails. The kernel tells nobody that the pages aren't on the
disk. The log's ``known_seq`` notices if any of that was processed.

One thread appends, commits and trims. Readers may be in one other thread; they see what is committed.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from edgeagent.errors import DamagedError
from edgeagent.host.files import File, Files

from .formats import FIXED, Header, Records, header_size, parse_header

CHUNK = 262_144
"""Bytes of one read."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A file of the chain. body: where records begin; size: bytes when it was finished (of the last one: at open)."""

    first: int
    path: Path
    body: int
    size: int


class Mark(NamedTuple):
    """How far the chain is committed: segment by its first number, bytes in it, number of the next record."""

    segment: int
    size: int
    next: int


@dataclass(frozen=True, slots=True)
class Recovery:
    """What opening found. cut: bytes of a torn tail; behind: whole records within what was cut.

    Records behind a tear are normal after a power cut (pages reach the disk in any order) if they weren't committed.
    """

    segments: int
    scanned: int
    cut: int
    behind: int


class Chain:
    """The segments of one folder. Numbers of records are consecutive over all of them."""

    def __init__(self, files: Files, folder: Path, records: Records, segments: tuple[Segment, ...]) -> None:
        self.files = files
        self.folder = folder
        self.records = records
        self.segments = segments
        self.note = b""
        self.recovery = Recovery(len(segments), 0, 0, 0)
        self._broken = False
        self._dirty = True
        last = segments[-1]
        self._file = files.open(last.path)
        self._size = last.size
        self.next = last.first
        self.mark = Mark(last.first, last.body, last.first)
        self._finished = sum(one.size for one in segments[:-1])

    # ---- opening -------------------------------------------------------------------------------------------------

    @classmethod
    def open(cls, files: Files, folder: Path, records: Records) -> Chain | None:
        """The chain in the folder, its torn tail still there (see recover); None where there is none.

        Raises DamagedError when the segments don't fit together.
        """
        files.make_folder(folder)
        segments: list[Segment] = []
        note = b""
        for first in _firsts(files, folder, records):
            path = _path(folder, first, records)
            with contextlib.closing(files.open(path)) as file:
                size = file.size()
                head = file.read_at(0, header_size(file.read_at(0, FIXED)))
            header = parse_header(head, records.magic, str(path), _remedy(folder, records))
            before = (segments[-1].first, segments[-1].size) if segments else (header.before, header.finished)
            if header.first != first or before != (header.before, header.finished):
                raise DamagedError(
                    f"it should follow a segment from {header.before} of {header.finished} bytes, "
                    f"but the one there is from {before[0]} of {before[1]} bytes",
                    where=str(path),
                    remedy=_remedy(folder, records),
                )
            segments.append(Segment(first, path, FIXED + len(header.note), size))
            note = header.note
        if not segments:
            return None
        chain = cls(files, folder, records, tuple(segments))
        chain.note = note
        return chain

    @classmethod
    def create(cls, files: Files, folder: Path, records: Records, first: int, note: bytes = b"") -> Chain:
        """A new chain whose first record will have that number."""
        files.make_folder(folder)
        segment = _new_segment(files, folder, records, Header(first, note=note))
        chain = cls(files, folder, records, (segment,))
        chain.note = note
        chain._dirty = False
        return chain

    def recover(self, known: int = 0) -> Iterator[bytes]:
        """Go over the last segment, giving its whole records in pieces; then cut off its torn tail and sync it.

        Must be run to its end before anything else is done with the chain. known: the newest record that was certainly
        committed. If it isn't there, nothing is cut and DamagedError is raised.
        """
        last = self.segments[-1]
        at, number = last.body, last.first
        for piece, _, after in self.scan(self._file, last, number, last.size):
            yield piece
            at, number = at + len(piece), after
        if number <= known:
            raise self.damage(last, at, number)
        cut, behind = last.size - at, 0
        if cut:
            behind = self._count_behind(last, at)
            self._file.truncate(at)
        # What a killed process wrote may be in memory only; from here on it counts as committed.
        self._file.sync()
        self._dirty = False
        self._size, self.next = at, number
        self.mark = Mark(last.first, at, number)
        self.recovery = Recovery(len(self.segments), last.size, cut, behind)

    def _count_behind(self, last: Segment, at: int) -> int:
        """How many whole records there are from ``at`` on; evidence only, so records above CHUNK may be missed."""
        count = 0
        while at < last.size:
            data = self._file.read_at(at, 2 * CHUNK)
            if found := self.records.find(data, 0):
                start, number = found
                used, after = self.records.walk(data[start:], number)
                count += after - number
                at += start + used
            elif at + len(data) < last.size:
                at += CHUNK
            else:
                break
        return count

    # ---- reading -------------------------------------------------------------------------------------------------

    def scan(
        self, file: File, segment: Segment, number: int, limit: int, at: int = 0
    ) -> Iterator[tuple[bytes, int, int]]:
        """Whole, undamaged records up to limit: pieces, each with its first record's number and the one after it."""
        at = at or segment.body
        while at < limit:
            data = file.read_at(at, min(CHUNK, limit - at))
            used, after = self.records.walk(data, number)
            if not used and CHUNK < (size := self.records.size(data)) <= limit - at:
                data = file.read_at(at, size)
                used, after = self.records.walk(data, number)
            if not used:
                return
            yield data[:used], number, after
            at, number = at + used, after

    def damage(self, segment: Segment, at: int, number: int) -> DamagedError:
        """The error for a record that should be there and isn't."""
        return DamagedError(
            f"record {number} at byte {at} is damaged or missing",
            where=str(segment.path),
            remedy=_remedy(self.folder, self.records),
        )

    # ---- writing -------------------------------------------------------------------------------------------------

    @property
    def total(self) -> int:
        """Bytes in all files."""
        return self._finished + self._size

    @property
    def filled(self) -> int:
        """Bytes in the last segment so far."""
        return self._size

    @property
    def empty(self) -> bool:
        """Whether the last segment has no numbered record. Another one would have the same first number."""
        return self.next == self.segments[-1].first

    def append(self, data: bytes, count: int) -> None:
        """Write records to the last segment. After OSError everything since the last commit must be appended again."""
        self.mend()
        try:
            self._file.append(data)
        except OSError:
            self._fail()
            raise
        self._size += len(data)
        self.next += count
        self._dirty = True

    def roll(self, note: bytes = b"") -> None:
        """Finish the last segment and begin the next. OSError as with append."""
        self.mend()
        last = self.segments[-1]
        try:
            self._file.sync()
            new = _new_segment(
                self.files, self.folder, self.records, Header(self.next, last.first, self._size, note)
            )
            file = self.files.open(new.path)
        except OSError:
            self._fail()
            raise
        self._file.close()
        self._file = file
        self.segments = (*self.segments[:-1], replace(last, size=self._size), new)
        self._finished += self._size
        self._size = new.size
        self._dirty = False

    def commit(self, sync: bool) -> None:  # noqa: FBT001 - always named by callers
        """Let readers see what was appended, after a sync if so asked. OSError as with append."""
        self.mend()
        if sync and self._dirty:
            try:
                self._file.sync()
            except OSError:
                self._fail()
                raise
            self._dirty = False
        self.mark = Mark(self.segments[-1].first, self._size, self.next)

    def trim(self, keep_from: int, least: int = 1) -> None:
        """Remove segments that hold nothing from that number on, but leave the newest ``least`` ones."""
        while (
            len(self.segments) > least
            and self.segments[1].first <= keep_from
            and self.segments[0].first < self.mark.segment
        ):
            self.files.remove(self.segments[0].path)
            self.files.sync_folder(self.folder)
            self._finished -= self.segments[0].size
            self.segments = self.segments[1:]

    def remove_all(self) -> None:
        """Remove every segment, oldest first as trim does. The chain is of no use then."""
        for segment in self.segments:
            self.files.remove(segment.path)
            self.files.sync_folder(self.folder)
        self.close()

    @contextlib.contextmanager
    def closed_on_error(self) -> Iterator[None]:
        """Close the chain if what is done with it fails."""
        try:
            yield
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Give the descriptor back; what isn't committed is left as it is."""
        self._file.close()

    def _fail(self) -> None:
        self._broken = True
        self.next = self.mark.next
        with contextlib.suppress(OSError):
            self.mend()

    def mend(self) -> None:
        """Cut back to the last commit, if something failed since; until that works nothing else is done."""
        if not self._broken:
            return
        mark = self.mark
        # A new segment goes first: should the power fail in between, the one before it is still whole. It may exist
        # though making it failed, so it is looked for by its name.
        newer = [first for first in _firsts(self.files, self.folder, self.records) if first > mark.segment]
        for first in reversed(newer):
            self.files.remove(_path(self.folder, first, self.records))
            self.files.sync_folder(self.folder)
        kept = tuple(one for one in self.segments if one.first <= mark.segment)
        file = self.files.open(kept[-1].path)
        try:
            file.truncate(mark.size)
        except OSError:
            file.close()
            raise
        self._file.close()
        self._file = file
        self.segments = kept
        self._finished = sum(one.size for one in kept[:-1])
        self._size, self.next = mark.size, mark.next
        self._dirty = True
        self._broken = False


def _path(folder: Path, first: int, records: Records) -> Path:
    return folder / f"{first:016d}{records.suffix}"


def _firsts(files: Files, folder: Path, records: Records) -> list[int]:
    """First numbers of the segments in the folder, ascending; files of other names are no business of ours."""
    pattern = re.compile(rf"(\d{{16,20}}){re.escape(records.suffix)}")
    return sorted(int(found[1]) for name in files.names(folder) if (found := pattern.fullmatch(name)))


def _remedy(folder: Path, records: Records) -> str:
    return records.remedy.format(folder=folder)


def _new_segment(files: Files, folder: Path, records: Records, header: Header) -> Segment:
    path = _path(folder, header.first, records)
    data = header.encode(records.magic)
    files.replace(path, data)
    return Segment(header.first, path, len(data), len(data))
