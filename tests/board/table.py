"""The boards that QEMU plays, and ways in which a board can lack KVM. A row is all that the rest knows of one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

# What the agent needs and its tests use; the rest of the agent is pure Python.
PYTHON = (
    "python3",
    "python3-aiocoap",
    "python3-cbor2",
    "python3-click",
    "python3-cryptography",
    "python3-hypothesis",
    "python3-paho-mqtt",
    "python3-psutil",
    "python3-pytest",
    "python3-pytest-timeout",
    "python3-rich",
)
LATER = {"bookworm": ("python3-aiocoap", "python3-paho-mqtt")}
"""Of those, what a release doesn't have, or not recent enough."""
SYSTEM = (
    "base-files",
    "base-passwd",
    "busybox-static",
    "coreutils",
    "dash",
    "dropbear-bin",
    "grep",
    "kmod",
    "libc-bin",
    "mount",
    "procps",
    "sed",
    "tar",
    "util-linux",
)


@dataclass(frozen=True, slots=True)
class Board:
    """One emulated board. ``packages`` are in its root file system, which boards of one ``system`` share."""

    system: str
    """Names the root file system."""
    arch: str
    """Of its guests, by the name that images have."""
    debian: str
    """Debian's name of the architecture."""
    release: str
    """Of Debian, by code name."""
    kernel: str
    """Debian package."""
    vmm: str
    """Debian package of the QEMU that the agent runs there."""
    emulator: str
    """The QEMU that plays the board."""
    machine: tuple[str, ...]
    """Arguments of the emulator."""
    console: str
    boot_modules: tuple[str, ...] = ("virtio_pci", "virtio_blk", "virtio_net", "crc32c_generic", "ext4")
    """What the kernel can't find its root without. Those that are built in don't matter."""
    modules: tuple[str, ...] = ()
    """What udev would load."""
    parameters: tuple[str, ...] = ()
    """Of the kernel."""
    borrowed: tuple[str, ...] = ()
    """Pure Python packages of this machine that the board gets in their stead."""
    emulator_release: str = ""
    """Where the emulator comes from, when this machine's is too old."""

    @property
    def packages(self) -> tuple[str, ...]:
        """What is installed there."""
        python = (name for name in PYTHON if name not in LATER.get(self.release, ()))
        return (self.kernel, self.vmm, *SYSTEM, *python)


ARM64 = Board(
    system="arm64",
    arch="aarch64",
    debian="arm64",
    release="trixie",
    kernel="linux-image-cloud-arm64",
    vmm="qemu-system-arm",
    emulator="qemu-system-aarch64",
    machine=("-M", "virt,virtualization=on,gic-version=3", "-cpu", "cortex-a72", "-smp", "2"),
    console="ttyAMA0",
)
RISCV64 = Board(
    system="riscv64",
    arch="riscv64",
    debian="riscv64",
    release="trixie",
    kernel="linux-image-riscv64",
    vmm="qemu-system-riscv",
    emulator="qemu-system-riscv64",
    machine=("-M", "virt", "-cpu", "rv64,h=true", "-smp", "2"),
    console="ttyS0",
    modules=("kvm",),
)
X86_64 = Board(
    system="x86_64",
    arch="x86_64",
    debian="amd64",
    release="trixie",
    kernel="linux-image-cloud-amd64",
    vmm="qemu-system-x86",
    emulator="qemu-system-x86_64",
    machine=("-M", "q35", "-cpu", "max", "-smp", "2"),
    console="ttyS0",
    modules=("kvm_amd",),
    # SVM of QEMU 7.2 crashes the board's kernel in half of the runs.
    emulator_release="trixie",
)
MALTA = Board(
    system="malta",
    arch="mips64el",
    debian="mips64el",
    release="bookworm",
    kernel="linux-image-5kc-malta",
    vmm="qemu-system-mips",
    emulator="qemu-system-mips64el",
    machine=("-M", "malta", "-cpu", "5KEf"),
    console="ttyS0",
    borrowed=("aiocoap", "paho"),
)

BOARDS: Mapping[str, Board] = {
    "arm64": ARM64,
    "arm64-vhe": replace(
        ARM64, machine=("-M", "virt,virtualization=on,gic-version=3", "-cpu", "max", "-smp", "2")
    ),
    "arm64-no-el2": replace(ARM64, machine=("-M", "virt,gic-version=3", "-cpu", "cortex-a72", "-smp", "2")),
    "arm64-mode-none": replace(ARM64, parameters=("kvm-arm.mode=none",)),
    "riscv64": RISCV64,
    "riscv64-no-h": replace(RISCV64, machine=("-M", "virt", "-cpu", "rv64,h=false", "-smp", "2")),
    "x86_64": X86_64,
    "x86_64-no-svm": replace(X86_64, machine=("-M", "q35", "-cpu", "max,svm=off", "-smp", "2")),
    "x86_64-no-module": replace(X86_64, modules=()),
    "malta": MALTA,
}
"""By name; the first of each system can do what its hardware can."""
