"""Real guests that end, and end again alike when their input is played to them once more."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from edgeagent.agent.crashes import draft
from edgeagent.agent.replay import replay
from edgeagent.crash.case import Case
from edgeagent.crash.inputs import inputs
from edgeagent.crash.player import Player, Verdict, fatal
from edgeagent.crash.store import CrashStore
from edgeagent.errors import DamagedError, ImageError
from edgeagent.guest.budget import RestartPolicy
from edgeagent.guest.events import CheckpointDone, OutputEvent
from edgeagent.guest.limits import Limits
from edgeagent.guest.owner import Evidence, Takeover
from edgeagent.guest.supervisor import Plan, Supervisor
from edgeagent.host.disk import DiskFiles
from edgeagent.image.build import ImageFile
from edgeagent.ingest.topics import TopicPolicy
from edgeagent.unit.checkpointing import Checkpoint
from edgeagent.unit.checkpointing import Takeover as TakeoverOf
from edgeagent.unit.outbox import Counts, Outbox
from edgeagent.unit.ports import LaneId
from edgeagent.unit.settings import contract_of, guest_config
from edgeagent.unit.sharding import Shard
from edgeagent.vmm.machines import MACHINES
from edgeagent.vmm.port import Accelerator
from edgeagent.vmm.qemu import Qemu
from edgeagent.wire import cbor, messages
from tests.crash.given import TOPIC, Frames, unit
from tests.guests import VM_USER, GetImage, Recorder, Restorable, spec

IMPATIENT = Limits(ping_s=0.2, hang_s=1.0, start_s=60)
PATIENT = Limits(start_s=60, hang_s=60)
CAP = 32 << 20


def frames(count: int, bad: int = 0) -> list[bytes]:
    """Readings 1 to count, the bad one poisonous; each tenth is a tick."""
    return [
        messages.tick(seq, 1000 * seq)
        if seq % 10 == 0
        else messages.reading(seq, 1000 * seq, 65535, 0, TOPIC, b"poison" if seq == bad else b"21.5")
        for seq in range(1, count + 1)
    ]


def ended(owner: Recorder, image: ImageFile, limits: Limits, accelerator: Accelerator) -> Evidence:
    """Run a guest until it ends."""

    async def main() -> Evidence:
        policy = RestartPolicy(first_delay_s=1000)
        plan = Plan(spec(image, accelerator), image.info.log_ring, "a test", limits, policy)
        task = asyncio.create_task(Supervisor(Qemu(MACHINES), plan, owner).run())
        await owner.until(lambda: owner.ends)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return owner.ends[0]

    return asyncio.run(main())


def state_after(image: ImageFile, known: list[bytes]) -> bytes:
    """A guest's state when it has taken these."""

    async def main() -> bytes:
        owner = Recorder(known, config=guest_config(unit()))
        plan = Plan(spec(image), image.info.log_ring, "a test", PATIENT)
        supervisor = Supervisor(Qemu(MACHINES), plan, owner)
        task = asyncio.create_task(supervisor.run())
        await owner.until(lambda: supervisor.status.acked == len(known))
        assert supervisor.request_checkpoint()
        await owner.until(lambda: owner.of(CheckpointDone))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        (done,) = owner.of(CheckpointDone)
        assert isinstance(done, CheckpointDone)
        return done.state

    return asyncio.run(main())


def crash(
    folder: Path,
    image: ImageFile,
    known: list[bytes],
    start: Checkpoint | None = None,
    limits: Limits = PATIENT,
    accelerator: Accelerator = Accelerator.TCG,
    owner: Recorder | None = None,
    reader: Callable[[int], Frames] | None = None,
    takeover: TakeoverOf | None = None,
) -> Case:
    """Let a guest end, and keep what is left of it as the agent does."""
    begin = start or Checkpoint(0, 0, b"", "", 0, guest_config(unit()))
    saved = Restorable(begin.seq, begin.out, begin.state) if begin.seq else None
    evidence = ended(
        owner or Recorder(known, saved=saved, config=dict(begin.config)), image, limits, accelerator
    )
    lane = SimpleNamespace(
        ident=LaneId("home"),
        checkpoint=begin,
        takeover=takeover,
        record_after=reader or (lambda seq: Frames(known, 1, seq)),
    )
    choice = SimpleNamespace(path=image.path, image=image.info, arch=image.info.arch, accelerator=accelerator)
    store = CrashStore(DiskFiles(), folder / "crashes", CAP)
    *_, made = store.adding(draft(evidence, unit(), lane, choice, limits))
    return store.case(made.number)


def played(case: Case, accelerator: Accelerator = Accelerator.TCG, **more) -> tuple[Player, Verdict]:
    return asyncio.run(replay(Qemu(MACHINES), case, accelerator, user=VM_USER, timeout_s=60, **more))


