"""Core: how an image of anybody's wants to be booted, from its bytes alone; or why nothing here can boot it."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from edgeagent.errors import ImageError

from . import elf, solo5
from .solo5 import Device

MAX_IMAGE = 64 << 20
"""Bytes."""


class Protocol(enum.StrEnum):
    """What hands over to the image, and in which state."""

    MULTIBOOT = "multiboot1"
    PVH = "pvh"
    LINUX_X86 = "linux-x86"
    LINUX_ARM64 = "linux-arm64"
    LINUX_RISCV = "linux-riscv"
    ARM = "arm-elf"
    RISCV_M = "riscv-m"
    RISCV_S = "riscv-s"
    MIPS = "mips-elf"
    SOLO5_HVT = "solo5-hvt"
    SOLO5_SPT = "solo5-spt"


WORDS: Mapping[Protocol, str] = MappingProxyType(
    {
        Protocol.MULTIBOOT: "32-bit protected mode",
        Protocol.PVH: "32-bit protected mode, at the address in ELF note 0x12",
        Protocol.LINUX_X86: "bzImage",
        Protocol.LINUX_ARM64: "Image",
        Protocol.LINUX_RISCV: "Image, in S-mode, after OpenSBI",
        Protocol.ARM: "at its entry point",
        Protocol.RISCV_M: "M-mode, without firmware",
        Protocol.RISCV_S: "S-mode, after OpenSBI",
        Protocol.MIPS: "kseg0, on a Malta",
        Protocol.SOLO5_HVT: "by the tender of this name, under KVM",
        Protocol.SOLO5_SPT: "by the tender of this name, as a sandboxed process",
    }
)


@dataclass(frozen=True, slots=True)
class Boot:
    """What was found. Addresses and sizes are bytes, addresses are guest physical ones."""

    protocol: Protocol
    arch: str
    """The machine's, by QEMU's name: "x86_64" also for 32-bit images, "mipsel" or "mips" by byte order."""
    entry: int | None = None
    """As the image has it; None where its loader finds it."""
    start: int | None = None
    """The lowest address that is loaded, None where the loader chooses."""
    end: int | None = None
    """Behind the highest."""
    remarks: tuple[str, ...] = ()
    """What may surprise whoever runs it."""
    devices: tuple[Device, ...] = ()
    """Solo5: what must be attached."""


def identify(data: bytes) -> Boot:
    """The boot protocol. ImageError with one line that says why nothing here can boot it."""
    if len(data) > MAX_IMAGE:
        raise ImageError(f"{len(data)} bytes are above the limit of {MAX_IMAGE} for an image")
    for found in (_linux(data), _multiboot_raw(data)):
        if found:
            return found
    if data[:4] == b"\x7fELF":
        return _elf(elf.parse(data))
    for magic, at, what, remedy in _NOT_OURS:
        if data[at : at + len(magic)] == magic:
            raise ImageError(what, remedy=remedy)
    raise ImageError(
        "not an ELF file, and no other boot protocol that is known here",
        remedy="Known: " + ", ".join(Protocol),
    )


_NOT_OURS = (
    (b"\x1f\x8b", 0, "compressed (gzip)", "Unpack it with `gunzip`"),
    (b"\xfd7zXZ\0", 0, "compressed (xz)", "Unpack it with `unxz`"),
    (b"\x28\xb5\x2f\xfd", 0, "compressed (zstd)", "Unpack it with `unzstd`"),
    (b"\x27\x05\x19\x56", 0, "a U-Boot image (uImage)", "`dumpimage -o FILE` takes the kernel out of it"),
    (b"\xd0\x0d\xfe\xed", 0, "a device tree or FIT image", "`dumpimage -o FILE` takes the kernel out of it"),
    (b"MZ", 0, "an EFI application, which needs UEFI firmware: there is none here", ""),
    (b"QFI\xfb", 0, "a disk (qcow2), not a kernel", ""),
    (b"CD001", 0x8001, "a CD image, not a kernel", ""),
    (b"#!", 0, "not an ELF file but a script", ""),
)
"""Bytes, where they are, what has them, what to do."""


# ---- images that aren't ELF -------------------------------------------------------------------------------------


def _linux(data: bytes) -> Boot | None:
    """Linux's arm64/booting.rst, riscv/boot-image-header.rst, x86/boot.rst."""
    if data[56:60] == b"ARM\x64":
        if int.from_bytes(data[24:32], "little") & 1:
            raise ImageError("a big-endian arm64 Image, which no machine here runs")
        return Boot(Protocol.LINUX_ARM64, "aarch64")
    if data[56:60] == b"RSC\x05":
        return Boot(Protocol.LINUX_RISCV, "riscv64")
    if data[0x202:0x206] == b"HdrS" and data[0x1FE:0x200] == b"\x55\xaa":
        return Boot(Protocol.LINUX_X86, "x86_64")
    return None


