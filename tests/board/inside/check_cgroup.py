"""Machines in cgroups of version 2, on a board where root may make them. Run there by name: see tests/board/README.md.

Every test is an agent of its own, in a process of its own: an agent that enters its subtree doesn't come back.
"""

from __future__ import annotations

import asyncio
import os
import pwd
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import pytest

from edgeagent.probe.live import host_arch
from edgeagent.vmm import bounds, cgroup, crash
from edgeagent.vmm.machines import MACHINES
from edgeagent.vmm.port import Accelerator, End, MachineLimits, MachineSpec
from edgeagent.vmm.qemu import Qemu, QemuMachine
from edgeagent.wire import messages
from edgeagent.wire.frame import Decoder, FrameType

ROOT = Path("/sys/fs/cgroup")
TOP = ROOT / "edgeagent"
USER = "edgeagent"
BUILD = Path(__file__).parents[3] / "build"
MEMORY = 8 << 20
SPACIOUS = MachineLimits(memory=256 << 20, cpu=1.0, weight=100, tasks=bounds.TASKS)


def spec(limits: MachineLimits, image: str = "images/{}/echo.elf", *, paused: bool = False) -> MachineSpec:
    arch = host_arch()
    usable = Accelerator.KVM in MACHINES[arch].cpu and os.access("/dev/kvm", os.R_OK | os.W_OK)
    accelerator = Accelerator.KVM if usable else Accelerator.TCG
    path = BUILD / image.format(arch)
    return MachineSpec("garden", arch, accelerator, MEMORY, path, "edgeagent-vm", paused, limits)


def start(body: Callable[[], Awaitable[None]], group: Path = ROOT, user: str = "") -> int:
    """An agent as a process of its own, begun in that group; its process id."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    with suppress(BaseException):
        try:
            (group / "cgroup.procs").write_text("0")
            if user:
                account = pwd.getpwnam(user)
                os.initgroups(user, account.pw_gid)
                os.setgid(account.pw_gid)
                os.setuid(account.pw_uid)
            asyncio.run(body())
            status = 0
        except BaseException:
            sys.excepthook(*sys.exc_info())
            raise
    sys.stderr.flush()
    os._exit(status)


def run(body: Callable[[], Awaitable[None]], group: Path = ROOT, user: str = "") -> None:
    assert os.waitstatus_to_exitcode(os.waitpid(start(body, group, user), 0)[1]) == 0, "see its traceback"


def groups(base: Path = TOP) -> list[str]:
    return [path.name for path in base.iterdir() if path.name.startswith("vm.")]


def group_of(machine: QemuMachine) -> Path:
    return ROOT / Path(f"/proc/{machine.pid}/cgroup").read_text().strip().removeprefix("0::/")


async def answer(machine: QemuMachine, data: bytes) -> int:
    """Type of the first frame that comes back."""
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(machine.channel, data)
    decoder = Decoder()
    while not (frames := decoder.feed(await loop.sock_recv(machine.channel, 65536))):
        pass
    return frames[0].type


HELLO = messages.hello("garden", MEMORY, {})


def test_a_machine_is_in_its_group_before_its_guest_runs_and_leaves_none() -> None:
    async def agent() -> None:
        hierarchy = cgroup.enter()
        assert (hierarchy.base, hierarchy.missing) == (TOP, ())
        assert hierarchy.controllers == {*bounds.CONTROLLERS}
        assert Path("/proc/self/cgroup").read_text() == "0::/edgeagent/agent\n"
        machine = await Qemu(MACHINES, hierarchy).start(spec(SPACIOUS, paused=True))
        while not machine.version:
            await asyncio.sleep(0.05)
        group = group_of(machine)
        assert group.parent == TOP
        assert "garden" in group.name
        for name, value in bounds.files(SPACIOUS, bounds.CONTROLLERS):
            assert (group / name).read_text().strip() == value
        await machine.resume()
        assert await answer(machine, HELLO) == FrameType.READY
        assert 0 < int((group / "memory.current").read_text()) < SPACIOUS.memory
        assert int((group / "pids.current").read_text()) <= bounds.TASKS
        assert any("at most 256 MiB of memory, guest and QEMU (cgroup)" in words for words in machine.jail)
        assert not any("looked at" in words for words in machine.jail)
        await machine.kill()
        assert groups() == []

    run(agent)


def test_the_limits_that_units_get_are_enough() -> None:
    """What a VMM of this architecture and version needs, against what a unit's is given."""

    async def agent() -> None:
        limits = bounds.limits(MEMORY, 100, 100)
        machine = await Qemu(MACHINES, cgroup.enter()).start(spec(limits))
        assert await answer(machine, HELLO) == FrameType.READY
        group = group_of(machine)
        events = bounds.keyed((group / "memory.events").read_text())
        stat = bounds.keyed((group / "memory.stat").read_text())
        assert events["oom_kill"] == 0
        needed = stat["anon"] + stat["shmem"] + stat.get("kernel", 0)
        assert needed < bounds.need(MEMORY), f"{stat}: the margin isn't touched"
        await machine.kill()

    run(agent)


