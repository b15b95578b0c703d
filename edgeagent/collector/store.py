"""The collector's store: boards and their keys in, verified batches in, rows out. One commit per bunch of batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Executable, RowMapping, Select, Table, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from edgeagent.errors import ConfigError
from edgeagent.seal.keys import VerifyKey
from edgeagent.wire.messages import Summary

from . import tables
from .database import open_database, translated
from .receive import Received
from .rows import Row, report_row, summary_row

READ_BUNCH = 1000
"""Rows that an export holds at a time."""

_INSERT: dict[str, Callable[[Table], Executable]] = {
    "sqlite": lambda table: sqlite.insert(table).on_conflict_do_nothing(),
    "postgresql": lambda table: postgresql.insert(table).on_conflict_do_nothing(),
}


@dataclass(frozen=True, slots=True)
class Written:
    """What a bunch came to; ``repeated`` batches were there already."""

    batches: int
    repeated: int
    summaries: int
    reports: int


@dataclass(frozen=True, slots=True)
class Gap:
    """Numbers first..last that never arrived. kind is "batch" (of a spool) or "out" (of a unit's epoch)."""

    kind: str
    board: str
    of: str
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class BoardRow:
    """A board as `collect boards` shows it."""

    name: str
    enrolled_ms: int
    keys: tuple[str, ...]
    retired: tuple[str, ...]
    batches: int
    newest_ms: int | None


@dataclass(frozen=True, slots=True)
class Choice:
    """Which summaries to export; times are ms since 1970, since inclusive and until exclusive, by window start."""

    board: str | None = None
    unit: str | None = None
    since_ms: int | None = None
    until_ms: int | None = None


class Store:
    """A database of batches. Methods raise EdgeAgentError; every one is a transaction of its own."""

    def __init__(self, url: str, *, create: bool = True) -> None:
        self._engine, self.where = open_database(url, create=create)
        self._insert = _INSERT[self._engine.dialect.name]

    def close(self) -> None:
        """Give its connections back."""
        self._engine.dispose()

    def _add(self, connection: Connection, table: Table, rows: Sequence[Row]) -> int:
        """Insert those that aren't there; how many were new."""
        if not rows:
            return 0
        # Without the option psycopg's count is thrown away.
        done = connection.execute(self._insert(table), rows, execution_options={"preserve_rowcount": True})
        return done.rowcount

    # ---- boards --------------------------------------------------------------------------------------------------

    def enroll(self, board: str, key: VerifyKey, now_ms: int) -> bool:
        """Let the board sign with key from now on; False when it may already. A retired key is taken back."""
        with translated(self.where), self._engine.begin() as connection:
            self._add(connection, tables.boards, [{"name": board, "enrolled_ms": now_ms}])
            row = {"board": board, "kid": key.kid.hex(), "raw": key.raw, "added_ms": now_ms}
            if self._add(connection, tables.keys, [row]):
                return True
            back = (
                update(tables.keys)
                .where(tables.keys.c.board == board, tables.keys.c.kid == row["kid"])
                .where(tables.keys.c.retired_ms.is_not(None))
                .values(retired_ms=None)
            )
            return bool(connection.execute(back).rowcount)

    def retire(self, board: str, kid: str, now_ms: int) -> None:
        """The board's batches signed by that key are refused from now on. ConfigError when it has no such key."""
        with translated(self.where), self._engine.begin() as connection:
            done = connection.execute(
                update(tables.keys)
                .where(tables.keys.c.board == board, tables.keys.c.kid == kid)
                .values(retired_ms=now_ms)
            )
        if not done.rowcount:
            raise ConfigError(
                f"the board has no key {kid}", where=board, remedy="See `edgeagent collect boards`."
            )

    def keys(self, board: str) -> dict[bytes, VerifyKey] | None:
        """The keys that may sign the board's batches, by kid; None for a board that isn't enrolled."""
        with translated(self.where), self._engine.connect() as connection:
            found = connection.execute(
                select(tables.keys.c.raw).where(
                    tables.keys.c.board == board, tables.keys.c.retired_ms.is_(None)
                )
            ).scalars()
            keys = [VerifyKey(bytes(raw)) for raw in found]
            known = (
                bool(keys)
                or connection.execute(
                    select(tables.boards.c.name).where(tables.boards.c.name == board)
                ).first()
            )
        return {key.kid: key for key in keys} if known else None

    def boards(self) -> list[BoardRow]:
        """All boards by name."""
        b, k = tables.batches, tables.keys
        with translated(self.where), self._engine.connect() as connection:
            counted = {
                name: (count, newest)
                for name, count, newest in connection.execute(
                    select(b.c.board, func.count(), func.max(b.c.received_ms)).group_by(b.c.board)
                )
            }
            keys: dict[str, list[tuple[str, bool]]] = {}
            for name, kid, retired in connection.execute(
                select(k.c.board, k.c.kid, k.c.retired_ms).order_by(k.c.added_ms)
            ):
                keys.setdefault(name, []).append((kid, retired is not None))
            return [
                BoardRow(
                    name,
                    enrolled,
                    tuple(kid for kid, gone in keys.get(name, ()) if not gone),
                    tuple(kid for kid, gone in keys.get(name, ()) if gone),
                    *counted.get(name, (0, None)),
                )
                for name, enrolled in connection.execute(
                    select(tables.boards.c.name, tables.boards.c.enrolled_ms).order_by(tables.boards.c.name)
                )
            ]

    # ---- batches -------------------------------------------------------------------------------------------------

    def write(self, received: Iterable[Received], now_ms: int) -> Written:
        """Store batches in one transaction; durable when it returns. What is there already stays as it is."""
        batches: list[Row] = []
        summaries: list[Row] = []
        reports: list[Row] = []
        # In one order everywhere, so that two collectors with the same batches can't block each other.
        for one in sorted(received, key=lambda one: (one.batch.head.board, one.batch.head.number)):
            batch, head = one.batch, one.batch.head
            batches.append(
                {
                    "board": head.board,
                    "spool": head.spool_id.hex(),
                    "number": head.number,
                    "unit": head.unit,
                    "app": head.app,
                    "epoch": head.epoch,
                    "first_out": batch.first_out,
                    "last_out": batch.last_out,
                    "items": len(batch.items),
                    "bytes": one.size,
                    "received_ms": now_ms,
                }
            )
            who = {"board": head.board, "unit": head.unit, "epoch": head.epoch}
            for item in batch.items:
                if isinstance(item, Summary):
                    summaries.append(who | summary_row(item))
                else:
                    reports.append(who | report_row(item))
        with translated(self.where), self._engine.begin() as connection:
            new = self._add(connection, tables.batches, batches)
            return Written(
                new,
                len(batches) - new,
                self._add(connection, tables.summaries, summaries),
                self._add(connection, tables.reports, reports),
            )

    def gaps(self, since_ms: int | None = None, limit: int = 1000) -> list[Gap]:
        """Missing batch numbers per spool and missing outputs per unit, at most limit of each.

        since_ms: look only at batches received from then on, and only between them.
        """
        b = tables.batches
        spool = _missing([b.c.board, b.c.spool], b.c.number, b.c.number, since_ms, limit)
        outs = _missing([b.c.board, b.c.unit, b.c.epoch], b.c.first_out, b.c.last_out, since_ms, limit)
        with translated(self.where), self._engine.connect() as connection:
            return [
                *(
                    Gap("batch", board, spool_id, before + 1, first - 1)
                    for board, spool_id, first, before in connection.execute(spool)
                ),
                *(
                    Gap("out", board, f"{unit}/{epoch}", before + 1, first - 1)
                    for board, unit, epoch, first, before in connection.execute(outs)
                ),
            ]

    # ---- export --------------------------------------------------------------------------------------------------

    def summaries(self, choice: Choice) -> Iterator[RowMapping]:
        """Rows of summaries by start, board and source; READ_BUNCH of them are held at a time."""
        s = tables.summaries
        wanted: Select[Any] = select(s).order_by(s.c.start_ms, s.c.board, s.c.unit, s.c.epoch, s.c.out)
        for column, value in ((s.c.board, choice.board), (s.c.unit, choice.unit)):
            if value is not None:
                wanted = wanted.where(column == value)
        if choice.since_ms is not None:
            wanted = wanted.where(s.c.start_ms >= choice.since_ms)
        if choice.until_ms is not None:
            wanted = wanted.where(s.c.start_ms < choice.until_ms)
        with translated(self.where), self._engine.connect() as connection:
            rows = connection.execution_options(yield_per=READ_BUNCH).execute(wanted)
            yield from rows.mappings()


def _missing(group: list[Any], first: Any, last: Any, since_ms: int | None, limit: int) -> Select[Any]:
    """Rows (group..., first, highest before) where something lies between."""
    highest = func.max(last).over(partition_by=group, order_by=first, rows=(None, -1))
    before = func.coalesce(highest, 0 if since_ms is None else first - 1).label("before")
    inner = select(*group, first.label("first"), before)
    if since_ms is not None:
        inner = inner.where(tables.batches.c.received_ms >= since_ms)
    rows = inner.subquery()
    return (
        select(rows)
        .where(rows.c.first > rows.c.before + 1)
        .order_by(*rows.c[: len(group)], rows.c.first)
        .limit(limit)
    )