_MULTIBOOT, _MULTIBOOT2 = 0x1BADB002, 0xE85250D6
_MULTIBOOT_SEARCH = 8192
_MULTIBOOT2_SEARCH = 32_768
_MULTIBOOT_ADDRESSES = 1 << 16
"""Flag: the header has the load addresses, whatever the file is."""


def _little(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "little")


def _multiboot(data: bytes) -> tuple[int, int] | None:
    """Where the header is, and its flags (Multiboot 0.6.96, 3.1)."""
    at = -1
    magic = _MULTIBOOT.to_bytes(4, "little")
    while 0 <= (at := data.find(magic, at + 1, _MULTIBOOT_SEARCH)) <= len(data) - 12:
        flags = _little(data, at + 4)
        if at % 4 == 0 and (_MULTIBOOT + flags + _little(data, at + 8)) & 0xFFFFFFFF == 0:
            return at, flags
    return None


def _multiboot_raw(data: bytes) -> Boot | None:
    """With addresses in the header: load_addr, load_end_addr, bss_end_addr and entry_addr are at 16 to 31."""
    header = _multiboot(data)
    if header is None or not header[1] & _MULTIBOOT_ADDRESSES or len(data) < header[0] + 32:
        return None
    start, load_end, bss_end, entry = (_little(data, header[0] + 16 + 4 * index) for index in range(4))
    end = max(load_end or start + len(data), bss_end)
    _in_pc_ram(end)
    return Boot(Protocol.MULTIBOOT, "x86_64", entry, start, end)


# ---- ELF, by machine --------------------------------------------------------------------------------------------


def _elf(image: elf.Elf) -> Boot:
    if image.machine not in _MACHINES:
        raise ImageError(
            f"for a machine that isn't supported (ELF number {image.machine})",
            remedy="Supported are x86, ARM, RISC-V and MIPS",
        )
    if not image.loaded():
        raise ImageError("an ELF file that loads nothing")
    found = solo5.read(image.notes(), "big" if image.order == elf.BIG else "little")
    if found and found.target is not solo5.Target.VIRTIO:
        return _solo5(image, found)
    return _MACHINES[image.machine](image)


_TENDERS = {solo5.Target.HVT: Protocol.SOLO5_HVT, solo5.Target.SPT: Protocol.SOLO5_SPT}
_SOLO5_MACHINES = {62: "x86_64", 183: "aarch64", 243: "riscv64"}


def _solo5(image: elf.Elf, found: solo5.Solo5) -> Boot:
    if found.target not in _TENDERS or image.machine not in _SOLO5_MACHINES:
        raise ImageError(
            f"a Solo5 image for {found.target.name.lower()}, which can't run here",
            remedy="Build it for hvt, spt or virtio",
        )
    start, end = _extent(image)
    return Boot(
        _TENDERS[found.target],
        _SOLO5_MACHINES[image.machine],
        image.entry,
        start,
        end,
        devices=found.devices,
    )


def _extent(image: elf.Elf, physical: Callable[[int], int] = lambda address: address) -> tuple[int, int]:
    loaded = image.loaded()
    start = min(physical(segment.physical) for segment in loaded)
    return start, max(physical(segment.physical) + segment.memory_size for segment in loaded)


_PC_RAM = 0xC0000000
"""Where QEMU's PC has no RAM any more, and below 4 GiB the firmware."""


def _in_pc_ram(end: int) -> None:
    if end > _PC_RAM:
        raise ImageError(f"it loads up to {end:#x}, where a PC has no RAM: firmware, not a kernel")


_PVH_OWNER, _PVH_NOTE = b"Xen", 0x12


