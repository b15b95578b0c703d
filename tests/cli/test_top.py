"""`edgeagent top`: what it counts between two looks, and its screen on a real terminal."""

import os
import pty
import subprocess
import threading
import time

import pytest

from edgeagent.cli.main import main
from edgeagent.cli.top import ORDERS, rates
from edgeagent.control.server import Verb
from edgeagent.sim.chain import EDGEAGENT
from tests.control.given import serving


def row(name, cpu_s, readings=0, pid=10, **more):
    return {
        "name": name, "unit": name, "instance": 0, "app": "aggregate", "state": "running", "accelerator": "tcg",
        "pid": pid, "since_s": 5.0, "starts": 1, "restarts": 0, "crash": "", "memory": 12 << 20,
        "usage": None if cpu_s is None else
        {"cpu_s": cpu_s, "rss": 30 << 20, "pss": 20 << 20, "threads": 3, "throttled_s": 0.0},
        "throttled": False, "throttled_s": 0.0, "cpu_percent": None if cpu_s is None else 1.0, "waiting": 0,
        "readings": readings, "spares": {"ready": 0, "wanted": 0, "died": 0}, "stopped": False, **more,
    }  # fmt: skip


def look(at, *rows, pid=1):
    agent = {"pid": pid, "usage": {"cpu_s": 1.0, "rss": 40 << 20, "pss": 0, "threads": 2, "throttled_s": 0.0}}
    return {"board": "attic", "at": at, "uptime_s": at, "agent": agent, "guests": list(rows)}


def test_between_two_looks():
    (now,) = rates(look(10.0, row("home", 1.0, 100)), look(12.0, row("home", 1.5, 120)))
    assert (now["cpu_percent"], now["rate"]) == (25.0, 10.0)


@pytest.mark.parametrize(
    ("before", "percent", "rate"),
    [
        (look(10.0, row("home", 9.0, 100, pid=9)), 1.0, 10.0),  # the guest is another one
        (look(10.0, row("home", 9.0, 999), pid=2), 1.0, 0.0),  # the agent is
        (look(10.0), 1.0, 0.0),  # a new instance
        (look(12.0, row("home", 9.0, 999)), 1.0, 0.0),  # the first look
        (look(10.0, row("home", None, 100)), 1.0, 10.0),  # it was at rest
    ],
)
def test_what_can_not_be_compared(before, percent, rate):
    (now,) = rates(before, look(12.0, row("home", 1.5, 120)))
    assert (now["cpu_percent"], now["rate"]) == (percent, rate)


def test_orders():
    rows = rates(
        look(0.0, row("a", 0.0), row("b", 0.0), row("c", None)),
        look(1.0, row("a", 0.1, 5), row("b", 0.9, 1, waiting=3), row("c", None, 2)),
    )
    order = {name: "".join(one["name"] for one in sorted(rows, key=key)) for name, key in ORDERS.items()}
    assert order == {"cpu": "bac", "memory": "abc", "readings": "acb", "waiting": "bac", "unit": "abc"}


@pytest.mark.parametrize("end", [b"q", b"\x03"])
def test_a_terminal(tmp_path, end):
    """It refreshes by itself until q or Ctrl-C, and leaves the terminal as it was."""
    ours, theirs = pty.openpty()
    said = bytearray()

    def read():
        try:
            while data := os.read(ours, 65536):
                said.extend(data)
        except OSError:
            pass  # the other end is closed

    reader = threading.Thread(target=read)
    reader.start()
    looks = iter(range(1, 1000))

    async def ps(_):
        at = next(looks)
        return look(float(at), row("home", at * 0.5, at * 7))

    with serving(tmp_path, {"ps": Verb(ps)}):
        command = ["setsid", "--ctty", *EDGEAGENT, "top", "--runtime", str(tmp_path), "--every", "0.2"]
        process = subprocess.Popen(
            command, stdin=theirs, stdout=theirs, stderr=theirs,
            env={**os.environ, "TERM": "xterm", "COLUMNS": "110", "LINES": "20"},
        )  # fmt: skip
        deadline = time.monotonic() + 60
        while said.count(b"7.0 readings/s") < 2 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert b"50.0" in said
        os.write(ours, end)
        assert process.wait(30) == (0 if end == b"q" else 130)
    os.close(theirs)
    reader.join()
    os.close(ours)
    assert b"\x1b[?1049l" in said, "the former screen is back"


def test_without_a_terminal_once(tmp_path, capsys):
    async def ps(_):
        return look(time.monotonic(), row("home", 1.0, 5))

    with serving(tmp_path, {"ps": Verb(ps)}), pytest.raises(SystemExit) as ended:
        main(["top", "--runtime", str(tmp_path), "--every", "0.2"])
    assert ended.value.code == 0
    out = capsys.readouterr().out
    assert out.count("home") == 1
    assert "\x1b" not in out
