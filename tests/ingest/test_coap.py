"""The CoAP server against aiocoap's client, over loopback."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from contextlib import asynccontextmanager

import aiocoap
import pytest
from aiocoap.numbers import codes

from edgeagent.errors import ConfigError, EnvironmentFaultError
from edgeagent.ingest.coap import CoapSettings, CoapSource
from edgeagent.wire.messages import FORMAT_UNKNOWN, MAX_PAYLOAD
from tests.ingest.intakes import MemoryIntake
from tests.ingest.sources import until


def free_udp_port() -> int:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
        probe.bind(("::1", 0))
        return probe.getsockname()[1]


@asynccontextmanager
async def serving(intake, host="::1", **changes):
    """A server and a client's function post(path, payload, ...) -> response."""
    port = free_udp_port()
    source = CoapSource(CoapSettings(host, port, **changes), intake)
    task = asyncio.create_task(source.run())
    await until(lambda: source.status.state == "listening" or task.done())
    client = await aiocoap.Context.create_client_context(transports=["udp6"])

    def transport(reliable):
        if hasattr(aiocoap, "Reliable"):
            return {"transport_tuning": aiocoap.Reliable if reliable else aiocoap.Unreliable}
        return {"mtype": aiocoap.CON if reliable else aiocoap.NON}  # aiocoap 0.4.7

    async def post(path, payload=b"", code=aiocoap.POST, content_format=None, reliable=True):
        target = f"[{host}]" if ":" in host else host
        request = aiocoap.Message(
            code=code,
            uri=f"coap://{target}:{port}/{path}",
            payload=payload,
            content_format=content_format,
            **transport(reliable),
        )
        return await client.request(request).response

    try:
        yield source, post
    finally:
        await client.shutdown()
        task.cancel()
        await asyncio.wait([task])
    assert task.cancelled(), task.exception()


@pytest.mark.parametrize("reliable", [True, False])
@pytest.mark.parametrize("host", ["::1", "127.0.0.1"])
def test_readings_of_all_formats(reliable, host):
    async def check():
        intake = MemoryIntake()
        async with serving(intake, host) as (source, post):
            for number, content_format in enumerate([110, 112, 50, 60, 0, 65_000, None]):
                code = aiocoap.PUT if number % 2 else aiocoap.POST
                answer = await post(f"room/{number}", b"%d" % number, code, content_format, reliable)
                assert answer.code == codes.CHANGED
            assert [one[:3] for one in intake.all] == [
                (b"room/%d" % number, b"%d" % number, FORMAT_UNKNOWN if wanted is None else wanted)
                for number, wanted in enumerate([110, 112, 50, 60, 0, 65_000, None])
            ]
            assert len({one.tag for one in intake.all}) == 7
            assert all(one.tag >> 63 and one.maybe_duplicate for one in intake.all)
            assert source.status.messages == 7

    asyncio.run(check())


def test_the_answer_waits_for_the_log():
    async def check():
        intake = MemoryIntake(hold=True)
        async with serving(intake) as (source, post):
            asking = asyncio.create_task(post("a", b"1"))
            await until(lambda: intake.all)
            await asyncio.sleep(0.3)
            assert not asking.done()
            assert source.status.waiting == 1
            intake.commit()
            assert (await asking).code == codes.CHANGED
            assert source.status.waiting == 0

    asyncio.run(check())


def test_full_is_busy_and_says_when_to_come_again():
    async def check():
        intake = MemoryIntake(limit=1)
        async with serving(intake) as (source, post):
            assert (await post("a", b"1")).code == codes.CHANGED
            busy = await post("a", b"2")
            assert (busy.code, busy.opt.max_age) == (codes.SERVICE_UNAVAILABLE, 5)
            intake.make_room(1)
            assert (await post("a", b"2")).code == codes.CHANGED
            assert [one.payload for one in intake.all] == [b"1", b"2"]
            assert source.status.busy == 1

    asyncio.run(check())


def test_large_payloads_come_in_blocks_up_to_the_bound():
    async def check():
        intake = MemoryIntake()
        async with serving(intake) as (source, post):
            payload = bytes(range(256)) * 80
            assert (await post("big", payload, content_format=60)).code == codes.CHANGED
            assert intake.all[0][:3] == (b"big", payload, 60)
            assert (await post("most", bytes(MAX_PAYLOAD))).code == codes.CHANGED
            answer = await post("more", bytes(MAX_PAYLOAD + 1))
            assert answer.code == codes.REQUEST_ENTITY_TOO_LARGE
            assert (len(intake.all), source.status.oversized) == (2, 1)

    asyncio.run(check())


