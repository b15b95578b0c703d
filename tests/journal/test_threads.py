"""One thread writes, trims and acknowledges; another reads what is committed."""

from __future__ import annotations

import threading

from edgeagent.host.disk import DiskFiles
from edgeagent.journal.input_log import InputLog
from edgeagent.journal.spool import Spool
from edgeagent.wire import messages

TOPIC = messages.topic_item(b"t")
LAST = 6_000
STEP = 60


def frame(seq: int) -> bytes:
    return messages.reading(seq, seq, 50, seq, TOPIC, b"%d " % seq * (seq % 20))


def test_reader_beside_the_writer(tmp_path):
    log = InputLog.open(DiskFiles(), tmp_path / "log", segment_bytes=5_000)
    spool = Spool.open(DiskFiles(), tmp_path / "spool", new_id=bytes(16), segment_bytes=5_000)
    reader, batches = log.reader(0), spool.reader()
    done = threading.Event()

    def write() -> None:
        for first in range(1, LAST, STEP):
            log.append(b"".join(map(frame, range(first, first + STEP))), STEP)
            log.commit(sync=False)
            # What the reader holds open may go; what it hasn't read may not.
            log.trim(reader.last_seq)
            spool.append("u", first, first + STEP - 1, first, frame(first))
            spool.commit(sync=False)
            spool.trim()
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    found, numbers = [], []
    while not (done.is_set() and reader.last_seq == LAST and spool.last_number == len(numbers)):
        found.append(reader.read(3_000))
        if batch := batches.read():
            numbers.append(batch.number)
            spool.acknowledge([batch.number])
        assert writer.is_alive() or done.is_set()
    writer.join()
    assert b"".join(found) == b"".join(map(frame, range(1, LAST + 1)))
    assert numbers == list(range(1, LAST // STEP + 1))
    spool.commit(sync=False)
    spool.trim()
    assert spool.position.gone == spool.last_number
    assert log.first_seq > LAST // 2
    reader.close()
    batches.close()
    log.close()
    spool.close()
