"""Latency of an honest unit without and with a hostile guest beside it, in one agent (target: p99 at most doubled).

Two ways to look at it. Through the whole chain at 1,000 readings/s: from published to durable, and from when a window
may close into the database. And through the guest alone: a reading every 5 ms to an echo, until it has come back.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from edge import DEVICES, MARGIN_S, chain, faults, wait
from latency import spread, summary_ages
from load import MQTT, Load
from wiretap import Wiretap

from edgeagent.guest.events import EchoEvent, Event
from edgeagent.guest.limits import Limits
from edgeagent.guest.owner import Evidence, Hello, Status
from edgeagent.guest.supervisor import Plan, Supervisor
from edgeagent.image import build
from edgeagent.probe.live import host_arch
from edgeagent.sim.broker import Broker
from edgeagent.sim.chain import BOARD
from edgeagent.sim.stored import stored
from edgeagent.vmm import bounds
from edgeagent.vmm.machines import MACHINES
from edgeagent.vmm.port import Accelerator, MachineSpec
from edgeagent.vmm.qemu import Qemu
from edgeagent.wire import messages

IN_THE_CHAIN = ("spin", "storm", "flood", "log", "grow")
"""Those that use the most; each takes a minute."""
APPS = ("spin", "storm", "flood", "late", "log", "garbage", "panic", "hang", "grow")
IMAGES = Path("build/bench-images")
RATE = 1000
EVERY_S = 0.005
MEMORY = 12 << 20
CPU_PERCENT = 80
"""The default of a unit."""
TOPIC = "bad/guest"
REPEATED = 100
"""Readings for the hostile guest; `late` is honest for fifty."""


def image(app: str) -> Path:
    """Built from this tree: "spin" is hostile-spin, and so on."""
    app = f"hostile-{app}" if app in APPS else app
    return build.build(build.SOURCE, IMAGES, host_arch(), app).path.absolute()


def provoke(port: int) -> None:
    """Give the hostile unit its readings."""
    client = paho.Client(paho.CallbackAPIVersion.VERSION2)
    client.connect("127.0.0.1", port)
    client.loop_start()
    for _ in range(REPEATED):
        client.publish(TOPIC, b"1", qos=1).wait_for_publish(10)
    client.disconnect()
    client.loop_stop()


# ---- through the chain -----------------------------------------------------------------------------------------------


def through_the_chain(app: str, window: int) -> dict[str, Any]:
    """app: of the hostile unit beside, "" for none."""
    others = (
        [{"name": "bad", "topics": [TOPIC], "accelerator": "tcg", "image": str(image(app))}] if app else []
    )
    with ExitStack() as stack:
        broker = stack.enter_context(Broker())
        tap = stack.enter_context(Wiretap(broker.port))
        mqtt = {"url": f"mqtt://127.0.0.1:{tap.port}", "version": 4, "qos": 1}
        settings = {"mqtt": mqtt, "seal": {"batch_interval": "1s"}}
        running = stack.enter_context(chain(broker, 1, window=window, others=others, **settings))
        with Load(
            MQTT, port=broker.port, qos=1, rate=RATE, seconds=window - MARGIN_S, devices=DEVICES
        ) as load:
            if app:
                provoke(broker.port)
            sent = load.run(within=window * 1000)
        wait(running, sent, window)
        wrong = faults(stored(running.database, BOARD), sent)
        return {
            "wrong": wrong,
            "complete": not wrong,
            "reading_to_durable_ms": spread([1000 * one for one in tap.latencies]),
            "window_to_database_ms": spread(summary_ages(running.database)),
        }


# ---- through a guest -------------------------------------------------------------------------------------------------


class Trips:
    """Owner of an echo: gives it a reading when told to, and notes when it came back."""

    def __init__(self, name: str) -> None:
        self.seconds: list[float] = []
        self.ready = asyncio.Event()
        self.running: Supervisor | None = None
        self.last_seq = 0
        self._name = name
        self._topic = messages.topic_item(b"t")
        self._waiting: list[bytes] = []
        self._sent: dict[int, float] = {}

    def send(self) -> None:
        """One reading more."""
        seq = len(self.seconds) + len(self._sent) + 1
        self._waiting.append(messages.reading(seq, 1000 * seq, 65535, 0, self._topic, b'{"t": 21.5}'))
        self._sent[seq] = time.monotonic()
        if self.running:
            self.running.wake()

    def read(self, _most: int) -> bytes:
        """As guest.owner.InputReader."""
        data, self._waiting = b"".join(self._waiting), []
        self.last_seq = len(self.seconds) + len(self._sent)
        return data

    def close(self) -> None:
        """As guest.owner.InputReader."""

    def hello(self) -> Hello:
        """As guest.owner.Owner, like the rest."""
        return Hello(self._name, MEMORY, {})

    def checkpoint(self) -> None:
        """From the beginning."""

    def input_after(self, seq: int) -> Trips:
        """It is its own reader."""
        self.last_seq = seq
        return self

    def on_event(self, event: Event) -> None:
        """A reading came back."""
        if isinstance(event, EchoEvent):
            self.seconds.append(time.monotonic() - self._sent.pop(len(self.seconds) + 1))

    def on_state(self, status: Status) -> None:
        """It may begin."""
        if status.state == "running":
            self.ready.set()

    def on_end(self, evidence: Evidence) -> None:
        """The hostile one is started again."""


class Again(Trips):
    """Owner of a hostile guest: every start gets the same readings."""

    def input_after(self, seq: int) -> Trips:
        """From the beginning, for every start."""
        self.last_seq = seq
        self._waiting = [
            messages.reading(number, 1000 * number, 65535, 0, self._topic, b"1")
            for number in range(seq + 1, seq + REPEATED + 1)
        ]
        self._sent = dict.fromkeys(range(seq + 1, seq + REPEATED + 1), 0.0)
        return self

    def on_event(self, event: Event) -> None:
        """Nobody measures it."""


def supervisor(name: str, app: str, owner: Trips) -> Supervisor:
    """With the limits of a unit."""
    spec = MachineSpec(
        name, host_arch(), Accelerator.TCG, MEMORY, image(app), limits=bounds.limits(MEMORY, CPU_PERCENT, 100)
    )
    return Supervisor(Qemu(MACHINES), Plan(spec, None, "", Limits(frame_burst=18_000)), owner)


async def _trips(app: str, seconds: float) -> list[float]:
    owners = {"home": ("echo", Trips("home"))} | ({"bad": (app, Again("bad"))} if app else {})
    tasks = []
    for name, (image_of, owner) in owners.items():
        owner.running = supervisor(name, image_of, owner)
        tasks.append(asyncio.create_task(owner.running.run()))
    for _, owner in owners.values():
        await owner.ready.wait()
    honest = owners["home"][1]
    began = time.monotonic()
    while time.monotonic() < began + seconds:
        honest.send()
        await asyncio.sleep(EVERY_S)
    for task in tasks:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    return honest.seconds


def through_a_guest(app: str, seconds: float) -> dict[str, float]:
    """Milliseconds from giving an input to having heard what the guest made of it."""
    return spread([1000 * one for one in asyncio.run(_trips(app, seconds))])


def measure(window: int) -> dict[str, Any]:
    """Each hostile guest after a run without one: a busy machine changes faster than the bench takes."""
    logging.getLogger("guest").setLevel(logging.CRITICAL)
    guest = [
        {"app": app, "without": through_a_guest("", window), "beside": through_a_guest(app, window)}
        for app in APPS
    ]
    plain = through_the_chain("", window)
    beside = {app: through_the_chain(app, window) for app in IN_THE_CHAIN}
    runs = [plain, *beside.values()]
    return {
        "guest": guest,
        "chain": {"": plain} | beside,
        "complete": all(one["complete"] for one in runs),
        "wrong": [line for one in runs for line in one["wrong"]],
    }
