"""What is kept of a guest that ended: put together from its lane, its image and what the supervisor found."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Final

from edgeagent import __version__
from edgeagent.config.schema import Unit
from edgeagent.crash.record import Image, Left, Machine, Record, Start
from edgeagent.crash.store import Draft
from edgeagent.guest.limits import Limits
from edgeagent.guest.owner import Evidence
from edgeagent.unit.lane import Lane
from edgeagent.unit.settings import guest_config
from edgeagent.wire import cbor

from .images import Choice

NO_CRASH: Final = "start-failed"
"""There was no machine, so nothing is left of one."""


def draft(evidence: Evidence, unit: Unit, lane: Lane, choice: Choice, limits: Limits) -> Draft:
    """A crash of a unit's guest, as the next one would start from its checkpoint."""
    crash, image, begin, takes = evidence.crash, choice.image, lane.checkpoint, lane.takeover
    now = time.time_ns() // 1_000_000
    ending = evidence.ending
    left = Left()
    if ending is not None:
        left = Left(str(ending.end), ending.status, ending.signal, ending.events, ending.stderr)
    settling = begin.config != guest_config(unit)
    record = Record(
        number=0,
        unit=unit.name,
        instance=lane.ident.index,
        app=image.declaration.app,
        version=image.declaration.version,
        agent=__version__,
        image=Image(image.digest, image.build_id, image.size),
        machine=Machine(choice.arch, str(choice.accelerator), unit.memory, evidence.vmm),
        first_ms=now,
        last_ms=now,
        times=1,
        kind=crash.kind,
        words=crash.words,
        remedy=crash.remedy,
        left=left,
        panic=evidence.ring.panic if evidence.ring else "",
        log=evidence.last_words,
        began=evidence.began,
        acked=max(evidence.acked, begin.seq),
        given=max(evidence.given, begin.seq),
        state_asked=evidence.state_asked,
        start=Start(
            begin.seq,
            begin.out,
            fresh=False,
            config=begin.config,
            # While a former configuration is finished, any topic that was taken with it is right.
            topics=() if settling else unit.topics,
            limits=asdict(limits),
            shard=(takes.shard.index, takes.shard.count) if takes else (),
        ),
    )
    state = cbor.dumps(list(takes.states)) if takes else begin.state
    return Draft(record, state, evidence.memory, choice.path, lane.record_after)
