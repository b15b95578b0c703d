"""Core: what to subscribe to, so that every message comes once.

A broker may send a message once for each of our subscriptions that matches it (MQTT 5, 3.3.4; Mosquitto does so with
version 5), and a reading that comes twice is counted twice. So filters that overlap are merged into one that covers
them. What it brings beyond them no unit takes: the units' own filters decide.
"""

from __future__ import annotations

from collections.abc import Iterable

from edgeagent.errors import ConfigError

from .mqtt_packets import Subscription
from .topics import check, without_share


def disjoint(wanted: Iterable[Subscription]) -> tuple[Subscription, ...]:
    """Subscriptions that bring what all of those do, of which no two match the same topic; the highest QoS counts.

    ConfigError for a filter that isn't one, and where a shared subscription overlaps one of another group or none.
    """
    chosen: list[Subscription] = []
    waiting = [Subscription(check(one.filter), one.qos) for one in reversed(list(wanted))]
    while waiting:
        one = waiting.pop()
        other = next((other for other in chosen if _overlap(_levels(one), _levels(other))), None)
        if other is None:
            chosen.append(one)
        else:
            # The merged one may overlap others in turn, so it is looked at again.
            chosen.remove(other)
            waiting.append(_merged(one, other))
    return tuple(chosen)


def _levels(one: Subscription) -> list[str]:
    return without_share(one.filter).split("/")


def _overlap(one: list[str], other: list[str]) -> bool:
    """Whether some topic matches both."""
    first = {one[0], other[0]}
    if first & {"+", "#"} and any(level.startswith("$") for level in first):
        return False
    for mine, theirs in zip(one, other, strict=False):
        if "#" in (mine, theirs):
            return True
        if mine != theirs and "+" not in (mine, theirs):
            return False
    shorter, longer = sorted((one, other), key=len)
    # "a/#" matches "a" too.
    return len(longer) == len(shorter) or longer[len(shorter)] == "#"


def _merged(one: Subscription, other: Subscription) -> Subscription:
    share = one.filter.removesuffix(without_share(one.filter))
    if share != other.filter.removesuffix(without_share(other.filter)):
        raise ConfigError(
            f"overlaps {other.filter}, and one of them is shared: messages would come twice",
            where=one.filter,
            remedy="Use one group for both, or none",
        )
    mine, theirs = _levels(one), _levels(other)
    levels = []
    for left, right in zip(mine, theirs, strict=False):
        if "#" in (left, right):
            break
        levels.append(left if left == right else "+")
    if len(levels) < max(len(mine), len(theirs)):
        levels.append("#")
    return Subscription(share + "/".join(levels), max(one.qos, other.qos))
