"""On a terminal: every key goes to the guest, and the terminal is as it was afterwards, whatever happened."""

from __future__ import annotations

import os
import signal
import subprocess
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from tests.vm.build import GetForeign
from tests.vm.given import MOST_S, RUN, children, gone, read_until, vmm_of


@dataclass(frozen=True)
class Terminal:
    """One with a shell on it, which runs our command in the foreground."""

    fd: int
    shell: subprocess.Popen[bytes]

    def modes(self) -> list[Any]:
        return termios.tcgetattr(self.fd)

    def agent(self) -> int:
        return children(self.shell.pid)[0]

    def read_until(self, text: bytes) -> bytes:
        return read_until(self.fd, text)


@contextmanager
def terminal(*words: str) -> Iterator[Terminal]:
    """The shell says "status N" afterwards, and waits."""
    here, there = os.openpty()
    shell = subprocess.Popen(
        ["setsid", "--ctty", "sh", "-c", '"$@"; echo "status $?"; read -r _', "sh", *words],
        stdin=there,
        stdout=there,
        stderr=there,
    )
    os.close(there)
    try:
        yield Terminal(here, shell)
    finally:
        shell.kill()
        shell.wait()
        os.close(here)


def interactive(modes: list[Any]) -> bool:
    """Whether keys have no meaning to the terminal."""
    return not modes[3] & (termios.ICANON | termios.ECHO | termios.ISIG)


def press_ctrl_a_x(at: Terminal) -> None:
    os.write(at.fd, b"\x01x")


def send(number: int) -> Callable[[Terminal], None]:
    return lambda at: os.kill(at.agent(), number)


@pytest.mark.parametrize(
    ("end", "status"),
    [
        (press_ctrl_a_x, 0),
        (send(signal.SIGINT), 130),
        (send(signal.SIGTERM), 143),
        (send(signal.SIGHUP), 129),
        (send(signal.SIGKILL), 137),
    ],
    ids=["Ctrl-A x", "SIGINT", "SIGTERM", "SIGHUP", "SIGKILL"],
)
def test_the_terminal_is_as_it_was(foreign: GetForeign, end: Callable[[Terminal], None], status: int) -> None:
    with terminal(*RUN, str(foreign("hang")), "--accel", "tcg") as at:
        before = at.modes()
        said = at.read_until(b"for ever\r\n")
        assert b"Ctrl-A x ends it" in said
        assert interactive(at.modes())
        agent = at.agent()
        vmm, others = vmm_of(agent), children(agent)
        end(at)
        at.read_until(b"status %d" % status)
        assert all(gone(one) for one in (vmm, *others))
        deadline = time.monotonic() + MOST_S
        while at.modes() != before and time.monotonic() < deadline:
            time.sleep(0.01)
        assert at.modes() == before


def test_keys_have_no_meaning_but_ctrl_a(foreign: GetForeign) -> None:
    with terminal(*RUN, str(foreign("echo")), "--accel", "tcg", "--exit-map", "83=0") as at:
        at.read_until(b"type\r\n")
        # Ctrl-C, Ctrl-Z, Ctrl-\, Ctrl-D, Ctrl-S, Ctrl-A a, return
        os.write(at.fd, b"\x03\x1a\x1c\x04\x13\x01a\r.")
        assert at.read_until(b".") == b"\x03\x1a\x1c\x04\x13\x01\r."
        os.write(at.fd, b"q")
        said = at.read_until(b"status 0")
        # What it printed last ended no line.
        assert said.startswith(b"\r\nedgeagent: echo: multiboot1 on pc")


def test_in_the_background_the_terminal_is_left_alone(foreign: GetForeign) -> None:
    with terminal(
        "sh", "-c", 'set -m; "$@" & wait $!', "sh", *RUN, str(foreign("off")), "--accel", "tcg"
    ) as at:
        before = at.modes()
        assert b"good bye" in at.read_until(b"status 0")
        assert at.modes() == before
