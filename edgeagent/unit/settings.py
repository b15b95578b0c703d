"""What a unit's settings mean for its guest and its contract."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from edgeagent.config.schema import Unit
from edgeagent.contract.check import Contract
from edgeagent.wire.decimals import to_wire


def guest_config(unit: Unit) -> dict[str, Any]:
    """The app's configuration in hello (edge.cddl, aggregate-config)."""
    return {
        "window": unit.window,
        "lateness": unit.lateness,
        "ahead": unit.ahead,
        "series": unit.series,
        "windows": unit.windows,
        "buckets": unit.buckets,
        "quantiles": list(unit.quantiles),
        "times": list(unit.times),
        "fields": list(unit.fields),
        "deadband": to_wire(unit.deadband),
        "heartbeat": unit.heartbeat,
    }


def contract_of(config: dict[str, Any], allows_topic: Callable[[bytes], bool]) -> Contract:
    """The contract of a guest that runs with this configuration."""
    return Contract(
        window=config["window"],
        ahead=config["ahead"],
        quantiles=tuple(config["quantiles"]),
        fields=tuple(config["fields"]),
        heartbeat=config["heartbeat"],
        allows_topic=allows_topic,
    )
