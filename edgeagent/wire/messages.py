"""Messages: what a frame's body says. One encoder or parser for each line of edge.cddl that Python needs."""

from __future__ import annotations

import enum
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from zlib import crc32

import cbor2

from edgeagent.errors import RemoteProtocolError
from edgeagent.wire import cbor
from edgeagent.wire.decimals import from_wire
from edgeagent.wire.frame import HEADER, MAGIC, MAX_BODY, VERSION, FrameType, encode

ABI = 1
MAX_TOPIC = 1024
MAX_PAYLOAD = 131_072
STATE_PIECE = 65_536
MAX_SHARDS = 64
FORMAT_UNKNOWN = 65_535
CLOCK_UNSET = 1
"""Flag of a reading: the arrival time is from a clock that wasn't set, so no event is ahead of it."""


class Reason(enum.IntEnum):
    """Why a payload or a value wasn't counted."""

    MALFORMED_JSON = 1
    MALFORMED_CBOR = 2
    MALFORMED_SENML = 3
    EMPTY = 4
    NO_NUMBER = 5
    TOO_DEEP = 6
    TOO_LONG = 7
    TOO_MANY_VALUES = 8
    NUMBER_RANGE = 9
    LATE = 10
    AHEAD = 11
    SERIES_LIMIT = 12
    WINDOW_LIMIT = 13
    BUCKET_LIMIT = 14
    FORMAT_UNSUPPORTED = 15
    BAD_TIME = 16
    TRAILING_BYTES = 17
    NOT_UTF8 = 18
    DUPLICATE_KEY = 19

    @property
    def word(self) -> str:
        """As written in edge.cddl, status and metrics."""
        return self.name.lower().replace("_", "-")


def reason_word(reason: int) -> str:
    """The word for a reason that a guest gave; unknown ones by number."""
    return Reason(reason).word if reason in Reason.__members__.values() else f"reason-{reason}"


# ---- agent -> guest ----------------------------------------------------------------------------------------------

_READING = struct.Struct(">2sBBIIBBQBQBBHBQ")
_READING_CHECKED = struct.Struct(">BBIBBQBQBBHBQ")
READING_FIXED = _READING.size - HEADER.size
SEQ_AT = HEADER.size + 2
"""Where in an encoded reading, tick or drain the eight bytes of seq stand (ours are of fixed width)."""

_STAMP = struct.Struct(">BBQBQ")


def topic_item(topic: bytes) -> bytes:
    """A topic as the CBOR byte string that ``reading`` takes; made once and kept for each topic."""
    return bytes(cbor2.dumps(topic))


def _payload_head(size: int) -> bytes:
    if size < 24:
        return bytes((0x40 + size,))
    if size < 256:
        return bytes((0x58, size))
    if size < 65_536:
        return b"\x59" + size.to_bytes(2, "big")
    return b"\x5a" + size.to_bytes(4, "big")


_HEADS = tuple(_payload_head(size) for size in range(1024))


def reading(
    seq: int,
    time_ms: int,
    content_format: int,
    tag: int,
    topic: bytes,
    payload: bytes,
    flags: int = 0,
) -> bytes:
    """The frame of a reading, the one thing made for every message: so bytes are laid out by hand.

    ``topic`` is what topic_item gave. Callers keep to MAX_TOPIC and MAX_PAYLOAD, and flags below 24.
    """
    size = len(payload)
    head = _HEADS[size] if size < 1024 else _payload_head(size)
    total = READING_FIXED + len(topic) + len(head) + size
    fixed = (0x87, 0x1B, seq, 0x1B, time_ms, flags, 0x19, content_format, 0x1B, tag)
    rest = topic + head + payload
    crc = crc32(rest, crc32(_READING_CHECKED.pack(FrameType.READING, VERSION, total, *fixed)))
    return _READING.pack(MAGIC, FrameType.READING, VERSION, total, crc, *fixed) + rest


def tick(seq: int, time_ms: int) -> bytes:
    """The frame that says that time passes."""
    return encode(FrameType.TICK, _STAMP.pack(0x82, 0x1B, seq, 0x1B, time_ms))


def drain(seq: int, time_ms: int) -> bytes:
    """The frame that closes every window."""
    return encode(FrameType.DRAIN, _STAMP.pack(0x82, 0x1B, seq, 0x1B, time_ms))


def hello(unit: str, memory: int, config: Mapping[str, Any]) -> bytes:
    """The first frame. memory: bytes of guest RAM."""
    return encode(FrameType.HELLO, cbor.dumps([ABI, unit, memory, dict(config)]))


def ping(token: int) -> bytes:
    """Ask for a pong with the same token."""
    return encode(FrameType.PING, cbor.dumps([token]))


def spin(iterations: int) -> bytes:
    """Ask for a counted loop (calibration)."""
    return encode(FrameType.SPIN, cbor.dumps([iterations]))


def checkpoint(ident: int) -> bytes:
    """Ask for the state."""
    return encode(FrameType.CHECKPOINT, cbor.dumps([ident]))


def restore(ident: int, seq: int, out: int, state: bytes) -> bytes:
    """The frames that give a fresh guest its state back."""
    pieces = [state[at : at + STATE_PIECE] for at in range(0, len(state), STATE_PIECE)] or [b""]
    return b"".join(
        encode(FrameType.STATE, cbor.dumps([ident, seq, out, index, len(pieces), piece]))
        for index, piece in enumerate(pieces)
    )


def shard_of(topic: bytes, count: int) -> int:
    """Which of count guests of a unit gets the readings of a topic."""
    return crc32(topic) % count


def shard(index: int, count: int, states: int) -> bytes:
    """Before so many states of other guests, of which this one keeps what shard_of gives it."""
    return encode(FrameType.SHARD, cbor.dumps([index, count, states]))