@pytest.mark.parametrize("arch", MACHINES)
def test_the_fatal_input_is_found_on_every_architecture(
    guest_image: GetImage, tmp_path: Path, arch: str
) -> None:
    case = crash(tmp_path, guest_image("hostile-poison", arch), frames(2000, bad=1234))
    record = case.record
    assert (record.kind, record.machine.arch, record.unit) == ("panicked", arch, "home")
    # 123 ticks were before it.
    assert record.panic == "poisoned by reading 0000001111"
    assert record.log[-1] == "E this one tastes odd"
    assert (record.began, record.start.seq) == (0, 0)
    assert record.acked < 1234 <= record.given
    player, verdict = played(case)
    assert verdict.reproduced, verdict.words
    assert (verdict.first, verdict.last) == (1234, 1234)
    assert "the same end at input 1234" in verdict.words
    found = fatal(player, verdict)
    assert found is not None
    assert found.reading is not None
    assert found.reading.payload == b"poison"


def test_it_starts_from_the_checkpoint(guest_image: GetImage, tmp_path: Path) -> None:
    """The count that the guest says is its state's and that of the input after it."""
    state = state_after(guest_image("hostile-poison"), frames(1000))
    start = Checkpoint(1000, 0, state, "hostile-poison", 1, guest_config(unit()))
    case = crash(tmp_path, guest_image("hostile-poison"), frames(1500, bad=1301), start)
    assert case.record.panic == "poisoned by reading 0000001171"
    assert (case.record.began, case.record.start.seq) == (1000, 1000)
    assert case.parts["state"] == state
    _, verdict = played(case)
    assert verdict.reproduced, verdict.words
    assert verdict.last == 1301
    # Without the state it is another crash, and that is said.
    other = replace(case, parts={**case.parts, "state": b""})
    _, verdict = played(other)
    assert not verdict.reproduced
    assert verdict.words.startswith(
        "another end at input 1301: the guest gave up: poisoned by reading 0000000271"
    )


def test_one_of_several_instances(guest_image: GetImage, tmp_path: Path) -> None:
    """Its input has gaps, where others got theirs."""
    whole = frames(60, bad=47)
    known = [*whole[:10], messages.skip(11, 19), *whole[19:30], messages.skip(31, 45), *whole[45:]]

    class Sharing(Recorder):
        def input_after(self, seq: int) -> Frames:
            return Several(known)

    class Several(Frames):
        """Reads frames of which some stand for several inputs."""

        def __init__(self, frames: list[bytes]) -> None:
            super().__init__(frames, 1, 0)
            self._left = list(inputs(b"".join(frames)))

        def read(self, max_bytes: int) -> bytes:
            if not self._left:
                return b""
            one = self._left.pop(0)
            self.last_seq = one.seq
            return one.data

    begin = Checkpoint(0, 0, b"", "", 0, guest_config(unit()))
    owner = Sharing(known, config=dict(begin.config))
    case = crash(tmp_path, guest_image("hostile-poison"), known, owner=owner, reader=lambda _: Several(known))
    assert case.record.panic == "poisoned by reading 0000000020"
    player, verdict = played(case)
    assert verdict.reproduced, verdict.words
    assert (verdict.first, verdict.last) == (47, 47)
    assert any(one.kind == "skip" for one in player.inputs)


def test_a_guest_that_took_over_from_others(guest_image: GetImage, tmp_path: Path) -> None:
    """It began with the states of all guests that the unit had, and so does the replay."""
    image = guest_image("hostile-poison")
    states = (state_after(image, frames(20)), state_after(image, frames(20)))
    begin = Checkpoint(20, 0, b"", "", 0, guest_config(unit()))
    known = frames(60, bad=47)

    class Taking(Recorder):
        def checkpoint(self) -> Takeover:
            return Takeover(20, 0, states, (1, 2))

    takeover = TakeoverOf(Shard(1, 2), states)
    owner = Taking(known, config=dict(begin.config))
    case = crash(tmp_path, image, known, begin, owner=owner, takeover=takeover)
    assert case.record.kind == "panicked"
    assert (case.record.start.shard, case.record.start.seq) == ((1, 2), 20)
    _, verdict = played(case)
    assert verdict.reproduced, verdict.words
    assert verdict.last == 47
    for state in (cbor.dumps([1]), cbor.dumps(2)):
        with pytest.raises(DamagedError, match="none of several guests"):
            played(replace(case, parts={**case.parts, "state": state}))


