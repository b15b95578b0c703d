"""A batch: summaries and reports of one unit, sealed for the owner. Compress, sign as the board, encrypt; and back.

The signature covers board, spool and number, which are inside; signature and cipher also bind the topic (COSE's
external data), so that a broker can neither read a batch nor pass it off as another. What is decompressed is
authenticated before and bounded after.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import cbor2

from edgeagent.errors import LocalProtocolError, RemoteProtocolError
from edgeagent.wire import cbor, messages
from edgeagent.wire.frame import FrameType
from edgeagent.wire.messages import Report, Summary

from . import columns, cose
from .keys import BoxKey, SigningKey

VERSION = 1
MAX_ITEMS = columns.MAX_ROWS
MAX_BODIES = 1 << 20
"""Bytes of all bodies of one batch."""
MAX_CONTENT = 4 << 20
"""Bytes of a batch after decompression; more is a bomb."""
MAX_SEALED = cose.MAX_MESSAGE
MAX_NAME = 64
MAX_SPOOL_ID = 32
MAX_NUMBER = (1 << 63) - 1
"""Of batches, outputs and epochs: what every database can hold."""

CIPHERS = {"A256GCM": cose.A256GCM, "ChaCha20-Poly1305": cose.CHACHA20_POLY1305}
"""As [seal] cipher of the configuration names them."""
_CONTENT_KEY_SIZE = 32
_EPHEMERAL_SIZE = 32
_LEVEL = 9


@dataclass(frozen=True, slots=True)
class Head:
    """Whose batch it is. number counts 1, 2, 3 ... within a spool; epoch names the log that outputs are numbered in."""

    board: str
    spool_id: bytes
    number: int
    unit: str
    app: str
    epoch: int


@dataclass(frozen=True, slots=True)
class Batch:
    """An opened batch; items in the order of their out."""

    head: Head
    first_out: int
    last_out: int
    items: tuple[Summary | Report, ...]


class Said(Protocol):
    """A summary or report as a guest said it: frame type and CBOR body."""

    @property
    def type(self) -> int:
        """FrameType.SUMMARY or REPORT."""

    @property
    def body(self) -> bytes:
        """As in edge.cddl."""


Entropy = Callable[[int], bytes]
"""That many random bytes; os.urandom outside of tests."""


def pack(head: Head, items: Sequence[Said]) -> bytes:
    """The content of a batch, compressed. LocalProtocolError when it is empty or above a limit."""
    if not 0 < len(items) <= MAX_ITEMS:
        raise LocalProtocolError(f"a batch of {len(items)} items can't be; 1 to {MAX_ITEMS} can")
    if (size := sum(len(item.body) for item in items)) > MAX_BODIES:
        raise LocalProtocolError(f"a batch of {size} bytes is above the limit of {MAX_BODIES}")
    rows: list[Any] = []
    plain: list[list[Any]] = []
    outs: list[int] = []
    for item in items:
        said = cbor2.loads(item.body)
        outs.append(said[0])
        if (
            item.type == FrameType.SUMMARY
            and columns.fits(said)
            and len(said[14]) == len((rows or [said])[0][14])
        ):
            rows.append(said)
        else:
            plain.append([item.type, item.body])
    content = cbor.dumps(
        [
            VERSION,
            head.board,
            head.spool_id,
            head.number,
            head.unit,
            head.app,
            head.epoch,
            min(outs),
            max(outs),
            columns.encode(rows) if rows else [],
            plain,
        ]
    )
    if len(content) > MAX_CONTENT:
        raise LocalProtocolError(f"a batch's content of {len(content)} bytes is above {MAX_CONTENT}")
    return zlib.compress(content, _LEVEL)


def inflate(data: bytes, limit: int = MAX_CONTENT) -> bytes:
    """Decompress at most limit bytes. RemoteProtocolError for more, for damage and for trailing bytes."""
    stream = zlib.decompressobj()
    try:
        content = stream.decompress(data, limit)
    except zlib.error as error:
        raise RemoteProtocolError("the batch's compression is damaged") from error
    if stream.unconsumed_tail:
        raise RemoteProtocolError(f"the batch is larger than {limit} bytes after decompression")
    if not stream.eof or stream.unused_data:
        raise RemoteProtocolError("the batch's compression is damaged")
    return content


def _is_number(value: Any, least: int) -> bool:
    return type(value) is int and least <= value <= MAX_NUMBER


def _is_name(value: Any) -> bool:
    return type(value) is str and 0 < len(value) <= MAX_NAME


def _plain(entry: Any) -> Summary | Report:
    match entry:
        case [int(kind), bytes(body)] if kind in (FrameType.SUMMARY, FrameType.REPORT):
            said = messages.parse(kind, body)
            if isinstance(said, Summary | Report):
                return said
    raise RemoteProtocolError("an item of the batch is neither summary nor report")


def _numbers(item: Summary | Report) -> tuple[int, ...]:
    if isinstance(item, Summary):
        return (item.out, item.seq, item.start, item.length, item.count, item.error, item.skipped, item.flags)
    return (item.out, item.seq, item.start, item.length, item.payloads, item.values)


def unpack(data: bytes) -> Batch:
    """The batch of what ``pack`` made. RemoteProtocolError for anything else."""
    content = cbor.loads(inflate(data), limit=MAX_CONTENT, what="the batch")
    match content:
        case [1, board, bytes(spool), number, unit, app, epoch, first, last, [*table], [*plain]] if (
            all(map(_is_name, (board, unit, app)))
            and 0 < len(spool) <= MAX_SPOOL_ID
            and _is_number(number, 1)
            and _is_number(epoch, 0)
            and _is_number(first, 1)
            and _is_number(last, first)
        ):
            found = [*(columns.decode(table) if table else ()), *map(_plain, plain)]
        case [int(version), *_] if version != VERSION:
            raise RemoteProtocolError(
                f"the batch has version {version}, this is made for {VERSION}", remedy="Update the collector."
            )
        case _:
            raise RemoteProtocolError("the batch's content is malformed")
    items = tuple(sorted(found, key=lambda item: item.out))
    outs = [item.out for item in items]
    if any(number > MAX_NUMBER for item in items for number in _numbers(item)):
        raise RemoteProtocolError("a number of the batch is too large")
    if not 0 < len(items) <= MAX_ITEMS or len(set(outs)) != len(outs) or (outs[0], outs[-1]) != (first, last):
        raise RemoteProtocolError("the batch's outputs aren't those that it names")
    return Batch(Head(board, spool, number, unit, app, epoch), first, last, items)


def seal_batch(
    head: Head,
    items: Sequence[Said],
    *,
    signer: SigningKey,
    recipients: Sequence[BoxKey],
    topic: str,
    entropy: Entropy,
    cipher: int = cose.A256GCM,
) -> bytes:
    """Pack, sign and encrypt. topic: where it will be published (uplink/topics.py).

    Raises LocalProtocolError when there are no items, too many, or the result would be above MAX_SEALED bytes.
    """
    external = topic.encode()
    signed = cose.sign1(pack(head, items), signer, external=external)
    sealed = cose.encrypt(
        signed,
        [key.recipient(entropy(_EPHEMERAL_SIZE)) for key in recipients],
        content_key=entropy(_CONTENT_KEY_SIZE),
        nonce=entropy(cose.NONCE_SIZE),
        algorithm=cipher,
        external=external,
    )
    if len(sealed) > MAX_SEALED:
        raise LocalProtocolError(f"a sealed batch of {len(sealed)} bytes is above {MAX_SEALED}")
    return sealed


def open_batch(
    data: bytes,
    *,
    agree: cose.Agree,
    key_of: Callable[[bytes], cose.Verifier | None],
    topic: str,
) -> Batch:
    """Decrypt, verify, unpack. key_of gives the signing keys of the board that topic belongs to.

    Raises cose.NotForUsError, cose.UnknownKeyError, or RemoteProtocolError for damage and forgery.
    """
    external = topic.encode()
    signed = cose.decrypt(data, agree, external=external)
    return unpack(cose.verify1(signed, key_of, external=external))
