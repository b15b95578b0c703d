"""Runs a command in an emulated board: `python -m tests.board.run arm64 -- python3 -m pytest tests/vmm`."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence

import click

from edgeagent.errors import EdgeAgentError
from tests.board.cache import say
from tests.board.emulated import Emulated
from tests.board.table import BOARDS


def main(words: Sequence[str]) -> int:
    """Exit code of the command."""
    name, *command = words
    if command[:1] == ["--"]:
        del command[0]
    began = time.monotonic()
    try:
        with Emulated(BOARDS[name], name) as board:
            say(f"{name} is up after {time.monotonic() - began:.0f} s")
            return subprocess.run(board.command(*command), check=False).returncode
    except EdgeAgentError as error:
        click.echo(f"boards: {error}", err=True)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
