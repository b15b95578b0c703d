"""Runs an MqttSource for the length of a test, and publishes with paho."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace

import paho.mqtt.client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edgeagent.ingest.filter_memory import FilterMemory
from edgeagent.ingest.intake import Intake
from edgeagent.ingest.mqtt import MqttSettings, MqttSource
from edgeagent.ingest.mqtt_packets import Subscription

WAIT_S = 30.0


async def until(condition: Callable[[], object]) -> None:
    """Wait for something that must happen."""
    async with asyncio.timeout(WAIT_S):
        while not condition():
            await asyncio.sleep(0.01)


def settings(url: str, *filters: str, qos: int = 1, **changes: object) -> MqttSettings:
    return replace(
        MqttSettings(url, "board", tuple(Subscription(one, qos) for one in filters or ("s/#",))), **changes
    )


@asynccontextmanager
async def running(
    wanted: MqttSettings, intake: Intake, newest_tag: int = 0, memory: FilterMemory | None = None
) -> AsyncIterator[MqttSource]:
    """A source that has subscribed."""
    source = MqttSource(wanted, intake, newest_tag=newest_tag, jitter=lambda: 0.0, memory=memory)
    task = asyncio.create_task(source.run())
    try:
        await until(lambda: source._session.subscribed or task.done())
        yield source
    finally:
        task.cancel()
        await asyncio.wait([task])
    assert task.cancelled(), task.exception()
    assert source.status.state == "stopped"


@contextmanager
def publisher(port: int, version: int = 4) -> Iterator[paho.Client]:
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id="publisher", protocol=version)
    client.max_inflight_messages_set(1000)
    client.connect("127.0.0.1", port)
    client.loop_start()
    try:
        yield client
    finally:
        client.disconnect()
        client.loop_stop()


def publish(
    port: int,
    messages: list[tuple[str, bytes]],
    *,
    qos: int = 1,
    retain: bool = False,
    content_type: str = "",
) -> None:
    """Send and wait until the broker has all."""
    properties = None
    if content_type:
        properties = Properties(PacketTypes.PUBLISH)
        properties.ContentType = content_type
    with publisher(port, 5 if content_type else 4) as client:
        for info in [client.publish(topic, payload, qos, retain, properties) for topic, payload in messages]:
            info.wait_for_publish(WAIT_S)
