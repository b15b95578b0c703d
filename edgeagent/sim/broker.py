"""A real Mosquitto for the demo and the tests: generated configuration, free loopback port, gone afterwards."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from edgeagent.errors import EnvironmentFaultError

START_S = 10.0
STOP_S = 5.0
ATTEMPTS = 5
"""Another program may take the free port before Mosquitto does."""
LOG_BYTES = 2000
"""Of Mosquitto's log, shown when it doesn't start."""


def find_mosquitto() -> str:
    """Path of the program; EnvironmentFaultError if it isn't installed."""
    # Debian puts it where only root's PATH looks.
    found = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
    if not found:
        raise EnvironmentFaultError("mosquitto isn't installed", remedy="Run: apt-get install mosquitto")
    return found


def free_port() -> int:
    """A loopback TCP port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return int(port)


class Broker:
    """Mosquitto as a context manager. ``lines`` are added to its configuration; port 0 takes a free one.

    It keeps its data in a temporary folder until the end, so ``stop`` and ``start`` restart it with what it knew.
    """

    def __init__(self, lines: Sequence[str] = (), *, port: int = 0, anonymous: bool = True) -> None:
        self.port = port
        self._fixed = bool(port)
        self._lines = tuple(lines)
        self._anonymous = anonymous
        self._process: subprocess.Popen[bytes] | None = None
        self._folder = tempfile.TemporaryDirectory(prefix="edgeagent-broker-")
        self.folder = Path(self._folder.name)

    @property
    def url(self) -> str:
        """As in the configuration's mqtt.url."""
        return f"mqtt://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """Of the running process, 0 if there is none."""
        return self._process.pid if self._process else 0

    @property
    def log(self) -> str:
        """What it wrote so far."""
        path = self.folder / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self._folder.cleanup()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self._folder.cleanup()

    def start(self) -> None:
        """Start it and wait until it accepts; EnvironmentFaultError with its own words if it doesn't."""
        program = find_mosquitto()
        for attempt in range(ATTEMPTS):
            self.port = self.port or free_port()
            if self._accepts(program):
                self._fixed = True
                return
            if self._fixed or attempt == ATTEMPTS - 1:
                break
            self.port = 0
        raise EnvironmentFaultError(
            f"mosquitto doesn't start: {' '.join(self.log[-LOG_BYTES:].split())}",
            where=f"127.0.0.1:{self.port}",
            remedy="Check that the port is free",
        )

    def stop(self, *, kill: bool = False) -> None:
        """End it: orderly (it saves its sessions), or as a power cut would."""
        process, self._process = self._process, None
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

    def _accepts(self, program: str) -> bool:
        configuration = self.folder / "mosquitto.conf"
        configuration.write_text("\n".join(self._configuration()) + "\n")
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                (program, "-c", str(configuration)),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1.0).close()
            except OSError:
                time.sleep(0.02)
            else:
                # Whoever answers may be another program that holds the port; then ours ends at once.
                if self._process.poll() is None:
                    return True
        self.stop(kill=True)
        return False

    def _configuration(self) -> list[str]:
        return [
            # As root Mosquitto would become another user, who can't write here.
            "user root",
            "log_dest stderr",
            "log_type warning",
            "log_type error",
            "log_type notice",
            "persistence true",
            f"persistence_location {self.folder}/",
            # No limit of queued messages: tests count every one.
            "max_queued_messages 0",
            "max_inflight_messages 0",
            f"listener {self.port} 127.0.0.1",
            f"allow_anonymous {'true' if self._anonymous else 'false'}",
            *self._lines,
        ]