def _x86(image: elf.Elf) -> Boot:
    start, end = _extent(image)
    _in_pc_ram(end)
    if _multiboot(image.data):
        # QEMU looks for this header first, and for a PVH note only where there is none.
        if image.bits != 32:
            raise ImageError(
                "a 64-bit ELF file with a Multiboot 1 header, of which QEMU loads only 32-bit ones",
                remedy="`objcopy -O elf32-i386 IN OUT` makes one",
            )
        return Boot(Protocol.MULTIBOOT, "x86_64", image.entry, start, end)
    for note in image.notes():
        if (note.name, note.kind) == (_PVH_OWNER, _PVH_NOTE) and len(note.descriptor) in (4, 8):
            return Boot(Protocol.PVH, "x86_64", int.from_bytes(note.descriptor, "little"), start, end)
    if _MULTIBOOT2.to_bytes(4, "little") in image.data[:_MULTIBOOT2_SEARCH]:
        raise ImageError(
            "a Multiboot 2 image, which no VMM here boots", remedy="Build it for Multiboot 1 or PVH"
        )
    _no_program(image)
    raise ImageError(
        "an x86 ELF file with neither a Multiboot 1 header nor a PVH note: nothing here can enter it",
        remedy="Build it for Multiboot 1 or PVH",
    )


_ARM_RAM = 0x40000000
_ARM_FLASH = 0x08000000


def _arm(image: elf.Elf) -> Boot:
    _little_endian(image)
    _no_program(image)
    start, end = _extent(image)
    if _ARM_FLASH <= start < _ARM_RAM:
        raise ImageError(f"it loads at {start:#x}, where the virt machine has no memory (RAM: {_ARM_RAM:#x})")
    return Boot(Protocol.ARM, "aarch64" if image.bits == 64 else "arm", image.entry, start, end)


_RISCV_RAM, _RISCV_S = 0x80000000, 0x80200000
"""Start of RAM, which OpenSBI takes, and where it hands over."""


def _riscv(image: elf.Elf) -> Boot:
    _little_endian(image)
    _no_program(image)
    if image.bits != 64:
        raise ImageError("a 32-bit RISC-V image, for which there is no machine here")
    start, end = _extent(image)
    if start < _RISCV_RAM:
        raise ImageError(f"it loads at {start:#x}, below the virt machine's RAM at {_RISCV_RAM:#x}")
    machine_mode = start < _RISCV_S
    mode, side = ("M", "below") if machine_mode else ("S", "at or above")
    remarks = [f"{mode}-mode, since it loads {side} {_RISCV_S:#x}, where OpenSBI hands over"]
    if _physical(image, image.entry) != start:
        remarks.append(
            f"QEMU enters RISC-V images at their lowest load address ({start:#x}), "
            f"not at the entry point ({image.entry:#x})"
        )
    protocol = Protocol.RISCV_M if machine_mode else Protocol.RISCV_S
    return Boot(protocol, "riscv64", image.entry, start, end, tuple(remarks))


def _physical(image: elf.Elf, address: int) -> int:
    for segment in image.loaded():
        if 0 <= address - segment.address < segment.memory_size:
            return segment.physical + address - segment.address
    return address


_MALTA_RAM = 0x10000000
"""Bytes of RAM below the first hole."""


def _mips(image: elf.Elf) -> Boot:
    _no_program(image)
    for segment in image.loaded():
        address = segment.physical
        if not 0x80000000 <= address & 0xFFFFFFFF < 0xC0000000:
            raise ImageError(
                f"it loads at {address:#x}, outside of kseg0, which is where a Malta's loader can put it"
            )
    start, end = _extent(image, lambda address: address & 0x1FFFFFFF)
    if start >= _MALTA_RAM:
        raise ImageError(f"it loads at {start:#x}, where a Malta has no RAM: firmware, not a kernel")
    arch = ("mips" if image.bits == 32 else "mips64") + ("el" if image.order == elf.LITTLE else "")
    return Boot(Protocol.MIPS, arch, image.entry, start, end)


def _little_endian(image: elf.Elf) -> None:
    if image.order != elf.LITTLE:
        raise ImageError("a big-endian image, for which there is no machine here")


_INTERPRETER = 3


def _no_program(image: elf.Elf) -> None:
    if any(segment.kind == _INTERPRETER for segment in image.segments):
        raise ImageError("a program for an operating system, not a kernel: it asks for a dynamic loader")


_MACHINES: Mapping[int, Callable[[elf.Elf], Boot]] = MappingProxyType(
    {3: _x86, 8: _mips, 40: _arm, 62: _x86, 183: _arm, 243: _riscv}
)
"""e_machine (elf.h)."""
