"""Payloads of real devices: every one is counted, as numbers or with a reason; the numbers are those Python finds."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest

from edgeagent.wire import messages
from edgeagent.wire.frame import FrameType
from edgeagent.wire.messages import Reason
from tests.guest import native
from tests.guest.reference import Refusal, take_text

FILES = sorted((native.SHARED / "mqtt_payloads").glob("*.jsonl"))
NOW = 1_700_000_000_000
CONFIG = {"series": 8000, "windows": 16000, "times": []}


@pytest.mark.skipif(not FILES, reason="shared data are absent")
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_devices(path: Path) -> None:
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    frames = [native.hello(CONFIG, memory=64 << 20)]
    expected: dict[tuple[str, str], Decimal] = {}
    refused: dict[int, Reason] = {}
    for seq, row in enumerate(rows, 1):
        payload = row["payload"]
        data = (payload if isinstance(payload, str) else json.dumps(payload)).encode()
        topic = f"{seq}/{row['topic']}"
        frames.append(native.reading(seq, NOW, data, topic=topic))
        try:
            found, _ = take_text(data, [], NOW)
        except Refusal as refusal:
            refused[seq] = refusal.reason
            continue
        if not found:
            refused[seq] = Reason.NO_NUMBER
        for value in found:
            if value.number is not None and value.reason is None:
                expected[topic, value.field] = value.number
    outcome = native.run([*frames, messages.drain(len(rows) + 1, NOW)])
    assert outcome.panic == ""
    got = {}
    reports = []
    for item in outcome.messages(FrameType.SUMMARY, FrameType.REPORT):
        if isinstance(item, messages.Summary):
            got[item.source, item.field] = item.sum
        elif isinstance(item, messages.Report):
            reports.append(item)
    assert got == expected
    (report,) = reports
    assert report.payloads == len(rows)
    rejects = [m for m in outcome.messages(FrameType.REJECT) if isinstance(m, messages.Reject)]
    assert {m.seq: m.reason for m in rejects} == refused
    assert len(got) > len(rows) / 2
