"""What these tests share: devices that know what they said, waiting for a status, and what the collector got of it."""

from __future__ import annotations

import json
import re
import sqlite3
import time
from collections import defaultdict
from contextlib import closing, suppress
from decimal import Decimal
from typing import Any, Self

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from edgeagent.errors import UnreachableError
from edgeagent.sim.chain import BOARD, Chain
from edgeagent.sim.stored import Stored, counts, stored

LONGEST_S = 60.0
"""Longest wait for anything: only a defect makes anybody wait so long."""
POLL_S = 0.05


class Devices:
    """Publishes readings and remembers them: {(topic, field): [(event time, value)]}. A context manager."""

    def __init__(self, port: int, host: str = "127.0.0.1", qos: int = 1) -> None:
        self.said: dict[tuple[str, str], list[tuple[int | None, Decimal]]] = defaultdict(list)
        self._where = host, port
        self._qos = qos
        self.messages = 0
        self._number = 0
        self.client = paho.Client(
            CallbackAPIVersion.VERSION2, "devices", protocol=MQTTProtocolVersion.MQTTv311, clean_session=False
        )
        self.client.max_inflight_messages_set(1000)
        self.client.max_queued_messages_set(0)

    def __enter__(self) -> Self:
        self.client.connect(*self._where)
        self.client.loop_start()
        return self

    def __exit__(self, *_: object) -> None:
        self.client.disconnect()
        self.client.loop_stop()

    @property
    def values(self) -> int:
        return sum(map(len, self.said.values()))

    @property
    def sums(self) -> dict[tuple[str, str], tuple[int, Decimal]]:
        """(topic, field) -> how many, and their sum."""
        return {key: (len(those), sum(value for _, value in those)) for key, those in self.said.items()}

    def say(self, topic: str, at: int | None, fields: tuple[str, ...] = ("v",), pad: str = "") -> None:
        """One reading, each value another one. at: event time in ms, None for a sensor that tells none."""
        payload: dict[str, Any] = {} if at is None else {"ts": at}
        for field in fields:
            self._number += 1
            payload[field] = self._number
            self.said[topic, field].append((at, Decimal(self._number)))
        if pad:
            payload["pad"] = pad
        self.client.publish(topic, json.dumps(payload), qos=self._qos)
        self.messages += 1

    def come_back(self) -> None:
        """Connect now, not when paho thinks so."""
        with suppress(OSError, ValueError):
            self.client.reconnect()
        self.delivered()

    def delivered(self) -> None:
        """Wait until the broker has everything."""
        until(lambda: not self.client._out_messages, "the broker took what was published")


def until(reached: Any, what: str, seconds: float = LONGEST_S) -> Any:
    """The first true answer of reached."""
    deadline = time.monotonic() + seconds
    while not (found := reached()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not in {seconds:.0f} s: {what}")
        time.sleep(POLL_S)
    return found


def status_until(chain: Chain, reached: Any, what: str, seconds: float = LONGEST_S) -> dict[str, Any]:
    """The first status for which reached is true."""
    last: dict[str, Any] = {}

    def look() -> dict[str, Any] | None:
        nonlocal last
        chain.check_alive()
        try:
            last = chain.status()
        except UnreachableError:
            return None
        return last if reached(last) else None

    try:
        return until(look, what, seconds)
    except AssertionError as error:
        raise AssertionError(f"{error}; {last.get('degraded')}\n{chain.log('agent')[-3000:]}") from None


def degraded(pattern: str) -> Any:
    """For status_until: a line that matches."""
    return lambda status: any(re.search(pattern, line) for line in status["degraded"])


def taken(count: int) -> Any:
    """For status_until: so many readings were taken since the agent's start, and all are durable and acknowledged."""
    return lambda status: (
        sum(unit["readings"] for unit in status["units"]) >= count
        and not any(source["unacknowledged"] for source in status["sources"])
    )


def sums(found: Stored) -> dict[tuple[str, str], tuple[int, Decimal]]:
    """(source, field) -> count and sum over all of its windows."""
    seen: dict[tuple[str, str], list[Any]] = defaultdict(list)
    for row in found.summaries:
        seen[row.source, row.field].append(row)
    return {key: (sum(r.count for r in rows), sum(r.sum for r in rows)) for key, rows in seen.items()}


def collected(chain: Chain, devices: Devices, seconds: float = LONGEST_S) -> Stored:
    """Wait until the collector has everything that was said, once, and nothing else; what it has.

    What told its time must lie in its window; every output of every numbering must be there.
    """
    expected = devices.sums
    last: dict[tuple[str, str], tuple[int, Decimal]] = {}

    def look() -> Stored | None:
        nonlocal last
        if counts(chain.database, BOARD)[0] < devices.values:
            return None
        found = stored(chain.database, BOARD)
        last = sums(found)
        enough = sum(count for count, _ in last.values()) >= devices.values
        return found if enough or last == expected else None

    try:
        found = until(look, "everything said was collected", seconds)
    except AssertionError as error:
        last = sums(stored(chain.database, BOARD))
        missing = {key: (one, last.get(key)) for key, one in expected.items() if last.get(key) != one}
        state = ""
        with suppress(UnreachableError):
            state = chain.status()["degraded"]
        raise AssertionError(
            f"{error}; said and found differ in {len(missing)}: {dict(list(missing.items())[:5])}; "
            f"{stored(chain.database, BOARD).reasons}; {state}\n{chain.log('agent')[-3000:]}"
        ) from None
    assert sums(found) == expected
    for row in found.summaries:
        said = devices.said[row.source, row.field]
        if all(at is not None for at, _ in said):
            inside = sorted(value for at, value in said if row.start <= at < row.start + row.length)
            assert row.count <= len(inside), row
            assert row.min >= inside[0], row
            assert row.max <= inside[-1], row
    # Batches that were sent again come out of order.
    until(lambda: not gaps(chain), "no output is missing, or there twice", seconds)
    return found


def outs(chain: Chain) -> dict[tuple[str, int], list[int]]:
    """(unit, epoch) -> numbers of the outputs that the collector has, ascending; doubled ones twice."""
    found: dict[tuple[str, int], list[int]] = defaultdict(list)
    with closing(sqlite3.connect(f"file:{chain.database}?mode=ro", uri=True)) as database:
        for table in ("summaries", "reports"):
            query = f"SELECT unit, epoch, out FROM {table} WHERE board = ?"
            for unit, epoch, out in database.execute(query, (BOARD,)):
                found[unit, epoch].append(out)
    return {key: sorted(numbers) for key, numbers in found.items()}


def gaps(chain: Chain) -> dict[tuple[str, int], int]:
    """(unit, epoch) -> how many outputs are missing between the first and the newest, or are there twice."""
    wrong = {}
    for key, numbers in outs(chain).items():
        odd = set(range(1, numbers[-1] + 1)).symmetric_difference(numbers)
        if odd or len(set(numbers)) != len(numbers):
            wrong[key] = len(odd) or len(set(numbers)) - len(numbers)
    return wrong


def edit(chain: Chain, old: str, new: str) -> None:
    """Change the configuration, as a person would."""
    text = chain.config.read_text()
    assert old in text
    chain.config.write_text(text.replace(old, new, 1))


def now() -> int:
    """Ms since 1970."""
    return time.time_ns() // 1_000_000
