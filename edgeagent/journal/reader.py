"""Reads a chain's committed records in order, while the writer goes on."""

from __future__ import annotations

from edgeagent.errors import LocalProtocolError
from edgeagent.host.files import File

from .chain import Chain, Mark

LEAST_READ = 64
"""Bytes that are read at once at least: enough for the head of any record."""


class ChainReader:
    """Remembers where it is. One thread at a time, not necessarily the writer's.

    What this process wrote or recovery checked lately is given as it is; all else is checked again.
    ``may_jump``: go on at the oldest record that is left where trimming has overtaken the reader.
    """

    def __init__(self, chain: Chain, after: int, *, may_jump: bool = False) -> None:
        self._chain = chain
        self._may_jump = may_jump
        self._file: File | None = None
        mark = chain.mark
        segments = chain.segments
        self.next = max(after + 1, segments[0].first) if may_jump else after + 1
        """Number of the next record to give."""
        if not segments[0].first <= self.next <= mark.next:
            raise LocalProtocolError(
                f"record {self.next} isn't there, only {segments[0].first} to {mark.next - 1}",
                where=str(chain.folder),
            )
        self._segment = [one for one in segments if one.first <= min(self.next, mark.segment)][-1]
        self._at = self._find(mark)

    def _find(self, mark: Mark) -> int:
        if self.next == mark.next:
            return mark.size
        at, number = self._segment.body, self._segment.first
        for piece, first, after in self._chain.scan(self._open(), self._segment, number, self._limit(mark)):
            if after > self.next:
                return at + self._chain.records.walk(piece, first, self.next)[0]
            at, number = at + len(piece), after
        if number != self.next:
            raise self._chain.damage(self._segment, at, number)
        return at

    def _open(self) -> File:
        if self._file is None:
            self._file = self._chain.files.open(self._segment.path)
        return self._file

    def _limit(self, mark: Mark) -> int:
        """Committed bytes of the segment being read."""
        if self._segment.first == mark.segment:
            return mark.size
        # The chain's own entry has the final size; ours may date from when it was the last one.
        return next(
            (one.size for one in self._chain.segments if one.first == self._segment.first), self._segment.size
        )

    def read(self, max_bytes: int) -> tuple[bytes, int]:
        """Whole records and the number of the first; at least one if there is one, b"" at the committed end.

        max_bytes is kept unless a single record is longer. Raises DamagedError naming file, byte and record; reading
        again raises it again.
        """
        mark = self._chain.mark
        while self._at >= (limit := self._limit(mark)):
            if self._segment.first == mark.segment:
                return b"", self.next
            self._enter_next()
        max_bytes = max(max_bytes, LEAST_READ)
        file, number = self._open(), self.next
        data = file.read_at(self._at, min(max_bytes, limit - self._at))
        if self._segment.first == mark.segment and self._at + len(data) == mark.size:
            used, self.next = len(data), mark.next
        else:
            used, self.next = self._chain.records.walk(data, number)
            if not used and max_bytes < (size := self._chain.records.size(data)) <= limit - self._at:
                data = file.read_at(self._at, size)
                used, self.next = self._chain.records.walk(data, number)
            if not used:
                raise self._chain.damage(self._segment, self._at, number)
        self._at += used
        return data[:used], number

    def _enter_next(self) -> None:
        segments = self._chain.segments
        following = next(one for one in segments if one.first > self._segment.first)
        if following.first != self.next:
            if following is not segments[0]:
                raise self._chain.damage(self._segment, self._at, self.next)
            if not self._may_jump:
                raise LocalProtocolError(
                    f"record {self.next} was trimmed before it was read", where=str(following.path)
                )
        self.close()
        self._segment, self._at, self.next = following, following.body, following.first

    def skip_damaged(self) -> tuple[int, int]:
        """Go on behind what read called damaged: first and last number of the records that are given up."""
        mark, lost = self._chain.mark, self.next
        limit = self._limit(mark)
        data = self._open().read_at(self._at, limit - self._at)
        start = 1
        while found := self._chain.records.find(data, start):
            start, number = found
            if lost <= number < mark.next:
                self._at, self.next = self._at + start, number
                return lost, number - 1
            start += 1
        self._at = limit
        if self._segment.first == mark.segment:
            self.next = mark.next
        else:
            following = next(one for one in self._chain.segments if one.first > self._segment.first)
            self.next = following.first
        return lost, self.next - 1

    def close(self) -> None:
        """Give the descriptor back; reading may go on."""
        if self._file is not None:
            self._file.close()
            self._file = None
