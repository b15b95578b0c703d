"""The outbox of a lane: outputs that are new and true to the contract, until they are a batch in the spool.

A guest that was restarted says again what it said after its checkpoint; numbers tell. Outputs are numbered without
gaps, so the spool's newest number for the lane is all that must be remembered.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from edgeagent.contract.check import Contract, breach
from edgeagent.errors import GuestError
from edgeagent.wire.messages import Report, Summary

from .ports import Output

MAX_BATCH_BYTES = 256 << 10
"""Bodies of one batch before compression."""


@dataclass(slots=True)
class Counts:
    """What a unit's guests said, all together, since the start of the agent."""

    summaries: int = 0
    reports: int = 0
    repeated: int = 0
    """Said again after a restart, known already."""
    not_counted: dict[int, int] = field(default_factory=dict)
    """Payloads and values that the guest didn't count, by reason."""
    values: int = 0
    rejects: int = 0
    """Readings of which nothing could be made."""


class Outbox:
    """Collects outputs. spooled: newest output number in the spool. interval: s, longest wait for a batch."""

    def __init__(self, contract: Contract, counts: Counts, spooled: int, interval: float, most: int) -> None:
        self.counts = counts
        self.spooled = spooled
        self._contract = contract
        self._interval = interval
        self._most = most
        self._items: list[Output] = []
        self._bytes = 0
        self._since = 0.0

    @property
    def waiting(self) -> int:
        """Outputs that are in no batch yet."""
        return len(self._items)

    @property
    def last(self) -> int:
        """Number of the newest output taken."""
        return self._items[-1].out if self._items else self.spooled

    def take(self, said: Summary | Report, kind: int, body: bytes, arrived: int, now: float) -> bool:
        """Take an output; False for one that is known. GuestError when the contract is broken.

        arrived: newest arrival time given to the guest, ms; now: monotonic seconds.
        """
        if words := breach(self._contract, said, arrived):
            raise GuestError(f"broke its contract in output {said.out}: {words}")
        if said.out <= self.last:
            self.counts.repeated += 1
            return False
        if said.out != self.last + 1:
            raise GuestError(f"said output {said.out} after {self.last}")
        if not self._items:
            self._since = now
        self._items.append(Output(said.out, said.seq, kind, body))
        self._bytes += len(body)
        if isinstance(said, Summary):
            self.counts.summaries += 1
        else:
            self.counts.reports += 1
            self.counts.values += said.values
            for reason, count in said.reasons.items():
                self.counts.not_counted[reason] = self.counts.not_counted.get(reason, 0) + count
        return True

    def due_in(self, now: float) -> float | None:
        """Seconds until a batch is to be closed, 0 for at once; None while there is nothing."""
        if not self._items:
            return None
        if len(self._items) >= self._most or self._bytes >= MAX_BATCH_BYTES:
            return 0.0
        return max(0.0, self._since + self._interval - now)

    def batch(self) -> list[Output]:
        """The outputs of the next batch, oldest first; they stay until ``stored``."""
        size = 0
        items: list[Output] = []
        for item in self._items[: self._most]:
            size += len(item.body)
            if items and size > MAX_BATCH_BYTES:
                break
            items.append(item)
        return items

    def stored(self, through: int, now: float) -> None:
        """Outputs through that number are durable in the spool."""
        self._items = [item for item in self._items if item.out > through]
        self._bytes = sum(len(item.body) for item in self._items)
        self._since = now
        self.spooled = max(self.spooled, through)
