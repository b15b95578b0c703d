"""What outlives a connection to the broker: settings, counters, and what the session is believed to hold."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from .delivery import DeliveryNumbers
from .filter_memory import FilterMemory
from .mqtt_events import Connected, Subscribed
from .mqtt_packets import MQTT_5, Connect, Subscription
from .subscriptions import disjoint

UNKNOWN_IN_FLIGHT = 20
"""What brokers allow to be unacknowledged where MQTT 3.1.1 can't tell them (Mosquitto's max_inflight_messages)."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class MqttSettings:
    """Broker and subscriptions. Times are seconds; the rest is as in [mqtt] of the configuration.

    take_retained: whether a value that the broker repeats when a subscription is made is a reading. It is old, of
    unknown age, and mostly one that was counted when it was fresh, so the answer should seldom be yes. With MQTT 5 it
    then comes once per session; 3.1.1 brings it again after every start of the agent.
    """

    url: str
    client_id: str
    subscriptions: tuple[Subscription, ...]
    version: int = MQTT_5
    user: str = ""
    password_file: Path | None = None
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    keepalive: int = 60
    session_expiry: int = 7 * 86_400
    receive_maximum: int = 2048
    take_retained: bool = False

    def connect(self, password: bytes | None) -> Connect:
        """CONNECT by these settings; no session expiry means a clean start."""
        return Connect(
            self.client_id,
            version=self.version,
            user=self.user or None,
            password=password,
            clean_start=self.session_expiry == 0,
            keepalive=self.keepalive,
            session_expiry=self.session_expiry,
            receive_maximum=self.receive_maximum,
        )


@dataclass(slots=True)
class MqttStatus:
    """Counted since the source was made."""

    broker: str
    state: str = "idle"
    """idle, connecting, connected, paused (the input log is full), waiting (for the next attempt), stopped."""
    last_error: str = ""
    messages: int = 0
    bytes: int = 0
    """Off the connection, after TLS."""
    duplicates: int = 0
    dropped: int = 0
    """By the intake's policy, of those handed in."""
    unusable: int = 0
    """Too large, or with a topic that is none."""
    retained: int = 0
    """Old values that were not wanted."""
    connects: int = 0
    sessions_lost: int = 0
    unacknowledged: int = 0
    """QoS 1 messages of this connection that wait to be durable."""
    refused_filters: dict[str, str] = field(default_factory=dict)
    """Topic filters that the broker refused, and why."""

    @property
    def reconnects(self) -> int:
        """Connections after the first."""
        return max(0, self.connects - 1)


class MqttSession:
    """Our side of the broker's session. newest_tag: see DeliveryNumbers; memory: what the session holds, if known."""

    def __init__(
        self, settings: MqttSettings, broker: str, newest_tag: int, memory: FilterMemory | None = None
    ) -> None:
        self.settings = settings
        self.subscriptions = disjoint(settings.subscriptions)
        self.status = MqttStatus(broker)
        self.numbers = DeliveryNumbers(newest_tag)
        in_flight = settings.receive_maximum if settings.version == MQTT_5 else UNKNOWN_IN_FLIGHT
        self.hurry_at = max(1, in_flight // 2)
        """Unacknowledged messages from which on the broker may soon have to wait for us."""
        self.subscribed = False
        self._memory = memory
        self._expected = newest_tag > 0 and settings.session_expiry > 0

    def accepted(self, event: Connected) -> bool:
        """Note what CONNACK says; whether to subscribe."""
        status, settings = self.status, self.settings
        status.state, status.last_error = "connected", ""
        status.connects += 1
        if not event.session_present:
            self.numbers.forget()
            self._hold(())
            if self._expected:
                status.sessions_lost += 1
                _log.warning(
                    "%s: the broker forgot our session: messages sent while we were away may be lost. Check its "
                    "persistence and session limits, and that no other client uses the client id %s",
                    status.broker,
                    settings.client_id,
                )
        self._expected = settings.session_expiry > 0
        # Subscribing again in 3.1.1 would bring retained messages again; in 5 Retain Handling says not to.
        if event.session_present and self.subscribed and settings.version != MQTT_5:
            return False
        self._hold({*self._held(), *(one.filter for one in self.subscriptions)})
        return True

    def unwanted(self) -> tuple[str, ...]:
        """Filters that the session may hold and we don't want any more."""
        wanted = {one.filter for one in self.subscriptions}
        return tuple(sorted(self._held() - wanted))

    def settled(self) -> None:
        """The session holds what we want and nothing else."""
        self._hold(one.filter for one in self.subscriptions)

    def _held(self) -> frozenset[str]:
        return self._memory.held if self._memory else frozenset()

    def _hold(self, filters: Iterable[str]) -> None:
        try:
            if self._memory:
                self._memory.hold(filters)
        except OSError as error:
            # A full disk is no reason not to receive; at worst a filter that leaves the configuration stays subscribed.
            _log.warning("subscriptions can't be remembered: %s", error)

    def answered(self, event: Subscribed) -> None:
        """Note what SUBACK says."""
        status = self.status
        self.subscribed = True
        status.refused_filters.update(event.failed)
        for topic_filter, why in event.failed:
            status.last_error = f"{status.broker}: the broker refuses {topic_filter}: {why}"
            _log.error("%s", status.last_error)
        asked = {one.filter: one.qos for one in self.subscriptions}
        for topic_filter, qos in event.granted:
            status.refused_filters.pop(topic_filter, None)
            if qos < asked[topic_filter]:
                _log.warning("%s: only QoS %d for %s", status.broker, qos, topic_filter)
