"""What all commands' help has in common: examples at its end that are commands to copy, each on lines of its own."""

from __future__ import annotations

import re
from pathlib import Path

WIDTH = 78
"""Columns of a help page, which click indents by two."""
INDENT = "    "
_TAKES = re.compile(r"--[a-z-]+|>")
_WORD = re.compile(r"(?:'[^']*'|\S)+")

RUNTIME = Path("/run/edgeagent")
RUNTIME_HELP = "The agent's board.runtime."


def examples(*commands: str, more: str = "") -> str:
    """An epilog with commands to copy; long ones go on after a backslash, as a shell reads them.

    more: paragraphs before them.
    """
    lines = [line for command in commands for line in _broken(command)]
    head = "Example:" if len(commands) == 1 else "Examples:"
    return "\n".join([*([more, ""] if more else []), "\b", head, *(f"  {line}" for line in lines)])


def _broken(command: str) -> list[str]:
    """In lines that fit."""
    lines, line = [], ""
    for word in _pieces(command):
        if line and len(f"{line} {word} \\") > WIDTH - 2:
            lines.append(f"{line} \\")
            line = INDENT + word
        else:
            line = f"{line} {word}" if line else word
    return [*lines, line]


def _pieces(command: str) -> list[str]:
    """Words; an option together with its value, and > with its file."""
    pieces: list[str] = []
    for word in _WORD.findall(command):
        if pieces and _TAKES.fullmatch(pieces[-1]) and not word.startswith("--"):
            pieces[-1] += f" {word}"
        else:
            pieces.append(word)
    return pieces
