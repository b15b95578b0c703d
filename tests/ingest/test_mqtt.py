"""The MQTT shell against a real Mosquitto."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import paho.mqtt.client as paho
import pytest

from edgeagent.errors import ConfigError
from edgeagent.host.disk import DiskFiles
from edgeagent.ingest.delivery import newest_mqtt
from edgeagent.ingest.filter_memory import FilterMemory
from edgeagent.ingest.mqtt import MqttSource
from edgeagent.ingest.mqtt_link import CHUNK
from tests.brokers import password_file, tls_lines
from tests.ingest.intakes import MemoryIntake
from tests.ingest.relay import Relay
from tests.ingest.sources import publish, running, settings, until

VERSIONS = pytest.mark.parametrize("version", [4, 5])


def readings(count, topics=50):
    return [(f"s/{n % topics}/state", b'{"n":%d}' % n) for n in range(count)]


def values(intake):
    return [(one.topic.decode(), one.payload) for one in intake.all]


@pytest.mark.parametrize(
    ("version", "qos", "count"), [(4, 0, 10_000), (4, 1, 2000), (5, 0, 2000), (5, 1, 10_000)]
)
def test_many_messages_arrive_once_and_in_order(mosquitto_broker, version, qos, count):
    broker = mosquitto_broker()

    async def check():
        intake = MemoryIntake()
        wanted = settings(broker.url, "s/+/state", qos=qos, version=version)
        async with running(wanted, intake) as source:
            sent = readings(count)
            # QoS 1 from the publisher, so that nothing is lost before the broker.
            await asyncio.to_thread(publish, broker.port, sent)
            await until(lambda: len(intake.all) >= len(sent))
            assert values(intake) == sent
            assert (
                {one.tag for one in intake.all} == {0}
                if not qos
                else len({one.tag for one in intake.all}) == count
            )
            assert source.status.messages == count
            assert (source.status.duplicates, source.status.unacknowledged) == (0, 0)

    asyncio.run(check())


@VERSIONS
def test_overlapping_filters_bring_a_message_once(mosquitto_broker, version):
    broker = mosquitto_broker()

    async def check():
        intake = MemoryIntake()
        wanted = settings(broker.url, "s/#", "s/1/state", "s/+/state", "s/1/+", version=version)
        async with running(wanted, intake):
            await asyncio.to_thread(publish, broker.port, [*readings(60), ("s/last", b"")])
            await until(lambda: intake.all and intake.all[-1].topic == b"s/last")
            assert values(intake)[:-1] == readings(60)

    asyncio.run(check())


@VERSIONS
def test_filters_that_left_the_configuration_are_taken_back(mosquitto_broker, version, tmp_path):
    broker = mosquitto_broker()
    path = tmp_path / "filters.json"

    async def check():
        intake = MemoryIntake()
        old = settings(broker.url, "s/1/state", "t/+", version=version)
        async with running(old, intake, memory=FilterMemory(DiskFiles(), path)):
            await until(lambda: json.loads(path.read_text()) == ["s/1/state", "t/+"])
        async with running(
            settings(broker.url, "s/#", version=version), intake, memory=FilterMemory(DiskFiles(), path)
        ) as source:
            await until(lambda: json.loads(path.read_text()) == ["s/#"])
            await asyncio.to_thread(publish, broker.port, [("t/1", b""), *readings(60), ("s/last", b"")])
            await until(lambda: intake.all and intake.all[-1].topic == b"s/last")
            assert values(intake)[:-1] == readings(60)
            assert source.status.sessions_lost == 0

    asyncio.run(check())


def test_a_full_disk_is_no_reason_not_to_receive(mosquitto_broker, tmp_path, caplog):
    broker = mosquitto_broker()
    memory = FilterMemory(DiskFiles(), tmp_path / "gone" / "filters.json")

    async def check():
        async with running(settings(broker.url), MemoryIntake(), memory=memory) as source:
            assert source.status.state == "connected"

    asyncio.run(check())
    assert "can't be remembered" in caplog.text


def test_content_types_become_formats(mosquitto_broker):
    broker = mosquitto_broker()

    async def check():
        intake = MemoryIntake()
        async with running(settings(broker.url), intake):
            for kind in ("application/senml+cbor", "application/json; charset=utf-8", "image/png"):
                await asyncio.to_thread(publish, broker.port, [("s/1", b"x")], content_type=kind)
            await until(lambda: len(intake.all) == 3)
            assert [one.content_format for one in intake.all] == [112, 50, 65_535]

    asyncio.run(check())


def test_acknowledged_only_when_durable(mosquitto_broker):
    broker = mosquitto_broker()

    async def check():
        intake = MemoryIntake(hold=True)
        async with running(settings(broker.url, receive_maximum=30), intake) as source:
            await asyncio.to_thread(publish, broker.port, readings(100))
            await until(lambda: len(intake.all) == 30)
            await asyncio.sleep(0.2)
            # Thirty is what the broker may send before we acknowledge.
            assert (len(intake.all), source.status.unacknowledged) == (30, 30)
            intake.hold = False
            intake.commit()
            await until(lambda: len(intake.all) == 100)
            assert values(intake) == readings(100)

    asyncio.run(check())


@VERSIONS
def test_a_cut_brings_the_unacknowledged_again_and_they_are_known(mosquitto_broker, version):
    broker = mosquitto_broker()

    async def check():
        intake = MemoryIntake(hold=True)
        async with (
            Relay(broker.port) as relay,
            running(settings(f"mqtt://127.0.0.1:{relay.port}", version=version), intake) as source,
        ):
            await asyncio.to_thread(publish, broker.port, readings(40))
            await until(lambda: len(intake.all) == 40)
            relay.cut()
            await until(lambda: source.status.state == "waiting")
            # Durable too late: these acknowledgements belong to a connection that is gone.
            intake.hold = False
            intake.commit()
            # Sent while we're away, and one of them equal to an older message: it isn't a duplicate.
            away = [*readings(1), ("s/away", b"1")]
            await asyncio.to_thread(publish, broker.port, away)
            await until(lambda: len(intake.all) == 42)
            await until(lambda: source.status.unacknowledged == 0)
            assert values(intake) == readings(40) + away
            assert source.status.duplicates == 40
            assert (source.status.reconnects, source.status.sessions_lost) == (1, 0)

    asyncio.run(check())


@VERSIONS
def test_after_a_restart_of_the_agent_the_log_knows_them(mosquitto_broker, version):
    broker = mosquitto_broker()

    async def check():
        intake = MemoryIntake(hold=True)
        wanted = settings(broker.url, version=version)
        async with running(wanted, intake):
            await asyncio.to_thread(publish, broker.port, readings(25))
            await until(lambda: len(intake.all) == 25)
        intake.hold = False
        await asyncio.to_thread(publish, broker.port, readings(5))
        newest = newest_mqtt(one.tag for one in intake.all)
        async with running(wanted, intake, newest) as source:
            await until(lambda: len(intake.all) == 30)
            assert source.status.duplicates == 25
            assert source.status.sessions_lost == 0
        assert values(intake) == readings(25) + readings(5)

    asyncio.run(check())


@VERSIONS
def test_broker_restarts_and_forgets(mosquitto_broker, version, caplog):
    broker = mosquitto_broker()

    async def check():
        intake = MemoryIntake()
        async with running(settings(broker.url, version=version), intake) as source:
            await asyncio.to_thread(publish, broker.port, readings(10))
            await until(lambda: len(intake.all) == 10)
            await asyncio.to_thread(broker.stop)
            await until(lambda: source.status.state == "waiting")
            await until(lambda: "nothing listens there" in source.status.last_error)
            await asyncio.to_thread(broker.start)
            await asyncio.to_thread(publish, broker.port, readings(10))
            await until(lambda: len(intake.all) == 20)
            assert (source.status.connects, source.status.sessions_lost) == (2, 0)
            assert source.status.last_error == ""
            await asyncio.to_thread(broker.stop)
            (broker.folder / "mosquitto.db").unlink()
            await asyncio.to_thread(broker.start)
            await until(lambda: source.status.connects == 3)
            assert source.status.sessions_lost == 1
            assert "forgot our session" in caplog.text
            # The ids of a new session mean nothing of the old one.
            await until(lambda: source.status.state == "connected")
            await asyncio.sleep(0.2)
            await asyncio.to_thread(publish, broker.port, readings(10))
            await until(lambda: len(intake.all) == 30)
            assert len({one.tag for one in intake.all}) == 30

    asyncio.run(check())


@VERSIONS
def test_full_slows_the_broker_and_the_connection_lives(mosquitto_broker, version):
    broker = mosquitto_broker()
    sent = [(f"s/{n}", b"x" * 1000) for n in range(3000)]

    async def check():
        intake = MemoryIntake(limit=100)
        wanted = settings(broker.url, version=version, keepalive=1, receive_maximum=65_535)
        async with running(wanted, intake) as source:
            await asyncio.to_thread(publish, broker.port, sent)
            await until(lambda: source.status.state == "paused")
            # Mosquitto ends a connection after 1.5 s of silence with this keepalive.
            await asyncio.sleep(2.5)
            assert len(intake.all) <= 100 + CHUNK // 1000
            intake.make_room(10_000)
            await until(lambda: len(intake.all) == len(sent))
            assert values(intake) == sent
            assert (source.status.connects, source.status.state) == (1, "connected")

    asyncio.run(check())


def test_no_connection_is_made_while_the_log_is_full(mosquitto_broker):
    broker = mosquitto_broker()

    async def check():
        intake = MemoryIntake(limit=0)
        source = MqttSource(settings(broker.url), intake, newest_tag=0, jitter=lambda: 0.0)
        task = asyncio.create_task(source.run())
        await until(lambda: source.status.state == "paused")
        await asyncio.sleep(0.1)
        assert source.status.connects == 0
        intake.make_room(10)
        await until(lambda: source.status.connects == 1)
        task.cancel()
        await asyncio.wait([task])

    asyncio.run(check())


def test_a_silent_broker_is_noticed(mosquitto_broker):
    broker = mosquitto_broker()

    async def check():
        async with (
            Relay(broker.port) as relay,
            running(settings(f"mqtt://127.0.0.1:{relay.port}", keepalive=1), MemoryIntake()) as source,
        ):
            relay.silent = True
            await until(lambda: source.status.state == "waiting")
            assert "no answer for 2 s" in source.status.last_error
            relay.silent = False
            await until(lambda: source.status.connects == 2)

    asyncio.run(check())


@VERSIONS
def test_retained_values_are_dropped_or_taken_once(mosquitto_broker, version):
    broker = mosquitto_broker()
    publish(broker.port, readings(3, topics=3), retain=True)

    async def check():
        intake = MemoryIntake()
        wanted = settings(broker.url, version=version)
        async with running(wanted, intake) as source:
            await asyncio.to_thread(publish, broker.port, [("s/9", b"new")], retain=True)
            await until(lambda: len(intake.all) == 1)
            # Version 5 asks the broker not to send them at all.
            assert source.status.retained == (3 if version == 4 else 0)
        assert values(intake) == [("s/9", b"new")]

        intake = MemoryIntake()
        async with Relay(broker.port) as relay:
            wanted = replace(wanted, url=f"mqtt://127.0.0.1:{relay.port}", client_id="b2", take_retained=True)
            async with running(wanted, intake) as source:
                await until(lambda: len(intake.all) == 4)
                relay.cut()
                await until(lambda: source.status.connects == 2)
                await asyncio.to_thread(publish, broker.port, [("s/10", b"last")])
                await until(lambda: intake.all[-1].payload == b"last")
                assert len(intake.all) == 5

    asyncio.run(check())


@VERSIONS
@pytest.mark.parametrize("size", [140_000, 400_000])
def test_oversized_messages_are_dropped_in_sight_and_come_only_once(mosquitto_broker, version, size):
    broker = mosquitto_broker()

    async def check():
        intake = MemoryIntake()
        async with running(settings(broker.url, version=version), intake) as source:
            big = [("s/big", bytes(size))]
            await asyncio.to_thread(publish, broker.port, readings(5) + big + readings(5))
            await until(lambda: len(intake.all) == 10)
            # Beyond the maximum packet size of version 5 the broker itself drops it.
            assert source.status.unusable == (0 if version == 5 and size > 262_144 else 1)
            await until(lambda: source.status.unacknowledged == 0)
        async with running(settings(broker.url, version=version), intake) as source:
            await asyncio.to_thread(publish, broker.port, readings(1))
            await until(lambda: len(intake.all) == 11)
            assert source.status.unusable == 0

    asyncio.run(check())


def test_what_the_policy_drops_is_acknowledged_and_counted(mosquitto_broker):
    broker = mosquitto_broker()

    async def check():
        intake = MemoryIntake()
        intake.refuse = frozenset({b"s/0/state"})
        async with running(settings(broker.url), intake) as source:
            await asyncio.to_thread(publish, broker.port, readings(100))
            await until(lambda: source.status.messages == 100)
            assert (len(intake.all), source.status.dropped) == (98, 2)
            await until(lambda: source.status.unacknowledged == 0)

    asyncio.run(check())


def test_shared_subscriptions_split_the_load(mosquitto_broker):
    broker = mosquitto_broker()

    async def check():
        first, second = MemoryIntake(), MemoryIntake()
        wanted = settings(broker.url, "$share/agents/s/#")
        async with running(wanted, first), running(replace(wanted, client_id="b2"), second):
            await asyncio.to_thread(publish, broker.port, readings(200))
            await until(lambda: len(first.all) + len(second.all) >= 200)
            assert first.all
            assert second.all
            assert sorted(values(first) + values(second)) == sorted(readings(200))

    asyncio.run(check())


def test_tls_with_and_without_trust(mosquitto_broker, certificates):
    broker = mosquitto_broker(tls_lines(certificates))
    url = f"mqtts://localhost:{broker.port}"

    async def error_of(wanted):
        source = MqttSource(wanted, MemoryIntake(), newest_tag=0, jitter=lambda: 0.0)
        task = asyncio.create_task(source.run())
        await until(lambda: source.status.state == "waiting")
        task.cancel()
        await asyncio.wait([task])
        return source.status.last_error

    async def check():
        async with running(settings(url, ca=certificates.ca), MemoryIntake()) as source:
            assert source.status.state == "connected"
        assert "mqtt.ca" in await error_of(settings(url, ca=certificates.stranger))
        assert "mqtt.ca" in await error_of(settings(url))
        other_name = await error_of(settings(f"mqtts://127.0.0.1:{broker.port}", ca=certificates.ca))
        assert "certificate is not valid for '127.0.0.1'" in other_name
        assert "mqtts://" in await error_of(settings(broker.url))

    asyncio.run(check())


@pytest.mark.parametrize("qos", [0, 1])
def test_many_messages_over_tls_with_a_client_certificate(mosquitto_broker, certificates, qos):
    broker = mosquitto_broker(tls_lines(certificates, require_client=True))
    wanted = settings(
        f"mqtts://localhost:{broker.port}",
        qos=qos,
        ca=certificates.ca,
        certificate=certificates.client,
        key=certificates.client_key,
        receive_maximum=65_535,
    )

    def send(messages):
        client = paho.Client(paho.CallbackAPIVersion.VERSION2)
        client.tls_set(str(certificates.ca), str(certificates.client), str(certificates.client_key))
        client.connect("localhost", broker.port)
        client.loop_start()
        for info in [client.publish(topic, payload, 1) for topic, payload in messages]:
            info.wait_for_publish(30)
        client.disconnect()
        client.loop_stop()

    async def check():
        intake = MemoryIntake(limit=500)
        async with running(wanted, intake) as source:
            sending = asyncio.create_task(asyncio.to_thread(send, readings(3000)))
            await until(lambda: source.status.state == "paused")
            intake.make_room(10_000)
            await sending
            await until(lambda: len(intake.all) == 3000)
            assert values(intake) == readings(3000)
        without = MqttSource(
            replace(wanted, certificate=None, key=None), MemoryIntake(), newest_tag=0, jitter=lambda: 0.0
        )
        task = asyncio.create_task(without.run())
        await until(lambda: without.status.state == "waiting")
        task.cancel()
        await asyncio.wait([task])
        assert "mqtt.certificate" in without.status.last_error

    asyncio.run(check())


@VERSIONS
def test_passwords(mosquitto_broker, tmp_path, version):
    broker = mosquitto_broker(password_file(tmp_path, "board", "right"), anonymous=False)
    secret = tmp_path / "secret"
    secret.write_text("right\n")

    async def check():
        wanted = settings(broker.url, user="board", password_file=secret, version=version)
        async with running(wanted, MemoryIntake()) as source:
            assert source.status.connects == 1
        secret.write_text("wrong\n")
        source = MqttSource(wanted, MemoryIntake(), newest_tag=0, jitter=lambda: 0.0)
        task = asyncio.create_task(source.run())
        await until(lambda: source.status.state == "waiting")
        assert source.status.last_error.startswith(
            f"127.0.0.1:{broker.port}: the broker refuses us: not authorised"
        )
        assert "mqtt.password_file" in source.status.last_error
        assert "wrong" not in source.status.last_error
        # A corrected file is enough; nobody needs to restart the agent.
        secret.write_text("right\n")
        await until(lambda: source.status.connects == 1)
        task.cancel()
        await asyncio.wait([task])

    asyncio.run(check())


def test_files_that_cannot_be_used_are_named(tmp_path, certificates):
    for changes, words in (
        ({"password_file": tmp_path / "none"}, "none: password file: No such file"),
        ({"ca": tmp_path / "none"}, "mqtt.ca"),
        ({"ca": certificates.server_key}, "mqtt.ca"),
        ({"certificate": certificates.client, "key": certificates.server_key}, "belong together"),
        ({"key": certificates.client_key}, "mqtt.certificate"),
    ):
        with pytest.raises(ConfigError, match=words):
            MqttSource(
                settings("mqtts://localhost", **changes), MemoryIntake(), newest_tag=0, jitter=lambda: 0.0
            )
    for url in ("http://x", "mqtt://", "mqtt://x:99999", "mqtt://user:secret@x"):
        with pytest.raises(ConfigError, match=r"mqtt\.url") as raised:
            MqttSource(settings(url), MemoryIntake(), newest_tag=0, jitter=lambda: 0.0)
        assert "secret" not in str(raised.value)


def test_another_client_with_our_id_is_named(mosquitto_broker):
    broker = mosquitto_broker()

    async def check():
        async with running(settings(broker.url), MemoryIntake()) as source:
            other = MqttSource(settings(broker.url), MemoryIntake(), newest_tag=0, jitter=lambda: 0.0)
            task = asyncio.create_task(other.run())
            await until(lambda: "client_id" in source.status.last_error)
            task.cancel()
            await asyncio.wait([task])

    asyncio.run(check())


@pytest.mark.parametrize(
    ("greeting", "words"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "while the connection is connecting"),
        (b"", "closed the connection"),
    ],
)
def test_what_is_no_broker(greeting, words):
    async def answer(reader, writer):
        await reader.read(10)
        writer.write(greeting)
        writer.close()

    async def check():
        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            source = MqttSource(
                settings(f"mqtt://127.0.0.1:{port}"), MemoryIntake(), newest_tag=0, jitter=lambda: 0.0
            )
            task = asyncio.create_task(source.run())
            await until(lambda: source.status.state == "waiting")
            task.cancel()
            await asyncio.wait([task])
            assert words in source.status.last_error

    asyncio.run(check())


@pytest.mark.parametrize("last", [b"\xf0\x00", b"\xe0\x01\x8b"])
def test_what_comes_before_the_end_is_handed_in_and_the_end_is_survived(last):
    async def answer(reader, writer):
        await reader.read(1000)
        writer.write(b"\x20\x03\0\0\0" + b"\x32\x07\0\1t\0\1\0v" + last)
        await reader.read(1000)
        writer.close()

    async def check():
        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            intake = MemoryIntake()
            url = f"mqtt://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            source = MqttSource(settings(url), intake, newest_tag=0, jitter=lambda: 0.0)
            task = asyncio.create_task(source.run())
            await until(lambda: source.status.connects == 2 and source.status.state == "waiting")
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()
            assert values(intake)[0] == ("t", b"v")
            assert "AUTH" in source.status.last_error or "shutting down" in source.status.last_error

    asyncio.run(check())


def test_an_intake_that_fails_ends_the_source(mosquitto_broker):
    broker = mosquitto_broker()

    async def check():
        intake = MemoryIntake()
        source = MqttSource(settings(broker.url), intake, newest_tag=0, jitter=lambda: 0.0)
        task = asyncio.create_task(source.run())
        await until(lambda: source._session.subscribed)
        intake.error = ValueError("broken")
        await asyncio.to_thread(publish, broker.port, readings(1))
        with pytest.raises(RuntimeError) as raised:
            await task
        assert isinstance(raised.value.__cause__, ValueError)

    asyncio.run(check())
