"""The protocol's decimals: [exponent, mantissa], so that no float is ever on the wire."""

from __future__ import annotations

from decimal import Context, Decimal
from typing import Any

from edgeagent.errors import RemoteProtocolError

MAX_MANTISSA = 1 << 128
EXPONENTS = range(-128, 128)
_EXACT = Context(prec=60)
"""More digits than MAX_MANTISSA has: nothing is rounded."""


def to_wire(value: Decimal) -> list[int]:
    """Exponent and mantissa without trailing zeros; zero is [0, 0]. ValueError for NaN and infinities."""
    sign, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int):
        raise ValueError(f"{value} is no number")  # noqa: TRY004
    mantissa = int("".join(map(str, digits)))
    if not mantissa:
        return [0, 0]
    while mantissa % 10 == 0:
        mantissa //= 10
        exponent += 1
    return [exponent, -mantissa if sign else mantissa]


def from_wire(item: Any, what: str) -> Decimal:
    """The exact value. RemoteProtocolError unless item is [exponent, mantissa] within the protocol's bounds."""
    if type(item) is list and len(item) == 2:
        exponent, mantissa = item
        # Plain comparisons: a summary has a dozen of these, and a match statement takes five times as long.
        if (
            type(exponent) is int
            and type(mantissa) is int
            and exponent in EXPONENTS
            and -MAX_MANTISSA <= mantissa < MAX_MANTISSA
        ):
            return _EXACT.scaleb(Decimal(mantissa), exponent)
    raise RemoteProtocolError(f"{what} is no decimal")
