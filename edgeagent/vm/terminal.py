"""Shell: the terminal in a mode in which every key goes to the guest, and back, whatever becomes of us."""

from __future__ import annotations

import os
import signal
import termios
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

_IFLAG, _OFLAG, _CFLAG, _LFLAG, _CC = 0, 1, 2, 3, 6
_DONE = b"."


def interactive(fd: int) -> bool:
    """Whether it is a terminal on which we are in the foreground: others may not read or change it."""
    try:
        return os.isatty(fd) and os.tcgetpgrp(fd) == os.getpgrp()
    except OSError:
        return False


@contextmanager
def raw(fd: int) -> Iterator[None]:
    """Keys as they are typed, none of them with a meaning. Output is still processed: a line feed alone ends a line.

    Must be entered before there are threads: a process that keeps the old modes is forked.
    """
    old = termios.tcgetattr(fd)
    new = _raw(old)
    keeper, line = _keep(fd, old, new)
    try:
        termios.tcsetattr(fd, termios.TCSANOW, new)
        yield
    finally:
        _restore(fd, old)
        with suppress(OSError):
            os.write(line, _DONE)
        os.close(line)
        with suppress(ChildProcessError):
            os.waitpid(keeper, 0)


def _raw(old: list[Any]) -> list[Any]:
    """As cfmakeraw(3), but for output, which goes on being processed."""
    new = [*old[:_CC], [*old[_CC]]]
    new[_IFLAG] &= ~(
        termios.IGNBRK
        | termios.BRKINT
        | termios.PARMRK
        | termios.ISTRIP
        | termios.INLCR
        | termios.IGNCR
        | termios.ICRNL
        | termios.IXON
    )
    new[_LFLAG] &= ~(termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN)
    new[_CFLAG] = new[_CFLAG] & ~(termios.CSIZE | termios.PARENB) | termios.CS8
    new[_CC][termios.VMIN], new[_CC][termios.VTIME] = 1, 0
    return new


def _restore(fd: int, modes: list[Any]) -> None:
    with suppress(termios.error, OSError):
        termios.tcsetattr(fd, termios.TCSANOW, modes)


def _keep(fd: int, old: list[Any], new: list[Any]) -> tuple[int, int]:
    """A child that restores the terminal when we are killed; its process id, and what to write when it needn't."""
    there, here = os.pipe2(os.O_CLOEXEC)
    child = os.fork()
    if child:
        os.close(there)
        return child, here
    # In the child, which lives by system calls alone.
    try:
        os.close(here)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGTTOU):
            signal.signal(number, signal.SIG_IGN)
        # A shell that has taken the terminal back, and set it up for itself, is left alone.
        if os.read(there, 1) != _DONE and _same(termios.tcgetattr(fd), new):
            termios.tcsetattr(fd, termios.TCSANOW, old)
    finally:
        os._exit(0)


def _same(left: list[Any], right: list[Any]) -> bool:
    return left[: _LFLAG + 1] == right[: _LFLAG + 1]
