"""Rows of a recorded table as messages: the payload's form, the topic, and when each is due."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from zlib import crc32

import cbor2

from .message import JSON, SENML_CBOR, SENML_JSON, Message, Value, Via, json_text
from .table import Row, filled

TIME_NAME = "ts"
"""The event time's name in JSON payloads, as epoch ms; one of the agent's default `times`."""


@dataclass(frozen=True, slots=True)
class Playing:
    """How rows are played.

    speed: recorded seconds per second, 0 for as fast as they are taken; form: a key of FORMS; vias: where to, each
    source to one of them; shift: ms to add to recorded times.
    """

    topic: str
    speed: float
    form: str
    vias: tuple[Via, ...]
    shift: int = 0


def _json(row: Row, time: int) -> bytes:
    return json_text({TIME_NAME: time, **row.numbers}).encode()


def _senml(row: Row, time: int, names: tuple[Any, Any, Any]) -> list[dict[Any, Any]]:
    base_time, name, value = names
    records = [{name: field, value: number} for field, number in row.numbers.items()]
    return [{base_time: Decimal(time).scaleb(-3), **records[0]}, *records[1:]] if records else []


def _senml_json(row: Row, time: int) -> bytes:
    return json_text(_senml(row, time, ("bt", "n", "v"))).encode()


def _senml_cbor(row: Row, time: int) -> bytes:
    return bytes(cbor2.dumps(_senml(row, time, (-3, 0, 2))))


FORMS: dict[str, tuple[int, Callable[[Row, int], bytes]]] = {
    "json": (JSON, _json),
    "senml-json": (SENML_JSON, _senml_json),
    "senml-cbor": (SENML_CBOR, _senml_cbor),
}


def recorded(rows: Iterable[Row], playing: Playing, now: int) -> Iterator[Message]:
    """Messages in the rows' order. now: ms since 1970, when the first is due."""
    content_format, encode = FORMS[playing.form]
    first: int | None = None
    for row in rows:
        if not row.numbers:
            continue
        first = row.time if first is None else first
        due = now + round((row.time - first) / playing.speed) if playing.speed else 0
        time = row.time + playing.shift
        topic = filled(playing.topic, row.labels)
        values = tuple(Value(field, "", number, time) for field, number in row.numbers.items())
        via = playing.vias[crc32(topic.encode()) % len(playing.vias)]
        yield Message(due, via, topic, encode(row, time), content_format, values)
