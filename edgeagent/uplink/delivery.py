"""Core: which batches to send now, and which to send again. The spool is a port; time is an argument (seconds).

A batch leaves the spool only when it is acknowledged. Until then it is sent again: at once after a reconnect, else
after a wait that doubles, because a collector that is away for days shall cost little. An acknowledgement proves that
somebody is there, so it shortens the waits.

A batch that nobody wants (sealed for a key that is lost, say) mustn't keep the others back: after some repetitions it
is put aside, where it is still repeated but takes no place in the window.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol


class Spool(Protocol):
    """What is needed of the spool; numbers are 1, 2, 3 ..., some may have been dropped."""

    def pending(self, after: int) -> Iterable[tuple[int, bytes]]:
        """Batches with a number above ``after``, ascending; read as they are iterated."""

    def acknowledge(self, numbers: Iterable[int]) -> None:
        """Forget these batches."""


@dataclass(frozen=True, slots=True)
class Limits:
    """batches and bytes may be unacknowledged at a time; waits in seconds.

    patience: repetitions before a batch is put aside; aside: how many may be there.
    """

    batches: int = 16
    bytes: int = 1 << 20
    first_wait: float = 10.0
    longest_wait: float = 600.0
    patience: int = 4
    aside: int = 64


@dataclass(slots=True)
class _Sent:
    size: int
    due: float
    wait: float
    repeated: int = 0
    aside: bool = False


@dataclass(slots=True)
class Counts:
    """Since the start of the agent."""

    sent: int = 0
    """Publications, repeated ones included."""
    repeated: int = 0
    bytes: int = 0
    """Bytes of publications, repeated ones included."""
    acknowledged: int = 0
    dropped: int = 0
    """Batches that left the spool unacknowledged while they were under way."""


class Delivery:
    """The batches under way. Give it connected/disconnected/acknowledged; ask it what is due."""

    def __init__(self, spool: Spool, limits: Limits | None = None) -> None:
        self.counts = Counts()
        self._spool = spool
        self._limits = limits or Limits()
        self._under_way: dict[int, _Sent] = {}
        self._cursor = 0
        self._connected = False
        self._heard_at = float("-inf")

    @property
    def under_way(self) -> int:
        """Batches sent and not acknowledged."""
        return len(self._under_way)

    @property
    def aside(self) -> int:
        """Those of them that were repeated in vain so often that they take no place in the window."""
        return sum(sent.aside for sent in self._under_way.values())

    def _window(self) -> tuple[int, int]:
        """Batches and bytes that take a place."""
        sizes = [sent.size for sent in self._under_way.values() if not sent.aside]
        return len(sizes), sum(sizes)

    def connected(self, now: float) -> None:
        """A connection stands: whatever isn't acknowledged is due."""
        self._connected = True
        for sent in self._under_way.values():
            sent.due, sent.wait = now, self._limits.first_wait

    def disconnected(self) -> None:
        """Nothing is due until the next connection."""
        self._connected = False

    def due(self, now: float) -> list[tuple[int, bytes]]:
        """Batches to publish now, ascending; they count as sent."""
        if not self._connected:
            return []
        found = [*self._again(now), *self._new(now)]
        self.counts.sent += len(found)
        self.counts.bytes += sum(len(data) for _, data in found)
        return found

    def _again(self, now: float) -> Iterable[tuple[int, bytes]]:
        for number in sorted(number for number, sent in self._under_way.items() if sent.due <= now):
            found = next(iter(self._spool.pending(number - 1)), None)
            if found is None or found[0] != number:
                del self._under_way[number]
                self.counts.dropped += 1
                continue
            sent = self._under_way[number]
            sent.due, sent.wait = now + sent.wait, min(2 * sent.wait, self._limits.longest_wait)
            sent.repeated += 1
            if sent.repeated >= self._limits.patience and self.aside < self._limits.aside:
                sent.aside = True
            self.counts.repeated += 1
            yield found

    def _new(self, now: float) -> Iterable[tuple[int, bytes]]:
        limits = self._limits
        count, size = self._window()
        if count and (size >= limits.bytes or count >= limits.batches):
            return
        for number, data in self._spool.pending(self._cursor):
            # One batch may always go, or one above the limit would stop everything.
            if count and (size + len(data) > limits.bytes or count >= limits.batches):
                return
            count, size = count + 1, size + len(data)
            wait = limits.first_wait
            self._under_way[number] = _Sent(len(data), now + wait, min(2 * wait, limits.longest_wait))
            self._cursor = number
            yield number, data

    def next_due(self) -> float | None:
        """When ``due`` has something without a new batch or acknowledgement; None when never."""
        if not self._connected or not self._under_way:
            return None
        return min(sent.due for sent in self._under_way.values())

    def acknowledged(self, covers: Callable[[int], bool], now: float) -> int:
        """Forget batches under way for which covers(number) is true; how many those were.

        What isn't under way isn't touched: no acknowledgement reaches a batch that was never sent.
        """
        numbers = [number for number in self._under_way if covers(number)]
        if numbers:
            self._spool.acknowledge(sorted(numbers))
            for number in numbers:
                del self._under_way[number]
            self.counts.acknowledged += len(numbers)
            # After a long silence whatever was put aside meanwhile may be wanted again; else it waits its time.
            back = now - self._heard_at >= self._limits.longest_wait
            self._heard_at = now
            for sent in self._under_way.values():
                if back or not sent.aside:
                    sent.wait = self._limits.first_wait
                    sent.due = min(sent.due, now + sent.wait)
        return len(numbers)
