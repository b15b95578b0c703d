"""Opens the database that a URL names, and translates its faults. SQLite and PostgreSQL are what it speaks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event, exc, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.schema import CreateIndex, CreateTable

from edgeagent.errors import (
    ConfigError,
    DamagedError,
    EdgeAgentError,
    EnvironmentFaultError,
    UnreachableError,
)

from . import tables

SQLITE_BUSY_S = 5.0
"""How long one writer waits for another one."""
CONNECT_S = 5
"""Longest wait for PostgreSQL to answer."""
POOL = 4
"""Connections of a process."""
_SCHEMA_LOCK = 0x6564_6765
"""Advisory lock under which PostgreSQL's tables are made, so that two collectors can start at once."""

EXAMPLES = "Give a URL such as sqlite:////var/lib/edgeagent/collector.db or postgresql://USER@HOST/DATABASE."


def _parse(text_url: str) -> URL:
    try:
        url = make_url(text_url)
    except (exc.ArgumentError, ValueError):
        raise ConfigError("this is no database URL", where="--database", remedy=EXAMPLES) from None
    backend = url.drivername.split("+")[0]
    if backend == "sqlite" and url.database:
        return url.set(drivername="sqlite")
    if backend in ("postgresql", "postgres") and url.database:
        return url.set(drivername="postgresql+psycopg")
    raise ConfigError(f"{url.drivername!r} is no database for this", where="--database", remedy=EXAMPLES)


def _sqlite_settings(connection: Any, _record: Any) -> None:
    # FULL: a commit is on disk before the board is told; WAL: exports read while collectors write.
    for line in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {line}")


@contextmanager
def translated(where: str) -> Iterator[None]:
    """Database exceptions as ours: one clear line, no statement, no password."""
    try:
        yield
    except exc.OperationalError as error:
        raise _operational(str(error.orig), where) from error
    except exc.DatabaseError as error:
        words = str(error.orig).strip().partition("\n")[0]
        raise DamagedError(f"the database refuses: {words}", where=where) from error
    except exc.SQLAlchemyError as error:
        raise EnvironmentFaultError(
            f"the database can't be used: {error.args[0]!s:.200}", where=where
        ) from error


def _operational(words: str, where: str) -> EdgeAgentError:
    line = " ".join(words.split())[:300]
    if "locked" in line:
        return UnreachableError(
            "the database is locked", where=where, remedy="Find the program that keeps it open for writing."
        )
    if "full" in line or "No space" in line:
        return EnvironmentFaultError("the disk of the database is full", where=where, remedy="Make room.")
    if "unable to open" in line:
        return EnvironmentFaultError(
            "the database file can't be opened",
            where=where,
            remedy="Check that its folder exists and is yours.",
        )
    if "readonly" in line or "read-only" in line:
        return EnvironmentFaultError(
            "the database is read-only", where=where, remedy="Check its owner and mode."
        )
    return UnreachableError(f"the database doesn't answer: {line}", where=where)


def open_database(text_url: str, *, create: bool = True) -> tuple[Engine, str]:
    """An engine whose tables exist, and how to name it to people. EdgeAgentError for whatever is wrong.

    Without create a missing file is wrong too: it would only be made to be found empty.
    """
    url = _parse(text_url)
    where = url.render_as_string(hide_password=True)
    sqlite = url.drivername == "sqlite"
    if sqlite:
        if not create and not Path(url.database or "").exists():
            raise ConfigError(
                "there is no such database", where=where, remedy="Give --database as the collector has it."
            )
        engine = create_engine(url, connect_args={"timeout": SQLITE_BUSY_S}, pool_size=POOL, max_overflow=0)
        event.listen(engine, "connect", _sqlite_settings)
    else:
        engine = create_engine(
            url,
            connect_args={"connect_timeout": CONNECT_S},
            pool_size=POOL,
            max_overflow=0,
            pool_pre_ping=True,
        )
    with translated(where):
        _make_tables(engine, where, sqlite=sqlite)
    return engine, where


def _make_tables(engine: Engine, where: str, *, sqlite: bool) -> None:
    with engine.begin() as connection:
        if not sqlite:
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _SCHEMA_LOCK})
        for table in tables.metadata.sorted_tables:
            connection.execute(CreateTable(table, if_not_exists=True))
            for index in table.indexes:
                connection.execute(CreateIndex(index, if_not_exists=True))
        connection.execute(
            text("INSERT INTO meta (name, value) VALUES ('schema', :schema) ON CONFLICT DO NOTHING"),
            {"schema": str(tables.SCHEMA)},
        )
        found = connection.execute(text("SELECT value FROM meta WHERE name = 'schema'")).scalar_one()
    if found != str(tables.SCHEMA):
        raise DamagedError(
            f"the database has schema {found}, this edgeagent knows {tables.SCHEMA}",
            where=where,
            remedy="Use the edgeagent that made it, or another database.",
        )
