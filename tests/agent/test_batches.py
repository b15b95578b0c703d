"""How a lane's numbering is named."""

from hypothesis import given
from hypothesis import strategies as st

from edgeagent.agent.batches import epoch_of
from edgeagent.journal.batches import MAX_UNIT
from edgeagent.journal.generations import MAX_LANES
from edgeagent.unit.ports import LaneId
from edgeagent.wire.messages import MAX_SHARDS


@given(st.binary(min_size=16, max_size=16))
def test_every_lane_has_an_epoch_of_its_own(spool_id):
    epochs = {epoch_of(spool_id, lane) for lane in range(MAX_LANES)}
    assert len(epochs) == MAX_LANES
    assert all(0 <= epoch < 1 << 63 for epoch in epochs)
    assert epoch_of(spool_id, 0) == int.from_bytes(spool_id[:8], "big") >> 1


def test_a_lane_is_named_after_its_unit_and_as_none_other():
    assert [str(LaneId("home", lane)) for lane in (0, 1, 12)] == ["home", "home.1", "home.12"]
    assert len(str(LaneId("x" * 63, MAX_LANES - 1))) <= MAX_UNIT
    assert MAX_LANES == MAX_SHARDS
