"""Sources and uplink, made from the configuration."""

from __future__ import annotations

import random
from collections.abc import Coroutine, Iterable
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from edgeagent.config.schema import Config
from edgeagent.config.schema import Fleet as FleetSettings
from edgeagent.config.schema import Uplink as UplinkSettings
from edgeagent.host.files import Files
from edgeagent.ingest.coap import CoapSettings, CoapSource
from edgeagent.ingest.filter_memory import FilterMemory
from edgeagent.ingest.intake import Intake
from edgeagent.ingest.mqtt import MqttSettings, MqttSource
from edgeagent.ingest.mqtt_packets import Subscription
from edgeagent.seal.keys import VerifyKey
from edgeagent.uplink.link import Broker
from edgeagent.uplink.mqtt import Uplink, UplinkConfig

from .batches import SealedBatches
from .writer import WriterThread

HEARD = ("connected", "listening")
"""States of sources in which what is sent now is heard now."""


class Runner(Protocol):
    """A source."""

    def run(self) -> Coroutine[Any, Any, None]:
        """Until cancelled."""


@dataclass(frozen=True, slots=True)
class Source:
    """A source, by what it is shown as."""

    kind: str
    where: str
    runner: Runner
    status: Any

    @property
    def heard(self) -> bool:
        """Whether what is sent to it now is heard now."""
        return self.status.state in HEARD

    def snapshot(self) -> dict[str, Any]:
        """For status: its counters, and its last error unless it works."""
        error = "" if self.heard else self.status.last_error
        return {**asdict(self.status), "kind": self.kind, "where": self.where, "error": error}


def make_sources(config: Config, intake: Intake, newest_tag: int, files: Files) -> list[Source]:
    """Those that the configuration has. newest_tag: see ingest.delivery."""
    sources = []
    if config.mqtt is not None:
        mqtt = _mqtt(config, intake, newest_tag, files)
        sources.append(Source("mqtt", config.mqtt.url, mqtt, mqtt.status))
    if config.coap is not None:
        coap = CoapSource(CoapSettings(config.coap.host, config.coap.port, config.coap.prefixes), intake)
        sources.append(Source("coap", coap.status.address, coap, coap.status))
    return sources


def _mqtt(config: Config, intake: Intake, newest_tag: int, files: Files) -> MqttSource:
    settings = config.mqtt
    assert settings is not None  # noqa: S101 - the caller looked
    filters = dict.fromkeys(topic for unit in config.units for topic in unit.topics)
    options = MqttSettings(
        settings.url,
        settings.client_id or f"edgeagent-{config.board.name}",
        tuple(Subscription(one, settings.qos) for one in filters),
        version=settings.version,
        user=settings.user,
        password_file=settings.password_file,
        ca=settings.ca,
        certificate=settings.certificate,
        key=settings.key,
        keepalive=settings.keepalive // 1000,
        session_expiry=settings.session_expiry // 1000,
        receive_maximum=settings.receive_maximum,
        take_retained=settings.retained == "take",
    )
    memory = FilterMemory(files, config.board.state / "mqtt-filters.json")
    return MqttSource(options, intake, newest_tag=newest_tag, jitter=random.random, memory=memory)


def make_uplink(
    config: Config,
    spool_id: bytes,
    batches: SealedBatches,
    verifiers: Iterable[VerifyKey],
    writer: WriterThread,
) -> Uplink:
    """The uplink of the configuration."""
    broker = _broker(config.uplink.url, config.uplink, f"edgeagent-{config.board.name}-uplink")
    settings, board = config.uplink, config.board
    return Uplink(
        UplinkConfig(broker, board.name, spool_id, settings.acknowledge, tuple(verifiers)), batches, writer
    )


def fleet_broker(config: Config, settings: FleetSettings) -> Broker:
    """Where the fleet is: at a broker of its own, or at the uplink's."""
    client_id = f"edgeagent-{config.board.name}-fleet"
    if settings.url:
        return _broker(settings.url, settings, client_id)
    return _broker(config.uplink.url, config.uplink, client_id)


def _broker(url: str, settings: UplinkSettings | FleetSettings, client_id: str) -> Broker:
    return Broker(
        url,
        client_id,
        user=settings.user,
        password_file=settings.password_file,
        ca=settings.ca,
        certificate=settings.certificate,
        key=settings.key,
    )
