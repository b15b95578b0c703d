"""How images of anybody's boot: real ones, hand-made ones, and what only looks like one."""

from __future__ import annotations

import dataclasses
import struct
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeagent.errors import ImageError
from edgeagent.image import boot, elf, solo5
from edgeagent.image.boot import Protocol, identify
from edgeagent.image.solo5 import Device

X86, X86_64, MIPS, ARM, AARCH64, RISCV, POWER = 3, 62, 8, 40, 183, 243, 20
LOAD, INTERPRETER, NOTE = 1, 3, 4


def elf_file(
    machine: int,
    address: int = 0x100000,
    *,
    bits: int = 64,
    order: str = "<",
    kind: int = 2,
    entry: int | None = None,
    content: bytes = bytes(64),
    notes: bytes = b"",
    align: int = 4,
    interpreter: bool = False,
) -> bytes:
    """One loaded segment, and a note segment and an interpreter where they are wanted."""
    wanted = [(LOAD, content, address)]
    wanted += [(NOTE, notes, 0)] if notes else []
    wanted += [(INTERPRETER, b"/lib/ld.so\0", 0)] if interpreter else []
    head, row = (64, 56) if bits == 64 else (52, 32)
    at = head + row * len(wanted)
    rows, data = b"", b""
    for what, part, where in wanted:
        offset = at + len(data)
        fields = (where, where, len(part), len(part))
        if bits == 64:
            rows += struct.pack(order + "IIQQQQQQ", what, 7, offset, *fields, align)
        else:
            rows += struct.pack(order + "IIIIIIII", what, offset, *fields, 7, align)
        data += part
    ident = b"\x7fELF" + bytes([bits // 32, 1 if order == "<" else 2, 1]) + bytes(9)
    word = "Q" if bits == 64 else "I"
    start = address if entry is None else entry
    return (
        ident
        + struct.pack(
            f"{order}HHI{word * 3}I6H", kind, machine, 1, start, head, 0, 0, head, row, len(wanted), 0, 0, 0
        )
        + rows
        + data
    )


def note(owner: bytes, kind: int, descriptor: bytes, *, unit: int = 4, order: str = "<") -> bytes:
    name = owner + b"\0"

    def padded(data: bytes) -> bytes:
        return data + bytes(-len(data) % unit)

    head = struct.pack(order + "III", len(name), len(descriptor), kind) + name
    return padded(head) + padded(descriptor)


MULTIBOOT = struct.pack("<III", 0x1BADB002, 0, 0x100000000 - 0x1BADB002)


def multiboot_raw(*addresses: int) -> bytes:
    flags = 1 << 16
    checksum = -(0x1BADB002 + flags) & 0xFFFFFFFF
    return struct.pack("<8I", 0x1BADB002, flags, checksum, 0x100000, *addresses)


def solo5_notes(
    target: int, *devices: tuple[bytes, int], version: int = 1, count: int | None = None
) -> bytes:
    """As elftool and the linker lay them out."""
    entries = [(b"", 1 << 30), *devices]
    manifest = bytes(4) + struct.pack("<II", version, len(entries) if count is None else count)
    for name, kind in entries:
        manifest += struct.pack("<68sI32x", name, kind)
    return note(b"Solo5", 0x31494241, struct.pack("<IIII", target, 2, 0, 0)) + note(
        b"Solo5", 0x3154464D, manifest
    )


def linux(magic: bytes, flags: int = 0) -> bytes:
    return struct.pack("<IIQQQQQQ", 0, 0, 0, 0x10000, flags, 0, 0, 0)[:56] + magic + bytes(64)


BZIMAGE = bytes(0x1FE) + b"\x55\xaa" + bytes(2) + b"HdrS" + bytes(64)

KNOWN = {
    "multiboot": (elf_file(X86, bits=32, content=MULTIBOOT + bytes(8)), Protocol.MULTIBOOT, "x86_64"),
    "multiboot, not at the beginning": (
        elf_file(X86, bits=32, content=bytes(400) + MULTIBOOT), Protocol.MULTIBOOT, "x86_64",
    ),
    "multiboot without ELF": (multiboot_raw(0x100000, 0, 0, 0x100020), Protocol.MULTIBOOT, "x86_64"),
    "multiboot with addresses in a 64-bit ELF": (
        elf_file(X86_64, content=multiboot_raw(0x100000, 0, 0x200000, 0x100020)), Protocol.MULTIBOOT, "x86_64",
    ),
    "pvh": (elf_file(X86_64, notes=note(b"Xen", 0x12, b"\x10\0\x10\0")), Protocol.PVH, "x86_64"),
    "pvh of 64 bits on 8 bytes": (
        elf_file(X86_64, notes=note(b"Xen", 0x12, b"\x10\0\x10\0\0\0\0\0", unit=8), align=8), Protocol.PVH, "x86_64",
    ),
    "pvh after others": (
        elf_file(X86, bits=32, notes=note(b"GNU", 3, b"abc") + note(b"Xen", 6, b"x") + note(b"Xen", 0x12, bytes(4))),
        Protocol.PVH, "x86_64",
    ),
    "bzImage": (BZIMAGE, Protocol.LINUX_X86, "x86_64"),
    "arm64 Image": (linux(b"ARM\x64"), Protocol.LINUX_ARM64, "aarch64"),
    "arm64 Image with an EFI stub": (b"MZ" + linux(b"ARM\x64")[2:], Protocol.LINUX_ARM64, "aarch64"),
    "riscv Image": (linux(b"RSC\x05"), Protocol.LINUX_RISCV, "riscv64"),
    "aarch64 ELF": (elf_file(AARCH64, 0x40080000), Protocol.ARM, "aarch64"),
    "aarch64 ELF, position independent": (elf_file(AARCH64, 0, kind=3), Protocol.ARM, "aarch64"),
    "arm ELF": (elf_file(ARM, 0x40010000, bits=32), Protocol.ARM, "arm"),
    "riscv M": (elf_file(RISCV, 0x80000000), Protocol.RISCV_M, "riscv64"),
    "riscv S": (elf_file(RISCV, 0x80200000), Protocol.RISCV_S, "riscv64"),
    "mips": (elf_file(MIPS, 0x80100000, bits=32, order=">"), Protocol.MIPS, "mips"),
    "mipsel": (elf_file(MIPS, 0x80100000, bits=32), Protocol.MIPS, "mipsel"),
    "mips64": (elf_file(MIPS, 0xFFFFFFFF80100000, order=">"), Protocol.MIPS, "mips64"),
    "mips64el": (elf_file(MIPS, 0xFFFFFFFF80100000), Protocol.MIPS, "mips64el"),
    "solo5 hvt": (elf_file(X86_64, interpreter=True, notes=solo5_notes(1)), Protocol.SOLO5_HVT, "x86_64"),
    "solo5 spt": (elf_file(AARCH64, notes=solo5_notes(2)), Protocol.SOLO5_SPT, "aarch64"),
    "solo5 virtio": (
        elf_file(X86, bits=32, content=MULTIBOOT, interpreter=True, notes=solo5_notes(3)), Protocol.MULTIBOOT, "x86_64",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", KNOWN)
def test_names_the_protocol(name: str) -> None:
    data, protocol, arch = KNOWN[name]
    found = identify(data)
    assert (found.protocol, found.arch) == (protocol, arch)
    assert boot.WORDS[found.protocol]


UNKNOWN = {
    "nothing": (b"", "not an ELF file"),
    "text": (b"hello, world", "no other boot protocol that is known here. Known: multiboot1, pvh"),
    "script": (b"#!/bin/sh\n", "a script"),
    "gzip": (b"\x1f\x8b\x08" + bytes(80), "gunzip"),
    "xz": (b"\xfd7zXZ\0" + bytes(80), "unxz"),
    "uImage": (b"\x27\x05\x19\x56" + bytes(80), "dumpimage"),
    "EFI": (b"MZ" + bytes(600), "UEFI"),
    "qcow2": (b"QFI\xfb" + bytes(80), "a disk"),
    "64-bit multiboot": (elf_file(X86_64, content=MULTIBOOT), "objcopy -O elf32-i386"),
    "multiboot with a wrong checksum": (
        elf_file(X86, bits=32, content=MULTIBOOT[:8] + bytes(4)),
        "neither a Multiboot",
    ),
    "multiboot not on 4 bytes": (elf_file(X86, bits=32, content=b"\0" + MULTIBOOT), "neither a Multiboot"),
    "multiboot too far": (elf_file(X86, bits=32, content=bytes(8192) + MULTIBOOT), "neither a Multiboot"),
    "multiboot 2": (elf_file(X86_64, content=struct.pack("<I", 0xE85250D6)), "Multiboot 2"),
    "x86 ELF": (elf_file(X86_64), "neither a Multiboot 1 header nor a PVH note"),
    "a program": (elf_file(X86_64, interpreter=True), "a program for an operating system"),
    "an arm program": (elf_file(AARCH64, kind=3, interpreter=True), "a program for an operating system"),
    "a PVH note of a wrong size": (elf_file(X86_64, notes=note(b"Xen", 0x12, b"x")), "nor a PVH note"),
    "a note cut short": (elf_file(X86_64, notes=note(b"Xen", 0x12, bytes(8))[:-4]), "notes are cut short"),
    "power": (elf_file(POWER), "isn't supported (ELF number 20)"),
    "loads nothing": (elf_file(X86_64, content=b""), "loads nothing"),
    "an object file": (elf_file(X86_64, kind=1), "not an executable"),
    "big-endian arm64": (elf_file(AARCH64, order=">"), "big-endian"),
    "big-endian arm64 Image": (linux(b"ARM\x64", flags=1), "big-endian"),
    "arm64 where there is no RAM": (elf_file(AARCH64, 0x09000000), "no memory"),
    "riscv below RAM": (elf_file(RISCV, 0x20000000), "below the virt machine's RAM"),
    "riscv32": (elf_file(RISCV, 0x80000000, bits=32), "32-bit RISC-V"),
    "mips in user space": (elf_file(MIPS, 0x400000, bits=32), "outside of kseg0"),
    "mips in flash": (elf_file(MIPS, 0xBE000000, bits=32), "firmware"),
    "solo5 muen": (elf_file(X86_64, notes=solo5_notes(4)), "a Solo5 image for muen"),
    "solo5 of an unknown target": (elf_file(X86_64, notes=solo5_notes(77)), "target 77"),
    "solo5 on mips": (elf_file(MIPS, 0x80100000, bits=32, notes=solo5_notes(1)), "a Solo5 image for hvt"),
    "solo5 of another manifest": (elf_file(X86_64, notes=solo5_notes(1, version=2)), "of version 2"),
    "solo5 with too many entries": (elf_file(X86_64, notes=solo5_notes(1, count=60)), "doesn't fit its note"),
    "solo5 with a strange name": (elf_file(X86_64, notes=solo5_notes(1, (b"a=b", 1))), "isn't known here"),
    "solo5 with a strange device": (elf_file(X86_64, notes=solo5_notes(1, (b"pci", 3))), "isn't known here"),
    "class": (b"\x7fELF\x03\x01" + bytes(80), "unknown class 3"),
    "byte order": (b"\x7fELF\x02\x07" + bytes(80), "byte order 7"),
    "multiboot in firmware": (multiboot_raw(0xFFF00000, 0, 0, 0xFFF00020), "where a PC has no RAM"),
    "pvh above RAM": (
        elf_file(X86_64, 0xFFFFFFFF80000000, notes=note(b"Xen", 0x12, bytes(4))),
        "where a PC has no RAM",
    ),
    "an ELF header cut short": (elf_file(X86_64)[:40], "truncated"),
    "only an ELF magic": (b"\x7fELF", "truncated"),
    "a segment cut short": (elf_file(X86_64)[:-1], "truncated"),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_says_why_nothing_here_can_boot_it(name: str) -> None:
    data, words = UNKNOWN[name]
    with pytest.raises(ImageError) as caught:
        identify(data)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_where_it_lies_and_is_entered() -> None:
    found = identify(
        elf_file(X86_64, 0x200000, content=bytes(100), notes=note(b"Xen", 0x12, b"\x10\0\x20\0"))
    )
    assert (found.entry, found.start, found.end) == (0x200010, 0x200000, 0x200064)
    raw = identify(multiboot_raw(0x100000, 0x101000, 0x180000, 0x100020))
    assert (raw.entry, raw.start, raw.end) == (0x100020, 0x100000, 0x180000)
    assert identify(elf_file(MIPS, 0xFFFFFFFF80100000)).start == 0x100000


def test_riscv_says_its_mode_and_where_it_is_entered() -> None:
    plain = identify(elf_file(RISCV, 0x80000000))
    assert len(plain.remarks) == 1
    assert "M-mode, since it loads below 0x80200000" in plain.remarks[0]
    elsewhere = identify(elf_file(RISCV, 0x80200000, entry=0x80200010))
    assert "lowest load address (0x80200000), not at the entry point (0x80200010)" in elsewhere.remarks[1]


def test_solo5_devices() -> None:
    found = identify(elf_file(X86_64, notes=solo5_notes(1, (b"storage", 1), (b"net0", 2))))
    assert found.devices == (Device("storage", "block"), Device("net0", "net"))
    assert solo5.read(elf.parse(elf_file(X86_64)).notes(), "little") is None


@pytest.mark.parametrize("app", ["echo", "aggregate"])
@pytest.mark.parametrize(
    ("arch", "protocol"),
    [
        ("x86_64", Protocol.PVH),
        ("aarch64", Protocol.ARM),
        ("riscv64", Protocol.RISCV_M),
        ("mips64el", Protocol.MIPS),
    ],
)
def test_our_own_images_boot_too(guest_image, app: str, arch: str, protocol: Protocol) -> None:
    found = identify(guest_image(app, arch).path.read_bytes())
    assert (found.protocol, found.arch) == (protocol, arch)


U_BOOT = Path("/usr/lib/u-boot")


@pytest.mark.parametrize(
    ("path", "told"),
    [
        (U_BOOT / "qemu-riscv64/uboot.elf", Protocol.RISCV_M),
        (U_BOOT / "qemu-riscv64_smode/uboot.elf", Protocol.RISCV_S),
        (U_BOOT / "qemu_arm64/uboot.elf", Protocol.ARM),
        (U_BOOT / "qemu_arm/uboot.elf", Protocol.ARM),
        (U_BOOT / "qemu-x86/uboot.elf", "where a PC has no RAM"),
        (U_BOOT / "qemu-x86_64/uboot.elf", "neither a Multiboot"),
        (U_BOOT / "malta64el/uboot.elf", "firmware, not a kernel"),
        (U_BOOT / "qemu-ppce500/uboot.elf", "ELF number 20"),
        (Path("/boot/memtest86+x64.bin"), Protocol.LINUX_X86),
        (Path("/bin/ls"), "a program for an operating system"),
    ],
    ids=str,
)
def test_images_that_debian_ships(path: Path, told: Protocol | str) -> None:
    if not path.is_file():
        pytest.skip(f"not installed: {path}")
    assert told in answer(path.read_bytes())


SEEDS = [data for data, *_ in (*KNOWN.values(), *UNKNOWN.values())]


@settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.sampled_from(SEEDS),
    edits=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=8),
    cut=st.none() | st.integers(0, 600),
)
def test_nothing_but_image_error_comes_out(
    seed: bytes, edits: list[tuple[int, int]], cut: int | None
) -> None:
    data = bytearray(seed)
    for at, value in edits:
        if at < len(data):
            data[at] = value
    one_line_or_boot(bytes(data[:cut]))


@given(st.binary(max_size=700))
def test_any_bytes(data: bytes) -> None:
    one_line_or_boot(data)
    one_line_or_boot(b"\x7fELF\x01\x02" + data)
    one_line_or_boot(b"\x7fELF\x02\x01" + data)


def answer(data: bytes) -> str:
    """The protocol, or the error's words."""
    try:
        found = identify(data)
    except ImageError as error:
        return str(error)
    assert dataclasses.asdict(found)
    return found.protocol


def one_line_or_boot(data: bytes) -> None:
    assert "\n" not in answer(data)


@given(
    bits=st.sampled_from([32, 64]), order=st.sampled_from("<>"), content=st.binary(min_size=1, max_size=40)
)
def test_elf_of_any_class_and_order(bits: int, order: str, content: bytes) -> None:
    image = elf.parse(
        elf_file(
            MIPS,
            0x80100000,
            bits=bits,
            order=order,
            content=content,
            notes=note(b"X", 9, content, order=order),
        )
    )
    assert (image.bits, image.order, image.machine, image.entry) == (bits, order, MIPS, 0x80100000)
    assert image.at(0x80100000, len(content)) == content
    assert [(found.name, found.kind, found.descriptor) for found in image.notes()] == [(b"X", 9, content)]
    assert [(one.physical, one.memory_size) for one in image.loaded()] == [(0x80100000, len(content))]


def test_notes_are_bounded() -> None:
    image = elf.parse(elf_file(X86_64, notes=note(b"X", 1, b"") * (elf.MAX_NOTES + 10)))
    assert len(list(image.notes())) == elf.MAX_NOTES


def test_an_image_is_bounded() -> None:
    with pytest.raises(ImageError, match="above the limit"):
        identify(bytes(boot.MAX_IMAGE + 1))
