"""The boards' reference page, made from boards/*.toml and from what a profile may say.

Run `python -m edgeagent.boards.reference > docs/boards.md`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import fields
from typing import Any

from edgeagent.config import schema
from edgeagent.config.reference import shown_default

from .library import load, shipped
from .profile import SECTIONS, Profile

_HEAD = """# Boards

A board profile, `boards/NAME.toml`, says how a board is recognised and what is known of it: the KVM verdict to expect
and the trap that makes it differ, what guests may use where the configuration doesn't say, how it is flashed.
`edgeagent boards` lists them, `edgeagent boards show NAME` shows one, `edgeagent probe` names the board it is on and
warns when its verdict isn't the expected one. This page is made from the profiles.

A profile never decides whether KVM works: the probe tries. A board that nothing describes gets `generic-ARCH`. For one
of your own put a profile into `/etc/edgeagent/boards`, check it with `edgeagent boards check FILE`; it replaces ours of
the same name. Of several profiles the most specific mark wins: device tree, DMI, processor, firmware, architecture.

"depends": the profile expects nothing, for boards of that kind differ.

| board | what it is | architecture | KVM | guests may have | flashing |
|---|---|---|---|---|---|
"""

_BOARDS = """
## What is known of each
"""

_FORMAT = """
## What a profile may say
"""


def _rows(profiles: Iterable[Profile]) -> Iterator[str]:
    for one in profiles:
        verdict = "depends" if one.kvm.verdict == "unknown" else f"{one.kvm.verdict} ({one.kvm.reason})"
        arch = one.board.arch + (", big-endian" if one.board.endianness == "big" else "")
        roots = ", two roots" if one.flash.ab_root else ""
        budget = one.defaults["board"]["memory_budget"]
        yield (
            f"| `{one.name}` | {one.board.title} | {arch} | {verdict} | {budget} of memory "
            f"| {one.flash.method}{roots} |"
        )


def _known(profiles: Iterable[Profile]) -> Iterator[str]:
    for one in profiles:
        yield f"\n**{one.board.title}** (`{one.name}`). {_flowing(one.kvm.trap)}\nFlashing: {_flowing(one.flash.how)}"


def _format(section: str, kind: type[Any]) -> Iterator[str]:
    yield f"\n`[{section}]`: {_flowing((kind.__doc__ or '').split(': ', 1)[-1])}\n"
    yield "| key | default | what it is for |"
    yield "|---|---|---|"
    for of in fields(kind):
        _, default, doc = schema.row(of)
        yield f"| `{of.name}` | {shown_default(default)} | {doc} |"


def _flowing(text: str) -> str:
    return " ".join(text.split())


def reference(profiles: Iterable[Profile]) -> str:
    """The whole page, as Markdown."""
    known = list(profiles)
    rows = [line for section, kind in SECTIONS.items() for line in _format(section, kind)]
    return (
        _HEAD + "\n".join([*_rows(known), _BOARDS.rstrip(), *_known(known), _FORMAT.rstrip(), *rows]) + "\n"
    )


if __name__ == "__main__":
    print(reference(load((shipped(),)).values()), end="")  # noqa: T201
