"""Every architecture's guest in a real QEMU: boot, channel, halt, panic. No more of a VMM than that needs."""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain
from pathlib import Path

import pytest

from edgeagent.guest import ring
from edgeagent.image.targets import TARGETS
from edgeagent.probe.live import host_arch
from edgeagent.vmm.machines import MACHINES
from edgeagent.wire import messages
from edgeagent.wire.frame import Decoder, Frame, FrameType, encode

MEMORY = 8 << 20
ANSWER_S = 30.0
STALL_S = 0.3
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
TOPIC = messages.topic_item(b"t")


def kvm_opens() -> bool:
    try:
        os.close(os.open("/dev/kvm", os.O_RDWR))
    except OSError:
        return False
    return True


EVERYWHERE = [pytest.param(arch, "tcg", id=f"{arch}-tcg") for arch in TARGETS]
EVERYWHERE += [
    pytest.param(
        arch, "kvm", id=f"{arch}-kvm", marks=pytest.mark.skipif(not kvm_opens(), reason="no /dev/kvm")
    )
    for arch in (host_arch(),)
    if "kvm" in MACHINES[arch].cpu
]


class Vm:
    """QEMU with a guest: its channel, its monitor, its memory."""

    def __init__(
        self, process: subprocess.Popen[bytes], channel: socket.socket, monitor: socket.socket, memory: int
    ):
        self.process, self.channel, self.monitor, self.memory = process, channel, monitor, memory
        self._decoder, self._frames, self._said = Decoder(), list[Frame](), b""

    def receive(self) -> Frame:
        while not self._frames:
            data = self.channel.recv(1 << 18)
            assert data, "the VMM has gone"
            self._frames += self._decoder.feed(data)
        return self._frames.pop(0)

    def hello(self) -> messages.Ready:
        self.channel.sendall(messages.hello("test", MEMORY, {}))
        ready = self.receive()
        assert ready.type == FrameType.READY
        return messages.parse(ready.type, ready.body)

    def monitor_event(self, *names: str) -> str:
        """Wait for one of these QMP events."""
        while True:
            line, found, rest = self._said.partition(b"\n")
            if not found:
                data = self.monitor.recv(1 << 16)
                assert data, "the VMM has gone"
                self._said += data
                continue
            self._said = rest
            if (name := json.loads(line).get("event")) in names:
                return name

    def command(self, name: str) -> None:
        self.monitor.sendall(json.dumps({"execute": name}).encode())

    def ticks(self) -> int:
        """CPU time used so far, all threads."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    def ring(self, image) -> ring.Ring:
        address, size = image.info.log_ring
        return ring.parse(os.pread(self.memory, size, address - MACHINES[image.info.arch].ram_base))


@contextmanager
def run(image, accelerator: str) -> Iterator[Vm]:
    row = MACHINES[image.info.arch]
    memory = os.memfd_create("guest")
    os.truncate(memory, MEMORY)
    channel, channel_end = socket.socketpair()
    monitor, monitor_end = socket.socketpair()
    inherited = [end.fileno() for end in (channel_end, monitor_end)] + [memory]
    process = subprocess.Popen(
        [
            row.program,
            *("-nodefaults", "-no-user-config", "-display", "none"),
            *("-action", "reboot=shutdown,shutdown=pause,panic=pause"),
            *("-machine", f"{row.machine},memory-backend=ram", "-m", f"{MEMORY >> 20}M"),
            *("-object", f"memory-backend-file,id=ram,size={MEMORY},mem-path=/dev/fd/{memory},share=on"),
            *("-accel", accelerator, "-cpu", row.cpu[accelerator]),
            *("-chardev", f"socket,id=channel,fd={channel_end.fileno()}", *row.devices),
            *(
                "-chardev",
                f"socket,id=monitor,fd={monitor_end.fileno()}",
                "-mon",
                "chardev=monitor,mode=control",
            ),
            *("-kernel", str(image.path)),
        ],
        pass_fds=inherited,
        stderr=subprocess.DEVNULL,
    )
    try:
        with channel, monitor, channel_end, monitor_end:
            channel_end.close()
            monitor_end.close()
            channel.settimeout(ANSWER_S)
            monitor.settimeout(ANSWER_S)
            vm = Vm(process, channel, monitor, memory)
            vm.command("qmp_capabilities")
            yield vm
    finally:
        process.kill()
        process.wait()
        os.close(memory)


PATTERN = bytes(range(251)) * 600


def reading(seq: int, size: int) -> bytes:
    return messages.reading(seq, 1, 65535, 0, TOPIC, PATTERN[seq : seq + size])


def body(frame: bytes) -> bytes:
    (decoded,) = Decoder().feed(frame)
    return decoded.body


@pytest.mark.parametrize(("arch", "accelerator"), EVERYWHERE)
def test_says_what_its_image_declares(guest_image, arch, accelerator):
    image = guest_image("echo", arch)
    with run(image, accelerator) as vm:
        ready = vm.hello()
        assert (ready.app, ready.version, ready.build.hex()) == ("echo", 1, image.info.build_id)
        assert 0 < ready.free < MEMORY
        vm.channel.sendall(messages.ping(2**63))
        pong = vm.receive()
        assert messages.parse(pong.type, pong.body) == messages.Pong(2**63, 0)


@pytest.mark.parametrize(("arch", "accelerator"), EVERYWHERE)
def test_echoes_every_size_in_batches(guest_image, arch, accelerator):
    sizes = (
        (0, 1, 63, 64, 4000, 4095, 8192, 20_000)
        if accelerator == "kvm"
        else (*range(0, 4200, 97), 65_536, 131_072)
    )
    with run(guest_image("echo", arch), accelerator) as vm:
        vm.hello()
        numbered = list(enumerate(sizes, 1))
        for start in range(0, len(numbered), 4):
            frames = [reading(seq, size) for seq, size in numbered[start : start + 4]]
            exchange(vm, b"".join(frames))
            for frame in frames:
                echo = next_echo(vm)
                assert echo.body == body(frame)


def exchange(vm: Vm, data: bytes) -> None:
    """Send, and take in what comes meanwhile, so that neither side waits for the other forever."""
    vm.channel.setblocking(False)
    while data:
        readable, writable, _ = select.select([vm.channel], [vm.channel], [], ANSWER_S)
        assert readable or writable, "neither direction moves"
        if writable:
            data = data[vm.channel.send(data) :]
        if readable:
            vm._frames += vm._decoder.feed(vm.channel.recv(1 << 18))
    vm.channel.settimeout(ANSWER_S)


def next_echo(vm: Vm) -> Frame:
    while (frame := vm.receive()).type != FrameType.ECHO:
        assert frame.type == FrameType.ACK
    return frame


@pytest.mark.parametrize("arch", TARGETS)
def test_loses_nothing_while_the_host_stalls(guest_image, arch):
    frames = [reading(seq, 5000) for seq in range(1, 400)]
    with run(guest_image("echo", arch), "tcg") as vm:
        vm.hello()
        # Push until nothing moves any more: the guest can't say anything, so it mustn't take anything.
        data = b"".join(frames)
        vm.channel.setblocking(False)
        while select.select([], [vm.channel], [], STALL_S)[1]:
            data = data[vm.channel.send(data) :]
        assert data, "all was taken though nobody listened"
        before = vm.ticks()
        time.sleep(STALL_S)
        assert vm.ticks() - before <= STALL_S * TICKS_PER_S / 2, "a guest that can't speak must halt"
        exchange(vm, data)
        for frame in frames:
            assert next_echo(vm).body == body(frame)


@pytest.mark.parametrize(("arch", "accelerator"), EVERYWHERE)
def test_finds_frames_between_garbage(guest_image, arch, accelerator):
    garbage = [
        b"\xed",
        b"\xed\x9e\x01\x01",
        b"noise" * 20,
        encode(FrameType.PING, b"\x81\x01")[:-1] + b"\xff",
    ]
    with run(guest_image("echo", arch), accelerator) as vm:
        vm.hello()
        vm.channel.sendall(
            b"".join(chain.from_iterable((messages.ping(n), noise) for n, noise in enumerate(garbage)))
        )
        vm.channel.sendall(messages.ping(99))
        tokens = []
        while 99 not in tokens:
            frame = vm.receive()
            if frame.type == FrameType.PONG:
                tokens.append(messages.parse(frame.type, frame.body).token)
        assert tokens == [0, 1, 2, 3, 99]


@pytest.mark.parametrize(("arch", "accelerator"), EVERYWHERE)
def test_an_idle_guest_halts(guest_image, arch, accelerator):
    with run(guest_image("echo", arch), accelerator) as vm:
        vm.hello()
        vm.channel.sendall(messages.ping(1))
        vm.receive()
        before = vm.ticks()
        time.sleep(1)
        assert vm.ticks() - before <= TICKS_PER_S / 5


@pytest.mark.parametrize(("arch", "accelerator"), EVERYWHERE)
def test_a_panic_leaves_its_record(guest_image, arch, accelerator):
    image = guest_image("echo", arch)
    with run(image, accelerator) as vm:
        vm.hello()
        vm.channel.sendall(messages.hello("test", MEMORY, {}))
        vm.monitor_event("GUEST_PANICKED", "SHUTDOWN")
        assert vm.ring(image).panic == "second hello"


@pytest.mark.parametrize(("arch", "accelerator"), EVERYWHERE)
def test_a_wild_write_is_a_panic_that_says_where(guest_image, arch, accelerator):
    image = guest_image("hostile-fault", arch)
    with run(image, accelerator) as vm:
        vm.hello()
        vm.channel.sendall(reading(1, 1))
        vm.monitor_event("GUEST_PANICKED", "SHUTDOWN")
        panic = vm.ring(image).panic
        assert panic.startswith("processor exception, cause 0x")
        assert panic.endswith("address 0x00007ffffffff000")


@pytest.mark.parametrize("arch", TARGETS)
def test_memory_that_is_too_small_is_said(guest_image, arch):
    image = guest_image("echo", arch)
    with run(image, "tcg") as vm:
        vm.channel.sendall(messages.hello("test", 4096, {}))
        vm.monitor_event("GUEST_PANICKED", "SHUTDOWN")
        assert "memory" in vm.ring(image).panic


@pytest.mark.parametrize("arch", TARGETS)
def test_aggregate_boots(guest_image, arch):
    image = guest_image("aggregate", arch)
    with run(image, "tcg") as vm:
        vm.channel.sendall(messages.hello("test", MEMORY, {"window": 1000}))
        frame = vm.receive()
        # Whether it likes this configuration is not the platform's business; that it answers is.
        assert frame.type in (FrameType.READY, FrameType.REFUSED)


def test_gicv3(guest_image, monkeypatch):
    """What a KVM on a recent arm64 host offers; TCG has it too."""
    row = MACHINES["aarch64"]
    recent = replace(row, machine=row.machine + ",gic-version=3")
    monkeypatch.setitem(globals(), "MACHINES", {"aarch64": recent})
    with run(guest_image("echo", "aarch64"), "tcg") as vm:
        assert vm.hello().app == "echo"
