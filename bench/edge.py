"""edgeagent under the generator's load: every figure is given only with the proof that no reading was lost."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from accounting import Meter, children_named, memory
from generator import VALUES
from load import COAP, MQTT, Load, Sent

from edgeagent.sim.broker import Broker, free_port
from edgeagent.sim.chain import BOARD, Chain, Table, default_images
from edgeagent.sim.stored import Stored, counts, stored

DEVICES, COAP_DEVICES = 1000, 300
LATENESS_MS = 2000
MARGIN_S = 1
"""A load is as much shorter than the window that it falls into."""
REACHED = 0.98
"""Of the wanted rate: below it the machine had no time left for the generator."""
KEPT_UP_S = 2.0
"""A chain that needs longer for the rest once the generator has ended didn't sustain the rate."""
POLL_S = 0.1
PATIENCE_S = 60


@contextmanager
def chain(
    broker: Broker, qos: int, *, window: int, others: Sequence[Table] = (), **sections: Any
) -> Iterator[Chain]:
    """Agent and collector for DEVICES devices; journal on (disk), sealed, acknowledged.

    window: seconds; others: units beside the one that is measured.
    """
    unit = {
        "window": f"{window}s",
        "lateness": f"{LATENESS_MS}ms",
        "series": DEVICES * (VALUES + 1),
        "windows": DEVICES * (VALUES + 1) * 2,
        "memory": "64MiB",
        "topics": ["zigbee2mqtt/#", "bench/#"],
    }
    with tempfile.TemporaryDirectory(prefix="edgeagent-bench-") as folder:
        settings = {"mqtt": {"url": broker.url, "qos": qos}, "seal": {"batch_interval": "5s"}} | sections
        with Chain(
            Path(folder), broker.url, default_images(), unit=unit, sections=settings, others=others
        ) as running:
            yield running


def processes(running: Chain) -> dict[str, int]:
    """The chain's processes by role."""
    agent = running.pid("agent")
    guests = children_named(agent, "qemu")
    if len(guests) != 1:
        raise RuntimeError(f"{len(guests)} guests where one was expected")
    return {"agent": agent, "guest": guests[0], "collector": running.pid("collector")}


def acknowledged(running: Chain) -> bool:
    """Whether the guest has processed all that is in the log."""
    log = running.status()["units"][0]["log"]
    return bool(log["acked"] == log["last"])


def faults(found: Stored, sent: Sent) -> list[str]:
    """Why these can't be the readings that were sent; empty when they are: as many, the same sum, nothing twice."""
    rows = [row for row in found.summaries if row.field == "temperature"]
    lines = []
    count = sum(row.count for row in rows)
    if count != sent.sent:
        lines.append(f"{sent.sent} readings were sent, {count} are in windows")
    if sum(row.sum for row in rows) * 100 != sent.total_hundredths:
        lines.append("the sum of the temperatures is wrong")
    if len({(row.source, row.field, row.start) for row in found.summaries}) != len(found.summaries):
        lines.append("a window is there twice")
    if sum(row.count for row in found.summaries) != sent.sent * VALUES:
        lines.append("values of other fields are missing or doubled")
    if found.reasons:
        lines.append(f"not counted: {dict(found.reasons)}")
    return lines


def mqtt(qos: int, rate: float, window: int) -> dict[str, Any]:
    """MQTT at a fixed rate; see ``measure``. sustained: it was reached, nothing was lost, and the rest took no time."""
    with ExitStack() as stack:
        broker = stack.enter_context(Broker())
        running = stack.enter_context(chain(broker, qos, window=window))
        load = stack.enter_context(
            Load(MQTT, port=broker.port, qos=qos, rate=rate, seconds=window - MARGIN_S, devices=DEVICES)
        )
        found = measure(running, load, {"mosquitto": broker.pid}, window)
    on_time = found["lag_s"] < KEPT_UP_S and found["rate"] >= rate * REACHED
    return found | {"sustained": found["complete"] and on_time}


def coap(window: int) -> dict[str, Any]:
    """CoAP in a closed loop: every device sends its next reading when the last one is answered; see ``measure``."""
    with ExitStack() as stack:
        broker = stack.enter_context(Broker())
        port = free_port()
        settings = {"host": "127.0.0.1", "port": port}
        running = stack.enter_context(chain(broker, 1, window=window, coap=settings))
        load = stack.enter_context(Load(COAP, port=port, seconds=window - MARGIN_S, devices=COAP_DEVICES))
        return measure(running, load, {}, window)


def measure(running: Chain, load: Load, others: dict[str, int], window: int) -> dict[str, Any]:
    """CPU microseconds per reading of each process, memory, bytes, and whether every reading arrived.

    The load fills one window of that many seconds; its summaries, sealing and delivery are in the figures.
    """
    pids = processes(running) | others
    idle = {who: memory(pid) for who, pid in pids.items()}
    meter = Meter.begin(pids)
    sent = load.run(within=window * 1000)
    ended = time.monotonic()
    while time.monotonic() < ended + PATIENCE_S and not acknowledged(running):
        time.sleep(POLL_S)
    lag = time.monotonic() - ended
    loaded = {who: memory(pid) for who, pid in pids.items()}
    wait(running, sent, window)
    used = meter.seconds() | {"generator": sent.cpu_seconds}
    found = stored(running.database, BOARD)
    wrong = faults(found, sent)
    return {
        "wrong": wrong,
        "complete": not wrong,
        "sent": sent.sent,
        "rate": round(sent.rate),
        "lag_s": round(lag, 2),
        "behind_ms": sent.behind_ms,
        "busy": sent.busy,
        "resent": sent.resent,
        "cpu_us": {who: one / sent.sent * 1e6 for who, one in used.items()},
        "memory_kib": {who: {"idle": idle[who], "loaded": loaded[who]} for who in pids},
        "bytes_in": sent.bytes,
        "bytes_out": found.batch_bytes,
        "summaries": len(found.summaries),
    }


def wait(running: Chain, sent: Sent, window: int) -> None:
    """Until every value is in the database, or nothing has come for longer than a window may take."""
    best, since = -1, time.monotonic()
    while time.monotonic() - since < window + LATENESS_MS / 1000 + 20:
        values, payloads = counts(running.database, BOARD)
        if values >= sent.sent * VALUES and payloads >= sent.sent:
            return
        if values > best:
            best, since = values, time.monotonic()
        time.sleep(0.5)
