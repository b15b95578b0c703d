"""Payloads that a reader must refuse, as broken devices and gateways really send them, by what is wrong with them."""

from __future__ import annotations

from .dice import Dice

UNREADABLE, NO_NUMBER = "unreadable", "no-number"

REASONS = {
    UNREADABLE: frozenset(
        ("malformed-json", "malformed-cbor", "malformed-senml", "too-deep", "trailing-bytes", "not-utf8")
    ),
    NO_NUMBER: frozenset(("empty", "no-number")),
}
"""Which reasons of edge.cddl a reader may give. Which of a class it gives is its own business."""

PAYLOADS = (
    (UNREADABLE, b'{"temperature":21.5,"humi'),
    (UNREADABLE, b'{"temperature":21.5}}'),
    (UNREADABLE, b'{"temperature":21..5}'),
    (UNREADABLE, b"{'temperature': 21.5}"),
    (UNREADABLE, b'{"temperature":nan}'),
    (UNREADABLE, b'{"n\xff\xfeame":1}'),
    (UNREADABLE, b"[" * 300 + b"1" + b"]" * 300),
    (UNREADABLE, b'[{"n":"temp","v":21.5},'),
    (NO_NUMBER, b""),
    (NO_NUMBER, b"{}"),
    (NO_NUMBER, b'{"state":"online"}'),
    (NO_NUMBER, b'{"temperature":null,"update":{"state":"idle"}}'),
)


def fault(dice: Dice) -> tuple[str, bytes]:
    """One of them: class and payload."""
    return dice.choice(PAYLOADS)
