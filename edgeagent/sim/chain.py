"""The whole chain as processes, for the demo, tests and benchmarks: agent and collector with keys made for them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from edgeagent.control.client import ControlClient
from edgeagent.errors import EdgeAgentError, EnvironmentFaultError, UnreachableError

from .kinds import TOPICS

START_S = 60.0
"""Longest wait until the guest runs and the sources are connected."""
STOP_S = 30.0
POLL_S = 0.05
LOG_BYTES = 2000
"""Of a process's log, shown when it ends by itself."""
BOARD = "demo"
READY = ("connected", "listening")

Table = Mapping[str, Any]


def toml(sections: Mapping[str, Table], units: Sequence[Table]) -> str:
    """A configuration file; values are texts, numbers, booleans and lists of them, which JSON writes as TOML does."""
    parts = [(f"[{name}]", table) for name, table in sections.items()] + [
        ("[[unit]]", unit) for unit in units
    ]
    return "\n".join(
        "\n".join([head, *(f"{name} = {json.dumps(one)}" for name, one in table.items()), ""])
        for head, table in parts
    )


@dataclass(slots=True)
class Chain:
    """An agent and a collector at one broker; a context manager. Its files are in ``folder`` and stay there.

    ``sections`` adds to or replaces settings by section, ``unit`` those of the unit "home", in terms of the
    configuration; ``others`` are units beside it.
    """

    folder: Path
    broker: str
    images: Path
    unit: Table = field(default_factory=dict)
    sections: Mapping[str, Table] = field(default_factory=dict)
    others: Sequence[Table] = ()
    _running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def runtime(self) -> Path:
        """Where the agent's control socket is."""
        return self.folder / "run"

    @property
    def database(self) -> Path:
        """The collector's SQLite file."""
        return self.folder / "collector.db"

    @property
    def config(self) -> Path:
        """The agent's configuration."""
        return self.folder / "agent.toml"

    def pid(self, name: str) -> int:
        """Of "agent" or "collector"."""
        return self._running[name].pid

    def log(self, name: str) -> str:
        """What the process has written so far."""
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            self.prepare()
            self.start("collector")
            self.start("agent")
            self.wait_ready()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop both: the agent first, so that the collector hears all it says."""
        for name in ("agent", "collector"):
            self.stop(name)

    # ---- keys and configuration ----------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Make keys, enroll the board, write the configuration."""
        for role in ("board", "collector"):
            folder = self.folder / f"{role}-keys"
            if not folder.exists():
                self._command("keys", "init", "--role", role, "--folder", str(folder))
            (self.folder / f"{role}.pem").write_text(self._command("keys", "public", "--folder", str(folder)))
        url = f"sqlite:///{self.database}"
        self._command("collect", "enroll", "--database", url, BOARD, str(self.folder / "board.pem"))
        self.config.write_text(toml(self._sections(), [self._unit(), *self.others]))

    def _unit(self) -> Table:
        return {"name": "home", "topics": [*TOPICS], "window": "10s", "lateness": "2s"} | dict(self.unit)

    def _sections(self) -> dict[str, Table]:
        own: dict[str, Table] = {
            "board": {
                "name": BOARD,
                "state": str(self.folder / "state"),
                "runtime": str(self.runtime),
                "images": str(self.images),
            },
            "mqtt": {"url": self.broker},
            "seal": {
                "keys": str(self.folder / "board-keys"),
                "recipients": [str(self.folder / "collector.pem")],
                "batch_interval": "1s",
            },
            "uplink": {"url": self.broker, "collector_keys": [str(self.folder / "collector.pem")]},
        }
        for name, table in self.sections.items():
            own[name] = dict(own.get(name, {})) | dict(table)
        return own

    # ---- processes -----------------------------------------------------------------------------------------------

    def _command(self, *words: str) -> str:
        done = subprocess.run([*EDGEAGENT, *words], capture_output=True, text=True, check=False)
        if done.returncode:
            raise EnvironmentFaultError(
                done.stderr.strip().removeprefix("edgeagent: "), where=f"edgeagent {words[0]}"
            )
        return done.stdout

    def start(self, name: str) -> None:
        """Start the agent or the collector."""
        words = {
            "agent": ("run", "--config", str(self.config)),
            "collector": (
                "collect", "--database", f"sqlite:///{self.database}", "--broker", self.broker,
                "--keys", str(self.folder / "collector-keys"), "--json",
            ),
        }[name]  # fmt: skip
        with (self.folder / f"{name}.log").open("ab") as log:
            self._running[name] = subprocess.Popen(
                [*EDGEAGENT, *words], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def stop(self, name: str, *, kill: bool = False) -> None:
        """End it in order, or as a power cut would."""
        process = self._running.pop(name, None)
        if process is None:
            return
        if kill:
            process.kill()
        else:
            process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def check_alive(self) -> None:
        """EdgeAgentError with its own last words if one of the two has ended."""
        for name, process in self._running.items():
            if process.poll() is not None:
                lines = self.log(name)[-LOG_BYTES:].strip().splitlines()
                words = lines[-1].removeprefix("edgeagent: ") if lines else f"exit code {process.returncode}"
                fault = EdgeAgentError(f"the {name} ended: {words}")
                fault.exit_code = max(process.returncode, EdgeAgentError.exit_code)
                raise fault

    def status(self) -> dict[str, Any]:
        """What `edgeagent status --json` says. UnreachableError while the agent doesn't answer."""
        with ControlClient(self.runtime) as agent:
            return agent.ask("status")

    def wait_ready(self) -> dict[str, Any]:
        """Wait until the guest runs, the sources and the uplink are connected; gives the status."""
        deadline = time.monotonic() + START_S
        seen: dict[str, Any] = {}
        while time.monotonic() < deadline:
            self.check_alive()
            with suppress(UnreachableError):
                seen = self.status()
                guests = all(unit["guest"]["state"] == "running" for unit in seen["units"])
                links = all(one["state"] in READY for one in (*seen["sources"], seen["uplink"]))
                if guests and links:
                    return seen
            time.sleep(POLL_S)
        raise UnreachableError(
            f"the agent wasn't ready in {START_S:.0f} s: {seen.get('degraded', 'no answer')}"
        )


EDGEAGENT = (sys.executable, "-m", "edgeagent")


def default_images() -> Path:
    """Where `edgeagent image build` puts images in a checkout."""
    return Path(os.environ.get("EDGEAGENT_IMAGES", Path(__file__).parents[2] / "build" / "images"))
