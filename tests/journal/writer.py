"""A process that writes a journal until it is killed; says what it was promised. Run by test_kill.py."""

from __future__ import annotations

import itertools
import os
import sys
from pathlib import Path

from edgeagent.host.disk import DiskFiles
from edgeagent.journal.checkpoints import Checkpoints
from edgeagent.journal.input_log import InputLog
from edgeagent.journal.spool import Spool
from edgeagent.wire import messages

TOPIC = messages.topic_item(b"t")


def frame(seq: int) -> bytes:
    return messages.reading(seq, seq, 50, seq, TOPIC, b"%d " % seq * (seq % 200))


def batch(out: int) -> bytes:
    return b"%d " % out * (out % 300)


def open_all(folder: Path) -> tuple[InputLog, Checkpoints, Spool]:
    files = DiskFiles()
    checkpoints = Checkpoints(files, folder / "unit")
    spool = Spool.open(files, folder / "spool", new_id=bytes(16), cap_bytes=400_000, segment_bytes=20_000)
    found = checkpoints.load()
    known = max(found.seq if found else 0, spool.last("u").seq)
    log = InputLog.open(files, folder / "unit", segment_bytes=20_000, cap_bytes=400_000, known_seq=known)
    return log, checkpoints, spool


def say(what: str, number: int) -> None:
    os.write(1, f"{what} {number}\n".encode())


def main() -> None:
    log, checkpoints, spool = open_all(Path(sys.argv[1]))
    for turn in itertools.count():
        first, count = log.next_seq, turn % 90 + 1
        log.append(b"".join(map(frame, range(first, first + count))), count)
        log.commit(sync=True)
        say("logged", log.durable_seq)
        out = spool.last("u").out
        number = spool.append("u", out + 1, out + 1, log.durable_seq, batch(out + 1))
        spool.commit(sync=True)
        say("spooled", number)
        if turn % 5 == 4:
            checkpoints.save(log.durable_seq, out + 1, frame(log.durable_seq), "aggregate", 1)
            say("saved", log.durable_seq)
            log.trim(checkpoints.trim_seq)
        if spool.last_number - spool.position.gone > 40:
            spool.acknowledge_through(spool.last_number - 20)
            say("acknowledged", spool.last_number - 20)
            spool.commit(sync=True)
            spool.trim()


if __name__ == "__main__":
    main()
