"""The configuration changes, units share sensors, guests die too often: readings stay, and are counted once.

docs/adr/0003: what was begun with the former configuration is ended with it, then the new one begins.
"""

import os
import signal
import time

from edgeagent.config import load
from edgeagent.sim.chain import Chain, toml
from tests.e2e.given import collected, degraded, edit, now, outs, status_until, taken

UNIT = {
    "topics": ["home/+"],
    "memory": "12MiB",
    "window": "3s",
    "lateness": "1s",
    "accelerator": "tcg",
    "fields": ["a", "b"],
}
SENSORS = 8


def speak(devices, rounds, begin, step, fields=("a", "b"), topic="home/{}"):
    """Every sensor once in every step of time; the time after it."""
    for number in range(rounds):
        for sensor in range(SENSORS):
            devices.say(topic.format(sensor), begin + number * step, fields)
    devices.delivered()
    return begin + rounds * step


def change(chain):
    """Another window, other fields, more topics."""
    edit(chain, 'window = "3s"', 'window = "2s"')
    edit(chain, '["a", "b"]', '["b", "c"]')
    edit(chain, '["home/+"]', '["home/+", "garden/+"]')


def lengths(found):
    return {row.length for row in found.summaries}


def test_a_changed_configuration_loses_nothing(tmp_path, broker, devices, images):
    with Chain(tmp_path, broker.url, images, unit=UNIT) as chain:
        at = speak(devices, 40, now() - 20_000, 300)
        status_until(chain, taken(40 * SENSORS), "all taken")
        chain.stop("agent")
        change(chain)
        # The broker has these when the agent comes back with the new configuration.
        at = speak(devices, 20, at, 300, ("b", "c"))
        chain.start("agent")
        chain.wait_ready()
        speak(devices, 20, at, 300, ("b", "c"), "garden/{}")
        found = collected(chain, devices)
        status = chain.status()
    assert lengths(found) == {2000, 3000}
    assert {row.field for row in found.summaries if row.length == 2000} == {"b", "c"}
    assert {row.field for row in found.summaries if row.length == 3000} == {"a", "b"}
    assert not found.reasons
    assert status["degraded"] == []
    assert not status["units"][0]["settling"]


def test_killed_while_it_settles(tmp_path, broker, devices, images):
    chain = Chain(tmp_path, broker.url, images, unit={**UNIT, "starts": 1})
    with chain:
        speak(devices, 5, now() - 60_000, 300)
        status_until(chain, taken(5 * SENSORS), "all taken")
        # The guest is gone and stays so: what comes now is work for the one that settles.
        os.kill(chain.status()["units"][0]["guest"]["pid"], signal.SIGKILL)
        status_until(chain, degraded("home: guest failed"), "the guest failed")
        speak(devices, 300, now() - 55_000, 100)
        status_until(chain, taken(305 * SENSORS), "all taken")
        chain.stop("agent", kill=True)
        change(chain)
        edit(chain, "starts = 1", "starts = 10")
        for again_s in (0.0, 0.2, 0.5):
            chain.start("agent")
            status_until(
                chain, lambda s: s["units"][0]["settling"] or not s["degraded"], "it settles, or is through"
            )
            time.sleep(again_s)
            chain.stop("agent", kill=True)
        chain.start("agent")
        chain.wait_ready()
        speak(devices, 10, now(), 300, ("b", "c"), "garden/{}")
        found = collected(chain, devices)
    assert lengths(found) == {2000, 3000}
    assert not found.reasons


def test_a_guest_that_dies_too_often_costs_no_reading(tmp_path, broker, devices, images):
    sections = {"journal": {"log_cap": "8MiB"}}
    with Chain(tmp_path, broker.url, images, unit={**UNIT, "starts": 2}, sections=sections) as chain:
        at = speak(devices, 5, now() - 60_000, 300)
        status_until(chain, taken(5 * SENSORS), "all taken")
        for starts in (1, 2):
            status = status_until(
                chain,
                lambda s, starts=starts: s["units"][0]["guest"]["starts"] == starts and s["units"][0]["guest"]["pid"],
                f"start {starts}",
            )  # fmt: skip
            os.kill(status["units"][0]["guest"]["pid"], signal.SIGKILL)
        status = status_until(chain, degraded("home: guest failed"), "the guest failed")
        (line,) = [line for line in status["degraded"] if "failed" in line]
        assert "edgeagent start home" in line
        assert "SIGKILL" in line
        # Readings go on into the log until it is full; then the sources wait.
        pad = "x" * 50_000
        for number in range(250):
            devices.say(f"home/{number % SENSORS}", at + 100 * number, ("a", "b"), pad)
        devices.delivered()
        status_until(chain, degraded("input log is full"), "the log is full")
        status = status_until(chain, lambda s: s["sources"][0]["state"] == "paused", "the source waits")
        assert status["units"][0]["log"]["bytes"] < 10 << 20
        chain.stop("agent")
        chain.start("agent")
        collected(chain, devices)
        status_until(chain, lambda s: not s["degraded"], "all is well")


def test_units_that_share_topics_get_every_reading_each(tmp_path, broker, devices, images):
    chain = Chain(tmp_path, broker.url, images, unit={**UNIT, "topics": ["home/#"]})
    chain.prepare()
    other = {**UNIT, "name": "other", "topics": ["home/0", "+/1", "garden/+"], "window": "2s", "fields": []}
    chain.config.write_text(chain.config.read_text() + toml({}, [other]))
    assert len(load(chain.config).units) == 2
    try:
        chain.start("collector")
        chain.start("agent")
        chain.wait_ready()
        speak(devices, 30, now() - 20_000, 300)
        speak(devices, 30, now() - 20_000, 300, topic="garden/{}")
        status_until(
            chain, lambda s: [u["readings"] for u in s["units"]] == [240, 60 + 240], "both have theirs"
        )
        # To the truth: what both take is said twice.
        twice, alone = [("home/0", 2), ("home/1", 2)], [(f"home/{n}", 1) for n in range(2, SENSORS)]
        garden = [(f"garden/{n}", 1) for n in range(SENSORS)]
        for topic, times in twice + alone + garden:
            for field in ("a", "b"):
                devices.said[topic, field] *= times
        found = collected(chain, devices)
    finally:
        chain.close()
    assert {unit for unit, _ in outs(chain)} == {"home", "other"}
    for topic, length in (("home/0", 2000), ("home/0", 3000), ("garden/1", 2000), ("home/5", 3000)):
        rows = [r for r in found.summaries if (r.source, r.field, r.length) == (topic, "a", length)]
        assert sum(row.count for row in rows) == 30, (topic, length)