@pytest.mark.parametrize(
    ("app", "kind"),
    [
        ("hostile-fault", "panicked"),
        ("hostile-spin", "hang"),
        ("hostile-lie", "breach"),
        ("hostile-garbage", "breach"),
    ],
)
def test_other_ends(guest_image: GetImage, tmp_path: Path, app: str, kind: str) -> None:
    case = crash(tmp_path, guest_image(app), frames(30), limits=IMPATIENT if kind == "hang" else PATIENT)
    assert case.record.kind == kind
    assert case.parts["ring"].startswith(b"EDGERING")
    _, verdict = played(case)
    assert verdict.reproduced, verdict.words
    assert verdict.last == 1


def test_a_summary_that_cant_be_true_is_one_again(guest_image: GetImage, tmp_path: Path) -> None:
    """The breach was of the unit's contract, and that holds in a replay too."""
    image = guest_image("aggregate")
    known = [
        messages.reading(seq, 1_700_000_000_000 + 30_000 * seq, 65535, 0, TOPIC, b'{"t": 21.5}')
        for seq in range(1, 41)
    ]
    begin = Checkpoint(0, 0, b"", "", 0, guest_config(unit()))
    contract = contract_of(begin.config, TopicPolicy(("other/+",)).allows)
    outbox = Outbox(contract, Counts(), 0, 1000.0, 1000)

    def judge(event: object) -> None:
        if isinstance(event, OutputEvent):
            outbox.take(event.message, event.type, event.body, 1 << 62, 0.0)

    owner = Recorder(known, config=dict(begin.config), judge=judge)
    case = crash(tmp_path, image, known, begin, owner=owner)
    assert case.record.kind == "breach"
    assert "source 'home/room' is none of its topics" in case.record.words
    # As kept for a unit that took these topics.
    start = replace(case.record.start, topics=("other/+",))
    _, verdict = played(replace(case, record=replace(case.record, start=start)))
    assert verdict.reproduced, verdict.words
    _, verdict = played(case)
    assert not verdict.reproduced


def test_a_guest_that_takes_it_isnt_blamed(guest_image: GetImage, tmp_path: Path) -> None:
    """What came from outside doesn't come again. The state that it had been asked for is asked for again."""
    case = crash(tmp_path, guest_image("hostile-poison"), frames(500, bad=401))
    innocent = replace(
        case,
        record=replace(case.record, kind="vmm-killed", words="QEMU was ended by SIGKILL", state_asked=True),
        parts={**case.parts, "input": b"".join(frames(400))},
    )
    player, verdict = played(innocent)
    assert not verdict.reproduced
    assert verdict.words == "the guest took all of its 400 inputs, and goes on"
    assert player.stated


def test_nothing_to_start(guest_image: GetImage, tmp_path: Path) -> None:
    case = crash(tmp_path, guest_image("hostile-poison"), frames(20, bad=7))
    with pytest.raises(ImageError, match="its image isn't kept"):
        played(replace(case, image=b""))
    with pytest.raises(ImageError):
        played(replace(case, image=b"\x7fELF"))
    with pytest.raises(DamagedError, match="configuration"):
        played(replace(case, record=replace(case.record, start=replace(case.record.start, config={}))))


@pytest.mark.parametrize("arch", sorted(set(MACHINES) - {"x86_64"}))
def test_a_debugger_on_other_architectures(guest_image: GetImage, tmp_path: Path, arch: str) -> None:
    """The guest waits until a debugger lets it go, here by the remote serial protocol; test_cli has a real gdb."""
    case = crash(tmp_path, guest_image("hostile-poison", arch), frames(20, bad=7))

    async def attach(path: Path) -> None:
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(b"+$?#3f")
        await reader.readuntil(b"$T05")
        writer.write(b"+$D#44")  # detach: go on
        await reader.readuntil(b"$OK")
        writer.close()
        await writer.wait_closed()

    async def main() -> Verdict:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(tmp_path / "gdb"))
            listener.listen(1)
            playing = asyncio.create_task(
                replay(Qemu(MACHINES), case, Accelerator.TCG, user=VM_USER, gdb=listener.fileno())
            )
            await attach(tmp_path / "gdb")
            _, verdict = await playing
            return verdict

    verdict = asyncio.run(main())
    assert verdict.reproduced, verdict.words
    assert verdict.last == 7


@pytest.mark.skipif(not Path("/dev/kvm").exists(), reason="no /dev/kvm")
def test_a_crash_under_kvm_comes_again_under_tcg(guest_image: GetImage, tmp_path: Path) -> None:
    """What is the guest's own doing doesn't depend on what runs it."""
    slow = Limits(start_s=60, hang_s=60)
    case = crash(
        tmp_path, guest_image("hostile-poison"), frames(60, bad=41), limits=slow, accelerator=Accelerator.KVM
    )
    assert case.record.machine.accelerator == "kvm"
    for accelerator in (Accelerator.KVM, Accelerator.TCG):
        _, verdict = played(case, accelerator)
        assert verdict.reproduced, verdict.words
        assert verdict.last == 41
