"""The tables of the collector's database; the same in SQLite and PostgreSQL. Times are ms since 1970 UTC.

What makes a summary the same one is (board, unit, epoch, out): epoch names the board's log, out the output in it.
A batch is the same by (board, spool, number). Both are primary keys, so that nothing can be stored twice.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    ForeignKey,
    Index,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

SCHEMA = 1
metadata = MetaData()

meta = Table(
    "meta", metadata, Column("name", String(32), primary_key=True), Column("value", Text, nullable=False)
)

boards = Table(
    "boards",
    metadata,
    Column("name", String(63), primary_key=True),
    Column("enrolled_ms", BigInteger, nullable=False),
)

keys = Table(
    "keys",
    metadata,
    Column("board", String(63), ForeignKey("boards.name"), primary_key=True),
    Column("kid", String(16), primary_key=True),
    Column("raw", LargeBinary, nullable=False),
    Column("added_ms", BigInteger, nullable=False),
    Column("retired_ms", BigInteger),
)

batches = Table(
    "batches",
    metadata,
    Column("board", String(63), primary_key=True),
    Column("spool", String(64), primary_key=True),
    Column("number", BigInteger, primary_key=True),
    Column("unit", Text, nullable=False),
    Column("app", Text, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("first_out", BigInteger, nullable=False),
    Column("last_out", BigInteger, nullable=False),
    Column("items", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("received_ms", BigInteger, nullable=False),
    Index("batches_received", "received_ms"),
)

_WHO = ("board", "unit", "epoch", "out")


def _numbered(*types: type[BigInteger | Text]) -> list[Column[object]]:
    return [
        Column(name, of, primary_key=True, autoincrement=False) for name, of in zip(_WHO, types, strict=True)
    ]


summaries = Table(
    "summaries",
    metadata,
    *_numbered(Text, Text, BigInteger, BigInteger),
    Column("seq", BigInteger, nullable=False),
    Column("source", Text, nullable=False),
    Column("field", Text, nullable=False),
    Column("measure", Text, nullable=False),
    Column("start_ms", BigInteger, nullable=False),
    Column("length_ms", BigInteger, nullable=False),
    Column("count", BigInteger, nullable=False),
    Column("min", Text, nullable=False),
    Column("max", Text, nullable=False),
    Column("sum", Text, nullable=False),
    Column("first", Text, nullable=False),
    Column("last", Text, nullable=False),
    Column("sq", Text, nullable=False),
    Column("mean", Float(53)),
    Column("variance", Float(53)),
    Column("quantiles", Text, nullable=False),
    Column("error", BigInteger, nullable=False),
    Column("skipped", BigInteger, nullable=False),
    Column("flags", BigInteger, nullable=False),
    Index("summaries_start", "start_ms"),
)

reports = Table(
    "reports",
    metadata,
    *_numbered(Text, Text, BigInteger, BigInteger),
    Column("seq", BigInteger, nullable=False),
    Column("start_ms", BigInteger, nullable=False),
    Column("length_ms", BigInteger, nullable=False),
    Column("payloads", BigInteger, nullable=False),
    Column("values", BigInteger, nullable=False),
    Column("reasons", Text, nullable=False),
)
