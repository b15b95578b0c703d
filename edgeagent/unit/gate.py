"""The gate of a unit: policy, sequence numbers, and the frames that wait for the next group commit."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from edgeagent.ingest.intake import Taken
from edgeagent.unit.duplicates import DuplicateIndex
from edgeagent.wire import messages
from edgeagent.wire.frame import HEADER, FrameType
from edgeagent.wire.messages import Reading

MAX_PENDING = 512 << 10
"""Bytes waiting for a commit; above it the gate is full even if the log isn't. What a source hasn't heard of when the
agent ends comes again, and must still be in the log's newest two segments, 1 MiB each at the least."""


class Rate(Protocol):
    """A limit on how often a topic may bring readings."""

    def allows(self, topic: bytes, now: float) -> bool:
        """Take one token; False when there is none."""


@dataclass(slots=True)
class Group:
    """Frames that are committed together, and who waits for it."""

    frames: list[bytes]
    bytes: int
    last_seq: int
    waiting: list[Callable[[], None]]


@dataclass(slots=True)
class GateCounts:
    """Since the start of the agent."""

    readings: int = 0
    bytes_in: int = 0
    """Topic and payload."""
    duplicates: int = 0
    dropped_rate: int = 0


class Gate:
    """Numbers messages and frames them. The group it collects belongs to the committer, who takes it whole.

    arrival and monotonic give ms and seconds; tail gives what the log's newest segments hold; newest: the newest
    arrival time in the log, ms; clock_unset: whether arrival times are from a clock that wasn't set.
    """

    def __init__(
        self,
        next_seq: int,
        arrival: Callable[[], int],
        monotonic: Callable[[], float],
        tail: Callable[[], Iterable[Reading]],
        rate: Rate | None,
        newest: int = 0,
        clock_unset: Callable[[], bool] = lambda: False,
    ) -> None:
        self.counts = GateCounts()
        self.newest_arrival = newest
        """Of all that the log ever held, ms: also of what a clock said that was set back since."""
        self.wake: Callable[[], None] = lambda: None
        """Called with the first frame of a group."""
        self.enough: Callable[[], None] = lambda: None
        """Called when a group has enough_frames."""
        self.enough_frames = 512
        self._next_seq = next_seq
        self._arrival = arrival
        self._monotonic = monotonic
        self._tail = tail
        self._rate = rate
        self.clock_unset = clock_unset
        self._index: DuplicateIndex | None = None
        self._taken: Group | None = None
        self._group = self._empty()

    def _empty(self) -> Group:
        return Group([], 0, self._next_seq - 1, [])

    @property
    def pending(self) -> int:
        """Bytes of the group that grows and of the one that is being committed."""
        return self._group.bytes + (self._taken.bytes if self._taken else 0)

    @property
    def waiting(self) -> int:
        """Frames that wait for the next commit."""
        return len(self._group.frames)

    def add(
        self,
        item: bytes,
        topic: bytes,
        payload: bytes,
        content_format: int,
        tag: int,
        *,
        maybe_duplicate: bool,
    ) -> Taken:
        """Take a message of an allowed topic; item is messages.topic_item(topic)."""
        if maybe_duplicate and self._known(tag, topic, payload):
            self.counts.duplicates += 1
            return Taken.DUPLICATE
        if self._rate is not None and not self._rate.allows(topic, self._monotonic()):
            self.counts.dropped_rate += 1
            return Taken.DROPPED
        if self._index is not None:
            self._index.add(tag, topic, payload)
        now = self._now()
        counts = self.counts
        counts.readings += 1
        counts.bytes_in += len(topic) + len(payload)
        flags = messages.CLOCK_UNSET if self.clock_unset() else 0
        self._put(messages.reading(self._next_seq, now, content_format, tag, item, payload, flags))
        return Taken.LOGGED

    def stamp(self, make: Callable[[int, int], bytes]) -> int:
        """Put a tick or drain into the sequence (make: messages.tick or messages.drain); its seq."""
        self._put(make(self._next_seq, self._now()))
        return self._next_seq - 1

    def _now(self) -> int:
        now = self._arrival()
        self.newest_arrival = max(self.newest_arrival, now)
        return now

    def _put(self, frame: bytes) -> None:
        group = self._group
        group.frames.append(frame)
        group.bytes += len(frame)
        group.last_seq = self._next_seq
        self._next_seq += 1
        count = len(group.frames)
        if count == 1:
            self.wake()
        if count == self.enough_frames:
            self.enough()

    def when_durable(self, done: Callable[[], None]) -> None:
        """Call done after what was added so far is durable; at once if it is already."""
        if self._group.frames:
            self._group.waiting.append(done)
        elif self._taken is not None:
            self._taken.waiting.append(done)
        else:
            done()

    def take(self) -> Group:
        """The group so far, to commit; until ``committed`` it counts as pending."""
        self._taken, self._group = self._group, self._empty()
        return self._taken

    def committed(self) -> None:
        """The group that was taken is durable."""
        group, self._taken = self._taken, None
        for done in group.waiting if group else ():
            done()

    def _known(self, tag: int, topic: bytes, payload: bytes) -> bool:
        now = self._monotonic()
        if self._index is None:
            self._index = DuplicateIndex(self._tail(), now)
            for group in (self._taken, self._group):
                for frame in group.frames if group else ():
                    if frame[2] == FrameType.READING:
                        one = messages.parse_reading(frame[HEADER.size :])
                        self._index.add(one.tag, one.topic, one.payload)
        return self._index.knows(tag, topic, payload, now)

    def forget_index(self) -> None:
        """Give the index up when nobody asked for it lately; called now and then."""
        if self._index is not None and self._index.stale(self._monotonic()):
            self._index = None
