"""Core: RISC-V ISA strings (RISC-V ISA manual, "ISA Extension Naming Conventions")."""

from __future__ import annotations

import re

_ISA = re.compile(r"rv(?:32|64|128)([a-z]*)")
_LONG = re.compile(r"[zsx]")
"""What begins a name of several letters: standard, supervisor, vendor's."""


def single_letters(isa: str) -> str | None:
    """The single-letter extensions of a string such as rv64imafdch_zicsr; None when it isn't one.

    They stand before the first underscore and the first name that begins with z, s or x: the h in zihpm isn't H.
    """
    if found := _ISA.match(isa.strip().lower()):
        return _LONG.split(found[1], maxsplit=1)[0]
    return None


def has_hypervisor(isa: str) -> bool:
    """Whether an ISA string names H."""
    return "h" in (single_letters(isa) or "")


def is_whole(isa: str) -> bool:
    """Whether a torn string still tells: its single letters end before the string does."""
    letters = single_letters(isa)
    return letters is not None and len(letters) < len(isa.strip()) - len("rv64")
