"""The store on SQLite and on a real PostgreSQL: exact, once, gaps, keys, faults in one line."""

from __future__ import annotations

import sqlite3
import threading
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import event

from edgeagent.collector import database, rows
from edgeagent.collector.database import open_database
from edgeagent.collector.receive import Received, receive
from edgeagent.collector.store import Choice, Gap, Store, Written
from edgeagent.errors import ConfigError, EdgeAgentError, EnvironmentFaultError, UnreachableError
from edgeagent.seal.batch import Batch
from edgeagent.seal.keys import SigningKey, agree_with
from edgeagent.wire import messages
from edgeagent.wire.frame import FrameType
from tests.seal.given import BOARD, OPENER, SIGNER, SPOOL, TOPIC, items, report, sealed, summary

NOW = 1_700_000_000_000


@pytest.fixture
def store(database_url):
    made = Store(database_url)
    made.enroll(BOARD, SIGNER.public, NOW)
    yield made
    made.close()


def received(number: int = 1, **changes) -> Received:
    found = receive(
        TOPIC, sealed(number, **changes), agree=agree_with([OPENER]), keys={SIGNER.kid: SIGNER.public}
    )
    assert isinstance(found, Received)
    return found


def stored(store: Store) -> list[messages.Summary]:
    return [rows.summary_of(row) for row in store.summaries(Choice())]


def test_what_goes_in_comes_out(store):
    one = received()
    assert store.write([one], NOW) == Written(1, 0, 2, 1)
    assert stored(store) == [item for item in one.batch.items if isinstance(item, messages.Summary)]


def test_a_replayed_batch_changes_nothing(store):
    store.write([received()], NOW)
    before = stored(store)
    assert store.write([received()], NOW + 1) == Written(0, 1, 0, 0)
    assert store.write([received(), received(), received(2)], NOW) == Written(1, 2, 2, 1)
    assert stored(store)[: len(before)] == before


def test_outputs_of_another_batch_are_known_again(store):
    """A board that lost its spool seals the same outputs under new numbers."""
    store.write([received()], NOW)
    again = received()
    moved = replace(again.batch, head=replace(again.batch.head, spool_id=b"new", number=9))
    assert store.write([replace(again, batch=moved)], NOW) == Written(1, 0, 0, 0)


def test_numbers_of_any_size_are_exact(store):
    huge = messages.Summary(
        2**63 - 1, 2**63 - 1, "s\0ource", "f", "", 2**63 - 1, 1, 2**63 - 1,
        *(Decimal(f"{2**128 - 1}E{exponent}") for exponent in (-128, 127, 0, 5, -5, 88)),
        (Decimal("-1E-128"),), 2**63 - 1, 2**63 - 1, 2**63 - 1,
    )  # fmt: skip
    one = received()
    batch = Batch(one.batch.head, huge.out, huge.out, (huge,))
    store.write([Received(batch, 1)], NOW)
    (row,) = store.summaries(Choice())
    assert rows.summary_of(row) == replace(huge, source="s␀ource")
    assert row["variance"] is None or row["variance"] >= 0


def test_gaps(store):
    assert store.gaps() == []
    store.write([received(n) for n in (3, 4, 7)], NOW)
    store.write([received(9)], NOW + 10)
    spool = SPOOL.hex()
    batches = [Gap("batch", BOARD, spool, first, last) for first, last in ((1, 2), (5, 6), (8, 8))]
    outs = [Gap("out", BOARD, "home/1", first, last) for first, last in ((1, 6), (13, 18), (22, 24))]
    assert store.gaps() == batches + outs
    assert store.gaps(since_ms=NOW) == batches[1:] + outs[1:]
    assert store.gaps(since_ms=NOW + 5) == []
    store.write([received(n) for n in (1, 2, 5, 6, 8)], NOW)
    assert store.gaps() == []


def test_keys(store):
    new = SigningKey.from_seed(b"n" * 32).public
    assert store.keys("nobody") is None
    assert store.keys(BOARD) == {SIGNER.kid: SIGNER.public}
    assert not store.enroll(BOARD, SIGNER.public, NOW)
    assert store.enroll(BOARD, new, NOW + 1)
    store.retire(BOARD, SIGNER.kid.hex(), NOW + 2)
    assert store.keys(BOARD) == {new.kid: new}
    with pytest.raises(ConfigError, match="no key ffff"):
        store.retire(BOARD, "ffff", NOW)
    (row,) = store.boards()
    assert (row.keys, row.retired) == ((new.kid.hex(),), (SIGNER.kid.hex(),))
    store.retire(BOARD, new.kid.hex(), NOW)
    assert store.keys(BOARD) == {}
    assert store.enroll(BOARD, new, NOW)


