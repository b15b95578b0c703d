"""Write the fuzzers' seeds: python firmware-images/fuzz/seeds.py. They are small, and committed."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))

from edgeagent.wire import cbor, frame, messages  # noqa: E402

NOW = 1_700_000_000_000
CONFIG = {
    "window": 1000, "lateness": 1000, "ahead": 0, "series": 4, "windows": 8, "buckets": 4,
    "quantiles": [500], "times": ["t"], "fields": ["a*"], "deadband": [-1, 5], "heartbeat": 2,
}  # fmt: skip

PAYLOADS: dict[str, tuple[int, bytes]] = {
    "json": (1, b'{"t":1700000000,"a":[1,"2.5",{"b":true}],"a":-0.5e-3,"\\u00e9\\ud83d\\ude00":null}'),
    "time": (1, b'{"a":1,"t":"2023-11-14T22:13:20.5+01:00"}'),
    "text": (0, b" -21.5e2\n"),
    "word": (5, b"ON"),
    "cbor": (2, cbor.dumps({"t": 1.5, "a": {"b": [1, -2, 2**70, True, None, "3"]}, 5: -(2**65)})),
    "senml": (
        3,
        b'[{"bn":"a/","bt":1700000000,"bu":"Cel","bver":5,"bv":1,"bs":2,"n":"b","v":1},{"s":3,"t":-5}]',
    ),
    "senml-sniffed": (5, b'[{"n":"a","vb":true},{"n":"b","vs":"x"},{"n":"c","v":1e3,"x":{}}]'),
    "senml-cbor": (4, cbor.dumps([{-2: "a", -3: 1.7e9, 0: "b", 1: "V", 2: 2.5}, {0: "c", 4: False, 5: 9}])),
}


def framed(kind: int, body: bytes) -> bytes:
    """A frame as fuzz/session.c takes it."""
    return bytes([kind]) + len(body).to_bytes(2, "big") + body


def session() -> bytes:
    """A short life of a guest."""
    parts = [b"\0", framed(frame.FrameType.HELLO, cbor.dumps([1, "u", 1 << 20, CONFIG]))]
    for seq in range(1, 5):
        body = cbor.dumps([seq, NOW + 900 * seq, 0, 50, 0, b"t", b'{"a":%d,"ab":0.1}' % seq])
        parts.append(framed(frame.FrameType.READING, body))
    parts.append(framed(frame.FrameType.CHECKPOINT, cbor.dumps([1])))
    parts.append(framed(frame.FrameType.PING, cbor.dumps([7])))
    parts.append(framed(frame.FrameType.TICK, cbor.dumps([5, NOW + 9000])))
    parts.append(framed(0, messages.ping(3)[:-1] + b"\xed\x9e\x03\x01" + messages.ping(4)))
    parts.append(framed(frame.FrameType.DRAIN, cbor.dumps([6, NOW])))
    return b"".join(parts)


def restoring(state: bytes) -> bytes:
    """A guest that gets a state back."""
    hello = framed(frame.FrameType.HELLO, cbor.dumps([1, "u", 1 << 20, CONFIG]))
    piece = framed(frame.FrameType.STATE, cbor.dumps([1, 4, 0, 0, 1, state]))
    return b"\x11" + hello + piece + framed(frame.FrameType.DRAIN, cbor.dumps([5, NOW + 10_000]))


def taking_over(state: bytes) -> bytes:
    """A guest that takes over from two, the second of which had nothing, and then gets a part of the input."""
    parts = [b"\0", framed(frame.FrameType.HELLO, cbor.dumps([1, "u", 1 << 20, CONFIG]))]
    parts.append(framed(frame.FrameType.SHARD, cbor.dumps([0, 1, 2])))
    parts += [
        framed(frame.FrameType.STATE, cbor.dumps([i, 4, 0, 0, 1, one])) for i, one in enumerate((state, b""))
    ]
    parts.append(framed(frame.FrameType.SKIP, cbor.dumps([5, 7])))
    parts.append(framed(frame.FrameType.DRAIN, cbor.dumps([8, NOW + 10_000])))
    return b"".join(parts)


def main() -> None:
    """Write all of them."""
    for target in ("session", "payload"):
        (HERE / "seeds" / target).mkdir(parents=True, exist_ok=True)
    for name, (kind, payload) in PAYLOADS.items():
        (HERE / "seeds/payload" / name).write_bytes(bytes([kind]) + payload)
    (HERE / "seeds/session/life").write_bytes(session())
    from tests.guest import native  # noqa: PLC0415

    frames = [
        messages.hello("u", 1 << 20, CONFIG),
        *(native.reading(i, NOW + 900 * i, b'{"a":%d,"ab":-0.1}' % i) for i in range(1, 5)),
        messages.checkpoint(1),
    ]
    (state,) = native.run(frames).messages(frame.FrameType.STATE)
    if isinstance(state, messages.State):
        (HERE / "seeds/session/restore").write_bytes(restoring(state.piece))
        (HERE / "seeds/session/take-over").write_bytes(taking_over(state.piece))


if __name__ == "__main__":
    main()
