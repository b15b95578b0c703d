"""Topic filters (MQTT 5, 4.7 and 4.8.2): which are valid, and whether a topic matches."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from edgeagent.errors import ConfigError

MAX_FILTER: Final = 65_535
"""Bytes of a filter (1.5.4)."""
MAX_CACHED: Final = 16_384
"""Topics whose answer a policy remembers; others are matched each time."""
_SHARE: Final = "$share/"


def check(topic_filter: str) -> str:
    """The filter itself; ConfigError if it isn't one."""
    levels = without_share(topic_filter).split("/")
    if not topic_filter or "\0" in topic_filter or len(topic_filter.encode()) > MAX_FILTER:
        fault = f"a topic filter has 1..{MAX_FILTER} bytes and no NUL"
    elif topic_filter.startswith(_SHARE) and not _shared(topic_filter):
        fault = "a shared subscription is $share/GROUP/FILTER, without wildcards in GROUP"
    elif any("#" in level for level in levels[:-1]) or ("#" in levels[-1] and levels[-1] != "#"):
        fault = "# stands alone in the last level"
    elif any("+" in level and level != "+" for level in levels):
        fault = "+ stands alone in its level"
    else:
        return topic_filter
    raise ConfigError(f"no topic filter: {fault}", where=topic_filter[:80], remedy="Correct the filter")


def without_share(topic_filter: str) -> str:
    """What a filter matches: itself, or what stands behind $share/GROUP/."""
    return topic_filter.split("/", 2)[2] if _shared(topic_filter) else topic_filter


def _shared(topic_filter: str) -> bool:
    parts = topic_filter.split("/", 2)
    return (
        topic_filter.startswith(_SHARE)
        and len(parts) == 3
        and bool(parts[1] and parts[2])
        and not set(parts[1]) & set("+#")
    )


def _pattern(topic_filter: str) -> bytes:
    # A wildcard in the first level doesn't match topics that begin with $ (4.7.2).
    guard = rb"(?!\$)" if topic_filter[0] in "+#" else b""
    if topic_filter == "#":
        return guard + rb".*"
    rest = topic_filter.endswith("/#")
    levels = (topic_filter[:-2] if rest else topic_filter).split("/")
    one = b"/".join(rb"[^/]*" if level == "+" else re.escape(level.encode()) for level in levels)
    # "a/#" matches "a" too (4.7.1.2).
    return guard + one + (rb"(?:/.*)?" if rest else b"")


class TopicPolicy:
    """Whether any of some filters matches a topic; ConfigError for a filter that isn't one."""

    def __init__(self, filters: Iterable[str]) -> None:
        patterns = [_pattern(without_share(check(one))) for one in filters]
        # No filter, no topic: an empty pattern would match the empty topic only, which is none.
        self._match = re.compile(b"|".join(patterns), re.DOTALL).fullmatch
        self._known: dict[bytes, bool] = {}

    def allows(self, topic: bytes) -> bool:
        """topic: 1 or more bytes, without wildcards."""
        answer = self._known.get(topic)
        if answer is None:
            answer = self._match(topic) is not None
            if len(self._known) < MAX_CACHED:
                self._known[topic] = answer
        return answer
