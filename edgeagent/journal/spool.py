"""The spool: sealed batches of all units, kept until the sink has them."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Literal

from edgeagent.errors import DamagedError, LocalProtocolError
from edgeagent.host.files import Files

from .batches import (
    MAX_UNITS,
    Batch,
    BatchRecords,
    Last,
    Note,
    Position,
    encode_batch,
    encode_position,
    parse_note,
    parse_records,
)
from .chain import CHUNK, Chain, Recovery
from .reader import ChainReader

Octets = bytes
"""The type; in the class, bytes is a property."""

SEGMENT_BYTES = 4 << 20
CAP_BYTES = 256 << 20
LEAST_SEGMENTS = 8
"""A cap holds that many segments at least."""
MAX_AHEAD = 65_536
"""Acknowledgements remembered beyond the first batch that lacks one; later ones are forgotten, and sent again."""

WhenFull = Literal["block", "drop-oldest"]
OnDamage = Literal["stop", "skip"]


class Spool:
    """Append, commit, trim and close: in the writer's thread. The rest: also in one other thread.

    After an OSError from append or commit the spool is as it was after the last commit: append the same again.

    when_full "block": ``full`` tells callers to stop; "drop-oldest": append gives up the oldest segment's batches,
    which ``position`` counts. on_damage "stop": reading a damaged batch raises DamagedError; "skip": it and what can't
    be read behind it is given up and counted in ``position.damaged_batches``.
    """

    def __init__(
        self,
        chain: Chain,
        note: Note,
        *,
        cap_bytes: int,
        segment_bytes: int,
        when_full: WhenFull,
        on_damage: OnDamage,
    ) -> None:
        self.spool_id = note.spool_id
        self._chain = chain
        self._cap_bytes = cap_bytes
        self._segment_bytes = segment_bytes
        self._when_full = when_full
        self._on_damage = on_damage
        self._lock = threading.Lock()
        """Holds position and ahead together; never held over a file operation."""
        self._position = self._written = self._kept = note.position
        self._ahead: set[int] = set()
        self._last = dict(note.last)
        self._committed = dict(note.last)
        self._resting: SpoolReader | None = None

    @classmethod
    def open(
        cls,
        files: Files,
        folder: Path,
        *,
        new_id: bytes,
        cap_bytes: int = CAP_BYTES,
        segment_bytes: int = SEGMENT_BYTES,
        when_full: WhenFull = "block",
        on_damage: OnDamage = "stop",
    ) -> Spool:
        """Recover the spool, or make one named new_id (16 random bytes) where the folder has none.

        DamagedError for damage that isn't a torn tail; batches in older segments are checked when they are read.
        """
        records = BatchRecords()
        chain = Chain.open(files, folder, records)
        if chain is None:
            chain = Chain.create(files, folder, records, 1, Note(new_id, Position(), {}).encode())
        with chain.closed_on_error():
            note = parse_note(chain.note, str(chain.segments[-1].path))
            position, last = note.position, dict(note.last)
            for piece in chain.recover():
                for record in parse_records(piece):
                    if isinstance(record, Position):
                        position = record
                    else:
                        last[record.unit] = Last(record.last_out, record.seq)
        # Segments only go when all of their batches are gone, whatever the last position on disk says.
        position = replace(position, gone=max(position.gone, chain.segments[0].first - 1))
        return cls(
            chain,
            Note(note.spool_id, position, last),
            cap_bytes=cap_bytes,
            segment_bytes=min(segment_bytes, cap_bytes // LEAST_SEGMENTS),
            when_full=when_full,
            on_damage=on_damage,
        )

    # ---- any thread ----------------------------------------------------------------------------------------------

    @property
    def recovery(self) -> Recovery:
        """What opening found."""
        return self._chain.recovery

    @property
    def last_number(self) -> int:
        """Of the newest batch appended; 0 before the first."""
        return self._chain.next - 1

    @property
    def bytes(self) -> int:
        """On disk, batches that wait to be trimmed included."""
        return self._chain.total

    @property
    def full(self) -> bool:
        """At or above the cap, where policy is to block: append nothing new."""
        return self._when_full == "block" and self._chain.total >= self._cap_bytes

    @property
    def position(self) -> Position:
        """Through which number everything is gone, and what was given up since the spool was made."""
        return self._position

    def last(self, unit: str) -> Last:
        """The unit's newest output that was appended, and its input; zeros for an unknown unit."""
        return self._last.get(unit, Last(0, 0))

    def acknowledge(self, numbers: Iterable[int]) -> None:
        """The sink has these. In memory only; the next commit makes it durable and frees the space."""
        end = self._chain.mark.next
        with self._lock:
            for number in numbers:
                if number == self._position.gone + 1 < end:
                    self._give_up(number)
                elif self._position.gone < number < end and len(self._ahead) < MAX_AHEAD:
                    self._ahead.add(number)

    def acknowledge_through(self, number: int) -> None:
        """The sink has every batch through that number."""
        with self._lock:
            self._give_up(min(number, self._chain.mark.next - 1))

    def waits(self, number: int) -> bool:
        """Whether the sink is still to have it."""
        return number > self._position.gone and number not in self._ahead

    def _give_up(self, through: int) -> None:
        gone = max(self._position.gone, through)
        if through > self._position.gone + 1:
            self._ahead = {one for one in self._ahead if one > gone}
        while gone + 1 in self._ahead:
            gone += 1
            self._ahead.remove(gone)
        self._position = replace(self._position, gone=gone)

    def reader(self, after: int = 0) -> SpoolReader:
        """Reads committed batches behind that number."""
        after = max(self._position.gone, after)
        return SpoolReader(self, ChainReader(self._chain, after, may_jump=True), self._on_damage)

    def pending(self, after: int = 0) -> Iterator[tuple[int, Octets]]:
        """Number and bytes of committed batches behind that number which the sink is still to have, ascending.

        Going on behind the batch that was given last costs nothing; anywhere else a segment is searched.
        """
        reader, self._resting = self._resting, None
        if reader is None or reader.last != after:
            if reader is not None:
                reader.close()
            reader = self.reader(after)
        try:
            while batch := reader.read():
                yield batch.number, batch.data
        finally:
            self._rest(reader)

    def _rest(self, reader: SpoolReader | None) -> None:
        if self._resting is not None:
            self._resting.close()
        self._resting = reader

    # ---- the writer's thread -------------------------------------------------------------------------------------

    def append(self, unit: str, first_out: int, last_out: int, seq: int, data: Octets) -> int:
        """Add a sealed batch with the unit's outputs first_out..last_out; its number. seq: input of the last one."""
        if not self.last(unit).out < first_out <= last_out:
            raise LocalProtocolError(
                f"outputs {first_out} to {last_out} don't follow on {self.last(unit).out}", where=unit
            )
        if unit not in self._last and len(self._last) >= MAX_UNITS:
            raise LocalProtocolError(f"a spool remembers at most {MAX_UNITS} units", where=unit)
        try:
            self._chain.mend()
            number = self._chain.next
            record = encode_batch(Batch(number, unit, first_out, last_out, seq, data))
            if self._when_full == "drop-oldest":
                self._make_room(len(record))
            if self._chain.filled + len(record) > self._segment_bytes and not self._chain.empty:
                self._roll()
            self._chain.append(record, 1)
        except OSError:
            self._take_back()
            raise
        self._last[unit] = Last(last_out, seq)
        return number

    def commit(self, sync: bool) -> None:  # noqa: FBT001 - always named by callers
        """Make appended batches and acknowledgements durable (sync) and show them to readers."""
        try:
            position = self._position
            if position != self._written:
                self._chain.append(encode_position(position, self._chain.next), 0)
                self._written = position
            self._chain.commit(sync=sync)
        except OSError:
            self._take_back()
            raise
        self._committed = dict(self._last)
        self._kept = self._written

    def trim(self) -> None:
        """Remove segments of which everything is gone, as far as committed. OSError: less was removed, no more."""
        self._chain.trim(self._kept.gone + 1)

    def close(self) -> None:
        """Give descriptors back; commit before."""
        self._rest(None)
        self._chain.close()

    def _take_back(self) -> None:
        self._last = dict(self._committed)
        self._written = self._kept

    def _roll(self) -> None:
        # The header takes the position's place, but counts only once committed, as all else of this group.
        position = self._position
        self._chain.roll(Note(self.spool_id, position, self._last).encode())
        self._written = position

    def _make_room(self, size: int) -> None:
        """Give up oldest segments until a segment's room is left below the cap; commit removes them."""
        segments = self._chain.segments
        going = self._chain.total + size + self._segment_bytes - self._cap_bytes
        for segment, following in pairwise(segments):
            if going <= 0:
                return
            if following.first - 1 > self._position.gone and following.first <= self._chain.mark.next:
                batches = list(self._batches_of(segment.first, following.first))
                with self._lock:
                    dropped = [(number, items) for number, items in batches if self.waits(number)]
                    self._position = replace(
                        self._position,
                        dropped_batches=self._position.dropped_batches + len(dropped),
                        dropped_items=self._position.dropped_items + sum(items for _, items in dropped),
                    )
                    self._give_up(following.first - 1)
            going -= segment.size

    def _batches_of(self, first: int, end: int) -> Iterable[tuple[int, int]]:
        """Number and items of each batch of a finished segment; items 0 where it can't be read."""
        reader = ChainReader(self._chain, first - 1)
        try:
            while reader.next < end:
                before = reader.next
                try:
                    piece, _ = reader.read(CHUNK)
                except DamagedError:
                    lost = reader.skip_damaged()
                    yield from ((number, 0) for number in range(lost[0], min(lost[1] + 1, end)))
                    continue
                if not piece and reader.next == before:
                    return
                for record in parse_records(piece):
                    if isinstance(record, Batch) and record.number < end:
                        yield record.number, record.items
        finally:
            reader.close()

    def damaged(self, first: int, last: int) -> None:
        """Give up batches that a reader found damaged."""
        with self._lock:
            lost = [number for number in range(first, last + 1) if self.waits(number)]
            self._position = replace(
                self._position, damaged_batches=self._position.damaged_batches + len(lost)
            )
        self.acknowledge(lost)


class SpoolReader:
    """Gives committed batches that aren't acknowledged, in order; goes on where it was when there is more."""

    def __init__(self, spool: Spool, reader: ChainReader, on_damage: OnDamage) -> None:
        self._spool = spool
        self._reader = reader
        self._on_damage = on_damage
        self._parsed: Iterator[Batch | Position] = iter(())
        self.last = reader.next - 1
        """Number of the batch given last; before the first, of the one that reading begins behind."""

    def read(self) -> Batch | None:
        """The next batch; None at the committed end."""
        while True:
            for record in self._parsed:
                if isinstance(record, Batch) and self._spool.waits(record.number):
                    self.last = record.number
                    return record
            try:
                piece, _ = self._reader.read(CHUNK)
            except DamagedError:
                if self._on_damage == "stop":
                    raise
                self._spool.damaged(*self._reader.skip_damaged())
                continue
            if not piece:
                return None
            self._parsed = parse_records(piece)

    def close(self) -> None:
        """Give the descriptor back."""
        self._reader.close()
