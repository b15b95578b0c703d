"""What several tests of the unit start from."""

from decimal import Decimal

from edgeagent.contract.check import Contract
from edgeagent.unit.arrival import EARLIEST_MS
from edgeagent.wire import messages

NOW = EARLIEST_MS + 1_000_000
CONTRACT = Contract(
    60_000, 3_600_000, (500, 950), ("temperature", "ENERGY.*"), 60, lambda topic: topic != b"no"
)
START = NOW // 60_000 * 60_000
GOOD = messages.Summary(
    1, 9, "room/1", "temperature", "Cel", START, 60_000, 3,
    *map(Decimal, ("20.5", "22", "63.5", "21", "22", "0.5")), (Decimal(21), Decimal(22)), 10, 0, 0,
)  # fmt: skip


def put(one, payload=b"1", tag=0, maybe_duplicate=False, topic=b"t"):
    return one.add(messages.topic_item(topic), topic, payload, 0, tag, maybe_duplicate=maybe_duplicate)
