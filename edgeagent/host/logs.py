"""Logging: one line per event to standard error, and the newest lines in memory for `edgeagent logs`."""

from __future__ import annotations

import logging
import time
from collections import deque
from contextlib import nullcontext

KEPT_LINES = 2_000
MAX_LINE = 2_000
"""Characters."""


class LogBook(logging.Handler):
    """Keeps the newest lines. Each has a number, so that a follower asks for what came after the one it has."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(_Lines())
        self._lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._count = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Take a line (called with the handler's lock held)."""
        self._lines.append(self.format(record)[:MAX_LINE])
        self._count += 1

    def after(self, number: int, most: int) -> tuple[int, list[str]]:
        """The newest lines after that number, at most ``most``, and the number of the newest."""
        with self.lock or nullcontext():
            count = max(0, min(self._count - number, len(self._lines), most))
            return self._count, list(self._lines)[len(self._lines) - count :]


class _Lines(logging.Formatter):
    """Time, level, logger, message in one line. UTC, milliseconds."""

    def format(self, record: logging.LogRecord) -> str:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        text = record.getMessage()
        if record.exc_info and record.exc_info[1] is not None:
            text = f"{text}: {record.exc_info[1]!r}"
        text = " ".join(text.split())
        return f"{stamp}.{int(record.msecs):03}Z {record.levelname.lower()} {record.name}: {text}"


def start_logging(level: str) -> LogBook:
    """Send everything to standard error and to the book that is returned. level: debug, info, warning or error."""
    root = logging.getLogger()
    root.setLevel(level.upper())
    book = LogBook()
    screen = logging.StreamHandler()
    screen.setFormatter(_Lines())
    root.handlers[:] = [screen, book]
    return book
