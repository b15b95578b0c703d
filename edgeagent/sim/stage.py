"""A whole chain on this machine: a broker, a board with keys and configuration, a collector, as processes of their own.

The demo and the end-to-end tests play on it. Everything lies in one folder; no process outlives it.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from edgeagent.collector.rows import summary_of
from edgeagent.control.client import ControlClient
from edgeagent.errors import EdgeAgentError, GuestError, UnreachableError
from edgeagent.wire.messages import Summary, reason_word

from .broker import Broker

BOARD = "demo-hub"
START_S = 120.0
"""For the agent to run its guest; a software KVM and a busy machine are slow."""
STOP_S = 30.0
POLL_S = 0.05
LOG_TAIL = 2_000
"""Characters of a process's log shown when it ends unasked."""
TOPICS = ("zigbee2mqtt/#", "tele/#", "shellies/#", "esphome/#", "senml/#")
"""Of the simulated home."""


@dataclass(slots=True)
class Stage:
    """Enter it, then start what is needed. ``unit``, ``journal``, ``seal``, ``mqtt``, ``extra`` are TOML lines."""

    folder: Path
    images: Path
    unit: Sequence[str] = (f"topics = {json.dumps(TOPICS)}", 'window = "5s"', 'lateness = "3s"')
    journal: Sequence[str] = ()
    seal: Sequence[str] = ('batch_interval = "1s"',)
    extra: Sequence[str] = ()
    mqtt: Sequence[str] = ()
    broker: Broker = field(default_factory=Broker)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def config(self) -> Path:
        """The agent's configuration."""
        return self.folder / "agent.toml"

    @property
    def runtime(self) -> Path:
        """The agent's board.runtime."""
        return self.folder / "run"

    @property
    def database(self) -> Path:
        """The collector's SQLite file."""
        return self.folder / "collector.db"

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.broker.__enter__()
        try:
            self._prepare()
        except BaseException:
            self.broker.__exit__(None, None, None)
            raise
        return self

    def _prepare(self) -> None:
        if not (self.folder / "collector.pem").exists():
            for role, keys in (("board", "state/keys"), ("collector", "keys")):
                command("keys", "init", "--role", role, "--folder", str(self.folder / keys))
                public = command("keys", "public", "--folder", str(self.folder / keys))
                (self.folder / f"{role}.pem").write_text(public)
            command(
                "collect", "enroll", "--database", self._database_url, BOARD, str(self.folder / "board.pem")
            )
        self.write_config()

    @property
    def _database_url(self) -> str:
        return f"sqlite:///{self.database}"

    def write_config(self) -> None:
        """Write the configuration as it is now."""
        sections = {
            "[board]": (
                f'name = "{BOARD}"',
                'state = "state"',
                'runtime = "run"',
                f'images = "{self.images}"',
            ),
            "[journal]": self.journal,
            "[mqtt]": (f'url = "{self.broker.url}"', *self.mqtt),
            "[[unit]]": ('name = "home"', *self.unit),
            "[seal]": ('recipients = ["collector.pem"]', *self.seal),
            "[uplink]": (f'url = "{self.broker.url}"', 'collector_keys = ["collector.pem"]'),
        }
        lines = [line for title, rows in sections.items() for line in (title, *rows, "")]
        self.config.write_text("\n".join([*lines, *self.extra, ""]))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name in tuple(self.processes):
            self.stop(name)
        self.broker.__exit__(kind, error, trace)

    # ---- processes -----------------------------------------------------------------------------------------------

    def start(self, name: str, *arguments: str) -> subprocess.Popen[bytes]:
        """Run `edgeagent ARGUMENTS` as a process called name; its output goes to NAME.log."""
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                (sys.executable, "-m", "edgeagent", *arguments),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
            )
        self.processes[name] = process
        return process

    def start_agent(self) -> None:
        """Start the agent; see wait_running."""
        self.start("agent", "run", "--config", str(self.config))

    def start_collector(self) -> None:
        """Start the collector."""
        arguments = ("--database", self._database_url, "--broker", self.broker.url, "--name", "demo")
        self.start("collector", "collect", *arguments, "--keys", str(self.folder / "keys"))

    def log(self, name: str) -> str:
        """What a process wrote."""
        path = self.folder / f"{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def check(self) -> None:
        """GuestError with the end of its log if a process ended unasked."""
        for name, process in self.processes.items():
            if process.poll() is not None:
                raise GuestError(
                    f"the {name} ended with status {process.returncode}: {self.log(name)[-LOG_TAIL:].strip()}"
                )

    def stop(self, name: str) -> int:
        """End a process in order, and by force if that takes too long; its status."""
        process = self.processes.pop(name)
        process.terminate()
        try:
            return process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()

    def kill(self, name: str) -> None:
        """End a process as a power cut would."""
        process = self.processes.pop(name)
        process.kill()
        process.wait()

    def kill_vmm(self) -> bool:
        """End the guest's VMM as a power cut would; False while there is none."""
        try:
            pid = self.status()["units"][0]["guest"]["pid"]
            if pid:
                os.kill(pid, signal.SIGKILL)
        except (EdgeAgentError, ProcessLookupError):
            return False
        return bool(pid)

    # ---- looking -------------------------------------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        """The agent's status; UnreachableError while there is none."""
        with ControlClient(self.runtime) as agent:
            return agent.ask("status")

    def wait(self, reached: Callable[[], bool], what: str, seconds: float) -> None:
        """Until it is so; UnreachableError naming what after so many seconds, GuestError if a process ended."""
        deadline = time.monotonic() + seconds
        while True:
            self.check()
            try:
                if reached():
                    return
            except UnreachableError:
                pass  # the agent's socket comes and goes with it
            if time.monotonic() > deadline:
                raise UnreachableError(f"{what} didn't come within {seconds:g} s", where=str(self.folder))
            time.sleep(POLL_S)

    def wait_running(self) -> None:
        """Until the guest runs and the broker is connected."""

        def runs() -> bool:
            status = self.status()
            sources = all(source["state"] in ("connected", "listening") for source in status["sources"])
            return sources and all(unit["guest"]["state"] == "running" for unit in status["units"])

        self.wait(runs, "a running guest", START_S)

    def settled(self) -> bool:
        """Whether everything taken is processed, stored, acknowledged."""
        status = self.status()
        unit = status["units"][0]
        processed = unit["log"]["acked"] == unit["log"]["last"] == unit["log"]["durable"]
        return processed and not unit["waiting"] and not status["spool"]["batches"]

    def rows(self) -> list[Summary]:
        """The summaries in the collector's database."""
        with sqlite3.connect(f"file:{self.database}?mode=ro", uri=True) as connection:
            connection.row_factory = sqlite3.Row
            return [summary_of(dict(row)) for row in connection.execute("SELECT * FROM summaries")]

    def reasons(self) -> Counter[str]:
        """Payloads and values that weren't counted, by reason, of all reports in the database."""
        found: Counter[str] = Counter()
        with sqlite3.connect(f"file:{self.database}?mode=ro", uri=True) as connection:
            for (reasons,) in connection.execute("SELECT reasons FROM reports"):
                found.update({reason_word(int(one)): count for one, count in json.loads(reasons).items()})
        return found


def command(*arguments: str) -> str:
    """Run an edgeagent command to its end; what it printed. EdgeAgentError with what it said if it fails."""
    done = subprocess.run(
        (sys.executable, "-m", "edgeagent", *arguments), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise EdgeAgentError(f"edgeagent {arguments[0]} failed: {done.stderr.strip()}")
    return done.stdout
