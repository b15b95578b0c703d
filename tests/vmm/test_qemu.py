"""The real QEMU, in its real jail."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from edgeagent.errors import EnvironmentFaultError, ImageError
from edgeagent.guest import ring
from edgeagent.vmm import crash
from edgeagent.vmm.machines import MACHINES
from edgeagent.vmm.port import Accelerator, End, MachineSpec
from edgeagent.vmm.qemu import Qemu, QemuMachine
from edgeagent.wire import messages
from edgeagent.wire.frame import Decoder, FrameType
from tests.guests import MEMORY, GetImage, alive, need, readings, spec

ROOT = Path(__file__).resolve().parents[2]


def status_of(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


async def hello(machine: QemuMachine) -> int:
    """Say hello; the type of the first frame that comes back."""
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(machine.channel, messages.hello("u", MEMORY, {}))
    decoder = Decoder()
    while not (frames := decoder.feed(await loop.sock_recv(machine.channel, 65536))):
        pass
    return frames[0].type


def test_the_jail_is_real(guest_image: GetImage) -> None:
    image = guest_image("echo")

    async def main() -> None:
        machine = await Qemu(MACHINES).start(spec(image))
        assert await hello(machine) == FrameType.READY
        status = status_of(machine.pid)
        assert status["NoNewPrivs"] == "1"
        assert status["Seccomp"] == "2"
        assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == int(status["CapInh"], 16) == 0
        if os.geteuid() == 0:
            assert int(status["CapBnd"], 16) == 0
            assert "0" not in status["Uid"].split()
            assert status["Groups"] == ""
        if any("network" in words and "without" not in words for words in machine.jail):
            own, ours = (os.readlink(f"/proc/{which}/ns/net") for which in (machine.pid, "self"))
            assert own != ours
        environment = Path(f"/proc/{machine.pid}/environ").read_bytes()
        assert b"HOME" not in environment
        assert machine.read_memory(*image.info.log_ring)[:8] == ring.MAGIC
        for outside in (-1, MEMORY - 1, 1 << 60):
            with pytest.raises((ValueError, OverflowError)):
                machine.read_memory(outside, 16)
        assert await machine.kill() == -signal.SIGKILL
        assert await machine.kill() == -signal.SIGKILL
        assert not alive(machine.pid)
        assert (await machine.ended()).end is End.SIGNALLED

    before = len(os.listdir("/proc/self/fd"))
    asyncio.run(main())
    assert len(os.listdir("/proc/self/fd")) == before


def test_paused_until_resumed(guest_image: GetImage) -> None:
    async def main() -> None:
        machine = await Qemu(MACHINES).start(spec(guest_image("echo"), paused=True))
        answer = asyncio.create_task(hello(machine))
        while not machine.version:
            await asyncio.sleep(0.01)
        assert not answer.done()
        await machine.resume()
        assert await answer == FrameType.READY
        await machine.kill()

    asyncio.run(main())


def test_usage_is_that_of_the_vmm(guest_image: GetImage) -> None:
    async def main() -> None:
        machine = await Qemu(MACHINES).start(spec(guest_image("hostile-spin")))
        await hello(machine)
        first = machine.usage()
        assert first is not None
        assert first.threads >= 2
        assert 0 < first.pss <= first.rss < 200 << 20
        await asyncio.get_running_loop().sock_sendall(machine.channel, readings(1)[0])
        while (later := machine.usage()) is not None and later.cpu_s < first.cpu_s + 0.2:
            await asyncio.sleep(0.05)
        assert later is not None
        await machine.kill()
        assert machine.usage() is None

    asyncio.run(main())


def test_memory_outlives_qemu(guest_image: GetImage) -> None:
    async def main() -> None:
        image = guest_image("echo")
        machine = await Qemu(MACHINES).start(spec(image))
        await hello(machine)
        os.kill(machine.pid, signal.SIGKILL)
        assert (await machine.ended()).status == -signal.SIGKILL
        assert ring.parse(machine.read_memory(*image.info.log_ring)).panic == ""
        await machine.kill()

    asyncio.run(main())


@pytest.mark.parametrize("content", [b"", b"no image", b"\x7fELF" + bytes(60)], ids=["empty", "text", "torn"])
def test_what_is_no_image_ends_with_words(tmp_path: Path, content: bytes) -> None:
    need("qemu-system-x86_64")
    image = tmp_path / "image"
    image.write_bytes(content)

    async def main() -> None:
        machine = await Qemu(MACHINES).start(
            MachineSpec("t", "x86_64", Accelerator.TCG, MEMORY, image, "edgeagent-vm")
        )
        ending = await machine.ended()
        await machine.kill()
        told = crash.explain(ending, Accelerator.TCG)
        assert told.kind in ("image", "vmm-exited"), ending
        assert "load" in told.words or "kernel" in told.words

    asyncio.run(main())


def test_what_can_not_start(guest_image: GetImage, tmp_path: Path) -> None:
    async def main() -> None:
        good = spec(guest_image("echo"))
        with pytest.raises(ImageError, match=r"missing.elf: image can't be read"):
            await Qemu(MACHINES).start(replace(good, image=tmp_path / "missing.elf"))
        with pytest.raises(ImageError, match="no machine is known for vax"):
            await Qemu(MACHINES).start(replace(good, arch="vax"))
        absent = replace(MACHINES["x86_64"], program="qemu-system-vax")
        with pytest.raises(EnvironmentFaultError, match="qemu-system-vax is not installed"):
            await Qemu({"x86_64": absent}).start(good)

    before = len(os.listdir("/proc/self/fd"))
    asyncio.run(main())
    assert len(os.listdir("/proc/self/fd")) == before


def test_kvm_that_fails_is_told_and_tcg_offered(guest_image: GetImage) -> None:
    """A user who may not open the node, whatever this machine has: QEMU's own words are understood."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to become a user without rights")

    async def main() -> None:
        vmm = Qemu(MACHINES)
        good = spec(guest_image("echo"), Accelerator.KVM)
        machine = await vmm.start(good)
        await machine.kill()
        # The jail knows the node's owner; make it believe in a node that anybody may open.
        facts = vmm._facts[good.user]
        vmm._facts[good.user] = replace(facts, kvm=None)
        machine = await vmm.start(good)
        ending = await machine.ended()
        await machine.kill()
        told = crash.explain(ending, Accelerator.KVM)
        assert told.kind == "kvm-unavailable", ending
        assert "tcg" in told.remedy

    mode = Path("/dev/kvm").stat().st_mode & 0o006 if Path("/dev/kvm").exists() else 0
    if mode == 0o006:
        pytest.skip("anybody may open /dev/kvm here")
    asyncio.run(main())


