"""The supervisor with real guests in a real QEMU."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from edgeagent.errors import GuestError
from edgeagent.guest.budget import RestartPolicy
from edgeagent.guest.events import (
    AckEvent,
    CheckpointDone,
    ContractBreach,
    EchoEvent,
    Event,
    HungEvent,
    LogEvent,
    ReadyEvent,
    RefusedEvent,
    RunningEvent,
    ThrottledEvent,
)
from edgeagent.guest.limits import Limits
from edgeagent.guest.owner import Evidence, State
from edgeagent.guest.supervisor import Plan, Supervisor
from edgeagent.image.build import ImageFile
from edgeagent.vmm.machines import MACHINES
from edgeagent.vmm.port import Accelerator, End
from edgeagent.vmm.qemu import Qemu
from edgeagent.wire import messages
from tests.guests import GetImage, ListReader, Recorder, Restorable, alive, readings, spec

TWO_STARTS = RestartPolicy(first_delay_s=0.01, starts=2)
TIGHT = Limits(frame_burst=1000, byte_burst=4 << 20, throttled_s=0.5, start_s=60, hang_s=60)
"""So patient that a busy machine is no hang."""
IMPATIENT = Limits(ping_s=0.2, hang_s=1.0, start_s=60)


def supervise(
    owner: Recorder, image: ImageFile, accelerator: Accelerator = Accelerator.TCG, limits: Limits = TIGHT
) -> Supervisor:
    plan = Plan(spec(image, accelerator), image.info.log_ring, "a test", limits, TWO_STARTS)
    return Supervisor(Qemu(MACHINES), plan, owner)


@contextlib.asynccontextmanager
async def running(supervisor: Supervisor) -> AsyncIterator[None]:
    task = asyncio.create_task(supervisor.run())
    try:
        yield
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


def test_input_flows_and_nothing_is_left(guest_image: GetImage) -> None:
    image = guest_image("echo")

    async def main() -> None:
        owner = Recorder(readings(5000))
        supervisor = supervise(owner, image)
        async with running(supervisor):
            await owner.until(lambda: supervisor.status.acked == 5000)
            status = supervisor.status
            assert (status.state, status.app, status.restarts) == (State.RUNNING, "echo", 0)
            assert any("no capabilities" in words for words in status.jail) or os.geteuid() != 0
            echoed = [event.body for event in owner.of(EchoEvent)]
            assert echoed == [frame[12:] for frame in owner.frames]
            # More input while it waits.
            owner.frames += readings(5003)[5000:]
            supervisor.wake()
            await owner.until(lambda: supervisor.status.acked == 5003)
            assert await supervisor.drain()
            assert owner.states[-1].state is State.DRAINING
        assert not alive(status.pid)
        assert owner.states[-1].state is State.STOPPED
        order = [type(event) for event in owner.events[:2]]
        assert order == [ReadyEvent, RunningEvent]

    before = len(os.listdir("/proc/self/fd"))
    asyncio.run(main())
    assert len(os.listdir("/proc/self/fd")) == before


def test_an_end_is_told_and_nothing_leaks(guest_image: GetImage) -> None:
    """Its owner hears of every end, and gets its reader back."""
    readers: list[ListReader] = []

    class Owner(Recorder):
        def input_after(self, seq: int) -> ListReader:
            readers.append(super().input_after(seq))
            return readers[-1]

    owner = Owner(readings(3), saved=Restorable(1, 0, b""))
    evidence = fail(owner, guest_image("hostile-panic"))
    assert owner.ends[-1] is evidence
    assert len(owner.ends) == len(readers) == TWO_STARTS.starts
    assert all(reader.closed for reader in readers)
    assert (evidence.began, evidence.acked, evidence.given) == (1, 1, 3)
    assert evidence.memory.startswith(b"EDGERING")
    assert evidence.vmm
    assert not evidence.state_asked


def test_a_frame_larger_than_the_window(guest_image: GetImage) -> None:
    assert Limits().least_window < messages.MAX_PAYLOAD

    async def main() -> None:
        owner = Recorder(readings(3, bytes(messages.MAX_PAYLOAD)))
        supervisor = supervise(owner, guest_image("echo"))
        async with running(supervisor):
            await owner.until(lambda: supervisor.status.acked == 3)
        assert [len(event.body) for event in owner.of(EchoEvent)] == [
            len(frame) - 12 for frame in owner.frames
        ]

    asyncio.run(main())


@pytest.mark.parametrize("arch", MACHINES)
def test_every_architecture(guest_image: GetImage, arch: str) -> None:
    """A batch, a single reading, and a panic whose record is found at the right address."""

    async def main() -> None:
        owner = Recorder(readings(300))
        supervisor = supervise(owner, guest_image("echo", arch))
        async with running(supervisor):
            await owner.until(lambda: supervisor.status.acked == 300)
            owner.frames += readings(301)[300:]
            supervisor.wake()
            await owner.until(lambda: supervisor.status.acked == 301)
        assert len(owner.of(EchoEvent)) == 301

    asyncio.run(main())
    evidence = fail(Recorder(readings(1)), guest_image("hostile-panic", arch))
    assert evidence.crash.kind == "panicked"
    assert "hostile-panic gives up" in evidence.crash.words


def test_a_state_is_restored_and_input_goes_on_after_it(guest_image: GetImage) -> None:
    async def main() -> None:
        owner = Recorder(readings(20), saved=Restorable(12, 7, b""))
        supervisor = supervise(owner, guest_image("echo"))
        async with running(supervisor):
            await owner.until(lambda: supervisor.status.acked == 20)
        assert owner.of(RunningEvent) == [RunningEvent(12, 7)]
        assert len(owner.of(EchoEvent)) == 8

    asyncio.run(main())


def test_checkpoint(guest_image: GetImage) -> None:
    async def main() -> None:
        owner = Recorder(readings(20))
        supervisor = supervise(owner, guest_image("echo"))
        assert not supervisor.request_checkpoint()
        async with running(supervisor):
            await owner.until(lambda: supervisor.status.acked == 20)
            assert supervisor.request_checkpoint()
            await owner.until(lambda: owner.of(CheckpointDone))
        (done,) = owner.of(CheckpointDone)
        assert isinstance(done, CheckpointDone)
        assert (done.seq, done.out, len(done.state) > 0) == (20, 0, True)

    asyncio.run(main())


def fail(
    owner: Recorder, image: ImageFile, accelerator: Accelerator = Accelerator.TCG, limits: Limits = TIGHT
) -> Evidence:
    """Run until the start budget is used up; the evidence of the last end."""

    async def main() -> Evidence:
        supervisor = supervise(owner, image, accelerator, limits)
        async with running(supervisor):
            await owner.until(lambda: supervisor.status.state is State.FAILED)
            pids = {status.pid for status in owner.states if status.pid}
            assert len(pids) == TWO_STARTS.starts
            assert not any(map(alive, pids))
            assert supervisor.status.restarts == TWO_STARTS.starts - 1
            assert supervisor.evidence is not None
            assert supervisor.status.crash == supervisor.evidence.crash
        return supervisor.evidence

    return asyncio.run(main())


@pytest.mark.parametrize(
    ("app", "kind", "words"),
    [
        ("hostile-panic", "panicked", "hostile-panic gives up"),
        ("hostile-fault", "panicked", "processor exception"),
        ("hostile-spin", "hang", "no acknowledgement of input 1 to 3"),
        ("hostile-hang", "hang", "no acknowledgement of input 1 to 3"),
        ("hostile-storm", "hang", "no acknowledgement of input 1 to 3"),
        ("hostile-garbage", "breach", "belong to no frame"),
        ("hostile-flood", "breach", "bytes a second that no input explains"),
        ("hostile-log", "breach", "frames a second that no input explains"),
        ("hostile-lie", "breach", "ack for input 9999"),
    ],
)
def test_hostile_guests(guest_image: GetImage, app: str, kind: str, words: str) -> None:
    owner = Recorder(readings(3))
    evidence = fail(owner, guest_image(app), limits=IMPATIENT if kind == "hang" else TIGHT)
    assert evidence.crash.kind == kind
    assert words in evidence.crash.words
    assert (evidence.acked, evidence.given) == (0, 3)
    assert evidence.ring is not None, "the log ring is read after any death"
    if app == "hostile-panic":
        assert "E about to give up" in evidence.ring.lines
        assert evidence.last_words == evidence.ring.lines
        assert evidence.ending is not None
        assert evidence.ending.end is End.PANICKED
    if app == "hostile-log":
        assert len(evidence.log) <= 50
        assert len(owner.of(LogEvent)) < 1000
    if kind == "hang":
        assert owner.of(HungEvent)
    if kind == "breach":
        assert owner.of(ContractBreach)
    assert bool(owner.of(ThrottledEvent)) == (app in ("hostile-flood", "hostile-log"))


def test_a_refusal_is_told(guest_image: GetImage) -> None:
    owner = Recorder(config={"unknown": 1})
    evidence = fail(owner, guest_image("echo"))
    assert evidence.crash.kind == "refused"
    assert "echo takes no configuration" in evidence.crash.words
    assert owner.of(RefusedEvent)


def test_the_owner_may_judge(guest_image: GetImage) -> None:
    def judge(event: Event) -> None:
        if isinstance(event, AckEvent):
            raise GuestError("not what was agreed")

    owner = Recorder(readings(3), judge=judge)
    evidence = fail(owner, guest_image("echo"))
    assert (evidence.crash.kind, evidence.given) == ("breach", 3)
    assert "not what was agreed" in evidence.crash.words


def test_input_that_can_not_be_read_ends_the_guest_not_the_agent(guest_image: GetImage) -> None:
    class Torn(Recorder):
        def input_after(self, seq: int) -> ListReader:
            reader = super().input_after(seq)

            def read(max_bytes: int) -> bytes:
                raise OSError(5, "Input/output error")

            reader.read = read  # type: ignore[method-assign]
            return reader

    evidence = fail(Torn(readings(3)), guest_image("echo"))
    assert evidence.crash.kind == "input-unreadable"
    assert "Input/output error" in evidence.crash.words


def test_qemu_killed_is_seen_and_input_is_played_again(guest_image: GetImage) -> None:
    async def main() -> None:
        owner = Recorder(readings(10))
        supervisor = supervise(owner, guest_image("echo"))
        async with running(supervisor):
            await owner.until(lambda: supervisor.status.acked == 10)
            first = supervisor.status.pid
            os.kill(first, signal.SIGKILL)
            await owner.until(lambda: supervisor.status.crash)
            assert owner.states[-1].state is State.WAITING, "seen before any restart"
            assert supervisor.evidence is not None
            assert supervisor.evidence.crash.kind == "vmm-killed"
            assert supervisor.evidence.ending is not None
            assert supervisor.evidence.ending.status == -signal.SIGKILL
            assert supervisor.evidence.ring is not None
            assert not owner.of(HungEvent), "not by the absence of an answer"
            await owner.until(lambda: supervisor.status.pid != first and supervisor.status.acked == 10)
        assert len(owner.of(EchoEvent)) == 20
        assert supervisor.status.restarts == 1

    asyncio.run(main())


def test_a_stopped_qemu_is_a_hang(guest_image: GetImage) -> None:
    async def main() -> None:
        owner = Recorder(readings(10))
        supervisor = supervise(owner, guest_image("echo"), limits=IMPATIENT)
        async with running(supervisor):
            await owner.until(lambda: supervisor.status.acked == 10)
            os.kill(supervisor.status.pid, signal.SIGSTOP)
            await owner.until(lambda: supervisor.status.crash)
            assert supervisor.evidence is not None
            assert supervisor.evidence.crash.kind == "hang"
            assert "answer to ping" in supervisor.evidence.crash.words

    asyncio.run(main())


def test_a_failed_guest_starts_again_when_told(guest_image: GetImage) -> None:
    async def main() -> None:
        owner = Recorder(readings(3))
        supervisor = supervise(owner, guest_image("hostile-panic"))
        async with running(supervisor):
            await owner.until(lambda: supervisor.status.state is State.FAILED)
            starts = len(owner.of(ReadyEvent))
            supervisor.start_again()
            await owner.until(lambda: supervisor.status.state is not State.FAILED)
            await owner.until(lambda: supervisor.status.state is State.FAILED)
            assert len(owner.of(ReadyEvent)) == starts + TWO_STARTS.starts

    asyncio.run(main())


@pytest.mark.parametrize("state", [State.IDLE, State.STOPPED])
def test_a_guest_rests_and_goes_on_where_it_was(guest_image: GetImage, state: State) -> None:
    async def main() -> None:
        owner = Recorder(readings(10))
        supervisor = supervise(owner, guest_image("echo"))
        async with running(supervisor):
            # More often than the budget lets a guest start that ends by itself.
            for turn in range(TWO_STARTS.starts + 2):
                await owner.until(lambda: supervisor.status.acked == len(owner.frames))
                pid = supervisor.status.pid
                assert supervisor.request_checkpoint()
                assert await supervisor.drain()
                (done,) = owner.of(CheckpointDone)[turn:]
                owner.saved = Restorable(done.seq, done.out, done.state)
                supervisor.rest(state)
                await owner.until(lambda: supervisor.status.state is state)
                assert not alive(pid)
                assert supervisor.status.pid == 0
                owner.frames += readings(len(owner.frames) + 5)[len(owner.frames) :]
                supervisor.wake()
                assert supervisor.status.state is state, "that is for the owner to decide"
                supervisor.rise()
                if state is State.STOPPED:
                    supervisor.start_again()
            await owner.until(lambda: supervisor.status.acked == len(owner.frames))
            assert supervisor.status.crash is None
            assert (supervisor.status.starts, supervisor.status.restarts) == (turn + 2, 0)
        assert [event.body for event in owner.of(EchoEvent)] == [frame[12:] for frame in owner.frames]

    asyncio.run(main())


def test_a_guest_that_begins_at_rest(guest_image: GetImage) -> None:
    async def main() -> None:
        owner = Recorder(readings(3))
        plan = Plan(spec(guest_image("echo")), None, "a test")
        supervisor = Supervisor(Qemu(MACHINES), plan, owner, rest=State.STOPPED)
        async with running(supervisor):
            await owner.until(lambda: supervisor.status.state is State.STOPPED)
            assert not await supervisor.drain()
            supervisor.rest(State.IDLE)
            await owner.until(lambda: supervisor.status.state is State.IDLE)
            assert supervisor.status.starts == 0
            supervisor.start_again()
            await owner.until(lambda: supervisor.status.acked == 3)

    asyncio.run(main())


def test_rest_at_any_moment(guest_image: GetImage) -> None:
    """Sent to rest and woken at once, twice: the last word counts, and one machine runs."""
    image = guest_image("echo")

    async def main(turns: int) -> None:
        owner = Recorder(readings(10))
        supervisor = supervise(owner, image)
        async with running(supervisor):
            for _ in range(turns):
                await asyncio.sleep(0)
            if turns > 30:
                await asyncio.sleep((turns - 30) / 300)
            for _ in range(2):
                supervisor.rest(State.IDLE)
                supervisor.rise()
            await owner.until(lambda: supervisor.status.acked == 10)
            pids = {status.pid for status in owner.states if status.pid}
            assert sum(map(alive, pids)) == 1
        assert not any(map(alive, pids))

    for turns in (0, 1, 3, 8, 16, 31, 40, 60):
        asyncio.run(main(turns))


def test_a_guest_that_dies_while_it_drains(guest_image: GetImage) -> None:
    async def main() -> None:
        owner = Recorder(readings(3))
        supervisor = supervise(owner, guest_image("hostile-spin"), limits=IMPATIENT)
        async with running(supervisor):
            await owner.until(lambda: supervisor.status.state is State.RUNNING)
            life = supervisor._life
            assert life is not None
            while life.session.given < 3:
                await asyncio.sleep(0.01)
            assert not owner.of(HungEvent)
            assert not await supervisor.drain()
            assert owner.of(HungEvent)
            await owner.until(lambda: supervisor.status.crash)

    asyncio.run(main())


def test_cancelled_at_any_moment_nothing_is_left(guest_image: GetImage) -> None:
    """Cancel after every number of turns of the event loop that a start takes."""
    image = guest_image("echo")

    async def main(turns: int) -> set[int]:
        owner = Recorder(readings(10))
        supervisor = supervise(owner, image)
        task = asyncio.create_task(supervisor.run())
        for _ in range(turns):
            await asyncio.sleep(0)
        if turns > 30:
            await asyncio.sleep((turns - 30) / 300)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return {status.pid for status in owner.states if status.pid}

    before = len(os.listdir("/proc/self/fd"))
    for turns in (0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 31, 40, 50):
        pids = asyncio.run(main(turns))
        assert not any(map(alive, pids))
        assert len(os.listdir("/proc/self/fd")) == before
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    assert not any("qemu" in Path(f"/proc/{pid}/comm").read_text() for pid in children)


def test_kvm_runs_a_guest_where_it_can_be_opened(guest_image: GetImage) -> None:
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        pytest.skip("no /dev/kvm that this user may open")

    async def main() -> None:
        owner = Recorder(readings(200))
        plan = Plan(spec(guest_image("echo"), Accelerator.KVM), guest_image("echo").info.log_ring, "a test")
        supervisor = Supervisor(Qemu(MACHINES), plan, owner)
        async with running(supervisor):
            await owner.until(lambda: supervisor.status.acked == 200)
            assert supervisor.status.accelerator == "kvm"
        assert len(owner.of(EchoEvent)) == 200

    asyncio.run(main())


def test_a_guest_that_panics_under_kvm(guest_image: GetImage) -> None:
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        pytest.skip("no /dev/kvm that this user may open")
    evidence = fail(Recorder(readings(3)), guest_image("hostile-panic"), Accelerator.KVM)
    assert "hostile-panic gives up" in evidence.crash.words
