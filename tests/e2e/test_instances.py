"""A unit grows to several guests when they don't keep up and shrinks again, and every reading counts once all the same.

Guests are made slow by stopping their VMMs: that works the same on every machine.
"""

import contextlib
import os
import random
import signal
import threading
import time

from edgeagent.control.client import ControlClient
from edgeagent.sim.chain import Chain
from edgeagent.vmm.bounds import need
from tests.e2e.given import collected, degraded, edit, status_until

TOPICS = [f"home/{i}" for i in range(12)]
FIELDS = ("a", "b")
UNIT = {
    "topics": ["home/#"],
    "accelerator": "tcg",
    "window": "2s",
    "lateness": "1s",
    "instances": 3,
    "scale_after": "1s",
    "scale_calm": "2s",
}
PAUSE_S = 0.02
LONG_S = 120.0
STILL_S = 5.0
TRIES = 20


@contextlib.contextmanager
def speaking(devices):
    """The devices say something all the time."""
    over = threading.Event()

    def speak():
        number = 0
        while not over.wait(PAUSE_S):
            for _ in range(4):
                number += 1
                devices.say(TOPICS[number * 7 % len(TOPICS)], None, FIELDS)

    speaker = threading.Thread(target=speak)
    speaker.start()
    try:
        yield
    finally:
        over.set()
        speaker.join()


def guests(status):
    return status["units"][0]["instances"]


def instances(count):
    """So many guests run, and none other is coming."""

    def look(status):
        running = [one for one in guests(status) if one["state"] == "running"]
        return len(running) == len(guests(status)) == count and not status["units"][0]["scaling"]["moving"]

    return look


def settled(status):
    """As many run as there are."""
    return instances(len(guests(status)))(status)


def moving(status):
    return status["units"][0]["scaling"]["moving"]


def say(pid, number):
    """A signal to a guest, which a move may have ended meanwhile; 0: it had none."""
    if pid:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def slow_down(chain):
    """The last guest stands still for seconds, again and again, until the agent does something; what it is moving to.

    A guest that stood still for longer would be one that hangs.
    """
    for _ in range(TRIES):
        pid = guests(chain.status())[-1]["pid"]
        say(pid, signal.SIGSTOP)
        try:
            return moving(status_until(chain, moving, "one more instance", STILL_S))
        except AssertionError:
            continue
        finally:
            say(pid, signal.SIGCONT)
            time.sleep(PAUSE_S)
    raise AssertionError(f"{chain.status()['units'][0]}\n{chain.log('agent')[-3000:]}")


def grow(chain, count):
    while len(guests(chain.status())) < count:
        wanted = slow_down(chain)
        status_until(chain, instances(wanted), f"{wanted} instances")


def test_grows_and_shrinks_while_sensors_send(tmp_path, broker, devices, images):
    with Chain(tmp_path, broker.url, images, UNIT) as chain:
        with speaking(devices):
            grow(chain, 3)
            assert all(one["acked"] for one in guests(chain.status()))
            status_until(chain, instances(1), "one guest is enough again", LONG_S)
        found = collected(chain, devices)
        assert found.payloads == devices.messages
        assert not chain.status()["degraded"]


def test_what_dies_in_the_middle_of_a_move(tmp_path, broker, devices, images):
    """Agent and guests, by SIGKILL, at moments that differ each time."""
    chance = random.Random(os.getpid())
    with Chain(tmp_path, broker.url, images, UNIT) as chain:
        with speaking(devices):
            for number in range(6):
                if len(guests(chain.status())) < 3:
                    slow_down(chain)
                else:
                    status_until(chain, moving, "one instance fewer", LONG_S)
                time.sleep(chance.random() * 0.4)
                if number % 2:
                    for pid in [one["pid"] for one in guests(chain.status()) if one["pid"]][:2]:
                        with contextlib.suppress(ProcessLookupError):
                            os.kill(pid, signal.SIGKILL)
                else:
                    chain.stop("agent", kill=True)
                    chain.start("agent")
                status_until(chain, settled, "all guests run")
        found = collected(chain, devices)
        assert found.payloads == devices.messages


def test_other_settings_with_several_guests(tmp_path, broker, devices, images):
    """Another window: what was begun by three guests is ended by three. Fewer guests allowed: so few soon."""
    with Chain(tmp_path, broker.url, images, {**UNIT, "scale_calm": "1h"}) as chain:
        with speaking(devices):
            grow(chain, 3)
            chain.stop("agent")
            edit(chain, "instances = 3", "instances = 2")
            chain.start("agent")
            status_until(chain, instances(2), "as many as allowed")
            chain.stop("agent")
            edit(chain, 'window = "2s"', 'window = "3s"')
            chain.start("agent")
            status_until(chain, instances(1), "begun anew")
        found = collected(chain, devices)
        assert found.payloads == devices.messages
        assert {row.length for row in found.summaries} == {2000, 3000}


def test_one_more_guest_needs_room_in_the_budget(tmp_path, broker, devices, images):
    budget = need(12 << 20) * 3 // 2
    board = {"board": {"memory_budget": f"{budget >> 10}KiB"}}
    with Chain(tmp_path, broker.url, images, {**UNIT, "memory": "12MiB"}, board) as chain:
        with speaking(devices):
            pid = guests(chain.status())[0]["pid"]
            os.kill(pid, signal.SIGSTOP)
            try:
                seen = status_until(
                    chain, degraded("stays at 1, not 2 instances: the guests need"), "no room"
                )
            finally:
                os.kill(pid, signal.SIGCONT)
            assert len(guests(seen)) == 1
        found = collected(chain, devices)
        assert found.payloads == devices.messages


def test_several_guests_rest_and_wake_together(tmp_path, broker, devices, images):
    """Stopped by a person while sensors send, and idle when they are silent."""
    unit = {**UNIT, "scale_calm": "1h", "idle_stop": "1s"}

    def all_are(word):
        return lambda status: {one["state"] for one in guests(status)} == {word}

    def ask(verb):
        with ControlClient(chain.runtime) as agent:
            agent.ask(verb, units=["home"])

    with Chain(tmp_path, broker.url, images, unit) as chain:
        with speaking(devices):
            grow(chain, 2)
            ask("stop")
            status = status_until(chain, all_are("stopped"), "both are stopped")
            assert not any(one["pid"] for one in guests(status))
            ask("start")
            status_until(chain, instances(2), "both go on")
            ask("restart")
            status_until(chain, lambda s: instances(2)(s) and guests(s)[1]["starts"] == 3, "both are new")
        for _ in range(2):
            status_until(chain, all_are("idle"), "both are idle")
            collected(chain, devices)
            devices.say(TOPICS[0], None, FIELDS)
            status_until(chain, all_are("running"), "both wake")
        found = collected(chain, devices)
        assert found.payloads == devices.messages
        assert [one["restarts"] for one in guests(chain.status())] == [0, 0]
