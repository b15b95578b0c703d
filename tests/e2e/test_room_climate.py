"""Real recordings, real programs: CSV -> replay -> Mosquitto -> agent -> guest -> collector, held to NumPy.

The data set (144 runs of 3 to 5 nodes, interleaved, ms timestamps, gaps) lies beside the project and isn't part of it.
"""

from __future__ import annotations

import os
import subprocess
import tarfile
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from edgeagent.sim.broker import Broker
from edgeagent.sim.chain import BOARD, EDGEAGENT, Chain
from edgeagent.sim.stored import stored
from edgeagent.sim.truth_file import Told, told
from edgeagent.sim.verdict import faults_of, wait_for_all

DATA = Path(__file__).resolve().parents[2] / "../shared/data/room_climate/room_climate_location_A_B.tar.xz"
COLUMNS = "EID,AbsT,RelT,node,T,RH,L1,L2,occ,act,door,win"
FIELDS = {"T": 4, "RH": 5, "L1": 6}
WINDOW = 10_000
QUANTILES = (0.05, 0.5, 0.95)
RUNS = 3
QUIET_S = 40

pytestmark = [
    pytest.mark.skipif(not DATA.exists(), reason="../shared/data/room_climate is absent"),
    pytest.mark.timeout(300),
]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Recordings of middling length, unpacked; of the archive nothing but their bytes is used."""
    folder = tmp_path_factory.mktemp("runs")
    with tarfile.open(DATA) as archive:
        tables = [one for one in archive.getmembers() if one.name.endswith(".csv")]
        by_size = sorted(tables, key=lambda one: (one.size, one.name))
        chosen = by_size[len(by_size) // 2 :][:RUNS]
        paths = []
        for index, member in enumerate(chosen):
            source = archive.extractfile(member)
            assert source is not None
            path = folder / f"run{index}.csv"
            path.write_bytes(source.read())
            paths.append(path)
    return paths


@pytest.fixture(scope="module")
def chain(runs, tmp_path_factory, guest_image):
    folder = tmp_path_factory.mktemp("chain")
    image = guest_image("aggregate").path
    unit = {
        "image": str(image),
        "topics": ["room/#"],
        "window": f"{WINDOW // 1000}s",
        "lateness": "2s",
        "quantiles": list(QUANTILES),
    }
    with Broker() as broker, Chain(folder, broker.url, image.parent, unit=unit) as chain:
        truths = []
        for index, path in enumerate(runs):
            truth = folder / f"truth{index}.jsonl"
            words = (
                "replay", str(path), "--columns", COLUMNS, "--time", "AbsT", "--time-unit", "ms",
                "--fields", ",".join(FIELDS), "--topic", f"room/{index}/{{node}}", "--speed", "max",
                "--payload", ("json", "senml-json", "senml-cbor")[index % 3],
                "--window", f"{WINDOW}ms", "--quantiles", ",".join(map(str, QUANTILES)),
                "--broker", broker.url, "--truth", str(truth),
            )  # fmt: skip
            subprocess.run([*EDGEAGENT, *words], check=True, env={**os.environ, "COLUMNS": "120"})
            with truth.open() as lines:
                truths.append(told(lines, str(truth)))
        truth = merged(truths)
        assert wait_for_all(chain.database, BOARD, truth, QUIET_S), chain.log("agent")[-2000:]
        yield chain, truth


def merged(truths):
    return Told(
        [window for one in truths for window in one.windows],
        [],
        sum(one.payloads for one in truths),
        sum(one.values for one in truths),
        {},
    )


def by_numpy(runs):
    """(topic, field, window start) -> the numbers, straight from the files by NumPy's own reader."""
    found = {}
    for index, path in enumerate(runs):
        table = np.genfromtxt(path, delimiter=",", dtype=np.float64)
        for field, column in FIELDS.items():
            nodes, starts = table[:, 3].astype(int), (table[:, 1] // WINDOW * WINDOW).astype(int)
            order = np.lexsort((starts, nodes))
            changes = np.diff(nodes[order], prepend=-1) | np.diff(starts[order], prepend=-1)
            for rows in np.split(order, np.flatnonzero(changes)[1:]):
                found[f"room/{index}/{nodes[rows[0]]}", field, int(starts[rows[0]])] = table[rows, column]
    return found


def test_every_window_is_what_numpy_says(chain, runs):
    expected = by_numpy(runs)
    found = {(one.source, one.field, one.start): one for one in stored(chain[0].database, BOARD).summaries}
    assert found.keys() == expected.keys()
    assert len(found) > 1000
    for key, numbers in expected.items():
        row = found[key]
        assert row.count == len(numbers), key
        assert float(row.min) == numbers.min(), key
        assert float(row.max) == numbers.max(), key
        assert float(row.sum / row.count) == pytest.approx(numbers.mean(), rel=1e-12), key
        variance = row.sq / row.count - (row.sum / row.count - row.first) ** 2
        assert float(variance) == pytest.approx(numbers.var(), rel=1e-6, abs=1e-9), key
        for rank, got in zip(QUANTILES, row.quantiles, strict=True):
            exact = np.quantile(numbers, rank, method="inverted_cdf")
            assert abs(got - Decimal(str(exact))) <= abs(Decimal(str(exact))) * row.error / 1000, (key, rank)
            assert row.error <= 10


def test_the_simulators_own_truth_agrees(chain):
    running, truth = chain
    assert faults_of(running.database, BOARD, truth, tuple(round(1000 * q) for q in QUANTILES)) == []
