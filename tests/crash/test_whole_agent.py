"""A whole agent whose guest is given a reading that it can't stand: the crash is kept, and played again afterwards."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from edgeagent.sim.broker import Broker
from edgeagent.sim.chain import Chain
from tests.e2e.given import Devices, status_until, taken, until
from tests.guests import GetImage

UNIT = {"app": "hostile-poison", "topics": ["home/+"], "accelerator": "tcg", "starts": 3}


def crash(chain: Chain, *words: str) -> tuple[int, str]:
    """Exit code and standard output of `edgeagent crash`."""
    command = (sys.executable, "-m", "edgeagent", "crash", *words, "--config", str(chain.config))
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, done.stdout + done.stderr


def listed(chain: Chain) -> list[dict[str, Any]]:
    return list(json.loads(crash(chain, "list", "--json")[1]))


def test_a_fatal_reading(tmp_path: Path, guest_image: GetImage) -> None:
    images = guest_image("hostile-poison").path.parents[1]
    with Broker() as broker, Devices(broker.port) as devices:
        with Chain(tmp_path, broker.url, images, unit=UNIT) as chain:
            assert listed(chain) == []
            for number in range(40):
                devices.say(f"home/{number % 4}", None)
            devices.delivered()
            status_until(chain, taken(40), "all are taken")
            # A stop keeps the guest's state: the next guest goes on from there, and so does the replay.
            chain.stop("agent")
            chain.start("agent")
            chain.wait_ready()
            for number in range(20):
                devices.say(f"home/{number % 4}", None, pad="poison" if number == 10 else "")
            devices.delivered()
            until(lambda: (found := listed(chain)) and found[0]["times"] == UNIT["starts"], "it is kept")
            chain.check_alive()
        # The agent is stopped.
        (one,) = listed(chain)
        assert (one["unit"], one["kind"], one["app"]) == ("home", "panicked", "hostile-poison")
        code, out = crash(chain, "show", "--json", "--inputs", "1000")
        assert code == 0
        shown = json.loads(out)
        assert shown["start"]["seq"] >= 40
        assert "state" in shown["parts"]
        assert shown["panic"].endswith(" 0000000051")
        fatal = [each for each in shown["inputs"] if b"poison" in bytes.fromhex(each.get("payload", ""))]
        assert len(fatal) == 1
        code, out = crash(chain, "replay", "--json")
        found = json.loads(out)
        assert code == 0, found
        assert (found["reproduced"], found["last"]) == (True, fatal[0]["seq"])
        assert found["input"] == fatal[0]
        folder = tmp_path / "state" / "crashes"
        assert oct(folder.stat().st_mode & 0o777) == "0o700"
        code, out = crash(chain, "remove", "--all")
        assert (code, list(folder.iterdir())) == (0, [])


def test_a_disk_that_takes_no_crash_stops_nothing(tmp_path: Path, guest_image: GetImage) -> None:
    """The folder's place is taken by a file: the crash is told in the log, and the unit goes on."""
    images = guest_image("hostile-poison").path.parents[1]
    with (
        Broker() as broker,
        Devices(broker.port) as devices,
        Chain(tmp_path, broker.url, images, unit=UNIT) as chain,
    ):
        (tmp_path / "state" / "crashes").touch()
        devices.say("home/1", None, pad="poison")
        devices.delivered()
        until(lambda: "a crash of unit home isn't kept" in chain.log("agent"), "it is told")
        devices.say("home/1", None)
        status_until(chain, taken(2), "readings are taken all the same")