def test_a_vmm_over_its_memory_is_ended_by_the_kernel_and_explained() -> None:
    async def agent() -> None:
        tight = MachineLimits(memory=4 << 20, cpu=1.0, weight=100, tasks=bounds.TASKS)
        machine = await Qemu(MACHINES, cgroup.enter()).start(spec(tight))
        ending = await machine.ended()
        assert (ending.end, ending.signal) == (End.SIGNALLED, "SIGKILL")
        told = crash.explain(ending, Accelerator.TCG)
        assert told.kind == "over-limit"
        assert "it may use 4.0 MiB of memory, and needed more" in told.words
        await machine.kill()
        assert groups() == []

    run(agent)


def test_a_guest_that_spins_is_throttled_by_the_kernel() -> None:
    async def agent() -> None:
        slow = MachineLimits(memory=256 << 20, cpu=0.2, weight=100, tasks=bounds.TASKS)
        machine = await Qemu(MACHINES, cgroup.enter()).start(spec(slow, "test-images/{}/hostile-spin.elf"))
        assert await answer(machine, HELLO) == FrameType.READY
        topic = messages.topic_item(b"t")
        await asyncio.get_running_loop().sock_sendall(
            machine.channel, messages.reading(1, 1000, 65535, 0, topic, b"1")
        )
        before, began = machine.usage(), time.monotonic()
        await asyncio.sleep(4)
        after, took = machine.usage(), time.monotonic() - began
        assert before is not None
        assert after is not None
        assert after.cpu_s - before.cpu_s < 0.4 * took
        assert after.throttled_s > before.throttled_s
        await machine.kill()

    run(agent)


def test_what_a_killed_agent_left_is_removed_by_the_next_one() -> None:
    read, write = os.pipe()

    async def dies() -> None:
        machine = await Qemu(MACHINES, cgroup.enter()).start(spec(SPACIOUS))
        assert await answer(machine, HELLO) == FrameType.READY
        os.write(write, f"{machine.pid}\n".encode())
        await asyncio.sleep(60)

    agent = start(dies)
    vmm = int(os.read(read, 100))
    os.kill(agent, signal.SIGKILL)
    os.waitpid(agent, 0)
    while Path(f"/proc/{vmm}").exists():
        time.sleep(0.05)
    assert len(groups()) == 1

    async def next_one() -> None:
        cgroup.enter()
        assert groups() == []

    run(next_one)


def test_a_living_agents_groups_stay() -> None:
    read, write = os.pipe()

    async def lives() -> None:
        machine = await Qemu(MACHINES, cgroup.enter()).start(spec(SPACIOUS))
        assert await answer(machine, HELLO) == FrameType.READY
        os.write(write, b"up")
        await asyncio.sleep(60)

    agent = start(lives)
    os.read(read, 2)

    async def second() -> None:
        cgroup.enter()
        assert len(groups()) == 1

    run(second)
    os.kill(agent, signal.SIGKILL)
    os.waitpid(agent, 0)


@pytest.fixture
def delegated():
    """A group as systemd gives one to a service with Delegate=yes and User=."""
    group = ROOT / "service"
    group.mkdir()
    account = pwd.getpwnam(USER)
    for path in (
        group,
        *(group / name for name in ("cgroup.procs", "cgroup.subtree_control", "cgroup.threads")),
    ):
        os.chown(path, account.pw_uid, account.pw_gid)
    yield group
    for path in (*(group / name for name in groups(group)), group / "agent", group):
        with suppress(FileNotFoundError):
            path.rmdir()


def test_an_agent_that_is_not_root_in_a_group_of_its_own(delegated: Path) -> None:
    async def agent() -> None:
        hierarchy = cgroup.enter()
        assert (hierarchy.base, hierarchy.missing) == (delegated, ())
        assert hierarchy.controllers == {*bounds.CONTROLLERS}
        machine = await Qemu(MACHINES, hierarchy).start(spec(SPACIOUS))
        assert await answer(machine, HELLO) == FrameType.READY
        assert group_of(machine).parent == delegated
        await machine.kill()
        assert groups(delegated) == []
        # Started once more by itself, it is in its leaf already.
        assert cgroup.enter().base == delegated

    run(agent, delegated, USER)


def test_other_processes_in_the_agents_group_keep_it_from_having_machines_there(delegated: Path) -> None:
    """No Internal Process Constraint: said, and the machine is looked at instead."""
    stranger = os.fork()
    if not stranger:
        (delegated / "cgroup.procs").write_text("0")
        signal.pause()

    async def agent() -> None:
        hierarchy = cgroup.enter()
        assert (hierarchy.base, hierarchy.controllers) == (None, frozenset())
        assert all("Device or resource busy" in words for words in hierarchy.missing)
        machine = await Qemu(MACHINES, hierarchy).start(spec(SPACIOUS))
        assert await answer(machine, HELLO) == FrameType.READY
        assert any("at most 100% of a core (looked at" in words for words in machine.jail)
        await machine.kill()

    while not (delegated / "cgroup.procs").read_text():
        time.sleep(0.05)
    try:
        run(agent, delegated, USER)
    finally:
        os.kill(stranger, signal.SIGKILL)
        os.waitpid(stranger, 0)


def test_an_agent_that_may_write_no_group_says_so() -> None:
    async def agent() -> None:
        hierarchy = cgroup.enter()
        assert hierarchy.base is None
        assert any("Delegate=yes" in words for words in hierarchy.missing)
        assert cgroup.refusal()

    run(agent, user=USER)
