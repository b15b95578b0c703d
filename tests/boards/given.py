"""Profiles for tests: a small one to change, and where the shipped ones are."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeagent.boards.profile import Profile, parse

SHIPPED = Path(__file__).parents[2] / "boards"
SHARED = Path(__file__).parents[3] / "shared"

GOOD = '''[board]
title = "A board"
arch = "aarch64"
endianness = "little"

[recognise]
compatible = ["maker,board"]

[kvm]
verdict = "partial"
reason = "gic-missing"
trap = """
memory = "of the trap"
[guests]
"""

[guests]
accelerator = "auto"
memory_budget = "25%"
memory = "12MiB"
cpu = 80

[flash]
method = "card"
how = "Write it."
'''


def profile(text: str = GOOD, name: str = "a-board", where: str = "a-board.toml") -> Profile:
    return parse(text, name=name, where=where)


def shared(name: str) -> Path:
    """Data beside the project."""
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"{path} is absent")
    return path
