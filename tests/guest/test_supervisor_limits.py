"""What a real guest in a real QEMU may use and say, and what becomes of one that wants more."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

from edgeagent.guest.events import ContractBreach, ThrottledEvent
from edgeagent.guest.owner import State
from edgeagent.guest.supervisor import Plan, Supervisor
from edgeagent.image.build import ImageFile
from edgeagent.vmm import procfs
from edgeagent.vmm.bounds import limits, need
from edgeagent.vmm.machines import MACHINES
from edgeagent.vmm.port import MachineLimits
from edgeagent.vmm.qemu import Qemu
from tests.guest.test_supervisor import TIGHT, TWO_STARTS, fail, running
from tests.guests import MEMORY, GetImage, Recorder, readings, spec


def held(owner: Recorder, image: ImageFile, by: MachineLimits) -> Supervisor:
    """No cgroup holds machines of tests, so they are looked at."""
    plan = Plan(spec(image, limits=by), image.info.log_ring, "a test", TIGHT, TWO_STARTS)
    return Supervisor(Qemu(MACHINES), plan, owner)


def test_a_guest_that_was_honest_for_a_while_is_throttled_and_then_given_up(guest_image: GetImage) -> None:
    owner = Recorder(readings(60))
    evidence = fail(owner, guest_image("hostile-late"))
    assert (evidence.crash.kind, evidence.given) == ("breach", 60)
    assert "no input explains" in evidence.crash.words
    assert owner.states[-1].throttled_s > TWO_STARTS.starts * 0.4
    order = [type(event) for event in owner.events if isinstance(event, ThrottledEvent | ContractBreach)]
    assert order == [ThrottledEvent, ContractBreach] * TWO_STARTS.starts


def test_a_guest_that_uses_all_its_memory_stays_within_it(guest_image: GetImage) -> None:
    async def main() -> None:
        owner = Recorder(readings(30))
        supervisor = held(owner, guest_image("hostile-grow"), limits(MEMORY, 100, 100))
        async with running(supervisor):
            await owner.until(lambda: supervisor.status.acked == 30)
            assert supervisor.usage is not None
            own = procfs.private(supervisor.status.pid)
            assert MEMORY < own < need(MEMORY)
            assert supervisor.status.restarts == 0
        assert supervisor.usage is None

    asyncio.run(main())


def test_a_vmm_that_needs_more_than_its_limit_is_ended_and_explained(guest_image: GetImage) -> None:
    async def main() -> None:
        owner = Recorder(readings(3))
        supervisor = held(owner, guest_image("echo"), replace(limits(MEMORY, 100, 100), memory=1 << 20))
        async with running(supervisor):
            await owner.until(lambda: supervisor.status.crash)
        assert supervisor.evidence is not None
        assert supervisor.evidence.crash.kind == "over-limit"
        assert "it may use 1.0 MiB of memory, and used" in supervisor.evidence.crash.words

    asyncio.run(main())


def test_a_guest_that_spins_is_held_to_its_share_of_a_core(guest_image: GetImage) -> None:
    async def main() -> None:
        owner = Recorder(readings(3))
        supervisor = held(owner, guest_image("hostile-spin"), limits(MEMORY, 10, 100))
        async with running(supervisor):
            await owner.until(lambda: supervisor.status.state is State.RUNNING)
            while supervisor.usage is None or not supervisor.usage.throttled_s:
                await asyncio.sleep(0.1)
            assert any("at most 10% of a core (looked at" in words for words in supervisor.status.jail)
            before, began = supervisor.usage, time.monotonic()
            await asyncio.sleep(3)
            after, ended = supervisor.usage, time.monotonic()
            assert after is not None
            share = (after.cpu_s - before.cpu_s) / (ended - began)
            assert share < 0.5, "most of a core without the limit"
            assert after.throttled_s > before.throttled_s

    asyncio.run(main())
