"""The protocol's vectors, replayed from C and from Python."""

from __future__ import annotations

import importlib.util
import json
from typing import Any

import pytest

from edgeagent.wire import frame, messages
from tests.guest import native

FOLDER = native.IMAGES / "protocol/vectors"
VECTORS = json.loads((FOLDER / "aggregate.json").read_text())


def given_bytes(vector: dict[str, Any]) -> bytes:
    """A vector's input; three parts are bytes, a number of zeros, bytes."""
    parts = vector["in"]
    if isinstance(parts, str):
        return bytes.fromhex(parts)
    return bytes.fromhex(parts[0]) + bytes(parts[1]) + bytes.fromhex(parts[2])


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
@pytest.mark.parametrize("read", [65536, 4093])
def test_in_c(vector: dict[str, Any], read: int) -> None:
    outcome = native.run(given_bytes(vector), read=read)
    said = [item for item in outcome.frames if item.type not in (frame.FrameType.ACK, frame.FrameType.LOG)]
    wanted = frame.Decoder().feed(bytes.fromhex(vector["out"]))
    assert said == [item for item in wanted if item.type not in (frame.FrameType.ACK, frame.FrameType.LOG)]
    if read == 65536:
        assert outcome.output.hex() == vector["out"]


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_in_python(vector: dict[str, Any]) -> None:
    data = bytes.fromhex(vector["out"])
    frames = frame.Decoder().feed(data)
    assert [repr(messages.parse(item.type, item.body)) for item in frames] == vector["says"]
    assert b"".join(frame.encode(item.type, item.body) for item in frames) == data


def test_they_are_what_the_script_writes() -> None:
    spec = importlib.util.spec_from_file_location("make_vectors", FOLDER / "make.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (FOLDER / "aggregate.json").read_text() == module.vectors()
