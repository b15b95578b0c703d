"""Write the vectors beside this file: python firmware-images/protocol/vectors/make.py.

Each is a conversation: ``in``, the bytes to a guest (app aggregate, build id of zeros), ``out``, the bytes it
says to them, both in hexadecimal, and ``says``, what the agent reads in ``out``. They are committed; a test holds
both sides and this script to them.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[2]))

from edgeagent.wire import cbor, frame, messages  # noqa: E402
from tests.guest import native  # noqa: E402

NOW = 1_700_000_000_000
SENML_JSON, SENML_CBOR = 110, 112


def conversations() -> dict[str, list[bytes]]:
    """Every vector's input, by name."""
    hello = native.hello({"window": 1000, "lateness": 0, "quantiles": [500]})
    objects = [
        native.reading(
            i, NOW + 100 * i, f'{{"temperature":{20 + i / 10},"humidity":45.07,"state":"ON"}}', topic="z/1"
        )
        for i in range(1, 13)
    ]
    senml = (
        b'[{"bn":"urn:dev:1/","bt":1700000001,"bu":"Cel","n":"a","v":23.1},{"n":"b","v":-4,"t":0.5,"s":12}]'
    )
    return {
        "hello": [hello],
        "another-abi": [frame.encode(frame.FrameType.HELLO, cbor.dumps([2, "u", 1 << 20, {}]))],
        "unknown-key": [native.hello({"colour": "blue"})],
        "too-little-memory": [native.hello(memory=4096)],
        "ping-and-spin": [messages.ping(258), messages.spin(1000)],
        "readings": [hello, *objects, messages.drain(13, NOW + 1300)],
        "ticks-close-windows": [
            hello, *objects[:3], *(messages.tick(i, NOW + 500 * i) for i in range(4, 10)),
        ],
        "senml-json": [
            hello, native.reading(1, NOW, senml, content_format=SENML_JSON), messages.drain(2, NOW),
        ],
        "senml-cbor": [
            hello,
            native.reading(1, NOW, cbor.dumps([{-2: "d/", 0: "x", 1: "V", 2: 2.5}]), content_format=SENML_CBOR),
            messages.drain(2, NOW),
        ],
        "rejects": [
            hello,
            *(native.reading(i, NOW, p) for i, p in enumerate((b"", b"ON", b'{"a":', b"\xff", b'{"a":1}x'), 1)),
            messages.drain(6, NOW),
        ],
        "wide-numbers": [
            hello,
            *(native.reading(i, NOW, p) for i, p in enumerate((b"999999999999999999", b"-1e-40", b"5e39"), 1)),
            messages.drain(4, NOW),
        ],
        "checkpoint": [hello, *objects[:5], messages.checkpoint(77)],
        "skips": [
            hello, objects[0], messages.skip(2, 4), objects[4], messages.skip(6, 6), messages.drain(7, NOW + 1300),
        ],
        "takes-over": [hello, *moved(1, hello, objects), messages.drain(10, NOW + 1300)],
        "takes-the-counts-over": [hello, *moved(0, hello, objects), messages.drain(10, NOW + 1300)],
        "garbage": [hello[:7], messages.ping(1)[:11], b"\xed" * 5, bytes(frame.MAX_BODY), messages.ping(2)],
    }  # fmt: skip


def moved(index: int, hello: bytes, objects: list[bytes]) -> list[bytes]:
    """What guest index of two is told that take over from two others after input 9. Both topics are of index 1."""
    before = (
        [*objects[:8], messages.skip(9, 9)],
        [messages.skip(1, 8), native.reading(9, NOW + 900, "7", topic="z/3")],
    )
    told = [messages.shard(index, 2, len(before))]
    for number, frames in enumerate(before):
        said = native.run([hello, *frames, messages.checkpoint(1)]).messages(frame.FrameType.STATE)
        state = b"".join(one.piece for one in said if isinstance(one, messages.State))
        told.append(messages.restore(number, 9, 30, state))
    return told


def vectors() -> str:
    """The file's text."""
    rows = []
    for name, parts in conversations().items():
        data = b"".join(parts)
        outcome = native.run(data)
        says = [repr(messages.parse(item.type, item.body)) for item in outcome.frames]
        packed = data.replace(bytes(frame.MAX_BODY), b"")
        row = {
            "name": name,
            "in": data.hex() if packed == data else None,
            "out": outcome.output.hex(),
            "says": says,
        }
        if row["in"] is None:  # a run of zeros that is longer than all the rest
            at = data.index(bytes(frame.MAX_BODY))
            row["in"] = [data[:at].hex(), frame.MAX_BODY, data[at + frame.MAX_BODY :].hex()]
        rows.append(row)
    return json.dumps(rows, indent=1) + "\n"


if __name__ == "__main__":
    (HERE / "aggregate.json").write_text(vectors())