_SKIP = struct.Struct(">BBQBQ")


def skip(first: int, last: int) -> bytes:
    """In place of inputs that other guests of the unit get."""
    return encode(FrameType.SKIP, _SKIP.pack(0x82, 0x1B, first, 0x1B, last))


def sequence_of(body: bytes) -> int:
    """The seq of a reading, tick or drain that this module encoded."""
    return int.from_bytes(body[2:10], "big")


@dataclass(frozen=True, slots=True)
class Reading:
    """A reading read back from the log. Times are ms; flags as in edge.cddl; topic and payload as they arrived."""

    seq: int
    time_ms: int
    flags: int
    content_format: int
    tag: int
    topic: bytes
    payload: bytes


def parse_reading(body: bytes) -> Reading:
    """For tools and deduplication; the agent's hot path never needs it."""
    return Reading(*_array(body, "reading", 7))


# ---- guest -> agent ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ready:
    """The guest's answer to hello. used and free are bytes of its arena."""

    abi: int
    app: str
    version: int
    state_version: int
    build: bytes
    used: int
    free: int


@dataclass(frozen=True, slots=True)
class Refused:
    """The guest can't take hello or state, and why; needed and available in bytes."""

    reason: str
    needed: int
    available: int


@dataclass(frozen=True, slots=True)
class Pong:
    """Alive, and how far: seq of the last input processed."""

    token: int
    seq: int


@dataclass(frozen=True, slots=True)
class Spun:
    """A calibration loop came to its end."""

    iterations: int
    sum: int


@dataclass(frozen=True, slots=True)
class State:
    """A piece of a checkpoint."""

    ident: int
    seq: int
    out: int
    index: int
    count: int
    piece: bytes


@dataclass(frozen=True, slots=True)
class Ack:
    """Processed through input seq, and said through output out."""

    seq: int
    out: int


@dataclass(frozen=True, slots=True)
class Summary:
    """One closed window of one series; numbers are exact decimals, times ms. See edge.cddl for each."""

    out: int
    seq: int
    source: str
    field: str
    unit: str
    start: int
    length: int
    count: int
    min: Decimal
    max: Decimal
    sum: Decimal
    first: Decimal
    last: Decimal
    sq: Decimal
    quantiles: tuple[Decimal, ...]
    error: int
    skipped: int
    flags: int


@dataclass(frozen=True, slots=True)
class Report:
    """What became of the payloads of one window of arrival time."""

    out: int
    seq: int
    start: int
    length: int
    payloads: int
    values: int
    reasons: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class Reject:
    """A payload that contributed nothing; offset is the byte at which it failed."""

    seq: int
    reason: int
    offset: int


@dataclass(frozen=True, slots=True)
class Log:
    """A line of the guest's log."""

    level: int
    text: str


Message = Ready | Refused | Pong | Spun | State | Ack | Summary | Report | Reject | Log


def _array(body: bytes, what: str, size: int) -> list[Any]:
    value = cbor.loads(body, limit=MAX_BODY, what=what)
    if not isinstance(value, list) or len(value) != size:
        raise RemoteProtocolError(f"{what} is no array of {size}")
    return value


def _whole(value: Any) -> bool:
    return type(value) is int and value >= 0


def _typed(body: bytes, what: str, types: tuple[type, ...]) -> list[Any]:
    values = _array(body, what, len(types))
    for index, (value, wanted) in enumerate(zip(values, types, strict=True)):
        if not (_whole(value) if wanted is int else type(value) is wanted):
            raise RemoteProtocolError(f"{what}[{index}] is no {wanted.__name__}")
    return values


def _summary(body: bytes) -> Summary:
    values = _array(body, "summary", 18)
    whole = (0, 1, 5, 6, 7, 15, 16, 17)
    if not all(_whole(values[i]) for i in whole) or any(type(values[i]) is not str for i in (2, 3, 4)):
        raise RemoteProtocolError("summary has a field of another type")
    if not isinstance(values[14], list):
        raise RemoteProtocolError("summary's quantiles are no array")
    numbers = [from_wire(values[i], "summary's number") for i in range(8, 14)]
    quantiles = tuple(from_wire(item, "summary's quantile") for item in values[14])
    fields: list[Any] = [*values[:8], *numbers, quantiles, *values[15:]]
    return Summary(*fields)


def _report(body: bytes) -> Report:
    values = _typed(body, "report", (int, int, int, int, int, int, dict))
    for reason, count in values[6].items():
        if not (_whole(reason) and _whole(count)):
            raise RemoteProtocolError("report's reasons are no map of numbers")
    return Report(*values)


_PLAIN: dict[int, tuple[type[Any], tuple[type, ...]]] = {
    FrameType.READY: (Ready, (int, str, int, int, bytes, int, int)),
    FrameType.REFUSED: (Refused, (str, int, int)),
    FrameType.PONG: (Pong, (int, int)),
    FrameType.SPUN: (Spun, (int, int)),
    FrameType.STATE: (State, (int, int, int, int, int, bytes)),
    FrameType.ACK: (Ack, (int, int)),
    FrameType.REJECT: (Reject, (int, int, int)),
    FrameType.LOG: (Log, (int, str)),
}


def parse(frame_type: int, body: bytes) -> Message:
    """What a guest said. RemoteProtocolError for anything edge.cddl doesn't allow."""
    if frame_type == FrameType.SUMMARY:
        return _summary(body)
    if frame_type == FrameType.REPORT:
        return _report(body)
    if row := _PLAIN.get(frame_type):
        message, types = row
        parsed: Message = message(*_typed(body, message.__name__.lower(), types))
        return parsed
    raise RemoteProtocolError(f"frame type {frame_type:#04x} is none that a guest may send")
