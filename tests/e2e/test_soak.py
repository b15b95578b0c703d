"""Kills agent, guest and collector at random moments, over and over, while real data flows.

In the end every window must be there once, and right. A short run here; `make soak SECONDS=3600` for long ones, with a
new seed each time, which is printed.
"""

import contextlib
import os
import random
import signal
import subprocess
import time

import pytest

from edgeagent.errors import UnreachableError
from edgeagent.sim.broker import Broker
from edgeagent.sim.chain import BOARD, EDGEAGENT, Chain
from edgeagent.sim.truth_file import told
from edgeagent.sim.verdict import faults_of, wait_for_all

SECONDS = float(os.environ.get("EDGEAGENT_SOAK_SECONDS", "25"))
SEED = int(os.environ.get("EDGEAGENT_SOAK_SEED", "0")) or random.SystemRandom().randrange(1 << 32)
WINDOW_S = 3
UNIT = {"window": f"{WINDOW_S}s", "lateness": "3s", "starts": 10_000, "memory": "12MiB"}
QUIET_S = 60
"""A guest that was killed often waits up to 30 s for its next start."""


def kill_guest(chain):
    with contextlib.suppress(UnreachableError, ProcessLookupError):
        if pid := chain.status()["units"][0]["guest"]["pid"]:
            os.kill(pid, signal.SIGKILL)


def kill_agent(chain):
    chain.stop("agent", kill=True)
    chain.start("agent")


def kill_collector(chain):
    chain.stop("collector", kill=True)
    chain.start("collector")


def stop_agent(chain):
    chain.stop("agent")
    chain.start("agent")


@pytest.mark.timeout(SECONDS + 240)
def test_nothing_is_lost_or_doubled_whatever_dies(tmp_path, guest_image):
    dice = random.Random(SEED)
    images = guest_image("aggregate").path.parents[1]
    truth, kills = tmp_path / "truth.jsonl", []
    with Broker() as broker, Chain(tmp_path, broker.url, images, unit=UNIT) as chain:
        words = (
            "simulate", "--broker", broker.url, "--sensors", "60", "--rate", "120", "--for", f"{SECONDS}s",
            "--window", f"{WINDOW_S}s", "--truth", str(truth), "--seed", str(SEED),
        )  # fmt: skip
        with subprocess.Popen([*EDGEAGENT, *words], stdout=subprocess.DEVNULL) as simulator:
            while simulator.poll() is None:
                time.sleep(dice.uniform(0.05, 2.5))
                deed = dice.choice((kill_guest, kill_agent, kill_agent, kill_collector, stop_agent))
                kills.append(deed.__name__)
                deed(chain)
        assert simulator.returncode == 0
        with truth.open() as lines:
            sent = told(lines, str(truth))
        complete = wait_for_all(chain.database, BOARD, sent, QUIET_S)
        with contextlib.suppress(UnreachableError):
            status = chain.status()
        chain.close()
        faults = faults_of(chain.database, BOARD, sent, (500, 950))
    print(f"seed {SEED}: {sent.payloads} readings, {len(sent.windows)} windows, {len(kills)} deaths")  # noqa: T201 - for `make soak`
    assert len(kills) >= 3
    assert faults == [], f"seed {SEED}, {kills}, {status['degraded']}"
    assert complete
