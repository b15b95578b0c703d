"""Core: a crash record, as it stands in NUMBER.json. Its parts (state, input, log ring) lie in files beside it.

A record from someone else (an export) is read with the same caution as any other stranger's bytes.
"""

from __future__ import annotations

import functools
import json
import re
import types
import typing
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from typing import Any

from edgeagent.errors import DamagedError

SCHEMA = 1
MAX_JSON = 8 << 20
"""Bytes of a record without its parts: some thousand, but a unit may have many topics."""
PARTS = ("state", "input", "ring")


@dataclass(frozen=True, slots=True)
class Image:
    """The image that ran. digest, build_id: SHA-256, hexadecimal. kept: it is stored beside the record."""

    digest: str
    build_id: str
    bytes: int
    kept: bool = False


@dataclass(frozen=True, slots=True)
class Machine:
    """What the guest ran on. memory: bytes of guest RAM; vmm: version of the VMM, "" where it never said one."""

    arch: str
    accelerator: str
    memory: int
    vmm: str


@dataclass(frozen=True, slots=True)
class Left:
    """How the machine ended, as the VMM told it. end is "" when the agent ended the guest. See vmm.port.Ending."""

    end: str = ""
    status: int | None = None
    signal: str = ""
    events: tuple[str, ...] = ()
    stderr: str = ""


@dataclass(frozen=True, slots=True)
class Start:
    """What a replay starts from: after input seq and output out, with this configuration and these limits.

    fresh: the app begins anew there, for what it had before was too large to keep.
    topics: filters of what the unit took; none: any. limits: fields of guest.limits.Limits.
    shard: none for a state of its own; else index and count, and the state is a CBOR array of the states of all guests
    that the unit had, of which this one takes its shard.
    """

    seq: int
    out: int
    fresh: bool
    config: Mapping[str, Any]
    topics: tuple[str, ...]
    limits: Mapping[str, Any]
    shard: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Part:
    """A file beside the record. digest: SHA-256, hexadecimal."""

    bytes: int
    digest: str


@dataclass(frozen=True, slots=True)
class Record:
    """A crash. Times are ms since 1970, as the board's clock had them."""

    number: int
    unit: str
    instance: int
    app: str
    version: int
    """Of the app."""
    agent: str
    """Version."""
    image: Image
    machine: Machine
    first_ms: int
    last_ms: int
    times: int
    """How often it was seen; what is kept is of the first time."""
    kind: str
    words: str
    remedy: str
    left: Left
    panic: str
    log: tuple[str, ...]
    """The guest's last lines."""
    began: int
    """The guest's life began after this input."""
    acked: int
    given: int
    """Input acked + 1 to given was with the guest."""
    state_asked: bool
    """It had been asked for its state, and hadn't answered."""
    start: Start
    parts: Mapping[str, Part] = field(default_factory=dict)

    @property
    def signature(self) -> tuple[str, int, str, str, str]:
        """Crashes with the same one are alike: where, what ran, and the words without the numbers in them."""
        return self.unit, self.instance, self.image.digest, self.kind, plain_words(self.words)

    @property
    def input_bytes(self) -> int:
        """Of the input that is kept."""
        return self.parts["input"].bytes if "input" in self.parts else 0


def plain_words(words: str) -> str:
    """Without decimal numbers, which are of this one time (input 812 to 840); addresses (0x...) stay."""
    return re.sub(r"\b\d+\b", "#", words)


def encode(record: Record) -> bytes:
    """As it stands in the file."""
    return json.dumps({"schema": SCHEMA, **asdict(record)}, indent=1).encode() + b"\n"


def decode(data: bytes, where: str) -> Record:
    """The reverse of encode. DamagedError when it can't be read, or is of another version."""
    try:
        tree = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise DamagedError(f"no crash record: {error}", where=where) from None
    if not isinstance(tree, dict) or type(tree.get("schema")) is not int:
        raise DamagedError("no crash record", where=where)
    if tree.pop("schema") != SCHEMA:
        raise DamagedError(
            f"a crash record of another version than {SCHEMA}",
            where=where,
            remedy="Use the agent that wrote it",
        )
    try:
        record: Record = _read(Record, tree, "record")
    except ValueError as error:
        raise DamagedError(f"no crash record: {error}", where=where) from None
    if unknown := set(record.parts) - set(PARTS):
        raise DamagedError(f"no crash record: parts {', '.join(sorted(unknown))}", where=where)
    return record


@functools.cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _read(kind: Any, value: Any, what: str) -> Any:
    """A value of JSON as that type. ValueError names what isn't one."""
    origin, of = typing.get_origin(kind), typing.get_args(kind)
    if is_dataclass(kind) and isinstance(kind, type) and isinstance(value, dict):
        hints = _hints(kind)
        if value.keys() == hints.keys():
            return kind(
                **{name.name: _read(hints[name.name], value[name.name], name.name) for name in fields(kind)}
            )
    elif origin is tuple and isinstance(value, list):
        return tuple(_read(of[0], one, what) for one in value)
    elif origin is Mapping and isinstance(value, dict):
        return {key: _read(of[1], one, what) for key, one in value.items()}
    elif origin in (types.UnionType, typing.Union):
        return None if value is None else _read(of[0], value, what)
    elif kind is Any or type(value) is kind:
        return value
    raise ValueError(f"{what} is wrong")
