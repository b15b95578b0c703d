"""Whether what a collector stored is the truth."""

from __future__ import annotations

import time
from pathlib import Path

from .compare import compare, compare_faults
from .stored import counts, stored
from .truth_file import Told

POLL_S = 0.5


def wait_for_all(database: Path, board: str, told: Told, quiet_s: float) -> bool:
    """Wait until every value and payload has come. False when nothing has come for quiet_s and some are missing.

    quiet_s must be longer than window, lateness and batch interval together: that long the last ones may take.
    """
    best, since = (-1, -1), time.monotonic()
    while time.monotonic() - since < quiet_s:
        seen = counts(database, board)
        if seen[0] >= told.values and seen[1] >= told.payloads:
            return True
        if seen != best:
            best, since = seen, time.monotonic()
        time.sleep(POLL_S)
    return False


def faults_of(database: Path, board: str, told: Told, ranks: tuple[int, ...]) -> list[str]:
    """Everything in which the database differs from the truth, one line each; empty when they agree.

    ranks: the unit's quantiles, per mille, in its order.
    """
    found = stored(database, board)
    lines = [str(one) for one in compare(told.windows, told.totals, found.summaries, ranks)]
    lines += compare_faults(told.faults, found.reasons)
    for what, expected, got in (
        ("payloads", told.payloads, found.payloads),
        ("values", told.values, found.values),
    ):
        if expected != got:
            lines.append(f"{what}: {expected} were sent, the guest reported {got}")
    return lines
