"""Collector or broker are away for longer than anybody likes: what was taken waits, and comes once."""

import random
import string
import subprocess
import time

import pytest

from edgeagent.sim.chain import BOARD, EDGEAGENT, Chain
from edgeagent.sim.stored import stored
from tests.e2e.given import collected, degraded, now, outs, status_until, until

LETTERS = string.ascii_letters + string.digits
TOPICS = [f"home/{''.join(random.Random(one).choices(LETTERS, k=1000))}" for one in range(100)]
"""Long and without a pattern, so that few summaries fill a spool."""
UNIT = {"topics": ["home/+"], "window": "1s", "lateness": "0s", "accelerator": "tcg"}
SECTIONS = {
    "journal": {"spool_cap": "8MiB", "log_cap": "8MiB"},
    "seal": {"batch_interval": "100ms", "batch_items": 50},
}
CHUNK = 10
MOST = 400


def speak_until(chain, devices, reached, what, begin):
    """Every topic says one reading in each second of event time, until the status is so; the time after it."""
    for step in range(MOST):
        for topic in TOPICS:
            devices.say(topic, begin + 1000 * step)
        if step % CHUNK == CHUNK - 1:
            devices.delivered()
            if reached(chain.status()):
                return begin + 1000 * (step + 1)
    return status_until(chain, reached, what) and begin + 1000 * MOST


@pytest.fixture
def alone(tmp_path, broker, images):
    """A chain without its collector; the broker keeps nothing for it."""

    def start(**journal):
        sections = {**SECTIONS, "journal": {**SECTIONS["journal"], **journal}}
        chain = Chain(tmp_path, broker.url, images, unit=UNIT, sections=sections)
        chains.append(chain)
        chain.prepare()
        chain.start("agent")
        chain.wait_ready()
        return chain

    chains = []
    yield start
    for chain in chains:
        chain.close()


def restart(chain):
    """Both know of each other at once; else the agent tries again after some time."""
    chain.start("collector")
    chain.stop("agent")
    chain.start("agent")
    chain.wait_ready()


def test_a_collector_that_is_away_fills_the_spool_then_the_log_then_the_sources_wait(alone, devices):
    chain = alone()
    at = speak_until(chain, devices, lambda s: s["spool"]["full"], "the spool is full", now() - 3_600_000)
    status = status_until(chain, degraded("spool: full"), "status says so")
    assert status["units"][0]["blocked"]
    # Above its cap goes what the guest says of the input that it has already.
    assert status["spool"]["bytes"] < 12 << 20

    def stays_full(status):
        # Full for the first time, the log is trimmed by what the guest had processed already.
        if status["units"][0]["full"]:
            time.sleep(2.5)
            status = chain.status()
        return status["units"][0]["full"] and status["sources"][0]["state"] == "paused"

    speak_until(chain, devices, stays_full, "the log is full, and the sources wait", at)
    status = chain.status()
    assert any("input log is full" in line for line in status["degraded"])
    assert status["units"][0]["log"]["bytes"] < 11 << 20
    assert status["spool"]["dropped"] == 0
    restart(chain)
    found = collected(chain, devices)
    assert not found.reasons
    status_until(chain, lambda s: not s["degraded"] and not s["spool"]["batches"], "all is well")


def test_what_drop_oldest_drops_is_counted_and_shown(alone, devices):
    chain = alone(when_full="drop-oldest")
    speak_until(chain, devices, lambda s: s["spool"]["dropped"] > 3, "some were dropped", now() - 3_600_000)
    status_until(chain, degraded(r"spool: \d+ batches dropped"), "status says so")
    restart(chain)

    def quiet(status):
        unit, spool = status["units"][0], status["spool"]
        return unit["log"]["acked"] == unit["log"]["last"] and not unit["waiting"] and not spool["batches"]

    status_until(chain, quiet, "everything is delivered")
    until(lambda: counted(chain) >= devices.values, "every value is collected or dropped")
    status = status_until(chain, quiet, "everything is delivered")
    ((_, numbers),) = outs(chain).items()
    assert len(set(numbers)) == len(numbers)
    # A batch that was given up while it was on its way may have arrived all the same.
    assert 0 < numbers[-1] - len(numbers) <= status["spool"]["dropped_items"]
    shown = subprocess.run(
        [*EDGEAGENT, "status", "--runtime", str(chain.runtime)], capture_output=True, text=True, check=False
    )
    assert shown.returncode == 1
    assert "dropped" in shown.stdout


def counted(chain):
    """Values collected, and outputs dropped: each of those is a summary of one value, or a report."""
    return len(stored(chain.database, BOARD).summaries) + chain.status()["spool"]["dropped_items"]


def test_a_broker_away_for_longer_than_the_lateness_makes_nothing_late(tmp_path, broker, devices, images):
    unit = {**UNIT, "window": "3s", "lateness": "2s"}
    with Chain(tmp_path, broker.url, images, unit=unit) as chain:
        topics = [f"home/{number}" for number in range(6)]

        def speak(seconds):
            for _ in range(int(seconds * 5)):
                for number, topic in enumerate(topics):
                    devices.say(topic, None if number == 0 else now())
                time.sleep(0.2)

        speak(2)
        broker.stop()
        speak(5)
        broker.start()
        devices.come_back()
        speak(1)
        found = collected(chain, devices)
        status = status_until(chain, lambda s: not s["degraded"], "all is well")
    assert not found.reasons
    assert status["sources"][0]["connects"] == 2
    assert status["sources"][0]["sessions_lost"] == 0
