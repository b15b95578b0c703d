"""The status as Prometheus metrics: a file for node_exporter, or a loopback port. Off unless it is configured."""

from __future__ import annotations

import asyncio
import importlib
import logging
from collections.abc import Callable, Iterator
from typing import Any

from edgeagent.config.schema import Metrics
from edgeagent.errors import EnvironmentFaultError

EVERY_S = 10.0
"""Between two looks at the status; what is served is at most this old."""

_log = logging.getLogger("metrics")

UNIT = {
    "readings": "Readings taken",
    "bytes_in": "Bytes of topics and payloads taken",
    "values": "Numbers counted into windows",
    "summaries": "Summaries that the guest said",
    "duplicates": "Readings delivered again and recognised",
    "dropped_rate": "Readings above the rate limits",
    "rejects": "Payloads that nothing could be made of",
}
"""Counters of a unit: key of the snapshot and help."""
SPOOL = {"batches": "Batches waiting for the collector", "bytes": "Bytes of the spool on disk"}
UPLINK = {
    "sent": "Batches published, repeated ones included",
    "acknowledged": "Batches that the collector has",
    "bytes_out": "Bytes published",
}


def families(snapshot: dict[str, Any], core: Any) -> Iterator[Any]:
    """Metric families of a snapshot. core: the module prometheus_client.core."""
    for key, words in UNIT.items():
        metric = core.CounterMetricFamily(f"edgeagent_{key}", words, labels=["unit"])
        for unit in snapshot["units"]:
            metric.add_metric([unit["name"]], unit[key])
        yield metric
    reasons = core.CounterMetricFamily(
        "edgeagent_not_counted", "Payloads and values not counted", labels=["unit", "reason"]
    )
    running = core.GaugeMetricFamily(
        "edgeagent_guest_running", "Instances of the guest that run", labels=["unit", "accelerator"]
    )
    starts = core.CounterMetricFamily(
        "edgeagent_guest_starts", "Starts of the guest, of all its instances", labels=["unit"]
    )
    behind = core.GaugeMetricFamily(
        "edgeagent_log_behind", "Readings that the guest has yet to process", labels=["unit"]
    )
    for unit in snapshot["units"]:
        name, instances = unit["name"], unit["instances"]
        for reason, count in unit["not_counted"].items():
            reasons.add_metric([name, reason], count)
        up = sum(one["state"] == "running" for one in instances)
        running.add_metric([name, instances[0]["accelerator"]], float(up))
        starts.add_metric([name], sum(one["starts"] for one in instances))
        behind.add_metric([name], unit["log"]["last"] - unit["log"]["acked"])
    yield from (reasons, running, starts, behind)
    for key, words in SPOOL.items():
        yield core.GaugeMetricFamily(f"edgeagent_spool_{key}", words, value=snapshot["spool"][key])
    for key, words in UPLINK.items():
        yield core.CounterMetricFamily(f"edgeagent_uplink_{key}", words, value=snapshot["uplink"][key])
    yield core.GaugeMetricFamily(
        "edgeagent_degraded", "Things that need a person", value=len(snapshot["degraded"])
    )
    yield core.GaugeMetricFamily("edgeagent_memory_bytes", "Resident memory", value=snapshot["memory_bytes"])


class MetricsExport:
    """Runs until cancelled. take gives a snapshot; it is called in the event loop's thread only."""

    def __init__(self, settings: Metrics, take: Callable[[], dict[str, Any]]) -> None:
        self._settings = settings
        self._take = take
        self._snapshot = take()

    def collect(self) -> Iterator[Any]:
        """For prometheus_client, from its own thread: the newest snapshot."""
        return families(self._snapshot, importlib.import_module("prometheus_client.core"))

    async def run(self) -> None:
        """Serve, and write. EnvironmentFaultError when the library is missing or the port is taken."""
        try:
            client = importlib.import_module("prometheus_client")
        except ModuleNotFoundError as error:
            raise EnvironmentFaultError(
                "metrics need prometheus_client, which isn't installed",
                remedy="Run: pip install 'edgeagent[metrics]', or remove [metrics].",
            ) from error
        registry = client.CollectorRegistry(auto_describe=False)
        registry.register(self)
        server = None
        if port := self._settings.port:
            try:
                server, _ = client.start_http_server(port, addr="127.0.0.1", registry=registry)
            except OSError as error:
                raise EnvironmentFaultError(
                    f"the metrics' port can't be used: {error.strerror}", where=f"127.0.0.1:{port}",
                    remedy="Choose another metrics.port.",
                ) from error  # fmt: skip
        try:
            await self._refresh(client, registry)
        finally:
            if server is not None:
                server.shutdown()
                server.server_close()

    async def _refresh(self, client: Any, registry: Any) -> None:
        while True:
            self._snapshot = self._take()
            if self._settings.file is not None:
                try:
                    client.write_to_textfile(str(self._settings.file), registry)
                except OSError as error:
                    _log.warning("%s can't be written: %s", self._settings.file, error)
            await asyncio.sleep(EVERY_S)
