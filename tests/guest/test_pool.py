"""Spares: real machines that wait, are taken, grow old, die, and leave nothing."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from edgeagent.errors import EnvironmentFaultError, GuestError
from edgeagent.guest import pool as pooling
from edgeagent.guest.limits import Limits
from edgeagent.guest.pool import Pool, Spares
from edgeagent.guest.supervisor import Plan, Supervisor
from edgeagent.image.build import ImageFile
from edgeagent.vmm.machines import MACHINES
from edgeagent.vmm.port import Machine, MachineSpec
from edgeagent.vmm.qemu import Qemu
from tests.guests import GetImage, Recorder, alive, readings, spec

PATIENT = Limits(start_s=60, hang_s=60)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pooling, "SETTLE_S", 0.0)


class Counting(Qemu):
    """Remembers what it started."""

    def __init__(self) -> None:
        super().__init__(MACHINES)
        self.started: list[tuple[bool, int]] = []

    async def start(self, spec: MachineSpec) -> Machine:  # type: ignore[override]
        machine = await super().start(spec)
        self.started.append((spec.paused, machine.pid))
        return machine

    @property
    def pids(self) -> list[int]:
        return [pid for _, pid in self.started]


@contextlib.asynccontextmanager
async def running(*works: Pool | Supervisor) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(work.run()) for work in works]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        for ended in await asyncio.gather(*tasks, return_exceptions=True):
            assert isinstance(ended, asyncio.CancelledError)


async def until(pool: Pool, what: MachineSpec, ready: int) -> None:
    while pool.spares(what).ready != ready:
        await asyncio.sleep(0.01)


def supervise(vmm: Pool, image: ImageFile, owner: Recorder) -> Supervisor:
    return Supervisor(vmm, Plan(spec(image), image.info.log_ring, "a test", PATIENT), owner)


@pytest.mark.parametrize("arch", MACHINES)
def test_a_start_takes_the_spare_and_it_is_replaced(guest_image: GetImage, arch: str) -> None:
    image = guest_image("echo", arch)

    async def main() -> None:
        vmm = Counting()
        pool, owner = Pool(vmm), Recorder(readings(100))
        pool.keep(spec(image), 1)
        supervisor = supervise(pool, image, owner)
        async with running(pool):
            await until(pool, spec(image), 1)
            async with running(supervisor):
                await owner.until(lambda: supervisor.status.acked == 100)
                assert vmm.started[0] == (True, supervisor.status.pid)
                await until(pool, spec(image), 1)
                # After a crash the next one is there at once.
                os.kill(supervisor.status.pid, signal.SIGKILL)
                await owner.until(lambda: supervisor.status.crash)
                await owner.until(lambda: supervisor.status.acked == 100 and supervisor.status.restarts)
                assert vmm.started[1] == (True, supervisor.status.pid)
                await until(pool, spec(image), 1)
        assert [paused for paused, _ in vmm.started] == [True, True, True]
        assert not any(map(alive, vmm.pids))

    before = len(os.listdir("/proc/self/fd"))
    asyncio.run(main())
    assert len(os.listdir("/proc/self/fd")) == before


def test_another_spec_gets_a_machine_of_its_own(guest_image: GetImage) -> None:
    image = guest_image("echo")

    async def main() -> None:
        vmm = Counting()
        pool = Pool(vmm)
        pool.keep(spec(image), 2)
        pool.keep(spec(guest_image("hostile-panic")), 0)
        async with running(pool):
            await until(pool, spec(image), 2)
            other = MachineSpec("other", image.info.arch, spec(image).accelerator, 16 << 20, image.path)
            machine = await pool.start(other)
            assert (False, machine.pid) in vmm.started
            await machine.kill()
            assert pool.spares(spec(image)) == Spares(2, 2, 0)
            assert pool.spares(other) == Spares(0, 0, 0)
        assert not any(map(alive, vmm.pids))

    asyncio.run(main())


def test_a_spare_of_an_older_image_is_thrown_away(guest_image: GetImage, tmp_path: Path) -> None:
    built = guest_image("echo")
    image = ImageFile(tmp_path / "echo.elf", built.info)
    shutil.copy(built.path, image.path)

    async def main() -> None:
        vmm = Counting()
        pool = Pool(vmm)
        pool.keep(spec(image), 1)
        async with running(pool):
            await until(pool, spec(image), 1)
            (tmp_path / "new").write_bytes(built.path.read_bytes())
            (tmp_path / "new").rename(image.path)
            machine = await pool.start(spec(image))
            assert machine.pid != vmm.pids[0]
            assert not alive(vmm.pids[0])
            await machine.kill()
            await until(pool, spec(image), 1)
            # The new one is of the new image.
            machine = await pool.start(spec(image))
            assert (True, machine.pid) in vmm.started
            await machine.kill()
            image.path.unlink()
        assert not any(map(alive, vmm.pids))

    asyncio.run(main())


def test_a_spare_that_dies_waiting_is_told_of_and_replaced_later(
    guest_image: GetImage, caplog: pytest.LogCaptureFixture
) -> None:
    image = guest_image("echo")

    async def main() -> None:
        vmm, now = Counting(), [0.0]
        pool = Pool(vmm, lambda: now[0])
        pool.keep(spec(image), 1)
        async with running(pool):
            await until(pool, spec(image), 1)
            os.kill(vmm.pids[0], signal.SIGKILL)
            await until(pool, spec(image), 0)
            while not pool.spares(spec(image)).died:
                await asyncio.sleep(0.01)
            assert "a spare died waiting" in caplog.text
            # Not before its time: a start meanwhile is a new machine.
            machine = await pool.start(spec(image))
            assert (False, machine.pid) in vmm.started
            await machine.kill()
            assert pool.spares(spec(image)) == Spares(0, 1, 1)
            now[0] += pooling.POLICY.first_delay_s
            pool._changed.set()
            await until(pool, spec(image), 1)
        assert not any(map(alive, vmm.pids))

    asyncio.run(main())


def test_spares_that_can_not_be_built_are_tried_within_bounds(guest_image: GetImage) -> None:
    image = guest_image("echo")

    class Broken(Counting):
        tries = 0

        async def start(self, spec: MachineSpec) -> Machine:  # type: ignore[override]
            self.tries += 1
            raise EnvironmentFaultError("QEMU is gone")

    async def main() -> None:
        vmm, now = Broken(), [0.0]
        pool = Pool(vmm, lambda: now[0])
        pool.keep(spec(image), 1)
        async with running(pool):
            for _ in range(200):
                now[0] += 1.0
                pool._changed.set()
                await asyncio.sleep(0)
                await asyncio.sleep(0)
            assert vmm.tries == pooling.POLICY.starts
            assert pool.spares(spec(image)) == Spares(0, 1, vmm.tries)

    asyncio.run(main())


def test_a_spare_that_can_not_be_resumed_is_no_obstacle(guest_image: GetImage) -> None:
    image = guest_image("echo")

    async def main() -> None:
        vmm = Counting()
        pool = Pool(vmm)
        pool.keep(spec(image), 1)
        async with running(pool):
            await until(pool, spec(image), 1)
            (shelf,) = pool._shelves.values()

            async def refuse() -> None:
                raise GuestError("QEMU doesn't run the machine: no")

            shelf.spares[0].machine.resume = refuse  # type: ignore[method-assign]
            machine = await pool.start(spec(image))
            assert not alive(vmm.pids[0])
            assert machine.pid != vmm.pids[0]
            await machine.kill()
        assert not any(map(alive, vmm.pids))

    asyncio.run(main())


def test_cancelled_at_any_moment_nothing_is_left(guest_image: GetImage) -> None:
    """While spares are built, and while one is taken."""
    image = guest_image("echo")

    async def main(turns: int) -> None:
        vmm = Counting()
        pool = Pool(vmm)
        pool.keep(spec(image), 2)
        async with running(pool):
            if turns % 2:
                while not pool.spares(spec(image)).ready:
                    await asyncio.sleep(0.001)
            starting = asyncio.create_task(pool.start(spec(image)))
            for _ in range(turns):
                await asyncio.sleep(0)
            starting.cancel()
            for done in await asyncio.gather(starting, return_exceptions=True):
                if not isinstance(done, BaseException):
                    await done.kill()
        assert not any(map(alive, vmm.pids))

    before = len(os.listdir("/proc/self/fd"))
    for turns in (0, 1, 2, 3, 5, 8, 13, 21, 34):
        asyncio.run(main(turns))
        assert len(os.listdir("/proc/self/fd")) == before
