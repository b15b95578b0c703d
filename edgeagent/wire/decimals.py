"""The protocol's decimals: [exponent, mantissa], so that no float is ever on the wire."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from edgeagent.errors import RemoteProtocolError

MAX_MANTISSA = 1 << 128
EXPONENTS = range(-128, 128)


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
    match item:
        case [int(exponent), int(mantissa)] if (
            exponent in EXPONENTS
            and -MAX_MANTISSA <= mantissa < MAX_MANTISSA
            and not isinstance(mantissa, bool)
        ):
            # Built from the tuple, so that no context rounds it to 28 digits.
            digits = tuple(map(int, str(abs(mantissa))))
            return Decimal((mantissa < 0, digits, exponent))
    raise RemoteProtocolError(f"{what} is no decimal")
