"""Boards, a real Mosquitto and collectors: nothing lost or doubled, whoever dies and whenever."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from edgeagent.collector.mqtt import CollectorConfig, broker_of, run_collector
from edgeagent.collector.store import Choice, Store
from edgeagent.errors import EnvironmentFaultError, UnreachableError
from edgeagent.host.disk import DiskFiles
from edgeagent.seal.keys import SigningKey
from edgeagent.seal.keystore import KeyStore
from edgeagent.uplink import topics
from edgeagent.uplink.delivery import Limits
from edgeagent.uplink.link import Broker, Link
from edgeagent.uplink.mqtt import Uplink, UplinkConfig
from tests.seal.given import BOARD, SIGNER, SPOOL, sealed, summary
from tests.uplink.spools import MemorySpool, at_once

WAIT_S = 60
ROOT = Path(__file__).resolve().parents[2]
DIES = ROOT / "tests/collector/dies_after_commit.py"


async def until(true: Callable[[], bool], what: Callable[[], Any] = lambda: "") -> None:
    try:
        async with asyncio.timeout(WAIT_S):
            while not true():
                await asyncio.sleep(0.02)
    except TimeoutError:
        pytest.fail(f"it didn't happen: {what()}")


class Cloud:
    """A database, keys and a broker; collectors in this process or in others."""

    def __init__(self, url: str, broker: Any, folder: Path) -> None:
        self.url, self.broker, self.keys = url, broker, folder / "collector"
        keys = KeyStore(DiskFiles(), self.keys)
        keys.init("collector", os.urandom)
        self.signer, self.opener = keys.signer(), keys.opening_keys()[0]
        self.store = Store(url)
        self.store.enroll(BOARD, SIGNER.public, 1)
        self.events: list[dict[str, Any]] = []

    def batches(self, count: int, first: int = 1) -> MemorySpool:
        return MemorySpool(
            (n, sealed(n, recipients=[self.opener.public])) for n in range(first, first + count)
        )

    def config(self, name: str = "", **changes: Any) -> CollectorConfig:
        return CollectorConfig(
            self.url, broker_of(self.broker.url, name), self.keys, emit=self.events.append, **changes
        )

    @asynccontextmanager
    async def collector(self, **changes: Any) -> AsyncIterator[None]:
        before = len(self.named("connected"))
        task = asyncio.create_task(run_collector(self.config(**changes)))
        try:
            await until(lambda: task.done() or len(self.named("connected")) > before)
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    @asynccontextmanager
    async def board(self, spool: MemorySpool, acknowledge: str = "collector") -> AsyncIterator[Uplink]:
        config = UplinkConfig(
            Broker(self.broker.url, f"board-{id(spool)}"),
            BOARD,
            SPOOL,
            acknowledge,
            collector_keys=(self.signer.public,),
            limits=Limits(batches=8, first_wait=0.3, longest_wait=0.6),
        )
        uplink = Uplink(config, spool, at_once)
        task = asyncio.create_task(uplink.run())
        try:
            yield uplink
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    def named(self, event: str) -> list[dict[str, Any]]:
        return [one for one in self.events if one["event"] == event]

    def complete(self, count: int) -> bool:
        """Outputs 1..3*count, each once; two of three are summaries."""
        outs = [row["out"] for row in self.store.summaries(Choice())]
        return sorted(outs) == [out for out in range(1, 3 * count + 1) if out % 3] and not self.store.gaps()

    @contextmanager
    def process(self, *program: str | Path) -> Iterator[subprocess.Popen[str]]:
        """A Python of its own; killed at the end."""
        command = [sys.executable, *map(str, program)]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
            try:
                yield process
            finally:
                process.kill()

    def command(self) -> list[str]:
        options = ["--database", self.url, "--broker", self.broker.url, "--keys", str(self.keys), "--json"]
        return ["-c", "from edgeagent.cli.main import main; main()", "collect", *options]


@pytest.fixture
def cloud(sqlite_url, mosquitto_broker, tmp_path):
    made = Cloud(sqlite_url, mosquitto_broker(), tmp_path)
    yield made
    made.store.close()


def test_batches_arrive_and_leave_the_spool(cloud):
    spool = cloud.batches(20)

    async def run() -> None:
        async with cloud.collector(status_every=0.2), cloud.board(spool):
            await until(lambda: not spool.batches, lambda: cloud.events)
            await until(lambda: cloud.named("status") and cloud.named("status")[-1]["batches"] == 20)

    asyncio.run(run())
    assert cloud.complete(20)
    status = cloud.named("status")[-1]
    assert (status["summaries"], status["reports"], status["gaps"]) == (40, 20, 0)


def test_on_postgresql(postgres_url, mosquitto_broker, tmp_path):
    cloud = Cloud(postgres_url, mosquitto_broker(), tmp_path)
    spool = cloud.batches(30)

    async def run() -> None:
        async with cloud.collector(), cloud.collector(), cloud.board(spool):
            await until(lambda: not spool.batches, lambda: cloud.events)

    asyncio.run(run())
    assert cloud.complete(30)
    cloud.store.close()


def test_killed_between_commit_and_acknowledgement(cloud):
    spool = cloud.batches(24)

    async def run() -> None:
        async with cloud.board(spool):
            # The board has 8 under way, so that even the largest bunches make commits enough.
            for commits in (0, 1, 1):
                with cloud.process(DIES, cloud.url, cloud.broker.url, cloud.keys, str(commits)) as process:
                    assert await asyncio.to_thread(process.wait, WAIT_S) == -signal.SIGKILL
            assert spool.batches
            async with cloud.collector():
                await until(lambda: not spool.batches, lambda: cloud.events)

    asyncio.run(run())
    assert cloud.complete(24)
    assert sum(event["repeated"] for event in cloud.named("stored")) >= 1


def test_collectors_killed_at_random_while_they_share(cloud):
    spool = cloud.batches(60)
    dice = random.Random(5)

    async def run() -> None:
        async with cloud.collector():
            for _ in range(2):
                with cloud.process(*cloud.command()) as process:
                    line = await asyncio.to_thread(process.stdout.readline)
                    assert json.loads(line)["event"] == "connected"
                    async with cloud.board(spool):
                        await asyncio.sleep(dice.random() / 10)
            async with cloud.board(spool):
                await until(lambda: not spool.batches, lambda: cloud.events)

    asyncio.run(run())
    assert cloud.complete(60)


def test_two_collectors_share_the_load(cloud):
    spool = cloud.batches(40)

    async def run() -> None:
        other = Cloud.__new__(Cloud)
        other.__dict__ |= vars(cloud) | {"events": []}
        async with cloud.collector(), other.collector(), cloud.board(spool):
            await until(lambda: not spool.batches, lambda: cloud.events)
        for one in (cloud, other):
            assert one.named("stored")

    asyncio.run(run())
    assert cloud.complete(40)


def test_broker_away_and_back(cloud):
    spool = cloud.batches(10)

    async def run() -> None:
        async with cloud.collector(), cloud.board(spool):
            await until(lambda: not spool.batches)
            cloud.broker.stop()
            await until(lambda: bool(cloud.named("broker")))
            spool.batches |= cloud.batches(10, first=11).batches
            cloud.broker.start()
            await until(lambda: not spool.batches, lambda: cloud.events)

    asyncio.run(run())
    assert cloud.complete(20)
    assert len(cloud.named("connected")) == 2


def test_what_is_refused_is_told_and_not_acknowledged(cloud):
    good = sealed(1, recipients=[cloud.opener.public])
    stranger = SigningKey.from_seed(b"x" * 32)
    wrong = {
        "unknown board": (
            "cellar",
            sealed(1, board="cellar", topic=topics.batch("cellar"), recipients=[cloud.opener.public]),
        ),
        "unknown signing key": (BOARD, sealed(1, signer=stranger, recipients=[cloud.opener.public])),
        "encrypted for somebody else": (BOARD, sealed(1)),
        "another board's batch": (BOARD, sealed(1, board="cellar", recipients=[cloud.opener.public])),
        "damaged or forged": (BOARD, good[:-1] + bytes([good[-1] ^ 1])),
    }

    async def run() -> None:
        link = await Link.connect(
            Broker(cloud.broker.url, "board"), [topics.ack(BOARD), topics.ack("cellar")]
        )
        async with cloud.collector():
            for board, data in wrong.values():
                for _ in range(3):
                    link.publish(topics.batch(board), data)
            await until(lambda: {event["reason"] for event in cloud.named("refused")} == set(wrong))
            assert not cloud.named("stored")
            link.publish(topics.batch(BOARD), good)
            await until(lambda: bool(cloud.named("stored")))
            # Enrolled while the collector runs.
            cloud.store.enroll("cellar", SIGNER.public, 2)
            await asyncio.sleep(1.1)
            link.publish(*[topics.batch("cellar"), wrong["unknown board"][1]])
            await until(lambda: len(cloud.named("stored")) == 2)
            messages = []
            while len(messages) < 2:
                event = await link.event()
                messages += [event.topic] if hasattr(event, "topic") else []
            assert messages == [topics.ack(BOARD), topics.ack("cellar")]
        await link.close()

    asyncio.run(run())
    assert len(cloud.named("refused")) == len(wrong)


def test_a_batch_that_the_database_refuses_keeps_no_other_out(cloud):
    with cloud.store._engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE TRIGGER no BEFORE INSERT ON summaries WHEN NEW.out = 4 BEGIN SELECT RAISE(ABORT, 'not this'); END"
        )
    spool = cloud.batches(3)

    async def run() -> None:
        async with cloud.collector(), cloud.board(spool):
            await until(
                lambda: set(spool.batches) == {2} and bool(cloud.named("refused")), lambda: cloud.events
            )

    asyncio.run(run())
    assert "not this" in cloud.named("refused")[0]["detail"]


def test_a_database_that_is_away_loses_nothing(cloud, monkeypatch):
    spool = cloud.batches(3)
    write, faults = Store.write, iter([UnreachableError("the database is locked")] * 2)

    def failing(self, received, now_ms):
        for fault in faults:
            raise fault
        return write(self, received, now_ms)

    monkeypatch.setattr(Store, "write", failing)
    monkeypatch.setattr("edgeagent.collector.mqtt.RETRY_FIRST_S", 0.05)

    async def run() -> None:
        async with cloud.collector(), cloud.board(spool):
            await until(lambda: not spool.batches, lambda: cloud.events)

    asyncio.run(run())
    assert [event["error"] for event in cloud.named("database")] == ["the database is locked"] * 2
    assert cloud.complete(3)


def test_the_broker_keeps_batches_for_a_collector_with_a_name(cloud):
    """Where a board trusts the broker, a named collector may be away."""
    spool = cloud.batches(10)

    async def run() -> None:
        async with cloud.collector(name="one"):
            pass
        async with cloud.board(spool, acknowledge="broker"):
            await until(lambda: not spool.batches, lambda: cloud.events)
        assert not cloud.named("stored")
        async with cloud.collector(name="one"):
            await until(lambda: cloud.complete(10), lambda: cloud.events)

    asyncio.run(run())


def test_sigterm_ends_it_cleanly(cloud):
    with cloud.process(*cloud.command()) as process:
        assert json.loads(process.stdout.readline())["event"] == "connected"
        process.send_signal(signal.SIGTERM)
        assert process.wait(WAIT_S) == 0


def test_it_says_why_it_cannot_begin(cloud, tmp_path):
    def error(**changes: Any) -> str:
        config = cloud.config()
        given = {
            "database": config.database,
            "broker": config.broker,
            "keys": config.keys,
            "emit": print,
        } | changes
        with pytest.raises((UnreachableError, EnvironmentFaultError)) as caught:
            asyncio.run(run_collector(CollectorConfig(**given)))
        return str(caught.value)

    assert "Connection refused" in error(broker=broker_of("mqtt://127.0.0.1:1"))
    assert "can't be opened" in error(database="sqlite:////nowhere/x.db")
    assert "no keys" in error(keys=tmp_path / "none") or "missing" in error(keys=tmp_path / "none")


def test_a_wide_batch(cloud):
    """A batch near the largest that a unit makes."""
    items = [summary(out, f"home/sensor_{out:04}", values=("1", "2.5", "3.25")) for out in range(1, 2001)]
    spool = MemorySpool([(1, sealed(1, items=items, recipients=[cloud.opener.public]))])

    async def run() -> None:
        async with cloud.collector(), cloud.board(spool):
            await until(lambda: not spool.batches, lambda: cloud.events)

    asyncio.run(run())
    assert len(list(cloud.store.summaries(Choice()))) == 2000
