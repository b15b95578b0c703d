"""Crashes made up for tests of the store, and a reader over frames in memory."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

from edgeagent.config.load import parse
from edgeagent.config.schema import Unit
from edgeagent.crash.record import Image, Left, Machine, Record, Start
from edgeagent.crash.store import Draft
from edgeagent.wire import messages

IMAGE_PATH = Path("/images/app.elf")
IMAGE = b"\x7fELF" + bytes(2000)
TOPIC = messages.topic_item(b"home/room")


def frames(first: int, last: int, payload: bytes = b"21.5") -> list[bytes]:
    return [messages.reading(seq, 1000 * seq, 65535, 0, TOPIC, payload) for seq in range(first, last + 1)]


class Frames:
    """Reads frames first, first + 1 ... from the one after a seq."""

    def __init__(self, known: list[bytes], first: int, after: int, once: int = 1 << 30) -> None:
        self.last_seq = after
        self.closed = False
        self._known, self._first, self._once = known, first, once

    def read(self, max_bytes: int) -> bytes:
        taken, size = [], 0
        for frame in self._known[self.last_seq + 1 - self._first :]:
            size += len(frame)
            if taken and size > min(max_bytes, self._once):
                break
            taken.append(frame)
        self.last_seq += len(taken)
        return b"".join(taken)

    def close(self) -> None:
        assert not self.closed
        self.closed = True


def record(**changed: object) -> Record:
    """A crash of unit "home" at input 11 to 15, after a checkpoint at 10."""
    whole = Record(
        number=0,
        unit="home",
        instance=0,
        app="aggregate",
        version=3,
        agent="0.1.0",
        image=Image(hashlib.sha256(IMAGE).hexdigest(), "b" * 64, len(IMAGE)),
        machine=Machine("x86_64", "tcg", 8 << 20, "7.2.22"),
        first_ms=1_700_000_000_000,
        last_ms=1_700_000_000_000,
        times=1,
        kind="panicked",
        words="the guest gave up: table full",
        remedy="",
        left=Left("panicked", None, "", ("GUEST_PANICKED action=pause",), ""),
        panic="table full",
        log=("I up", "E table full"),
        began=0,
        acked=12,
        given=15,
        state_asked=False,
        start=Start(10, 4, fresh=False, config={"window": 1000}, topics=("home/+",), limits={"hang_s": 10.0}),
    )
    return replace(whole, **changed)


def draft(
    made: Record | None = None,
    state: bytes = b"state",
    ring: bytes = b"ring",
    known: list[bytes] | None = None,
    image: Path = IMAGE_PATH,
) -> Draft:
    of = made or record()
    after = of.start.seq
    if known is None:
        known = frames(after + 1, of.given + 3)
    return Draft(of, state, ring, image, lambda seq: Frames(known, after + 1, seq))


CONFIG = """
[board]
name = "attic"
[mqtt]
url = "mqtt://127.0.0.1"
[[unit]]
name = "home"
topics = ["home/+"]
memory = "8MiB"
series = 100
windows = 200
[seal]
recipients = ["c.pem"]
[uplink]
url = "mqtt://127.0.0.1"
collector_keys = ["c.pem"]
"""


def unit() -> Unit:
    """A unit as a configuration gives it."""
    (one,) = parse(CONFIG, name="agent.toml", folder=Path("/")).units
    return one
