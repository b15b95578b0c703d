"""Every dump and capture of ../shared with its known answer."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from edgeagent.probe import live
from edgeagent.probe.documents import Documents
from edgeagent.probe.evidence import Evidence
from edgeagent.probe.system import read
from edgeagent.probe.verdict import judge

SHARED = Path(__file__).resolve().parents[2] / "../shared"
CAPTURES = SHARED / "boards"
CPU = SHARED / "data/board_cpu"

# The first word of the column kvm_possible -> the answer from cpuinfo alone. Without opening /dev/kvm there is no yes;
# what the rules don't cover (POWER, s390, Itanium) isn't known.
EXPECTED = {"no": "no", "unknown": "unknown", "out-of-scope": "unknown"}


def rows() -> list[dict[str, str]]:
    table = CPU / "truth_cpuinfo.csv"
    return list(csv.DictReader(table.read_text("utf-8").splitlines())) if table.is_file() else []


@pytest.mark.parametrize("row", rows() or [None], ids=lambda row: row and Path(row["file"]).name)
def test_cpuinfo_alone(row: dict[str, str] | None) -> None:
    if row is None:
        pytest.skip("no ../shared/data/board_cpu")
    raw = (CPU / row["file"]).read_bytes()
    verdict = judge(Evidence(read(Documents({"proc/cpuinfo": raw})), None))
    assert verdict.answer == EXPECTED[row["kvm_possible"].split()[0]], (row["evidence"], verdict)
    assert verdict.evidence
    hidden = "hypervisor" in row["evidence"]
    assert (verdict.reason == "guest-without-nested") == hidden


@pytest.mark.parametrize("name", sorted(path.name for path in CAPTURES.glob("*")) or [None])
def test_capture(name: str | None) -> None:
    if name is None:
        pytest.skip("no ../shared/boards")
    expected = json.loads((CAPTURES / name / "expect.json").read_text())
    said = live.look(CAPTURES / name).as_json()
    assert said["kvm"]["verdict"] == expected["verdict"]
    assert said["kvm"]["reason"] == expected.get("reason", "works")
    assert said["arch"] == expected["arch"]
    assert said["accelerator"]["chosen"] == ("kvm" if expected["verdict"] == "yes" else "tcg")
    assert said["cpus"] in (1, 2)
