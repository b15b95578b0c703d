"""The generator as a process of its own, so that its CPU time is known apart."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

MQTT, COAP = "generator.py", "coap_generator.py"
EXTRA_S = 120
"""Longest that a generator may take beyond its time."""


@dataclass(frozen=True, slots=True)
class Sent:
    """What the generator sent: the truth that every figure is held to."""

    sent: int
    acknowledged: int
    bytes: int
    total_hundredths: int
    seconds: float
    behind_ms: int
    first_ms: int
    last_ms: int
    cpu_seconds: float
    busy: int = 0
    resent: int = 0

    @property
    def rate(self) -> float:
        """Readings per second that it really reached."""
        return self.sent / self.seconds


class Load:
    """A connected generator that waits for ``run``."""

    def __init__(self, program: str, *, seconds: float, **options: float) -> None:
        words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        self._seconds = seconds
        self._process = subprocess.Popen(
            [
                sys.executable,
                str(Path(__file__).with_name(program)),
                "--seconds",
                str(seconds),
                *words,
                "--wait",
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        if self._process.stdout.readline() != "ready\n":
            raise RuntimeError("the generator didn't start")

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def run(self, *, within: int = 1) -> Sent:
        """Let it send; returns when it is done. RuntimeError if it isn't.

        It begins with a window of ``within`` ms: shorter loads fall into that one.
        """
        time.sleep(within / 1000 - time.time() % (within / 1000))
        out, _ = self._process.communicate("go\n", timeout=self._seconds + EXTRA_S)
        if self._process.returncode:
            raise RuntimeError("the generator failed")
        return Sent(**json.loads(out))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
