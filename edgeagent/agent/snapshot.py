"""What `edgeagent status` shows, as JSON values."""

from __future__ import annotations

import resource
import time
from dataclasses import dataclass
from typing import Any

from edgeagent import __version__
from edgeagent.config.schema import Config
from edgeagent.guest.owner import Evidence, State
from edgeagent.journal.spool import Spool
from edgeagent.unit.arrival import ArrivalClock, ClockState
from edgeagent.unit.router import Router
from edgeagent.uplink.mqtt import Uplink
from edgeagent.wire.messages import reason_word

from .batches import SealedBatches
from .links import Source
from .units import UnitRuntime

RING_LINES = 20
"""Of a dead guest's log ring, in the status."""
STAYS_DOWN = "It was started too often; its readings wait in the log. Mend the cause, then restart the agent"


@dataclass(frozen=True, slots=True)
class Parts:
    """What is looked at."""

    config: Config
    started: float
    arrival: ArrivalClock
    units: list[UnitRuntime]
    router: Router
    sources: list[Source]
    spool: Spool
    batches: SealedBatches
    uplink: Uplink


def snapshot(parts: Parts) -> dict[str, Any]:
    """Counts are since the start of the agent, bytes are bytes, times seconds."""
    units = [_unit(unit) for unit in parts.units]
    spool, uplink = _spool(parts), _uplink(parts)
    found = {
        "board": parts.config.board.name,
        "version": __version__,
        "uptime_s": round(time.monotonic() - parts.started, 1),
        "memory_bytes": _memory(),
        "clock": {"state": parts.arrival.state.value, "set_back": parts.arrival.set_back},
        "durability": parts.config.journal.durability,
        "units": units,
        "sources": [source.snapshot() for source in parts.sources],
        "unrouted": parts.router.unrouted,
        "spool": spool,
        "uplink": uplink,
    }
    found["degraded"] = list(_degraded(parts, found))
    return found


def _memory() -> int:
    """Resident set of this process, bytes."""
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123 - one read of one line
        return int(file.read().split()[1]) * resource.getpagesize()


def _unit(unit: UnitRuntime) -> dict[str, Any]:
    pipeline, gate, log = unit.pipeline, unit.gate, unit.journal.log
    counts, choice, guest = pipeline.outbox.counts, unit.choice, unit.supervisor.status
    return {
        "name": unit.unit.name,
        "app": choice.image.declaration.app,
        "image": {
            "path": str(choice.path),
            "bytes": choice.image.size,
            "digest": choice.image.digest,
        },
        "settling": unit.settling,
        "guest": {
            "state": guest.state.value,
            "accelerator": str(guest.accelerator),
            "why": guest.why,
            "pid": guest.pid,
            "starts": guest.restarts + 1,
            "jail": list(guest.jail),
            "crash": str(guest.crash) if guest.crash else "",
            "log": list(guest.log),
            "evidence": _evidence(unit.supervisor.evidence),
        },
        "readings": gate.counts.readings,
        "bytes_in": gate.counts.bytes_in,
        "duplicates": gate.counts.duplicates,
        "dropped_rate": gate.counts.dropped_rate,
        "values": counts.values,
        "summaries": counts.summaries,
        "reports": counts.reports,
        "repeated": counts.repeated,
        "rejects": pipeline.rejects,
        "not_counted": {reason_word(reason): count for reason, count in sorted(counts.not_counted.items())},
        "waiting": pipeline.outbox.waiting,
        "blocked": pipeline.blocked,
        "full": pipeline.full,
        "disk": pipeline.faults.disk,
        "log": {
            "first": log.first_seq,
            "last": log.next_seq - 1,
            "durable": log.durable_seq,
            "acked": pipeline.acked,
            "bytes": log.bytes,
        },
        "checkpoint": {
            "seq": pipeline.checkpoint.seq,
            "out": pipeline.checkpoint.out,
            "bytes": len(pipeline.checkpoint.state),
        },
    }


def _evidence(left: Evidence | None) -> dict[str, Any] | None:
    """What is left of the guest that ended last: its words, its log ring, and the input that it was given."""
    if left is None:
        return None
    return {
        "kind": left.crash.kind,
        "log": list(left.log),
        "ring": list(left.ring.lines[-RING_LINES:]) if left.ring else [],
        "panic": left.ring.panic if left.ring else "",
        "input": [left.acked + 1, left.given],
    }


def _spool(parts: Parts) -> dict[str, Any]:
    spool, position = parts.spool, parts.spool.position
    return {
        "id": spool.spool_id.hex(),
        "batches": spool.last_number - position.gone,
        "bytes": spool.bytes,
        "cap": parts.config.journal.spool_cap,
        "full": spool.full,
        "dropped": position.dropped_batches,
        "dropped_items": position.dropped_items,
        "damaged": position.damaged_batches,
    }


def _uplink(parts: Parts) -> dict[str, Any]:
    return {
        **parts.uplink.status.as_dict(),
        "where": parts.config.uplink.url,
        "stored": parts.batches.stored,
        "bytes_sealed": parts.batches.bytes_sealed,
    }


def _degraded(parts: Parts, found: dict[str, Any]) -> Any:
    """One line for each thing that a person should know of."""
    if parts.arrival.state is ClockState.BEHIND:
        yield "clock: behind the last known time and not set; arrival times go on from there until it is"
    for unit in parts.units:
        name, guest = unit.unit.name, unit.supervisor.status
        if unit.settling:
            yield f"unit {name}: finishes what was begun with the former configuration"
        if guest.state in (State.FAILED, State.WAITING):
            what = f"unit {name}: guest {guest.state.value}: {guest.crash or 'no reason known'}"
            yield f"{what}. {STAYS_DOWN}" if guest.state is State.FAILED else what
        if unit.pipeline.faults.disk:
            yield f"unit {name}: {unit.pipeline.faults.disk}"
        elif unit.pipeline.full:
            yield f"unit {name}: the input log is full; its sources are slowed"
    for source in found["sources"]:
        if source["error"]:
            yield f"{source['kind']}: {source['error']}"
    if found["spool"]["full"]:
        yield "spool: full; guests are held back until the collector acknowledges"
    for what in ("dropped", "damaged"):
        if found["spool"][what]:
            yield f"spool: {found['spool'][what]} batches {what}"
    if found["uplink"]["error"]:
        yield f"uplink: {found['uplink']['error']}"
