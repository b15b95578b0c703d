"""What `edgeagent status` shows, as JSON values.

A unit has ``instances``, a list with one object for each of its guests, and ``guest``, which is the one of them that
needs a look most: the first that isn't running, else the first. Counts of the unit are over all its instances;
``log.acked`` is the input through which the slowest of them is. ``scaling``: the most instances that the unit may have,
the number that it is getting right now (0: none other), how long the oldest reading has waited for a guest, and why the
unit doesn't have the number that it should have.
"""

from __future__ import annotations

import resource
import time
from dataclasses import asdict, dataclass
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
from .fleet import FleetLink
from .instance import Instance
from .links import Source
from .units import UnitRuntime

RING_LINES = 20
"""Of a dead guest's log ring, in the status."""
STAYS_DOWN = (
    "It was started too often; its readings wait in the log. Mend the cause, then: edgeagent start {}"
)


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
    fleet: FleetLink | None = None


def snapshot(parts: Parts) -> dict[str, Any]:
    """Counts are since the start of the agent, bytes are bytes, times seconds."""
    units = [_unit(unit) for unit in parts.units]
    spool, uplink = _spool(parts), _uplink(parts)
    found = {
        "board": parts.config.board.name,
        "profile": {
            "name": parts.config.from_profile.profile or None,
            "settings": parts.config.from_profile.as_json(),
        },
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
        "fleet": parts.fleet.status() if parts.fleet else None,
    }
    found["degraded"] = list(_degraded(parts, found))
    return found


def _memory() -> int:
    """Resident set of this process, bytes."""
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123 - one read of one line
        return int(file.read().split()[1]) * resource.getpagesize()


def _unit(unit: UnitRuntime) -> dict[str, Any]:
    pipeline, gate, log = unit.pipeline, unit.gate, unit.journal.log
    counts, choice = pipeline.counts, unit.choice
    instances = [_instance(index, one) for index, one in enumerate(unit.instances)]
    return {
        "name": unit.unit.name,
        "app": choice.image.declaration.app,
        "image": {
            "path": str(choice.path),
            "bytes": choice.image.size,
            "digest": choice.image.digest,
        },
        "settling": unit.settling,
        "stopped": unit.rest.stopped,
        "spares": asdict(unit.spares),
        "guest": next((one for one in instances if one["state"] != State.RUNNING), instances[0]),
        "instances": instances,
        "scaling": {
            "most": unit.unit.instances,
            "moving": unit.moving,
            "late_s": round(unit.late_s, 1),
            "failed": unit.unmoved,
        },
        "readings": gate.counts.readings,
        "bytes_in": gate.counts.bytes_in,
        "duplicates": gate.counts.duplicates,
        "dropped_rate": gate.counts.dropped_rate,
        "values": counts.values,
        "summaries": counts.summaries,
        "reports": counts.reports,
        "repeated": counts.repeated,
        "rejects": counts.rejects,
        "not_counted": {reason_word(reason): count for reason, count in sorted(counts.not_counted.items())},
        "waiting": pipeline.waiting,
        "blocked": pipeline.blocked,
        "full": pipeline.full,
        "disk": pipeline.disk.fault,
        "log": {
            "first": log.first_seq,
            "last": log.next_seq - 1,
            "durable": log.durable_seq,
            "acked": pipeline.acked,
            "bytes": log.bytes,
        },
    }


def _instance(index: int, one: Instance) -> dict[str, Any]:
    guest, lane = one.supervisor.status, one.lane
    return {
        "index": index,
        "state": guest.state.value,
        "accelerator": str(guest.accelerator),
        "why": guest.why,
        "pid": guest.pid,
        "starts": guest.starts,
        "restarts": guest.restarts,
        "jail": list(guest.jail),
        "limits": _limits(one),
        "usage": _usage(one),
        "throttled": guest.throttled,
        "throttled_s": round(guest.throttled_s, 2),
        "crash": str(guest.crash) if guest.crash else "",
        "log": list(guest.log),
        "evidence": _evidence(one.supervisor.evidence),
        "acked": lane.acked,
        "waiting": lane.outbox.waiting,
        "blocked": lane.blocked,
        "checkpoint": {
            "seq": lane.checkpoint.seq,
            "out": lane.checkpoint.out,
            "bytes": len(lane.checkpoint.state),
        },
    }


def _limits(one: Instance) -> dict[str, Any]:
    """What it may use and say; the words of its jail tell how each is held."""
    return {
        "memory_bytes": one.holds.memory,
        "cpu": one.holds.cpu,
        "cpu_weight": one.holds.weight,
        "threads": one.holds.tasks,
        "frames_per_s": one.limits.frame_rate,
        "bytes_per_s": one.limits.byte_rate,
        "log_bytes_per_s": one.limits.log_bytes,
    }


def _usage(one: Instance) -> dict[str, Any] | None:
    """Of its machine, which is QEMU and guest; None while there is none."""
    used = one.supervisor.usage
    if used is None:
        return None
    return {
        "cpu_s": round(used.cpu_s, 2),
        "cpu_throttled_s": round(used.throttled_s, 2),
        "rss_bytes": used.rss,
        "pss_bytes": used.pss,
        "threads": used.threads,
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
        name = unit.unit.name
        if unit.rest.stopped:
            yield f"unit {name}: stopped by a person; its readings wait in the log. To go on: edgeagent start {name}"
        if unit.settling:
            yield f"unit {name}: finishes what was begun with the former configuration"
        for instance in unit.instances:
            guest = instance.supervisor.status
            if guest.state in (State.FAILED, State.WAITING):
                what = f"unit {name}: guest {guest.state.value}: {guest.crash or 'no reason known'}"
                yield f"{what}. {STAYS_DOWN.format(name)}" if guest.state is State.FAILED else what
            if guest.throttled:
                yield (
                    f"unit {name}: guest throttled: it says more than its input explains "
                    f"(held back for {guest.throttled_s:.1f} s)"
                )
        if unit.unmoved:
            yield f"unit {name}: {unit.unmoved}"
        if unit.pipeline.disk.fault:
            yield f"unit {name}: {unit.pipeline.disk.fault}"
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
    if found["fleet"] and found["fleet"]["error"]:
        yield f"fleet: {found['fleet']['error']}"
