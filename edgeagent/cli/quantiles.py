"""Quantiles as options of commands."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

import click


def per_mille(text: str) -> tuple[int, ...]:
    """A click type: quantiles such as 0.5,0.95, read as per mille."""
    try:
        scaled = [Decimal(one) * 1000 for one in text.split(",") if one]
    except InvalidOperation:
        scaled = [Decimal(-1)]
    if not all(0 <= one <= 1000 and one == int(one) for one in scaled):
        raise click.BadParameter(f"{text!r} is no list of quantiles such as 0.5,0.95 (at most three digits)")
    return tuple(map(int, scaled))
