"""What a collector stored, read from its SQLite file beside it while it runs."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from edgeagent.collector.rows import summary_of
from edgeagent.wire.messages import Summary, reason_word


@dataclass(frozen=True, slots=True)
class Stored:
    """Summaries of one board, its reports added up, its batches' bytes. reasons: by edge.cddl's words."""

    summaries: list[Summary]
    payloads: int
    values: int
    reasons: Counter[str]
    batch_bytes: int


def stored(database: Path, board: str) -> Stored:
    """Everything of a board so far."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        connection.row_factory = sqlite3.Row
        rows = connection.execute("SELECT * FROM summaries WHERE board = ?", (board,))
        summaries = [summary_of(row) for row in rows]
        reasons: Counter[str] = Counter()
        payloads = values = 0
        for row in connection.execute("SELECT * FROM reports WHERE board = ?", (board,)):
            payloads += row["payloads"]
            values += row["values"]
            reasons += Counter(
                {reason_word(int(name)): count for name, count in json.loads(row["reasons"]).items()}
            )
        (size,) = connection.execute("SELECT SUM(bytes) FROM batches WHERE board = ?", (board,)).fetchone()
    return Stored(summaries, payloads, values, reasons, size or 0)


def counts(database: Path, board: str) -> tuple[int, int]:
    """(values in summaries, payloads in reports) so far: cheap, to see whether all has come."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        (values,) = connection.execute(
            "SELECT SUM(count) FROM summaries WHERE board = ?", (board,)
        ).fetchone()
        (payloads,) = connection.execute(
            "SELECT SUM(payloads) FROM reports WHERE board = ?", (board,)
        ).fetchone()
    return values or 0, payloads or 0
