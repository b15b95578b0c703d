"""Topics, both ways; names that would reach into other topics can't be made."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeagent.errors import ConfigError
from edgeagent.uplink import topics

good = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,62}", fullmatch=True)


@given(good)
def test_both_ways(board):
    assert topics.parse(topics.batch(board)) == (board, "batch")
    assert topics.parse(topics.ack(board)) == (board, "ack")


@pytest.mark.parametrize(
    "name", ["", "A", "a/b", "+", "#", "a+", "-a", "_a", "a" * 64, "ä", "a\n", "a b", "$share"]
)
def test_bad_names(name):
    with pytest.raises(ConfigError, match="can't be a board's name"):
        topics.batch(name)
    assert topics.parse(f"edgeagent/1/{name}/batch") is None


@pytest.mark.parametrize(
    "topic",
    [
        "",
        "edgeagent/1/a",
        "edgeagent/2/a/batch",
        "edgeagent/1/a/batch/x",
        "x/edgeagent/1/a/batch",
        "edgeagent/1/a/BATCH",
    ],
)
def test_other_topics(topic):
    assert topics.parse(topic) is None


def test_shared_subscription():
    assert topics.SHARED_BATCHES == "$share/collectors/edgeagent/1/+/batch"
