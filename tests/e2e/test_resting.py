"""Units at rest: stopped by a person or idle for want of readings, and every reading counts once all the same."""

import json
import os
import signal
import sqlite3
import subprocess
from collections import Counter
from contextlib import closing

import pytest

from edgeagent.sim.chain import EDGEAGENT, Chain, toml
from tests.e2e.given import collected, degraded, edit, now, status_until, taken, until
from tests.guests import alive

UNIT = {
    "topics": ["home/+"],
    "window": "2s",
    "lateness": "1s",
    "accelerator": "tcg",
    "fields": ["a", "b"],
}
SENSORS = 6


def speak(devices, rounds=5, step=300):
    begin = now() - rounds * step
    for number in range(rounds):
        for sensor in range(SENSORS):
            devices.say(f"home/{sensor}", begin + number * step, ("a", "b"))
    devices.delivered()


def run(chain, verb, *words):
    """The command as a person gives it: exit code, standard output, standard error."""
    done = subprocess.run(
        [*EDGEAGENT, verb, "--runtime", str(chain.runtime), *words], check=False, capture_output=True, text=True,
        env={**os.environ, "COLUMNS": "100"},
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def guests(chain):
    code, out, err = run(chain, "ps", "--json")
    assert code == 0, err
    return json.loads(out)["guests"]


def state(word):
    return lambda status: all(one["state"] == word for one in status["units"][0]["instances"])


def test_stop_start_and_restart(tmp_path, broker, devices, images):
    with Chain(tmp_path, broker.url, images, unit=UNIT) as chain:
        speak(devices)
        status_until(chain, taken(5 * SENSORS), "all taken")
        (row,) = guests(chain)
        assert (row["unit"], row["app"], row["state"], row["restarts"]) == ("home", "aggregate", "running", 0)
        assert alive(row["pid"])
        assert row["usage"]["rss"] > 0
        assert run(chain, "stop", "home") == (0, "home: stopped\n", "")
        assert not alive(row["pid"])
        (rest,) = guests(chain)
        assert (rest["state"], rest["pid"], rest["stopped"]) == ("stopped", 0, True)
        # Readings go on into the log, also those of an agent that is killed and comes back.
        devices.messages = 0
        speak(devices)
        status_until(chain, degraded("home: stopped by a person"), "it is said")
        until(lambda: guests(chain)[0]["waiting"] >= 5 * SENSORS, "they wait")
        chain.stop("agent", kill=True)
        chain.start("agent")
        status = status_until(chain, lambda s: s["sources"][0]["state"] == "connected", "the agent is back")
        assert state("stopped")(status)
        assert guests(chain)[0]["starts"] == 0
        speak(devices)
        assert run(chain, "start", "home") == (0, "home: running\n", "")
        collected(chain, devices)
        status_until(chain, lambda s: not s["degraded"], "all is well")
        (row,) = guests(chain)
        assert run(chain, "restart", "home") == (0, "home: running\n", "")
        (new,) = guests(chain)
        assert new["pid"] != row["pid"]
        assert (new["starts"], new["restarts"]) == (row["starts"] + 1, 0)
        # Also that it was started stays so.
        chain.stop("agent")
        chain.start("agent")
        chain.wait_ready()
        speak(devices)
        collected(chain, devices)
        log = chain.log("agent")
        assert f"stop units=['home']: allowed, by user {os.geteuid()}" in log


def test_what_a_person_may_get_wrong(tmp_path, broker, images):
    with Chain(tmp_path, broker.url, images, unit=UNIT) as chain:
        for verb in ("stop", "start", "restart"):
            code, out, err = run(chain, verb, "home", "cellar")
            assert (code, out) == (2, "")
            assert err == "edgeagent: there is no unit 'cellar'. Known: home\n"
        assert run(chain, "logs", "cellar")[0] == 2
        assert state("running")(chain.status())
        assert run(chain, "stop", "--no-wait", "home", "home") == (0, "", "")
        status_until(chain, state("stopped"), "stopped")
        assert run(chain, "stop", "home")[0] == 0
        code, out, _ = run(chain, "logs", "home")
        assert code == 0
        assert all(
            " unit.home: " in line or " guest.home: " in line or " unit home: " in line
            for line in out.splitlines()
        )
        assert "guest.home: stopped" in out
        # A guest that can't be started is no success, whatever the command was.
        image = tmp_path / "gone.elf"
        image.write_bytes((images / "x86_64" / "aggregate.elf").read_bytes())
        code, out, _ = run(chain, "ps")
        assert code == 0
        assert max(map(len, out.splitlines())) <= 100
        assert "stopped" in out
        code, out, _ = run(chain, "top", "--every", "0.2")
        assert code == 0
        assert "readings/s" in out
        assert "\x1b" not in out
    code, _, err = run(chain, "ps")
    assert (code, err.count("\n")) == (4, 1)


def test_a_start_that_fails_says_why(tmp_path, broker, images):
    own = tmp_path / "own.elf"
    own.write_bytes((images / "x86_64" / "aggregate.elf").read_bytes())
    unit = {**UNIT, "image": str(own), "starts": 1}
    with Chain(tmp_path / "chain", broker.url, images, unit=unit) as chain:
        assert run(chain, "stop", "home")[0] == 0
        own.unlink()
        code, out, err = run(chain, "start", "home")
        assert (code, out) == (7, "")
        assert err.startswith("edgeagent: home: ")
        assert "own.elf" in err
        status_until(chain, degraded("edgeagent start home"), "what to do is said")


def test_a_guest_that_stands_still_is_stopped_all_the_same(tmp_path, broker, devices, images):
    with Chain(tmp_path, broker.url, images, unit=UNIT) as chain:
        pid = guests(chain)[0]["pid"]
        os.kill(pid, signal.SIGSTOP)
        speak(devices)
        assert run(chain, "stop", "home") == (0, "home: stopped\n", "")
        assert not alive(pid)
        assert run(chain, "start", "home")[0] == 0
        collected(chain, devices)


def test_a_stopped_unit_whose_configuration_changes(tmp_path, broker, devices, images):
    """What was begun is finished with the former one; then it is stopped again."""
    with Chain(tmp_path, broker.url, images, unit=UNIT) as chain:
        speak(devices)
        status_until(chain, taken(5 * SENSORS), "all taken")
        assert run(chain, "stop", "home")[0] == 0
        chain.stop("agent")
        edit(chain, 'window = "2s"', 'window = "3s"')
        chain.start("agent")
        status = status_until(
            chain, lambda s: s["sources"][0]["state"] == "connected" and state("stopped")(s), "stopped again"
        )
        assert status["units"][0]["log"]["acked"] == status["units"][0]["log"]["last"]
        assert {row.length for row in collected(chain, devices).summaries} == {2000}
        speak(devices)
        status_until(chain, taken(5 * SENSORS), "all taken")
        assert state("stopped")(chain.status())
        assert run(chain, "start", "home")[0] == 0
        assert {row.length for row in collected(chain, devices).summaries} == {2000, 3000}


def test_follow_over_a_restart_of_the_agent(tmp_path, broker, images):
    with Chain(tmp_path, broker.url, images, unit=UNIT) as chain:
        out = tmp_path / "followed"
        with out.open("wb") as file:
            following = subprocess.Popen(
                [*EDGEAGENT, "logs", "--runtime", str(chain.runtime), "--follow", "home"],
                stdout=file,
                stderr=file,
            )
        try:
            until(lambda: b"guest.home: running" in out.read_bytes(), "what was before is shown")
            chain.stop("agent")
            until(lambda: b"the agent is gone; waiting" in out.read_bytes(), "that is said")
            chain.start("agent")
            until(lambda: out.read_bytes().count(b"guest.home: running") == 2, "it goes on")
            assert b"edgeagent: the agent is back\n" in out.read_bytes()
            lines = [line for line in out.read_bytes().splitlines() if not line.startswith(b"edgeagent:")]
            assert len(set(lines)) == len(lines)
        finally:
            following.send_signal(signal.SIGINT)
            assert following.wait(30) == 130


@pytest.mark.parametrize("spare", [0, 1])
def test_an_idle_unit_ends_and_starts_with_its_next_reading(tmp_path, broker, devices, images, spare):
    unit = {**UNIT, "idle_stop": "1s", "spare": spare}
    with Chain(tmp_path, broker.url, images, unit=unit) as chain:
        pid = chain.status()["units"][0]["guest"]["pid"]
        speak(devices)
        status = status_until(chain, state("idle"), "idle")
        assert not alive(pid)
        assert not status["degraded"]
        home = status["units"][0]
        assert home["guest"]["checkpoint"]["seq"] == home["log"]["last"], "nothing is left to replay"
        collected(chain, devices)
        # Again and again: a rest isn't held against it, and a spare is there each time.
        for _ in range(2):
            if spare:
                status_until(chain, lambda s: s["units"][0]["spares"]["ready"], "a spare waits")
            speak(devices)
            collected(chain, devices)
            status_until(chain, state("idle"), "idle again")
        assert chain.status()["units"][0]["guest"]["restarts"] == 0
        # The agent is killed while its unit is idle, and while it wakes.
        chain.stop("agent", kill=True)
        speak(devices)
        chain.start("agent")
        collected(chain, devices)
        status_until(chain, state("idle"), "idle after a kill")
        speak(devices)
        # With a spare it may be awake, and through with its input, before anybody looks.
        status_until(chain, lambda s: not state("idle")(s), "it wakes")
        chain.stop("agent", kill=True)
        chain.start("agent")
        collected(chain, devices)
        # A person's word counts more than a reading.
        status_until(chain, state("idle"), "idle at last")
        assert run(chain, "stop", "home")[0] == 0
        speak(devices)
        status_until(chain, taken(5 * SENSORS), "taken")
        assert state("stopped")(chain.status())
        assert run(chain, "start", "home")[0] == 0
        collected(chain, devices)
        vmms = [row["pid"] for row in guests(chain)]
        children = subprocess.run(
            ["ps", "--ppid", str(chain.pid("agent")), "-o", "pid="],
            check=False,
            capture_output=True,
            text=True,
        ).stdout.split()
    assert not any(alive(int(pid)) for pid in (*vmms, *children) if int(pid))


def through(seq):
    """Everything up to that input is processed, and the guest is idle again."""

    def reached(status):
        log = status["units"][0]["log"]
        return log["acked"] == log["last"] >= seq and state("idle")(status)

    return reached


def summaries(chain, unit):
    """What the collector has of a unit, as far as no clock of ours is in it."""
    with closing(sqlite3.connect(f"file:{chain.database}?mode=ro", uri=True)) as database:
        columns = [row[1] for row in database.execute("PRAGMA table_info(summaries)")]
        same = [
            one
            for one in columns
            if one not in {"board", "unit", "epoch", "out", "seq", "number", "batch", "received"}
        ]
        query = (
            f"SELECT {', '.join(same)} FROM summaries WHERE unit = ? ORDER BY source, field, start_ms, out"
        )
        return database.execute(query, (unit,)).fetchall()


def held_back(chain):
    with closing(sqlite3.connect(f"file:{chain.database}?mode=ro", uri=True)) as database:
        (count,) = database.execute("SELECT SUM(skipped) FROM summaries").fetchone()
    return count


def test_it_says_what_a_unit_says_that_never_stops(tmp_path, broker, devices, images):
    """With a deadband and heartbeats, whose memory must outlive the guest."""
    quiet = {**UNIT, "deadband": 60, "heartbeat": 2}
    chain = Chain(tmp_path, broker.url, images, unit={**quiet, "idle_stop": "1s"})
    chain.prepare()
    chain.config.write_text(chain.config.read_text() + toml({}, [{**quiet, "name": "ever"}]))
    try:
        chain.start("collector")
        chain.start("agent")
        chain.wait_ready()
        for turn in range(3):
            last = chain.status()["units"][0]["log"]["last"]
            speak(devices, rounds=4, step=1500)
            status_until(chain, through(last + 4 * SENSORS), f"idle in turn {turn}")
            if turn == 1:
                ran = [unit["guest"]["starts"] for unit in chain.status()["units"]]
                assert ran == [2, 1]
                chain.stop("agent", kill=True)
                chain.start("agent")
                chain.wait_ready()
        until(
            lambda: summaries(chain, "home") and summaries(chain, "home") == summaries(chain, "ever"),
            "both said the same",
        )
        counted = Counter(row[0] for row in summaries(chain, "home"))
        assert len(counted) == SENSORS
        assert held_back(chain), "the deadband did something"
    finally:
        chain.close()
