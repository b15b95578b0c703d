"""A collector that is killed between commit and acknowledgement, for test_end_to_end.py.

Arguments: database URL, broker URL, folder of keys, number of commits that it survives.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from edgeagent.collector import mqtt
from edgeagent.collector.store import Store, Written


def main(database: str, broker: str, keys: str, commits: int) -> None:
    left = commits

    class Mortal(Store):
        def write(self, received, now_ms) -> Written:
            nonlocal left
            written = super().write(received, now_ms)
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1
            return written

    mqtt.Store = Mortal
    config = mqtt.CollectorConfig(database, mqtt.broker_of(broker), Path(keys), emit=lambda _: None)
    asyncio.run(mqtt.run_collector(config))


main(*sys.argv[1:4], int(sys.argv[4]))
