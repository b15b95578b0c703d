"""Core: what is published to and by boards: CBOR maps with text keys, bounded, as docs/fleet.cddl has them.

Fields that this version doesn't know are kept in ``extra`` and written again, and change nothing. What comes from the
fleet is signed (COSE_Sign1) over its topic too, so it can't be replayed at another board. Times are ms since 1970 UTC.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any, TypeVar

from edgeagent.errors import RemoteProtocolError
from edgeagent.seal import cose, strict
from edgeagent.uplink.topics import is_name

VERSION = 1
MAX_PAYLOAD = 32 << 10
"""Bytes of every payload but an answer with a chunk."""
MAX_CHUNK = 48 << 10
"""Bytes of a file in one answer; with what is around them less than the 64 KiB that clients take."""
MAX_UNITS = 64
MAX_TAGS = 32
MAX_TEXT = 256
MAX_NUMBER = (1 << 63) - 1
MAX_TIME = 1 << 47
MAX_HEALTH_S = 3600
LEAST_HEALTH_S = 5
MAX_FILE = 64 << 20
"""Bytes of a file that may be fetched."""

_EXTRA = "extra"
Check = Callable[[Any], Any]
T = TypeVar("T")


class State(StrEnum):
    """Of a command or of what a desired state asks for. From FINAL none leads away."""

    ACCEPTED = "accepted"
    EXECUTING = "executing"
    SUCCESSFUL = "successful"
    FAILED = "failed"
    TIMED_OUT = "timed-out"
    REJECTED = "rejected"
    CANCELLED = "cancelled"


FINAL = frozenset({State.SUCCESSFUL, State.FAILED, State.TIMED_OUT, State.REJECTED, State.CANCELLED})


class Kind(StrEnum):
    """What a command asks for."""

    ROLLBACK = "rollback"
    RESTART = "restart"
    STOP = "stop"
    START = "start"
    REFRESH = "refresh"


class _Wrong(Exception):  # noqa: N818 - not an error of anybody's: becomes one
    """Why a value is refused."""


def _name(value: Any) -> str:
    if not isinstance(value, str) or not is_name(value):
        raise _Wrong("is no name")
    return value


def _name_or_none(value: Any) -> str:
    return "" if value == "" else _name(value)


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > MAX_TEXT or not (value.isprintable()):
        raise _Wrong(f"is no line of at most {MAX_TEXT} characters")
    return value


def _whole(low: int, high: int) -> Check:
    def check(value: Any) -> int:
        if not isinstance(value, int) or not low <= value <= high:
            raise _Wrong(f"is no number from {low} to {high}")
        return value

    return check


def _bytes(*sizes: int, most: int = 0) -> Check:
    def check(value: Any) -> bytes:
        if not isinstance(value, bytes) or (len(value) not in sizes and len(value) > most):
            raise _Wrong("isn't bytes of the right number")
        return value

    return check


def _state(value: Any) -> State:
    try:
        return State(value)
    except ValueError:
        raise _Wrong(f"is none of {', '.join(State)}") from None


def _path(value: Any) -> str:
    """Of a file in a repository: relative, without a step back."""
    text = _text(value)
    if not text or any(part in ("", ".", "..") for part in text.split("/")) or "\\" in text:
        raise _Wrong("is no path in a repository")
    return text


def _shadow(value: Any) -> str:
    if value not in ("off", "run", "equal"):
        raise _Wrong("is none of off, run, equal")
    return str(value)


def _many(item: Check, most: int) -> Check:
    def check(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list | tuple) or len(value) > most:
            raise _Wrong(f"is no list of at most {most}")
        return tuple(item(one) for one in value)

    return check


_time = _whole(0, MAX_TIME)
_number = _whole(0, MAX_NUMBER)
_digest = _bytes(0, 32)


def _of(check: Check, *default: Any) -> Any:
    """A field; without a default it must be there."""
    given = {"default": default[0]} if default else {}
    return field(metadata={"check": check}, **given)


@dataclass(frozen=True, slots=True, kw_only=True)
class DesiredUnit:
    """What a unit is to run. target: path in the repository; sequence: of the bundle; health: seconds."""

    name: str = _of(_name)
    target: str = _of(_path)
    sequence: int = _of(_number)
    digest: bytes = _of(_digest, b"")
    shadow: str = _of(_shadow, "run")
    health: int = _of(_whole(LEAST_HEALTH_S, MAX_HEALTH_S), 60)
    extra: Mapping[str, Any] = field(default_factory=dict)


def _units(kind: type[Any]) -> Check:
    def check(value: Any) -> tuple[Any, ...]:
        read = _many(lambda one: one if isinstance(one, kind) else _read(kind, one), MAX_UNITS)
        units: tuple[Any, ...] = read(value)
        if len({unit.name for unit in units}) != len(units):
            raise _Wrong("names a unit twice")
        return units

    return check


@dataclass(frozen=True, slots=True, kw_only=True)
class Desired:
    """What a board is to run; version only ever grows. operation: the rollout's name or what a person calls it."""

    version: int = _of(_whole(1, MAX_NUMBER))
    operation: str = _of(_name)
    issued: int = _of(_time)
    deadline: int = _of(_time)
    units: tuple[DesiredUnit, ...] = _of(_units(DesiredUnit))
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedUnit:
    """What a unit runs. digest: SHA-256 of the running image; state and reason: short words; slot: "", A, B."""

    name: str = _of(_name)
    slot: str = _of(_text, "")
    version: str = _of(_text, "")
    sequence: int = _of(_number, 0)
    digest: bytes = _of(_digest, b"")
    state: str = _of(_text, "")
    reason: str = _of(_text, "")
    accelerator: str = _of(_text, "")
    restarts: int = _of(_number, 0)
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reported:
    """What a board is and runs. desired: the newest version that it has seen (0: none), and what became of it."""

    time: int = _of(_time)
    arch: str = _of(_text)
    profile: str = _of(_text, "")
    agent: str = _of(_text, "")
    tags: tuple[str, ...] = _of(_many(_name, MAX_TAGS), ())
    desired: int = _of(_number, 0)
    operation: str = _of(_name_or_none, "")
    state: State = _of(_state, State.SUCCESSFUL)
    reason: str = _of(_text, "")
    units: tuple[ReportedUnit, ...] = _of(_units(ReportedUnit), ())
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Alive:
    """online: 1 while the board is connected; the will says 0."""

    online: int = _of(_whole(0, 1))
    time: int = _of(_time)
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One thing to do. unit "" only for refresh."""

    id: str = _of(_name)
    kind: str = _of(_text)
    unit: str = _of(_name_or_none, "")
    issued: int = _of(_time)
    deadline: int = _of(_time)
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandState:
    """What became of a command. reason: a word for machines; detail: a line for people."""

    id: str = _of(_name)
    state: State = _of(_state)
    reason: str = _of(_text, "")
    detail: str = _of(_text, "")
    time: int = _of(_time)
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchRequest:
    """A part of a file: id is the board's number for it, and comes back."""

    id: int = _of(_number)
    path: str = _of(_path)
    offset: int = _of(_whole(0, MAX_FILE))
    length: int = _of(_whole(1, MAX_CHUNK))
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchAnswer:
    """The part, and the size of the whole; error: "" or a word: missing, refused, busy."""

    id: int = _of(_number)
    offset: int = _of(_whole(0, MAX_FILE), 0)
    size: int = _of(_number, 0)
    data: bytes = _of(_bytes(most=MAX_CHUNK), b"")
    error: str = _of(_text, "")
    extra: Mapping[str, Any] = field(default_factory=dict)


