"""The main job with the agent and its guest in an emulated board, and everybody else on this machine."""

from __future__ import annotations

import json
import subprocess
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from edgeagent.sim.broker import Broker
from edgeagent.sim.chain import BOARD, EDGEAGENT, READY, Chain
from edgeagent.sim.truth_file import told
from edgeagent.sim.verdict import faults_of, wait_for_all
from tests.board.emulated import HOST, INSTALLED, Emulated

SENSORS = 20
SECONDS = 10
WINDOW_MS = 5000
QUANTILES = (500, 950)
QUIET_S = 90.0
READY_S = 300.0
SIMULATE_S = 120.0
POLL_S = 1.0
LOG_BYTES = 3000
USER = "edgeagent"
SETTINGS = "/etc/edgeagent"
RUNTIME = "/run/edgeagent"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The agent's status at the end, and all in which the collector's database differs from the truth."""

    status: dict[str, Any]
    faults: list[str]
    sent: int
    """Readings."""


def run(board: Emulated, folder: Path) -> Outcome:
    """Sensors -> Mosquitto -> agent and guest in the board -> Mosquitto -> collector, held to the truth."""
    with Broker() as broker:
        there = f"mqtt://{HOST}:{broker.port}"
        chain = Chain(
            folder,
            broker.url,
            Path(INSTALLED, "build", "images"),
            unit={"accelerator": "auto", "window": f"{WINDOW_MS}ms", "lateness": "3s", "series": 8 * SENSORS},
            sections={
                "board": {"state": "/var/lib/edgeagent", "runtime": RUNTIME},
                "mqtt": {"url": there},
                "seal": {"keys": f"{SETTINGS}/board-keys", "recipients": [f"{SETTINGS}/collector.pem"]},
                "uplink": {"url": there, "collector_keys": [f"{SETTINGS}/collector.pem"]},
            },
        )
        log = folder / "agent.log"
        folder.mkdir(parents=True, exist_ok=True)
        chain.prepare()
        _install(board, chain)
        chain.start("collector")
        try:
            with _agent(board, log) as agent:
                _ready(board, agent, log)
                return _play(board, chain, broker, log)
        finally:
            chain.close()


def _install(board: Emulated, chain: Chain) -> None:
    data = BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        for path in (chain.config, chain.folder / "board-keys", chain.folder / "collector.pem"):
            tar.add(path, f"{SETTINGS}/{path.name}")
    board.send(data.getvalue())
    board.run("install", "-d", "-o", USER, RUNTIME)
    board.run("chown", "-R", USER, SETTINGS)


@contextmanager
def _agent(board: Emulated, path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run it as its own user; path: its log."""
    run = f'echo $$ >{RUNTIME}/pid; exec edgeagent run --config "$0"'
    command = board.command("sh", "-c", run, f"{SETTINGS}/agent.toml", user=USER)
    with path.open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        yield process
    finally:
        board.run("sh", "-c", f"kill $(cat {RUNTIME}/pid)", check=False)
        with suppress(subprocess.TimeoutExpired):
            process.wait(READY_S)
        process.kill()
        process.wait()


def _status(board: Emulated) -> dict[str, Any]:
    said = board.run("edgeagent", "status", "--json", "--runtime", RUNTIME, user=USER, check=False)
    return json.loads(said.out) if said.status in (0, 1) and said.out else {}


def _ready(board: Emulated, agent: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + READY_S
    while True:
        seen = _status(board)
        guests = seen and all(unit["guest"]["state"] == "running" for unit in seen["units"])
        if guests and all(one["state"] in READY for one in (*seen["sources"], seen["uplink"])):
            return
        if agent.poll() is not None or time.monotonic() > deadline:
            raise AssertionError(f"the agent isn't ready: {seen.get('degraded')}\n{_end(log)}")
        time.sleep(POLL_S)


def _play(board: Emulated, chain: Chain, broker: Broker, log: Path) -> Outcome:
    truth = chain.folder / "truth.jsonl"
    words = (
        *("simulate", "--broker", broker.url, "--truth", str(truth), "--sensors", str(SENSORS)),
        *("--for", f"{SECONDS}s", "--window", f"{WINDOW_MS}ms", "--seed", "1"),
    )
    subprocess.run([*EDGEAGENT, *words], check=True, capture_output=True, timeout=SIMULATE_S)
    with truth.open(encoding="utf-8") as file:
        sent = told(file, str(truth))
    if not wait_for_all(chain.database, BOARD, sent, QUIET_S):
        raise AssertionError(f"something is missing: {_status(board).get('degraded')}\n{_end(log)}")
    return Outcome(_status(board), faults_of(chain.database, BOARD, sent, QUANTILES), sent.payloads)


def _end(log: Path) -> str:
    return f"--- agent ---\n{log.read_text(errors='replace')[-LOG_BYTES:]}"
