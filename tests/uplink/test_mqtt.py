"""The uplink against a real Mosquitto: with and without a collector, broker away and back, forged acknowledgements."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from edgeagent.errors import ConfigError, EnvironmentFaultError, UnreachableError
from edgeagent.seal.ack import make_acks
from edgeagent.seal.keys import SigningKey
from edgeagent.uplink import topics
from edgeagent.uplink.delivery import Limits
from edgeagent.uplink.link import Broker, Link, Message
from edgeagent.uplink.mqtt import Uplink, UplinkConfig
from tests.brokers import password_file, tls_lines
from tests.uplink.spools import MemorySpool, at_once

COLLECTOR = SigningKey.from_seed(b"c" * 32)
SPOOL_ID = b"spool-01"
WAIT_S = 30


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not true():
            await asyncio.sleep(0.01)


def config(url: str, **changes) -> UplinkConfig:
    given = {
        "broker": Broker(url, "board-attic"),
        "board": "attic",
        "spool_id": SPOOL_ID,
        "collector_keys": (COLLECTOR.public,),
        "limits": Limits(batches=4, first_wait=0.2, longest_wait=1),
    }
    return UplinkConfig(**(given | changes))


@asynccontextmanager
async def running(of: UplinkConfig, spool: MemorySpool) -> AsyncIterator[Uplink]:
    uplink = Uplink(of, spool, at_once)
    task = asyncio.create_task(uplink.run())
    try:
        yield uplink
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def next_batch(link: Link) -> bytes:
    async with asyncio.timeout(WAIT_S):
        while True:
            event = await link.event()
            if isinstance(event, Message):
                link.acknowledge(event)
                return event.payload


def ack(numbers: list[int], signer: SigningKey = COLLECTOR, spool_id: bytes = SPOOL_ID) -> bytes:
    (data,) = make_acks("attic", spool_id, numbers, signer=signer, topic=topics.ack("attic"))
    return data


def test_only_the_collectors_word_empties_the_spool(mosquitto_broker):
    broker = mosquitto_broker()
    spool = MemorySpool((n, b"batch %d" % n) for n in range(1, 7))

    async def run() -> None:
        collector = await Link.connect(Broker(broker.url, "c"), [topics.ALL_BATCHES])
        async with running(config(broker.url), spool) as uplink:
            assert {await next_batch(collector) for _ in range(4)} == {b"batch %d" % n for n in range(1, 5)}
            ack_topic = topics.ack("attic")
            stranger = SigningKey.from_seed(b"x" * 32)
            for wrong in (ack([1, 2, 3, 4], signer=stranger), b"nonsense", ack([1], spool_id=b"old")):
                collector.publish(ack_topic, wrong)
            await until(lambda: uplink.status.refused_acks == 2)
            assert "acknowledgement is refused" in uplink.status.error
            assert len(spool.batches) == 6
            collector.publish(ack_topic, ack([2, 3]))
            await until(lambda: spool.acknowledged == [2, 3])
            await until(lambda: uplink.status.under_way == 4)
            collector.publish(ack_topic, ack([1, 2, 3, 4, 5, 6]))
            await until(lambda: not spool.batches)
            spool.batches[7] = b"batch 7"
            uplink.wake()
            while await next_batch(collector) != b"batch 7":
                pass
            status = uplink.status
            assert (status.state, status.acknowledged, status.error) == ("connected", 6, "")
            assert status.bytes_out >= 7 * 7
        await collector.close()

    asyncio.run(run())


def test_the_brokers_word_where_so_configured(mosquitto_broker):
    broker = mosquitto_broker()
    spool = MemorySpool([(1, b"one")])

    async def run() -> None:
        async with running(config(broker.url, acknowledge="broker"), spool) as uplink:
            # Nobody subscribes: the broker says so, and the batch stays.
            await until(lambda: "no collector is subscribed" in uplink.status.error)
            assert spool.batches
            collector = await Link.connect(Broker(broker.url, "c"), [topics.ALL_BATCHES])
            await until(lambda: not spool.batches)
            assert await next_batch(collector) == b"one"
            await collector.close()

    asyncio.run(run())


def test_broker_away_and_back(mosquitto_broker):
    broker = mosquitto_broker()
    spool = MemorySpool([(1, b"one")])

    async def run() -> None:
        async with running(config(broker.url), spool) as uplink:
            await until(lambda: uplink.status.state == "connected")
            broker.stop()
            await until(lambda: uplink.status.state != "connected")
            assert "lost" in uplink.status.error or "reached" in uplink.status.error
            for number in range(2, 40):
                spool.batches[number] = b"later"
                uplink.wake()
            await asyncio.sleep(0.2)
            assert uplink.status.under_way <= 4
            broker.start()
            collector = await Link.connect(Broker(broker.url, "c"), [topics.ALL_BATCHES])
            await until(lambda: uplink.status.state == "connected")
            while spool.batches:
                await next_batch(collector)
                collector.publish(topics.ack("attic"), ack(list(range(1, 40))))
                await asyncio.sleep(0.01)
            await collector.close()

    asyncio.run(run())


# paho leaves the socket of a failed handshake to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_password_and_tls(mosquitto_broker, certificates, tmp_path):
    words = tmp_path / "password"
    words.write_text("secret\n")
    broker = mosquitto_broker(
        [*tls_lines(certificates, require_client=True), *password_file(tmp_path, "attic", "secret")],
        anonymous=False,
    )
    url = f"mqtts://localhost:{broker.port}"
    good = {
        "user": "attic",
        "password_file": words,
        "ca": certificates.ca,
        "certificate": certificates.client,
        "key": certificates.client_key,
    }

    async def connect(**changes) -> None:
        link = await Link.connect(Broker(url, "b", **(good | changes)), [])
        await link.close()

    asyncio.run(connect())
    wrong = tmp_path / "wrong"
    wrong.write_text("guess")
    for changes, kind, why in (
        ({"password_file": wrong}, UnreachableError, "refuses us: Not authorized"),
        ({"ca": certificates.stranger}, UnreachableError, "can't be reached: .*certificate verify failed"),
        ({"ca": tmp_path / "none"}, EnvironmentFaultError, "certificates can't be used"),
        ({"password_file": tmp_path / "none"}, EnvironmentFaultError, "password file can't be read"),
    ):
        with pytest.raises(kind, match=why):
            asyncio.run(connect(**changes))
    gc.collect()


@pytest.mark.parametrize("url", ["", "http://x", "mqtt://", "mqtt://host:port", "host"])
def test_urls(url):
    with pytest.raises(ConfigError, match="is no broker"):
        asyncio.run(Link.connect(Broker(url, "b"), []))


def test_nobody_listens():
    with pytest.raises(
        UnreachableError, match=r"127.0.0.1:1: the broker can't be reached: Connection refused"
    ):
        asyncio.run(Link.connect(Broker("mqtt://127.0.0.1:1", "b"), []))
