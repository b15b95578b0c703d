"""A real process on a real disk, killed again and again at random moments."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.journal.writer import batch, frame, open_all

ROOT = Path(__file__).parents[2]
ROUNDS = 12
LONGEST_S = 0.4


def test_killed_writer_keeps_its_promises(tmp_path):
    chance = random.Random()
    promised = {"logged": 0, "spooled": 0, "saved": 0, "acknowledged": 0}
    for _ in range(ROUNDS):
        with subprocess.Popen(
            [sys.executable, "-m", "tests.journal.writer", tmp_path],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        ) as writer:
            said = [writer.stdout.readline()]
            time.sleep(chance.uniform(0, LONGEST_S))
            writer.kill()
            said += writer.stdout.read().splitlines()
            assert writer.wait() == -signal.SIGKILL
        for line in said:
            what, number = line.split()
            promised[what] = int(number)
        check(tmp_path, promised)
    assert promised["logged"] > 1000
    assert promised["saved"] > 0


def check(folder: Path, promised: dict[str, int]) -> None:
    log, checkpoints, spool = open_all(folder)
    assert log.durable_seq >= promised["logged"]
    assert checkpoints.load() is None or checkpoints.load().seq >= promised["saved"]
    assert log.first_seq <= checkpoints.trim_seq + 1
    reader = log.reader(log.first_seq - 1)
    found = b""
    while piece := reader.read():
        found += piece
    reader.close()
    assert found == b"".join(map(frame, range(log.first_seq, log.next_seq)))
    numbers = dict(spool.pending())
    assert list(numbers) == list(range(spool.position.gone + 1, spool.last_number + 1))
    assert all(data == batch(number) for number, data in numbers.items())
    assert spool.position.gone <= promised["acknowledged"] + 21
    assert spool.last_number >= promised["spooled"]
    log.close()
    spool.close()
