"""Routes a message to the units that asked for its topic. Implements ingest's Intake over several gates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from edgeagent.ingest.intake import Taken
from edgeagent.wire.messages import topic_item

from .gate import Gate

MAX_ROUTES = 65_536
"""Topics whose route is remembered; more are looked up each time."""


class Place(Protocol):
    """A unit, seen from a source."""

    @property
    def gate(self) -> Gate:
        """Where its readings go."""

    @property
    def full(self) -> bool:
        """Whether its log has no room."""

    def wants(self, topic: bytes) -> bool:
        """Whether its policy takes the topic."""

    def when_roomy(self, done: Callable[[], None]) -> None:
        """Call done when it has room."""


class Router:
    """Implements Intake. What no unit wants is dropped and counted."""

    def __init__(self, places: Sequence[Place]) -> None:
        self.unrouted = 0
        self._places = places
        self._routes: dict[bytes, tuple[bytes, tuple[Gate, ...]]] = {}

    def add(
        self, topic: bytes, payload: bytes, content_format: int, tag: int, *, maybe_duplicate: bool = False
    ) -> Taken:
        """See Intake.add. A message for several units is logged if one of them logs it."""
        route = self._routes.get(topic)
        item, gates = route if route is not None else self._route(topic)
        if len(gates) == 1:
            return gates[0].add(item, topic, payload, content_format, tag, maybe_duplicate=maybe_duplicate)
        if not gates:
            self.unrouted += 1
            return Taken.DROPPED
        became = {
            gate.add(item, topic, payload, content_format, tag, maybe_duplicate=maybe_duplicate)
            for gate in gates
        }
        return next(one for one in (Taken.LOGGED, Taken.DUPLICATE, Taken.DROPPED) if one in became)

    def _route(self, topic: bytes) -> tuple[bytes, tuple[Gate, ...]]:
        route = topic_item(topic), tuple(place.gate for place in self._places if place.wants(topic))
        if len(self._routes) < MAX_ROUTES:
            self._routes[topic] = route
        return route

    def when_durable(self, done: Callable[[], None]) -> None:
        """See Intake.when_durable."""
        gates = [place.gate for place in self._places]
        if len(gates) == 1:
            gates[0].when_durable(done)
            return
        left = len(gates)

        def one_less() -> None:
            nonlocal left
            left -= 1
            if not left:
                done()

        for gate in gates:
            gate.when_durable(one_less)

    def hurry(self) -> None:
        """See Intake.hurry."""
        for place in self._places:
            place.gate.enough()

    @property
    def full(self) -> bool:
        """One full unit slows its sources, and so the others that share them; see docs/hub-owner.md."""
        return any(place.full for place in self._places)

    def when_roomy(self, done: Callable[[], None]) -> None:
        """See Intake.when_roomy."""
        for place in self._places:
            if place.full:
                place.when_roomy(lambda: self.when_roomy(done))
                return
        done()
