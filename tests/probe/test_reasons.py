"""The table of reasons in docs/probe.md is the one in the code."""

from __future__ import annotations

from pathlib import Path

from edgeagent.probe.answer import REASONS

PAGE = Path(__file__).parents[2] / "docs/probe.md"


def test_documented() -> None:
    table = PAGE.read_text("utf-8").split("answer.py -->\n")[1].split("<!-- end")[0]
    rows = [f"| `{word}` | `{answer.value}` | {meaning} |" for word, (answer, meaning) in REASONS.items()]
    assert table.splitlines()[2:] == rows