_LIMITS: dict[type[Any], int] = {FetchAnswer: MAX_CHUNK + 1024}


def encode(value: Any) -> bytes:
    """One of the above as CBOR. ValueError for one that no reader would take."""
    plain = _plain(value)
    try:
        _read(type(value), plain)
    except _Wrong as error:
        raise ValueError(str(error)) from None
    data = strict.dumps({**plain, "v": VERSION})
    if len(data) > _limit(type(value)):
        raise ValueError(f"{len(data)} bytes are too many")
    return data


def decode(kind: type[T], data: bytes) -> T:
    """The payload, with everything within its bounds. RemoteProtocolError otherwise."""
    what = f"the {kind.__name__.lower()} payload"
    found = strict.loads(data, limit=_limit(kind), what=what)
    if not isinstance(found, dict) or found.get("v") != VERSION:
        raise RemoteProtocolError(f"{what} isn't a map of version {VERSION}")
    del found["v"]
    try:
        read: T = _read(kind, found)
    except _Wrong as error:
        raise RemoteProtocolError(f"{what} is refused: {error}") from None
    return read


def sign(value: Desired | Command, signer: cose.Signer, topic: str) -> bytes:
    """Signed for one topic."""
    return cose.sign1(encode(value), signer, external=topic.encode())


def verify(kind: type[T], data: bytes, key_of: Callable[[bytes], cose.Verifier | None], topic: str) -> T:
    """What one of the fleet's keys signed for this topic. RemoteProtocolError for everything else."""
    if len(data) > MAX_PAYLOAD:
        raise RemoteProtocolError(f"{len(data)} bytes are too many for a payload")
    return decode(kind, cose.verify1(data, key_of, external=topic.encode()))


def _limit(kind: type[Any]) -> int:
    return _LIMITS.get(kind, MAX_PAYLOAD)


def _plain(value: Any) -> dict[str, Any]:
    known = {one.name: _plain_item(getattr(value, one.name)) for one in fields(value) if one.name != _EXTRA}
    return {**value.extra, **known}


def _plain_item(item: Any) -> Any:
    if isinstance(item, tuple):
        return [_plain(one) if hasattr(one, _EXTRA) else one for one in item]
    return str(item) if isinstance(item, StrEnum) else item


def _read(kind: type[Any], found: Any) -> Any:
    if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
        raise _Wrong("isn't a map with text keys")
    read: dict[str, Any] = {}
    known = {one.name: one for one in fields(kind) if one.name != _EXTRA}
    for name, one in known.items():
        if name in found:
            try:
                read[name] = one.metadata["check"](found[name])
            except _Wrong as error:
                raise _Wrong(f"{name} {error}") from None
    try:
        return kind(**read, extra={key: item for key, item in found.items() if key not in known})
    except TypeError:
        missing = ", ".join(name for name in known if name not in read)
        raise _Wrong(f"it lacks some of {missing}") from None