def test_what_is_refused():
    async def check():
        intake = MemoryIntake()
        async with serving(intake, prefixes=("sensors", "/home/attic/")) as (source, post):
            assert (await post("sensors/1", b"1")).code == codes.CHANGED
            assert (await post("home/attic/1", b"1")).code == codes.CHANGED
            for path, code in (
                ("other/1", codes.NOT_FOUND),
                ("home/1", codes.NOT_FOUND),
                ("", codes.NOT_FOUND),
            ):
                assert (await post(path, b"1")).code == code
            for path in ("sensors/a%2Fb", "sensors/+", "sensors/%23", "sensors/%00", "sensors" + "/x" * 600):
                assert (await post(path, b"1")).code == codes.BAD_REQUEST
            assert (await post("sensors/1", code=aiocoap.GET)).code == codes.METHOD_NOT_ALLOWED
            assert (await post(".well-known/core", b"x")).code == codes.METHOD_NOT_ALLOWED
            links = await post(".well-known/core", code=aiocoap.GET)
            assert (links.code, links.opt.content_format) == (codes.CONTENT, 40)
            assert b"</sensors>" in links.payload
            assert b"</home/attic>" in links.payload
            assert (len(intake.all), source.status.bad_requests) == (2, 8)

    asyncio.run(check())


def datagram(kind: int, mid: int, token: bytes, path: str, payload: bytes) -> bytes:
    """A POST as RFC 7252 section 3 lays it out."""
    head = bytes([0x40 | kind << 4 | len(token), 0x02]) + mid.to_bytes(2, "big") + token
    return head + bytes([0xB0 | len(path)]) + path.encode() + b"\xff" + payload


def test_a_repeated_request_is_recognised_even_after_a_restart():
    async def check():
        intake = MemoryIntake()
        port = free_udp_port()
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sensor:
            sensor.setblocking(False)
            sensor.connect(("::1", port))
            for run in (1, 2):
                source = CoapSource(CoapSettings("::1", port), intake)
                task = asyncio.create_task(source.run())
                await until(lambda: source.status.state == "listening")  # noqa: B023
                for _ in range(2):
                    sensor.send(datagram(0, 77, b"tok", "a", b"21.5"))
                    async with asyncio.timeout(10):
                        answer = await loop.sock_recv(sensor, 1000)
                    assert answer[:2] == bytes([0x63, 0x44]), "an ACK with 2.04 and our token"
                assert source.status.messages == 1
                assert source.status.duplicates == run - 1
                task.cancel()
                await asyncio.wait([task])
        assert len(intake.all) == 1

    asyncio.run(check())


def test_noise_ends_nothing():
    async def check():
        intake = MemoryIntake()
        async with serving(intake) as (source, post):
            port = int(source.status.address.rsplit(":", 1)[1])
            good = datagram(0, 1, b"t", "a", b"1")
            with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sensor:
                sensor.setblocking(False)
                for at in range(len(good)):
                    sensor.sendto(good[:at], ("::1", port))
                    sensor.sendto(good[:at] + b"\xf0" + good[at + 1 :], ("::1", port))
            assert (await post("fine", b"1")).code == codes.CHANGED

    asyncio.run(check())


def test_a_taken_port_and_a_wrong_address_are_named():
    async def check():
        async with serving(MemoryIntake()) as (source, _):
            port = int(source.status.address.rsplit(":", 1)[1])
            with pytest.raises(EnvironmentFaultError, match=r"port is taken.*coap\.port"):
                await CoapSource(CoapSettings("::1", port), MemoryIntake()).run()
        with pytest.raises(ConfigError, match=r"coap\.host"):
            await CoapSource(CoapSettings("192.0.2.1", port), MemoryIntake()).run()
        with pytest.raises(ConfigError, match=r"coap\.host"):
            await CoapSource(CoapSettings("no such host", port), MemoryIntake()).run()

    asyncio.run(check())


def test_aiocoap_is_not_loaded_before_it_is_needed():
    code = "import sys, edgeagent.ingest.coap, edgeagent.ingest.mqtt; sys.exit('aiocoap' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_stopping_while_a_request_waits_leaves_nothing_behind(caplog):
    async def check():
        intake = MemoryIntake(hold=True)
        async with serving(intake) as (source, post):
            asking = asyncio.create_task(post("a", b"1"))
            await until(lambda: source.status.waiting == 1)
        intake.commit()
        with pytest.raises((asyncio.CancelledError, aiocoap.error.Error)):
            await asking
        assert source.status.state == "stopped"

    asyncio.run(check())
    assert "Traceback" not in caplog.text
