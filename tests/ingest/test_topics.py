"""Topic filters: the examples of MQTT 5 section 4.7, and a slow matcher as the second opinion."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeagent.errors import ConfigError
from edgeagent.ingest import topics
from edgeagent.ingest.topics import TopicPolicy, check, without_share


@pytest.mark.parametrize(
    ("topic_filter", "topic", "matches"),
    [
        ("sport/tennis/player1/#", "sport/tennis/player1", True),
        ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", True),
        ("sport/tennis/player1/#", "sport/tennis/player10", False),
        ("sport/#", "sport", True),
        ("#", "a/b", True),
        ("#", "$SYS/broker", False),
        ("+/broker", "$SYS/broker", False),
        ("$SYS/#", "$SYS/broker", True),
        ("sport/tennis/+", "sport/tennis/player1", True),
        ("sport/tennis/+", "sport/tennis/player1/ranking", False),
        ("sport/+", "sport", False),
        ("sport/+", "sport/", True),
        ("+/+", "/finance", True),
        ("/+", "/finance", True),
        ("+", "/finance", False),
        ("a.c", "abc", False),
        ("a/+/c/#", "a/b/c", True),
        ("a/+/c/#", "a/b\n/c/d", True),
        ("$share/group/a/+", "a/b", True),
        ("a", "a/", False),
        ("ü/+", "ü/x", True),
    ],
)
def test_matching(topic_filter, topic, matches):
    policy = TopicPolicy([topic_filter])
    assert policy.allows(topic.encode()) is matches
    assert policy.allows(topic.encode()) is matches, "from the cache"


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "a/#/b",
        "a#",
        "#/",
        "a+",
        "+a/b",
        "a/b+/c",
        "a\0b",
        "x" * 65_536,
        "$share/g",
        "$share//a",
        "$share/+/a",
        "$share/g/",
    ],
)
def test_invalid_filters_are_named(bad):
    with pytest.raises(ConfigError):
        check(bad)
    with pytest.raises(ConfigError):
        TopicPolicy(["fine", bad])


def test_shares():
    assert without_share("$share/g/a/b") == "a/b"
    assert without_share("a/b") == "a/b"


def test_no_filter_allows_nothing():
    assert not TopicPolicy([]).allows(b"a")


def slow(topic_filter: list[str], topic: list[str]) -> bool:
    if topic_filter[0] in "+#" and topic[0].startswith("$"):
        return False
    for index, level in enumerate(topic_filter):
        if level == "#":
            return len(topic) >= index
        if index >= len(topic) or level not in ("+", topic[index]):
            return False
    return len(topic) == len(topic_filter)


levels = st.sampled_from(["a", "b", "$x", "", "a.b"])
filters = st.tuples(st.lists(levels | st.just("+"), min_size=1, max_size=4), st.booleans()).map(
    lambda made: [*made[0], "#"] if made[1] else made[0]
)


@given(st.lists(filters, min_size=1, max_size=3), st.lists(levels, min_size=1, max_size=5))
def test_any_of_several(given_filters, topic):
    names = ["/".join(one) for one in given_filters]
    if "" in names or topic == [""]:
        return
    policy = TopicPolicy(names)
    assert policy.allows("/".join(topic).encode()) is any(slow(one, topic) for one in given_filters)


def test_the_cache_is_bounded():
    policy = TopicPolicy(["a/+"])
    for number in range(topics.MAX_CACHED + 100):
        assert policy.allows(b"a/%d" % number)
    assert len(policy._known) == topics.MAX_CACHED
    assert not policy.allows(b"b/1")
