"""Overlapping filters become disjoint ones that bring at least as much."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeagent.errors import ConfigError
from edgeagent.ingest.mqtt_packets import Subscription
from edgeagent.ingest.subscriptions import disjoint
from edgeagent.ingest.topics import TopicPolicy


@pytest.mark.parametrize(
    ("wanted", "chosen"),
    [
        ("a b c", "a b c"),
        ("a a", "a"),
        ("a/# a/b/c", "a/#"),
        ("a/b a/#", "a/#"),
        ("a a/#", "a/#"),
        ("a/+/c a/b/+", "a/+/+"),
        ("a/+ a/b c/d", "a/+ c/d"),
        ("+/b a/#", "+/#"),
        ("# $SYS/#", "# $SYS/#"),
        ("+/x $a/x", "+/x $a/x"),
        ("a/b/c a/+/d a/b/+", "a/+/+"),
        ("$share/g/a/+ $share/g/a/b", "$share/g/a/+"),
        ("$share/g/a $share/h/b c", "$share/g/a $share/h/b c"),
        ("# #", "#"),
    ],
)
def test_examples(wanted, chosen):
    got = disjoint(Subscription(one) for one in wanted.split())
    assert sorted(one.filter for one in got) == sorted(chosen.split())


def test_the_highest_qos_counts():
    assert disjoint([Subscription("a/b", 0), Subscription("a/+", 1)]) == (Subscription("a/+", 1),)


@pytest.mark.parametrize("wanted", ["$share/g/a/+ a/b", "$share/g/a $share/h/a", "a/#/b"])
def test_what_cannot_be_merged_is_refused(wanted):
    with pytest.raises(ConfigError):
        disjoint(Subscription(one) for one in wanted.split())


levels = st.sampled_from(["a", "b", "+", "$x"])
filters = st.tuples(st.lists(levels, min_size=1, max_size=3), st.booleans()).map(
    lambda made: "/".join([*made[0], "#"] if made[1] else made[0])
)
TOPICS = [
    "/".join(topic).encode()
    for size in range(1, 5)
    for topic in itertools.product(["a", "b", "$x"], repeat=size)
]


@given(st.lists(filters, max_size=5))
def test_every_topic_matches_one_at_most_and_none_is_missed(wanted):
    policies = [TopicPolicy([one.filter]) for one in disjoint(Subscription(one) for one in wanted)]
    before = TopicPolicy(wanted)
    for topic in TOPICS:
        matches = sum(policy.allows(topic) for policy in policies)
        assert matches <= 1
        assert matches or not before.allows(topic)
