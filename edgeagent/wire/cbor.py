"""CBOR from someone else: one item, bounded, nothing behind it, no exception but ours.

cbor2 accepts trailing bytes, and answers a huge declared length with MemoryError and deep nesting with RecursionError;
callers cap the size first, this module checks the rest.
"""

from __future__ import annotations

import io
from typing import Any

import cbor2

from edgeagent.errors import RemoteProtocolError

BREAK = b"\xff"
"""Ends an item of indefinite length (RFC 8949 section 3.2.1)."""


def dumps(value: Any) -> bytes:
    """Encode one item in preferred (shortest) form."""
    return bytes(cbor2.dumps(value))


def loads(data: bytes, *, limit: int, what: str) -> Any:
    """Decode exactly one item of at most limit bytes.

    Raises RemoteProtocolError naming ``what`` for anything else.
    """
    if len(data) > limit:
        raise RemoteProtocolError(f"{what} of {len(data)} bytes is above the limit of {limit}")
    if data[:1] == BREAK:
        # cbor2 before 5.5 gives it out as a value.
        raise RemoteProtocolError(f"{what} is no CBOR: a break that ends nothing")
    stream = io.BytesIO(data)
    try:
        value = cbor2.CBORDecoder(stream).decode()
    except (
        cbor2.CBORDecodeError,
        MemoryError,
        RecursionError,
        ValueError,
        OverflowError,
        TypeError,
    ) as error:
        raise RemoteProtocolError(f"{what} is no CBOR: {error}") from error
    if stream.tell() != len(data):
        raise RemoteProtocolError(f"{what} has {len(data) - stream.tell()} bytes behind its CBOR item")
    return value
