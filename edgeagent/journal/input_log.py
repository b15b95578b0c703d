"""The input log of a unit: exactly the frames that its guest gets, durable and bounded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from edgeagent.errors import LocalProtocolError
from edgeagent.host.files import Files
from edgeagent.wire.messages import SEQ_AT, Reading

from .chain import CHUNK, Chain, Recovery
from .frames import FrameRecords, readings, split
from .reader import ChainReader

Octets = bytes
"""The type; in the class, bytes is a property."""

SEGMENT_BYTES = 4 << 20
CAP_BYTES = 64 << 20
LEAST_SEGMENTS = 8
"""A cap holds that many segments at least, so that trimming whole segments keeps well below it."""
KEPT_SEGMENTS = 2
"""Never trimmed: the tags in them tell a message that is delivered again."""


class InputLog:
    """Append, commit, trim and close: in the writer's thread. Reader, tail and properties: also in one other thread.

    After an OSError from append or commit the log is as it was after the last commit: append the same frames again when
    the fault is gone. One from trim says only that less was removed.
    """

    def __init__(self, chain: Chain, segment_bytes: int, cap_bytes: int) -> None:
        self._chain = chain
        self._segment_bytes = segment_bytes
        self._cap_bytes = cap_bytes

    @classmethod
    def open(
        cls,
        files: Files,
        folder: Path,
        *,
        segment_bytes: int = SEGMENT_BYTES,
        cap_bytes: int = CAP_BYTES,
        known_seq: int = 0,
        lossy: bool = False,
    ) -> InputLog:
        """Recover the log, or begin one after known_seq where the folder has none.

        known_seq: newest input that a checkpoint or the spool knows of. A log that ends before it has lost inputs that
        were processed. With lossy (durability = "memory") that is what a power cut does: the log then begins anew after
        known_seq, so that no number is given twice, and what it still had is given up. Otherwise, and for damage before
        the last segment, DamagedError.
        """
        records = FrameRecords()
        chain = Chain.open(files, folder, records)
        if chain is not None:
            with chain.closed_on_error():
                for _ in chain.recover(known_seq if not lossy else 0):
                    pass
                if chain.next <= known_seq:
                    chain.remove_all()
                    chain = None
        if chain is None:
            chain = Chain.create(files, folder, records, known_seq + 1)
        return cls(chain, min(segment_bytes, cap_bytes // LEAST_SEGMENTS), cap_bytes)

    @property
    def recovery(self) -> Recovery:
        """What opening found."""
        return self._chain.recovery

    @property
    def first_seq(self) -> int:
        """Oldest input in the log; next_seq where it is empty."""
        return self._chain.segments[0].first

    @property
    def last_seq(self) -> int:
        """Newest input appended."""
        return self._chain.next - 1

    @property
    def next_seq(self) -> int:
        """Of the frame to append next."""
        return self._chain.next

    @property
    def durable_seq(self) -> int:
        """Newest input committed; readers go so far."""
        return self._chain.mark.next - 1

    @property
    def bytes(self) -> int:
        """On disk."""
        return self._chain.total

    @property
    def full(self) -> bool:
        """At or above the cap. What was taken before that may still be appended; slow the sources."""
        return self._chain.total >= self._cap_bytes

    def append(self, frames: Octets, count: int) -> None:
        """Add count encoded readings, ticks or drains, the first with next_seq, the others following on it."""
        chain = self._chain
        chain.mend()
        if frames and int.from_bytes(frames[SEQ_AT : SEQ_AT + 8], "big") != chain.next:
            raise LocalProtocolError(f"frames don't begin with seq {chain.next}", where=str(chain.folder))
        while frames:
            room = self._segment_bytes - chain.filled
            if len(frames) > room and not chain.empty and split(frames, room)[0] > room:
                chain.roll()
                continue
            size, part = (len(frames), count) if len(frames) <= room else split(frames, room)
            chain.append(frames[:size], part)
            frames, count = frames[size:], count - part

    def commit(self, sync: bool) -> None:  # noqa: FBT001 - always named by callers
        """Make what was appended durable (sync) and visible to readers. A group of appends shares one sync."""
        self._chain.commit(sync=sync)

    def reader(self, after_seq: int) -> LogReader:
        """Reads from the input after that one; LocalProtocolError if it was trimmed or isn't durable yet."""
        return LogReader(ChainReader(self._chain, after_seq))

    def tail(self) -> Iterator[Reading]:
        """The committed readings of the newest segments, oldest first."""
        reader = ChainReader(self._chain, self._chain.segments[-KEPT_SEGMENTS:][0].first - 1)
        try:
            while frames := reader.read(CHUNK)[0]:
                yield from readings(frames)
        finally:
            reader.close()

    def trim(self, through_seq: int) -> None:
        """Forget whole segments of inputs through that one, but keep the two newest."""
        self._chain.trim(min(through_seq, self.durable_seq) + 1, least=KEPT_SEGMENTS)

    def close(self) -> None:
        """Give the descriptor back; commit before."""
        self._chain.close()


class LogReader:
    """Hands out durable frames in order; the bytes go to the guest as they are."""

    def __init__(self, reader: ChainReader) -> None:
        self._reader = reader

    @property
    def last_seq(self) -> int:
        """Of the last frame handed out."""
        return self._reader.next - 1

    def read(self, max_bytes: int = CHUNK) -> bytes:
        """Whole frames, at least one if there is one; b"" at the durable end. DamagedError names file and byte."""
        return self._reader.read(max_bytes)[0]

    def close(self) -> None:
        """Give the descriptor back."""
        self._reader.close()
