"""What `edgeagent ps` and `top` show: a row for each guest, and what it uses."""

from __future__ import annotations

import os
import time
from dataclasses import asdict
from typing import Any

from edgeagent.vmm import procfs

from .instance import Instance
from .snapshot import Parts
from .units import UnitRuntime


def listing(parts: Parts) -> dict[str, Any]:
    """Times are seconds, memory is bytes. cpu_percent: of one core, on the average since the guest's start.

    memory: guest RAM; usage: what the VMM with its guest uses (vmm/port.py), None while there is none. waiting: inputs
    that are durable and not yet processed. readings: of the unit since the agent's start.
    """
    now = time.monotonic()
    own = procfs.usage(os.getpid())
    return {
        "board": parts.config.board.name,
        "at": now,
        "uptime_s": round(now - parts.started, 1),
        "agent": {"pid": os.getpid(), "usage": asdict(own) if own else None},
        "guests": [_guest(unit, one, now) for unit in parts.units for one in unit.instances],
    }


def _guest(unit: UnitRuntime, one: Instance, now: float) -> dict[str, Any]:
    status, usage = one.supervisor.status, one.supervisor.usage
    ran = now - status.since if status.since else 0.0
    return {
        "name": str(one.lane.ident),
        "unit": unit.unit.name,
        "instance": one.lane.ident.index,
        "app": unit.choice.image.declaration.app,
        "state": status.state.value,
        "accelerator": str(status.accelerator),
        "pid": status.pid,
        "since_s": round(ran, 1),
        "starts": status.starts,
        "restarts": status.restarts,
        "crash": str(status.crash) if status.crash else "",
        "memory": unit.unit.memory,
        "usage": asdict(usage) if usage else None,
        "throttled": status.throttled,
        "throttled_s": round(status.throttled_s, 1),
        "cpu_percent": round(100 * usage.cpu_s / ran, 1) if usage and ran else None,
        "waiting": max(0, unit.journal.log.durable_seq - one.lane.acked),
        "readings": unit.gate.counts.readings,
        "spares": asdict(unit.spares),
        "stopped": unit.rest.stopped,
    }
