"""The configuration's reference page, made from the schema.

Run `python -m edgeagent.config.reference > docs/configuration.md`.
"""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

from . import schema
from .load import OFF_WHEN_ABSENT, SECTIONS

_HEAD = """# Configuration

One TOML file, given with `edgeagent run --config FILE`. Relative paths start from the file's folder. Durations are
written as `"250ms"`, `"30s"`, `"5m"`, `"2h"`, `"1d"`, sizes as `"512KiB"`, `"64MiB"`, `"1GiB"`. An unknown key, a wrong
type or a value out of bounds is refused with file, line and key before anything is started. What a file leaves
unset the board's profile may give ([boards](boards.md)); `edgeagent status` shows what it gave. This page is made from
`edgeagent/config/schema.py`.
"""


def shown_default(value: Any) -> str:
    """A row's default, for a table."""
    if value is schema.REQUIRED:
        return "**required**"
    if value is None or value == "":
        return "none"
    return f"`{json.dumps(value)}`"


def _section(title: str, kind: type[Any], remark: str) -> str:
    rows = [f"\n## {title}\n", f"{(kind.__doc__ or '').split(': ', 1)[-1].strip()}{remark}\n"]
    rows += ["| setting | default | what it is for |", "|---|---|---|"]
    for of in fields(kind):
        _, default, doc = schema.row(of)
        rows.append(f"| `{of.name}` | {shown_default(default)} | {doc} |")
    return "\n".join(rows) + "\n"


def reference() -> str:
    """The whole page, as Markdown."""
    parts = [_HEAD]
    for name, kind in {**SECTIONS, "unit": schema.Unit}.items():
        title = "`[[unit]]`" if name == "unit" else f"`[{name}]`"
        parts.append(_section(title, kind, " Off when absent." if name in OFF_WHEN_ABSENT else ""))
    return "".join(parts)


if __name__ == "__main__":
    print(reference(), end="")  # noqa: T201
