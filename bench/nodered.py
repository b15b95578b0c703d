"""Node-RED at the same job: MQTT in, a function node with the same windows per (topic, field), MQTT out.

What it does not do, and edgeagent does: quantiles, a journal, encryption, a database, a VM. Installed by npm into
build/node-red; where npm is absent this bench says so and is left out.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import paho.mqtt.client as mqtt
from accounting import Meter, memory
from edge import MARGIN_S
from load import MQTT, Load, Sent
from paho.mqtt.enums import CallbackAPIVersion

from edgeagent.sim.broker import Broker, free_port

VERSION = "4.1.15"
FOLDER = Path(__file__).parents[1] / "build" / "node-red"
START_S = 60
SETTLE_S = 60
"""Longest wait for the last windows."""

SETUP = """
const open = new Map();
const emit = (key, w) => { open.delete(key); node.send({topic: "out/" + w.source, payload: JSON.stringify(w)}); };
context.set("open", open);
context.set("emit", emit);
context.set("timer", setInterval(() => {
    const now = Date.now();
    for (const [key, w] of open) if (w.start + WINDOW + LATENESS <= now) emit(key, w);
}, 250));
"""

FUNCTION = """
const open = context.get("open"), emit = context.get("emit");
let tree;
try { tree = JSON.parse(msg.payload); } catch (error) { return null; }
const start = tree.last_seen - tree.last_seen % WINDOW;
for (const field in tree) {
    if (field === "last_seen") continue;
    const v = Number(tree[field]);
    if (!Number.isFinite(v)) continue;
    const key = msg.topic + "|" + field;
    let w = open.get(key);
    if (w && w.start !== start) { emit(key, w); w = undefined; }
    if (!w) {
        w = {source: msg.topic, field, start, count: 0, min: v, max: v, sum: 0, sq: 0, first: v, last: v};
        open.set(key, w);
    }
    w.count++;
    w.sum += v;
    w.sq += (v - w.first) * (v - w.first);
    if (v < w.min) w.min = v;
    if (v > w.max) w.max = v;
    w.last = v;
}
return null;
"""


def available() -> bool:
    """Install it if npm is there; whether it can run."""
    if not shutil.which("npm"):
        return False
    package = FOLDER / "node_modules/node-red/package.json"
    if not package.exists() or json.loads(package.read_text())["version"] != VERSION:
        FOLDER.mkdir(parents=True, exist_ok=True)
        words = [
            "npm",
            "install",
            f"node-red@{VERSION}",
            "--prefix",
            str(FOLDER),
            "--no-audit",
            "--no-fund",
            "--silent",
        ]
        subprocess.run(words, check=True)
    return True


def flow(port: int, qos: int, window: int, lateness: int) -> list[dict[str, Any]]:
    """The flow file: broker, MQTT in, function, MQTT out."""
    constants = f"const WINDOW = {window}, LATENESS = {lateness};\n"
    return [
        {"id": "tab", "type": "tab", "label": "bench"},
        {"id": "broker", "type": "mqtt-broker", "broker": "127.0.0.1", "port": str(port), "clientid": "node-red",
         "autoConnect": True, "protocolVersion": "4", "keepalive": "60", "cleansession": True},
        {"id": "in", "type": "mqtt in", "z": "tab", "topic": "zigbee2mqtt/#", "qos": str(qos), "datatype": "utf8",
         "broker": "broker", "inputs": 0, "wires": [["windows"]]},
        {"id": "windows", "type": "function", "z": "tab", "func": constants + FUNCTION, "outputs": 1,
         "initialize": constants + SETUP, "finalize": 'clearInterval(context.get("timer"));', "wires": [["out"]]},
        {"id": "out", "type": "mqtt out", "z": "tab", "topic": "", "qos": str(qos), "broker": "broker", "wires": []},
    ]  # fmt: skip


class NodeRed:
    """A running Node-RED with the bench's flow."""

    def __init__(self, port: int, qos: int, window: int, lateness: int) -> None:
        self.folder = FOLDER / "user"
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "flows.json").write_text(json.dumps(flow(port, qos, window, lateness)))
        settings = {
            "uiHost": "127.0.0.1",
            "uiPort": free_port(),
            "flowFile": "flows.json",
            "telemetry": {"enabled": False},
        }
        (self.folder / "settings.js").write_text(f"module.exports = {json.dumps(settings)};\n")
        red = FOLDER / "node_modules/node-red/red.js"
        self._process = subprocess.Popen(
            ["node", str(red), "--userDir", str(self.folder), "--no-telemetry"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "NODE_ENV": "production"},
        )
        connected = threading.Event()
        self._reader = threading.Thread(target=self._read, args=(connected,), daemon=True)
        self._reader.start()
        if not connected.wait(START_S):
            self._process.kill()
            raise RuntimeError("Node-RED didn't connect to the broker")
        time.sleep(1)  # it says that it is connected before it has subscribed

    def _read(self, connected: threading.Event) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if "Connected to broker" in line:
                connected.set()

    @property
    def pid(self) -> int:
        """Of the one process."""
        return self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait(30)
        self._reader.join(5)
        if self._process.stdout:
            self._process.stdout.close()


class Results:
    """Adds up the windows that Node-RED publishes."""

    def __init__(self, port: int) -> None:
        self.count = self.hundredths = self.windows = self.bytes = 0
        self.changed = threading.Condition()
        subscribed = threading.Event()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2)
        self._client.on_message = self._take
        self._client.on_subscribe = lambda *_: subscribed.set()
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        self._client.subscribe("out/#", 1)
        if not subscribed.wait(10):
            raise RuntimeError("no subscription")

    def _take(self, _client: Any, _data: Any, message: Any) -> None:
        window = json.loads(message.payload)
        with self.changed:
            self.windows += 1
            self.bytes += len(message.payload) + len(message.topic)
            if window["field"] == "temperature":
                self.count += window["count"]
                self.hundredths += round(window["sum"] * 100)
                self.changed.notify()

    def wait(self, sent: Sent) -> bool:
        """Whether every reading is in the windows: as many, and the same sum."""
        with self.changed:
            self.changed.wait_for(lambda: self.count >= sent.sent, SETTLE_S)
            return self.count == sent.sent and self.hundredths == sent.total_hundredths

    def close(self) -> None:
        """Disconnect."""
        self._client.disconnect()
        self._client.loop_stop()


def measure(qos: int, rate: float, window: int, lateness: int) -> dict[str, Any]:
    """As edge.measure: CPU microseconds per reading, memory, whether every reading arrived. window: s, lateness: ms."""
    with Broker() as broker, NodeRed(broker.port, qos, window * 1000, lateness) as red:
        idle = memory(red.pid)["rss"]
        results = Results(broker.port)
        with Load(
            MQTT, port=broker.port, qos=qos, rate=rate, seconds=window - MARGIN_S, devices=1000
        ) as load:
            meter = Meter.begin({"node-red": red.pid, "mosquitto": broker.pid})
            sent = load.run(within=window * 1000)
            complete = results.wait(sent)
            used = meter.seconds()
        results.close()
        return {
            "complete": complete,
            "lost": sent.sent - results.count,
            "sent": sent.sent,
            "rate": round(sent.rate),
            "cpu_us": {
                who: one / sent.sent * 1e6 for who, one in (used | {"generator": sent.cpu_seconds}).items()
            },
            "rss_kib": {"idle": idle, "loaded": memory(red.pid)["rss"]},
            "windows": results.windows,
        }
