"""edge.h and edge.cddl say the same numbers."""

from __future__ import annotations

import re

import pytest

from edgeagent.wire import frame, messages
from tests.guest import native

CDDL = (native.IMAGES / "protocol/edge.cddl").read_text()
HEADER = dict(
    re.findall(r"EDGE_([A-Z0-9_]+) = (0x[0-9A-Fa-f]+|\d+)", (native.IMAGES / "protocol/edge.h").read_text())
)
NUMBERS = {name: int(value, 0) for name, value in HEADER.items()}


def test_frame_types() -> None:
    types = dict(re.findall(r"^(\w+) += [^;]*(?:;[^;]*?)??; (?:type )?(0x[0-9a-f]{2})", CDDL, re.MULTILINE))
    assert len(types) == 20
    assert {name.upper(): int(value, 16) for name, value in types.items()} == {
        name: NUMBERS[name] for name in map(str.upper, types)
    }
    assert {item.name: item.value for item in frame.FrameType} == {
        n: NUMBERS[n] for n in map(str.upper, types)
    }


def test_reasons() -> None:
    (listed,) = re.findall(r"reason = &\((.*?)\)", CDDL, re.DOTALL)
    reasons = {n.replace("-", "_").upper(): int(v) for n, v in re.findall(r"([a-z0-9-]+): (\d+)", listed)}
    assert len(reasons) == 19
    assert reasons == {name: NUMBERS[name] for name in reasons}
    assert NUMBERS["REASONS"] == 20


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("MAX_BODY", r"0\.\.(\d+) \(MAX_BODY\)"),
        ("MAX_TOPIC", r"topic: bstr \.size \(1\.\.(\d+)\)"),
        ("MAX_PAYLOAD", r"payload: bstr \.size \(0\.\.(\d+)\)"),
        ("MAX_PIECE", r"bytes: bstr \.size \(0\.\.(\d+)\)"),
        ("MAX_LOG", r"text: tstr \.size \(0\.\.(\d+)\)"),
        ("MAX_REFUSAL", r"reason: tstr \.size \(1\.\.(\d+)\)"),
        ("MAX_FIELD", r"field: tstr \.size \(0\.\.(\d+)\)"),
        ("MAX_SHARDS", r"1\.\.(\d+) \(MAX_SHARDS\)"),
        ("MAX_UNIT", r"unit: tstr \.size \(0\.\.(\d+)\), +; SenML"),
    ],
)
def test_sizes(name: str, pattern: str) -> None:
    assert [NUMBERS[name]] == list(map(int, re.findall(pattern, CDDL)))


def test_python_agrees() -> None:
    assert NUMBERS["MAX_BODY"] == frame.MAX_BODY
    assert NUMBERS["MAX_PAYLOAD"] == messages.MAX_PAYLOAD
    assert NUMBERS["MAX_SHARDS"] == messages.MAX_SHARDS
