"""Core: what QEMU is told for each architecture. A row is all that the VMM knows of one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from .port import Accelerator

MIB = 1 << 20

MMIO_CHANNEL = (
    *("-global", "virtio-mmio.force-legacy=false"),
    *("-device", "virtio-serial-device"),
    *("-device", "virtserialport,nr=1,chardev=channel,name=agent"),
)
PCI_CHANNEL = (
    *("-device", "virtio-serial-pci,disable-legacy=on,vectors=0,addr=0x12"),
    *("-device", "virtserialport,nr=1,chardev=channel,name=agent"),
)

# QEMU before 8.0 leaves memory barriers out of translated code when there can be one processor only (tcg_gen_mb),
# though its device threads run beside it. Room for a second one, which never comes, keeps them in.
BARRIERS = ",smp.cpus=1,smp.maxcpus=2"


@dataclass(frozen=True, slots=True)
class MachineRow:
    """One architecture. Sizes and addresses are bytes; arguments are QEMU's, each an element of argv."""

    program: str
    machine: str
    """Value of -machine, without the memory backend."""
    cpu: Mapping[str, str]
    """Value of -cpu for each accelerator that can run it."""
    devices: tuple[str, ...]
    """The data channel, on the character device "channel"; what reports a panic; firmware."""
    ram_base: int
    """Guest physical address at which RAM begins."""
    minimum_memory: int
    """Below it the machine doesn't start, or an image's static data doesn't fit."""


MACHINES: Mapping[str, MachineRow] = MappingProxyType(
    {
        "x86_64": MachineRow(
            program="qemu-system-x86_64",
            machine="microvm,pic=off,pit=off,rtc=off,acpi=off,isa-serial=off" + BARRIERS,
            # `host` ends in an abort under a software KVM (MSR 0x10a), and the guest uses nothing beyond x86-64.
            cpu=MappingProxyType({Accelerator.KVM: "host,-arch-capabilities", Accelerator.TCG: "qemu64"}),
            devices=(*MMIO_CHANNEL, "-device", "pvpanic"),
            ram_base=0,
            minimum_memory=4 * MIB,
        ),
        "aarch64": MachineRow(
            program="qemu-system-aarch64",
            # QEMU picks the version of the interrupt controller that the host's KVM has; the guest knows 2 and 3.
            machine="virt,highmem=off,its=off,acpi=off" + BARRIERS,
            cpu=MappingProxyType({Accelerator.KVM: "host", Accelerator.TCG: "cortex-a53"}),
            devices=MMIO_CHANNEL,
            ram_base=0x40000000,
            minimum_memory=4 * MIB,
        ),
        "riscv64": MachineRow(
            program="qemu-system-riscv64",
            # One image starts in M-mode under TCG and in S-mode under KVM: both without firmware.
            machine="virt" + BARRIERS,
            cpu=MappingProxyType({Accelerator.KVM: "host", Accelerator.TCG: "rv64"}),
            devices=(*MMIO_CHANNEL, "-bios", "none"),
            ram_base=0x80000000,
            minimum_memory=4 * MIB,
        ),
        "mips64el": MachineRow(
            program="qemu-system-mips64el",
            machine="malta" + BARRIERS,
            # No KVM: malta guests would need a host with the VZ extension, and no board of ours has it.
            cpu=MappingProxyType({Accelerator.TCG: "MIPS64R2-generic"}),
            devices=PCI_CHANNEL,
            ram_base=0,
            minimum_memory=4 * MIB,
        ),
    }
)