def test_choice(store):
    store.write([received(1), received(2)], NOW)
    late = received(3, items=[summary(7, start=1_700_000_100_000), report(8), summary(9)])
    store.write([late], NOW)
    assert len(list(store.summaries(Choice(board="other")))) == 0
    assert len(list(store.summaries(Choice(board=BOARD, unit="home")))) == 6
    assert [row["out"] for row in store.summaries(Choice(since_ms=1_700_000_100_000))] == [7]
    assert len(list(store.summaries(Choice(until_ms=1_700_000_100_000)))) == 5


def test_two_writers_of_the_same_batches(database_url, store):
    other = Store(database_url)
    bunches = [[received(n) for n in range(first, first + 8)] for first in range(1, 33, 8)]
    faults: list[EdgeAgentError] = []

    def work(one: Store, order: list[list[Received]]) -> None:
        try:
            for bunch in order:
                one.write(bunch, NOW)
        except EdgeAgentError as error:
            faults.append(error)

    threads = [
        threading.Thread(target=work, args=(store, bunches)),
        threading.Thread(target=work, args=(other, [list(reversed(b)) for b in reversed(bunches)])),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    other.close()
    assert not faults
    assert store.gaps() == []
    assert len(stored(store)) == 64


def test_opening_at_once(database_url):
    stores: list[Store] = []
    threads = [threading.Thread(target=lambda: stores.append(Store(database_url))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(stores) == 4
    for one in stores:
        one.close()


@settings(max_examples=40)
@given(items())
def test_rows_round_trip(said):
    for item in said:
        if item.type == FrameType.SUMMARY:
            parsed = messages.parse(item.type, item.body)
            row = rows.summary_row(parsed)
            again = rows.summary_of(row)
            assert again == replace(
                parsed,
                **{name: getattr(parsed, name).replace("\0", "␀") for name in ("source", "field", "unit")},
            )


@given(st.lists(st.decimals(-(10**9), 10**9, places=3), min_size=1, max_size=30))
def test_mean_and_variance_are_the_nearest_doubles(values):
    said = messages.parse(*summary(1, values=values))
    exact = [Fraction(value) for value in values]
    mean = sum(exact) / len(exact)
    assert rows.mean(said) == float(mean)
    assert rows.variance(said) == float(sum((value - mean) ** 2 for value in exact) / len(exact))


@pytest.mark.parametrize(
    ("url", "kind", "why"),
    [
        ("", ConfigError, "no database URL"),
        ("nonsense", ConfigError, "no database URL"),
        ("sqlite://", ConfigError, "'sqlite' is no database"),
        ("mysql://u@h/d", ConfigError, "'mysql' is no database"),
        ("postgresql://h:port/d", ConfigError, "no database URL"),
        ("sqlite:////nowhere/x.db", EnvironmentFaultError, "can't be opened"),
        ("postgresql://edge:secret@127.0.0.1:1/x", UnreachableError, "doesn't answer"),
    ],
)
def test_wrong_urls(url, kind, why):
    with pytest.raises(kind, match=why) as caught:
        open_database(url)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_not_a_database(tmp_path):
    (tmp_path / "x.db").write_bytes(b"something else entirely" * 100)
    with pytest.raises(EdgeAgentError, match="file is not a database"):
        open_database(f"sqlite:///{tmp_path}/x.db")


def test_newer_schema(sqlite_url, tmp_path):
    Store(sqlite_url).close()
    with sqlite3.connect(tmp_path / "collector.db") as connection:
        connection.execute("UPDATE meta SET value = '2'")
    connection.close()
    with pytest.raises(EdgeAgentError, match="schema 2"):
        Store(sqlite_url)


def test_locked(sqlite_url, tmp_path, monkeypatch):
    monkeypatch.setattr(database, "SQLITE_BUSY_S", 0.05)
    store = Store(sqlite_url)
    other = sqlite3.connect(tmp_path / "collector.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(UnreachableError, match="database is locked"):
        store.write([received()], NOW)
    other.execute("ROLLBACK")
    other.close()
    assert store.write([received()], NOW).batches == 1
    store.close()


def test_full(sqlite_url):
    store = Store(sqlite_url)
    with store._engine.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
    # Every connection of the pool gets the limit.
    event.listen(store._engine, "connect", lambda c, _: c.execute(f"PRAGMA max_page_count={pages}").close())
    store._engine.dispose()
    batches = [received(number) for number in range(1, 100)]
    with pytest.raises(EnvironmentFaultError, match="disk of the database is full"):
        store.write(batches, NOW)
    assert store.gaps() == []
    store.close()


def test_a_commit_is_synced(sqlite_url):
    store = Store(sqlite_url)
    with store._engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar_one() == 2
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar_one() == "wal"
    store.close()
