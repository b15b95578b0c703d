"""Bytes in against bytes out: a home of 1 Hz sensors, one-minute windows; every window held to the truth."""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from edgeagent.sim.broker import Broker
from edgeagent.sim.chain import BOARD, EDGEAGENT, Chain, default_images
from edgeagent.sim.stored import stored
from edgeagent.sim.truth_file import told
from edgeagent.sim.verdict import faults_of, wait_for_all

WINDOW_S, LATENESS_S = 60, 5
SERIES = 8
"""Of one sensor at most."""


def measure(sensors: int, seconds: int) -> dict[str, Any]:
    """Payload bytes that sensors sent, bytes of sealed batches that came out, and their ratio."""
    unit = {
        "window": f"{WINDOW_S}s",
        "lateness": f"{LATENESS_S}s",
        "series": sensors * SERIES,
        "windows": 2 * sensors * SERIES,
        "memory": "64MiB",
    }
    with tempfile.TemporaryDirectory(prefix="edgeagent-bench-") as name, Broker() as broker:
        folder = Path(name)
        with Chain(
            folder, broker.url, default_images(), unit=unit, sections={"seal": {"batch_interval": "60s"}}
        ) as chain:
            truth = folder / "truth.jsonl"
            words = [
                "--sensors",
                str(sensors),
                "--for",
                f"{seconds}s",
                "--window",
                f"{WINDOW_S}s",
                "--truth",
                str(truth),
            ]
            done = subprocess.run(
                [*EDGEAGENT, "simulate", "--broker", broker.url, *words, "--json"],
                check=True, capture_output=True, text=True,
            )  # fmt: skip
            with truth.open(encoding="utf-8") as lines:
                expected = told(lines, str(truth))
            wait_for_all(chain.database, BOARD, expected, 3 * WINDOW_S)
            wrong = faults_of(chain.database, BOARD, expected, (500, 950))
            size_in, size_out = json.loads(done.stdout)["bytes"], stored(chain.database, BOARD).batch_bytes
    return {
        "wrong": wrong[:5],
        "complete": not wrong,
        "bytes_in": size_in,
        "bytes_out": size_out,
        "ratio": round(size_in / max(1, size_out), 1),
        "windows": len(expected.windows),
    }
