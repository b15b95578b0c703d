"""The contract: what a summary or report of a unit can be. A guest that says anything else has broken it.

The guest parsed hostile bytes, so it counts as hostile itself. Nothing here trusts an order, a range or a name that it
can check. What can't be checked without the payloads (whether a mean is right) is what comparing two guests is for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Context

from edgeagent.wire.messages import Report, Summary

EXACT = Context(prec=100)
"""Enough digits for a 39-digit sum against a product of an 18-digit value and a count."""
MAX_COUNT = 1 << 32
DAY_MS = 86_400_000
PARTIAL, ROUNDED = 1, 2
"""The bits of a summary's flags."""


@dataclass(frozen=True, slots=True)
class Contract:
    """Bounds of one unit. Times are ms, quantiles per mille."""

    window: int
    ahead: int
    quantiles: tuple[int, ...]
    fields: tuple[str, ...]
    heartbeat: int
    allows_topic: Callable[[bytes], bool]

    def takes_field(self, field: str) -> bool:
        """Whether the unit asked for this field; a trailing * matches any rest."""
        return not self.fields or any(
            field.startswith(one[:-1]) if one.endswith("*") else field == one for one in self.fields
        )


def _summary_faults(contract: Contract, said: Summary, arrived: int) -> Iterator[tuple[bool, str]]:
    yield not contract.allows_topic(said.source.encode()), f"source {said.source!r:.80} is none of its topics"
    yield (
        len(said.source.encode()) > 1024 or len(said.field.encode()) > 64 or len(said.unit.encode()) > 32,
        "a name is too long",
    )
    yield not contract.takes_field(said.field), f"field {said.field!r} is none that it was asked for"
    yield (
        said.length != contract.window or said.start % contract.window != 0,
        "the window is none of its unit's",
    )
    yield bool(contract.ahead) and said.start > arrived + contract.ahead, "the window lies in the future"
    yield not 0 < said.count < MAX_COUNT, f"count {said.count} is impossible"
    yield not said.min <= said.first <= said.max, "first lies outside of min and max"
    yield not said.min <= said.last <= said.max, "last lies outside of min and max"
    if not said.flags & ROUNDED:
        low, high = (EXACT.multiply(bound, said.count) for bound in (said.min, said.max))
        yield not low <= said.sum <= high, "the sum doesn't fit count, min and max"
    yield said.sq < 0, "the sum of squares is negative"
    yield len(said.quantiles) != len(contract.quantiles), "the number of quantiles is none that was asked for"
    yield any(not said.min <= q <= said.max for q in said.quantiles), "a quantile lies outside of min and max"
    ranked = [q for _, q in sorted(zip(contract.quantiles, said.quantiles, strict=False))]
    yield ranked != sorted(ranked), "the quantiles are out of order"
    yield said.error > 1000, "the error of the quantiles is impossible"
    yield said.skipped > contract.heartbeat, "more windows were held back than allowed"
    yield bool(said.flags & ~(PARTIAL | ROUNDED)), "a flag is unknown"


def _report_faults(contract: Contract, said: Report) -> Iterator[tuple[bool, str]]:
    yield (
        said.length != contract.window or said.start % contract.window != 0,
        "the window is none of its unit's",
    )
    yield said.payloads >= MAX_COUNT or said.values >= MAX_COUNT, "a count is impossible"
    yield len(said.reasons) > 255, "there are too many reasons"
    yield (
        any(not 0 < reason < 256 or count >= MAX_COUNT for reason, count in said.reasons.items()),
        "a reason or its count is impossible",
    )


def breach(contract: Contract, said: Summary | Report, arrived: int) -> str | None:
    """Why this can't be true, or None. arrived: newest arrival time given to the guest, ms since 1970."""
    faults = (
        _summary_faults(contract, said, arrived)
        if isinstance(said, Summary)
        else _report_faults(contract, said)
    )
    return next((words for wrong, words in faults if wrong), None)
