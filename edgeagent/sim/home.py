"""A home of simulated sensors: from a seed and a start time always the same messages, in the order they are sent."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from .dice import Dice
from .faults import fault
from .kinds import AGE_MS, KINDS, Kind
from .message import JSON, Message, Via

MAX_SENSORS = 1_000_000
FASTEST_MS = 1
"""Shortest time between two readings of one sensor."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a home is like. Times in ms.

    ``rate``: messages per second of the whole home; ``disorder``: longest time that a message is held up on its way,
    which puts it behind later ones of the same sensor (a reader needs a lateness of ``oldest``); ``held_up`` and
    ``faulty``: shares (0 to 1) of such messages and of payloads that no reader can take; ``coap``: whether some
    sensors speak CoAP.
    """

    sensors: int
    rate: float
    duration: int
    seed: int = 0
    coap: bool = False
    disorder: int = 1000
    held_up: float = 0.02
    faulty: float = 0.005

    @property
    def oldest(self) -> int:
        """How long after its event time a value may be sent, ms; what delays it then comes on top."""
        return self.disorder + AGE_MS

    @property
    def interval(self) -> int:
        """Time between two readings of a sensor; at least FASTEST_MS."""
        return max(FASTEST_MS, round(1000 * self.sensors / self.rate))


def kind_of(index: int) -> Kind:
    """The kind of the index-th sensor: every run of 100 sensors has each kind by its share, well mixed."""
    place = index * 37 % 100  # 37 and 100 have no common divisor
    for kind in KINDS:
        if place < kind.share:
            return kind
        place -= kind.share
    raise AssertionError("the shares of KINDS don't add up to 100")


class _Device:
    """A sensor and when it speaks."""

    def __init__(self, plan: Plan, index: int) -> None:
        kind = kind_of(index)
        self._plan = plan
        self._dice = Dice(f"{plan.seed}/{index}")
        self._via = kind.via if plan.coap else Via.MQTT
        self.sensor = kind.make(self._dice, f"{index:05x}")
        self.first = self._dice.whole(0, plan.interval - 1)

    def message(self, time_ms: int) -> Message:
        """The next one, measured at time_ms."""
        dice, plan = self._dice, self._plan
        late = dice.whole(0, plan.disorder) if dice.happens(plan.held_up) else 0
        payload, values = self.sensor.say(time_ms)
        content_format, wrong = self.sensor.content_format, ""
        if dice.happens(plan.faulty):
            wrong, payload = fault(dice)
            content_format, values = JSON, ()
        return Message(time_ms + late, self._via, self.sensor.topic, payload, content_format, values, wrong)

    def pause(self) -> int:
        """Time to the next reading: the interval, a tenth more or less, the interval on average."""
        tenth = self._plan.interval // 10
        return max(FASTEST_MS, self._plan.interval + self._dice.whole(-tenth, tenth))


def messages(plan: Plan, start: int) -> Iterator[Message]:
    """All that the home says from start (ms since 1970) for plan.duration, sorted by when it is due."""
    devices = [_Device(plan, index) for index in range(plan.sensors)]
    speaks = [(start + device.first, index) for index, device in enumerate(devices)]
    heapq.heapify(speaks)
    held: list[tuple[int, int, Message]] = []
    order = itertools.count()
    while speaks and speaks[0][0] < start + plan.duration:
        now, index = heapq.heappop(speaks)
        while held and held[0][0] <= now:
            yield heapq.heappop(held)[2]
        message = devices[index].message(now)
        heapq.heappush(held, (message.due, next(order), message))
        heapq.heappush(speaks, (now + devices[index].pause(), index))
    while held:
        yield heapq.heappop(held)[2]
