"""Boards without a battery-backed clock: the agent begins in 1970, or with a clock that was ahead.

The agent runs under libfaketime; sensors, broker and collector have the right time.
"""

import os
import time
from pathlib import Path

import pytest

from edgeagent.sim.broker import Broker
from edgeagent.sim.chain import Chain
from tests.e2e.given import Devices, collected, now, status_until, taken

FAKETIME = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))), None)
UNIT = {"topics": ["home/+"], "window": "2s", "lateness": "1s", "accelerator": "tcg"}

pytestmark = pytest.mark.skipif(
    FAKETIME is None and os.environ.get("CI") != "true", reason="not installed: faketime"
)


@pytest.fixture
def devices():
    with Broker() as broker, Devices(broker.port) as home:
        home.broker = broker
        yield home


@pytest.fixture
def chain(tmp_path, devices, guest_image):
    images = guest_image("aggregate").path.parents[1]
    one = Chain(tmp_path, devices.broker.url, images, unit=UNIT)
    one.prepare()
    one.start("collector")
    yield one
    one.close()


def start_at(chain, monkeypatch, when):
    """Start the agent with another clock, in libfaketime's terms.

    The monotonic clock is moved with it: libfaketime 0.9.10 breaks time.sleep where that one is left alone.
    """
    with monkeypatch.context() as fake:
        fake.setenv("LD_PRELOAD", str(FAKETIME))
        fake.setenv("FAKETIME", when)
        fake.setenv("NO_FAKE_STAT", "1")
        fake.setenv("TZ", "UTC")
        chain.start("agent")
    return chain.wait_ready()


def speak(devices, rounds, *, told=True):
    for _ in range(rounds):
        devices.say("home/untold", None)
        if told:
            devices.say("home/told", now())
        time.sleep(0.2)
    devices.delivered()


def starts(found, topic):
    """Of its windows, in the order in which the guest said them."""
    return [row.start for row in sorted(found.summaries, key=lambda row: row.out) if row.source == topic]


def test_a_first_start_in_1970_takes_what_sensors_say_of_the_time(chain, devices, monkeypatch):
    status = start_at(chain, monkeypatch, "@1970-01-01 00:01:00")
    speak(devices, 10)
    status = status_until(chain, taken(20), "all taken")
    assert status["clock"]["state"] == "behind"
    found = collected(chain, devices)
    assert not found.reasons


def test_a_clock_at_1970_goes_on_from_the_last_known_time(chain, devices, monkeypatch):
    began = now()
    chain.start("agent")
    assert chain.wait_ready()["clock"]["state"] == "good"
    speak(devices, 10)
    status_until(chain, taken(20), "all taken")
    chain.stop("agent")

    start_at(chain, monkeypatch, "@1970-01-01 00:01:00")
    speak(devices, 15)
    status = status_until(chain, taken(30), "all taken")
    assert "1970" in chain.log("agent")
    assert status["clock"]["state"] == "behind"
    (line,) = status["degraded"]
    assert line.startswith("clock: behind")
    chain.stop("agent")

    chain.start("agent")
    chain.wait_ready()
    speak(devices, 10)
    found = collected(chain, devices)
    status = status_until(chain, lambda s: not s["degraded"], "all is well")
    assert status["clock"]["state"] == "good"
    assert not found.reasons
    untold = starts(found, "home/untold")
    assert untold == sorted(untold)
    assert min(untold) >= began - 2000
    assert max(untold) <= now()


def test_a_clock_that_was_ahead_and_is_set_right_loses_nothing(chain, devices, monkeypatch):
    """Where the kernel says that the clock is synchronised it is believed, else time goes on from the wrong one."""
    start_at(chain, monkeypatch, "+2d")
    speak(devices, 10, told=False)
    status_until(chain, taken(10), "all taken")
    chain.stop("agent", kill=True)
    chain.start("agent")
    chain.wait_ready()
    speak(devices, 10, told=False)
    found = collected(chain, devices)
    assert chain.status()["units"][0]["guest"]["starts"] == 1
    assert not found.reasons
    assert max(starts(found, "home/untold")) > now() + 86_400_000