AGENT = """
import asyncio, os, sys
from pathlib import Path
from edgeagent.vmm.machines import MACHINES
from edgeagent.vmm.port import Accelerator, MachineSpec
from edgeagent.vmm.qemu import Qemu

async def main():
    spec = MachineSpec("t", "x86_64", Accelerator.TCG, 8 << 20, Path(sys.argv[1]), "edgeagent-vm")
    machine = await Qemu(MACHINES).start(spec)
    print(machine.pid, flush=True)
    if sys.argv[2] == "dies":
        os._exit(0)
    while not machine.version:
        await asyncio.sleep(0.005)
    print(machine.version, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


def gone(pid: int) -> None:
    """Wait until the process is, as long as the test's time limit lets us."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    select.select([fd], [], [])
    os.close(fd)


def agent(image: Path, how: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", AGENT, str(image), how], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )


def test_killed_agent_leaves_no_qemu(guest_image: GetImage) -> None:
    with agent(guest_image("echo").path, "lives") as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        assert process.stdout.readline().strip(), "QEMU is up"
        assert "qemu" in Path(f"/proc/{pid}/comm").read_text()
        process.kill()
    gone(pid)


def test_agent_that_dies_while_qemu_starts_leaves_no_qemu(guest_image: GetImage) -> None:
    """The wrappers are still at work then: the death signal isn't set, and its sender is gone."""
    for _ in range(5):
        with agent(guest_image("echo").path, "dies") as process:
            assert process.stdout is not None
            pid = int(process.stdout.readline())
        gone(pid)
