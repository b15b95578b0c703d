"""Guests that do their worst beside an honest one, in one agent: each is held back, started again and given up.

All at once, each in a unit of its own, which gets one reading to begin with. The honest unit loses nothing.
"""

from __future__ import annotations

import threading
from collections import defaultdict

import pytest

from edgeagent.sim.broker import Broker
from edgeagent.sim.chain import Chain
from tests.e2e.given import Devices, collected, status_until

STARTS = 2
HOSTILE = {
    # app: what it is given up for, and what holds it back until then
    "flood": ("no input explains", "throttled_s"),
    "log": ("no input explains", "throttled_s"),
    "late": ("no input explains", "throttled_s"),
    "spin": ("no acknowledgement of input", "cpu_throttled_s"),
    "storm": ("no acknowledgement of input", "cpu_throttled_s"),
    "hang": ("no acknowledgement of input", ""),
    "garbage": ("belong to no frame", ""),
    "lie": ("ack for input", ""),
    "panic": ("hostile-panic gives up", ""),
}
GROWS = "grow"
LATE_READINGS = 60
CPU = 10
"""Percent of a core: also a busy machine gives a guest that much."""
PAUSE_S = 0.02
LONG_S = 150.0

pytestmark = pytest.mark.timeout(300)


def unit(app, image):
    return {
        "name": app,
        "image": str(image),
        "topics": [f"bad/{app}"],
        "accelerator": "tcg",
        "starts": STARTS,
        "cpu": CPU,
    }


@pytest.fixture(scope="module")
def chain(guest_image, tmp_path_factory):
    """The chain when all that are to fail have failed, its devices, and what was seen until then."""
    images = guest_image("aggregate").path.parents[1]
    others = [unit(app, guest_image(f"hostile-{app}").path) for app in (*HOSTILE, GROWS)]
    honest = {"topics": ["home/#"], "accelerator": "tcg", "window": "2s", "lateness": "1s"}
    folder = tmp_path_factory.mktemp("hostile")
    with (
        Broker() as broker,
        Devices(broker.port) as devices,
        Chain(folder, broker.url, images, unit=honest, others=others) as running,
    ):
        over = threading.Event()
        speaker = threading.Thread(target=speak, args=(devices, over))
        speaker.start()
        try:
            for app in (*HOSTILE, GROWS):
                for _ in range(LATE_READINGS if app == "late" else 3):
                    devices.client.publish(f"bad/{app}", "1", qos=1)
            seen = watch(running)
        finally:
            over.set()
            speaker.join()
        devices.delivered()
        yield running, devices, seen


def speak(devices, over):
    number = 0
    while not over.wait(PAUSE_S):
        number += 1
        devices.say(f"home/{number % 10}", None, ("a", "b"))


def watch(running):
    """Until all that are to fail have failed. (unit, what) -> the largest number, or every word, that was seen."""
    most = defaultdict(float)
    words = defaultdict(set)

    def look(status):
        for one in status["units"]:
            guest = one["guest"]
            found = {"throttled_s": guest["throttled_s"]} | (guest["usage"] or {})
            for what, number in found.items():
                most[one["name"], what] = max(most[one["name"], what], number)
            words[one["name"]].add("throttled" if guest["throttled"] else guest["state"])
        for line in status["degraded"]:
            words["degraded"].add(line)
        return all(one["guest"]["state"] == "failed" for one in status["units"] if one["name"] in HOSTILE)

    status_until(running, look, "all hostile guests were given up", LONG_S)
    return most, words


def guest_of(chain, name):
    return next(one["guest"] for one in chain.status()["units"] if one["name"] == name)


@pytest.mark.parametrize("app", HOSTILE)
def test_a_hostile_guest_is_given_up(chain, app):
    running, _, (most, words) = chain
    why, held = HOSTILE[app]
    guest = guest_of(running, app)
    assert guest["state"] == "failed"
    assert guest["starts"] == STARTS
    assert why in guest["crash"]
    assert any(line.startswith(f"unit {app}: guest failed") for line in words["degraded"])
    if held:
        assert most[app, held] > 0.5
    if held == "throttled_s":
        assert "throttled" in words[app]
        assert any(line.startswith(f"unit {app}: guest throttled") for line in words["degraded"])


def test_a_guest_that_uses_all_its_memory_goes_on(chain):
    running, _, (most, _) = chain
    guest = guest_of(running, GROWS)
    assert (guest["state"], guest["starts"], guest["crash"]) == ("running", 1, "")
    assert most[GROWS, "rss_bytes"] > most["hang", "rss_bytes"] + (8 << 20), "most of its 12 MiB"
    assert any("of memory, guest and QEMU" in words for words in guest["jail"])


def test_the_honest_unit_loses_nothing(chain):
    running, devices, _ = chain
    collected(running, devices)
    guest = guest_of(running, "home")
    assert (guest["state"], guest["starts"], guest["throttled_s"]) == ("running", 1, 0)
    assert guest["limits"]["memory_bytes"] > 12 << 20
