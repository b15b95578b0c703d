"""durability = "memory": the log lies in a tmpfs, so flash is spared; only a power cut loses what wasn't sealed yet."""

import shutil

import pytest

from edgeagent.sim.broker import Broker
from edgeagent.sim.chain import Chain
from tests.e2e.given import Devices, collected, now, outs, status_until, taken

UNIT = {"topics": ["home/+"], "window": "1s", "lateness": "1s", "accelerator": "tcg"}
SECTIONS = {"journal": {"durability": "memory"}, "seal": {"batch_interval": "100ms"}}
SENSORS = 5


@pytest.fixture
def devices():
    with Broker() as broker, Devices(broker.port) as home:
        home.broker = broker
        yield home


@pytest.fixture
def chain(tmp_path, devices, guest_image):
    images = guest_image("aggregate").path.parents[1]
    with Chain(tmp_path, devices.broker.url, images, unit=UNIT, sections=SECTIONS) as one:
        yield one


def speak(devices, rounds, begin):
    for number in range(rounds):
        for sensor in range(SENSORS):
            devices.say(f"home/{sensor}", begin + 200 * number)
    devices.delivered()


def test_a_killed_agent_loses_nothing(chain, devices):
    begin = now() - 60_000
    for life in range(3):
        speak(devices, 20, begin + 5000 * life)
        status_until(chain, taken(1), "some are taken")
        chain.stop("agent", kill=True)
        chain.start("agent")
    chain.wait_ready()
    found = collected(chain, devices)
    assert not found.reasons
    assert not (chain.folder / "state/units").exists()


def test_a_reboot_loses_only_what_was_not_sealed(chain, devices):
    chain.stop("collector")
    begin = now() // 1000 * 1000 - 60_000
    speak(devices, 20, begin)  # four windows of each

    def sealed(status):
        unit = status["units"][0]
        return unit["values"] == 20 * SENSORS and not unit["waiting"] and unit["summaries"] == 4 * SENSORS

    before = status_until(chain, sealed, "every window is closed and sealed")
    # The power goes, and with it what lies in /run.
    chain.stop("agent", kill=True)
    shutil.rmtree(chain.runtime)
    chain.start("agent")
    status = chain.wait_ready()
    assert status["spool"]["batches"] == before["spool"]["batches"] > 0
    assert status["units"][0]["log"]["first"] > 1
    speak(devices, 20, begin + 20_000)
    chain.start("collector")
    chain.stop("agent")
    chain.start("agent")
    found = collected(chain, devices)
    assert not found.reasons
    assert len(outs(chain)) == 1  # one numbering goes on
