"""CPU per MQTT message received: our core and shell beside paho with a dict, from one Mosquitto, in one run.

python bench/mqtt_receive.py [MESSAGES]

1,000 topics, JSON like zigbee2mqtt's, 165 bytes with the topic. Messages are queued at the broker and received as fast
as the client can; what counts is the client process's CPU time (user + system), so use the ratios. "core" is the core
alone, on chunks of 64 KiB from memory.
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import paho.mqtt.client as paho

from edgeagent.ingest.intake import Taken
from edgeagent.ingest.mqtt import MqttSettings, MqttSource
from edgeagent.ingest.mqtt_core import MqttReceiver
from edgeagent.ingest.mqtt_packets import Connect, Subscription
from edgeagent.ingest.mqtt_properties import text, variable
from edgeagent.sim.broker import Broker

SIZE = 165
TOPICS = 1000
VERSIONS = {4: "3.1.1", 5: "5"}
STALL_S = 5.0


def message(number: int) -> tuple[str, bytes]:
    topic = f"zigbee2mqtt/sensor_{number % TOPICS:04d}"
    values = {
        "battery": 97,
        "humidity": 45.21,
        "linkquality": 128,
        "temperature": number % 3000 / 100,
        "n": number,
    }
    body = json.dumps(values, separators=(",", ":"))
    filler = SIZE - len(topic) - len(body) - len(',"pad":""')
    return topic, f'{body[:-1]},"pad":"{"x" * filler}"}}'.encode()


def cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


class CountingIntake:
    """The least an intake can do: newest payload by topic."""

    full = False

    def __init__(self) -> None:
        self.newest: dict[bytes, bytes] = {}
        self.count = 0

    def add(self, topic: bytes, payload: bytes, *_rest: object, **_more: object) -> Taken:
        """Keep it."""
        self.newest[topic] = payload
        self.count += 1
        return Taken.LOGGED

    def when_durable(self, done: Callable[[], None]) -> None:
        """At once."""
        done()

    def when_roomy(self, done: Callable[[], None]) -> None:
        """At once."""
        done()


async def ours(port: int, qos: int, version: int, wanted: int) -> tuple[int, float]:
    intake = CountingIntake()
    filters = (Subscription("zigbee2mqtt/#", qos),)
    settings = MqttSettings(
        f"mqtt://127.0.0.1:{port}", "bench", filters, version=version, receive_maximum=65_535
    )
    task = asyncio.create_task(MqttSource(settings, intake, newest_tag=0, jitter=lambda: 0.0).run())
    await asyncio.sleep(0.5)
    print("ready", flush=True)
    before, seen, since = cpu(), -1, time.monotonic()
    while intake.count < wanted and time.monotonic() - since < STALL_S:
        if intake.count != seen:
            seen, since = intake.count, time.monotonic()
        await asyncio.sleep(0.05)
    used = cpu() - before
    task.cancel()
    return intake.count, used


def pahos(port: int, qos: int, version: int, wanted: int) -> tuple[int, float]:
    newest: dict[str, bytes] = {}
    count = 0

    def on_message(_client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        nonlocal count
        newest[message.topic] = message.payload
        count += 1

    client = paho.Client(paho.CallbackAPIVersion.VERSION2, "bench", protocol=version)
    client.on_message = on_message
    properties = None
    if version == 5:
        properties = paho.Properties(paho.PacketTypes.CONNECT)
        properties.ReceiveMaximum = 65_535
    client.connect("127.0.0.1", port, properties=properties)
    client.subscribe("zigbee2mqtt/#", qos)
    until = time.monotonic() + 0.5
    while time.monotonic() < until:
        client.loop(0.05)
    print("ready", flush=True)
    before, seen, since = cpu(), -1, time.monotonic()
    while count < wanted and time.monotonic() - since < STALL_S:
        if count != seen:
            seen, since = count, time.monotonic()
        client.loop(0.05)
    return count, cpu() - before


def receive(which: str, port: int, qos: int, version: int, wanted: int) -> None:
    """The measured process."""
    if which == "ours":
        count, used = asyncio.run(ours(port, qos, version, wanted))
    else:
        count, used = pahos(port, qos, version, wanted)
    status = Path("/proc/self/status").read_text()
    peak = int(status.split("VmHWM:")[1].split()[0]) // 1024
    print(json.dumps({"count": count, "us": used / max(count, 1) * 1e6, "peak": peak}), flush=True)


def send(port: int, count: int) -> None:
    """Raw bytes, QoS 1 where the broker should acknowledge: as little CPU beside the measured process as can be."""
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, "generator")
    client.max_inflight_messages_set(2000)
    client.max_queued_messages_set(0)
    client.connect("127.0.0.1", port)
    client.loop_start()
    last = None
    for number in range(count):
        last = client.publish(*message(number), qos=1)
        if number % 2000 == 1999:
            last.wait_for_publish(60)
    if last is not None:
        last.wait_for_publish(60)
    client.disconnect()
    client.loop_stop()


def measure(which: str, qos: int, version: int, count: int) -> dict[str, float]:
    with Broker() as broker:
        arguments = [
            sys.executable,
            __file__,
            "--receive",
            which,
            str(broker.port),
            str(qos),
            str(version),
            str(count),
        ]
        with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            process.stdout.readline()
            send(broker.port, count)
            result: dict[str, float] = json.loads(process.stdout.readline())
    return result


def core(qos: int, version: int, count: int) -> float:
    packets = []
    for number in range(count):
        topic, payload = message(number)
        ident = (number % 65_535 + 1).to_bytes(2, "big") if qos else b""
        body = text(topic.encode()) + ident + (b"\0" if version == 5 else b"") + payload
        packets.append(bytes([0x30 | qos << 1]) + variable(len(body)) + body)
    stream = b"".join(packets)
    receiver = MqttReceiver(Connect("bench", version=version))
    receiver.connect()
    receiver.receive(b"\x20\x03\0\0\0" if version == 5 else b"\x20\x02\0\0")
    before = cpu()
    got = sum(len(receiver.receive(stream[at : at + 65_536])) for at in range(0, len(stream), 65_536))
    assert got == count
    return (cpu() - before) / count * 1e6


def main() -> None:
    if sys.argv[1:2] == ["--receive"]:
        receive(sys.argv[2], *map(int, sys.argv[3:]))
        return
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 50_000
    machine = f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    print(f"{machine}, Python {platform.python_version()}; {count} messages of {SIZE} B")
    print("MQTT   QoS  core us  ours us  paho us  ratio  ours got  paho got  peak MB ours/paho")
    for version, name in VERSIONS.items():
        for qos in (0, 1):
            own, other = (measure(which, qos, version, count) for which in ("ours", "paho"))
            print(
                f"{name:<6} {qos:>3}  {core(qos, version, count):>7.2f}  {own['us']:>7.2f}  {other['us']:>7.2f}"
                f"  {other['us'] / own['us']:>5.1f}  {own['count']:>8}  {other['count']:>8}"
                f"  {own['peak']:.0f}/{other['peak']:.0f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
