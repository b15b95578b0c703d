"""How long a reading takes at 1,000/s: from being published to being acknowledged by the agent, durable in its log.

And how long a window's summary takes from the moment that it may close (end plus lateness) into the database: the
guest's tick, the batch interval (1 s here), sealing, the broker, the collector's commit.
"""

from __future__ import annotations

import sqlite3
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from edge import DEVICES, LATENESS_MS, MARGIN_S, chain, faults, processes, wait
from load import MQTT, Load
from wiretap import Wiretap

from edgeagent.sim.broker import Broker
from edgeagent.sim.chain import BOARD
from edgeagent.sim.stored import stored

SUMMARY_AGES = """
SELECT b.received_ms - (s.start_ms + s.length_ms + ?) FROM summaries s JOIN batches b
ON b.board = s.board AND b.unit = s.unit AND b.epoch = s.epoch AND s.out BETWEEN b.first_out AND b.last_out
"""


def spread(numbers: list[float]) -> dict[str, float]:
    """Median, 95th and 99th percentile, and the largest."""
    ordered = sorted(numbers)
    picks = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}
    return {name: round(ordered[max(0, int(len(ordered) * share) - 1)], 1) for name, share in picks.items()}


def measure(rate: float, window: int) -> dict[str, Any]:
    """Milliseconds; and whether every reading arrived and was seen on the wire."""
    with ExitStack() as stack:
        broker = stack.enter_context(Broker())
        tap = stack.enter_context(Wiretap(broker.port))
        mqtt = {"url": f"mqtt://127.0.0.1:{tap.port}", "version": 4, "qos": 1}
        running = stack.enter_context(
            chain(broker, 1, window=window, mqtt=mqtt, seal={"batch_interval": "1s"})
        )
        processes(running)
        with Load(
            MQTT, port=broker.port, qos=1, rate=rate, seconds=window - MARGIN_S, devices=DEVICES
        ) as load:
            sent = load.run(within=window * 1000)
        wait(running, sent, window)
        wrong = faults(stored(running.database, BOARD), sent)
        if len(tap.latencies) != sent.sent:
            wrong.append(f"{len(tap.latencies)} acknowledgements of {sent.sent} readings were seen")
        return {
            "wrong": wrong,
            "complete": not wrong,
            "rate": round(sent.rate),
            "reading_to_durable_ms": spread([1000 * one for one in tap.latencies]),
            "window_to_database_ms": spread(summary_ages(running.database)),
        }


def summary_ages(database: Path) -> list[float]:
    """Of every summary: ms from when its window may close until its batch was received."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        return [age for (age,) in connection.execute(SUMMARY_AGES, (LATENESS_MS,))]
