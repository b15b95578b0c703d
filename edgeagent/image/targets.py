"""Core: what the compiler is told for each architecture, and what must not come out of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Target:
    """One architecture. The folder arch/NAME/ of the guest sources holds its code and linker script."""

    elf_machine: int
    """e_machine (elf.h)."""
    triple: str
    flags: tuple[str, ...]
    bus: str
    """Which of the drivers finds the virtio device: "mmio" or "pci"."""
    forbidden: re.Pattern[str]
    """Matches a disassembled instruction that a guest mustn't have, or that crawls under a software KVM."""
    extensions: str = ""
    """What the disassembler must be told that the processor has."""
    physical_mask: int = (1 << 64) - 1
    """What turns a link address into a physical one."""


TARGETS: Mapping[str, Target] = MappingProxyType(
    {
        "x86_64": Target(
            elf_machine=62,
            triple="x86_64-unknown-none-elf",
            flags=("-mgeneral-regs-only", "-mno-red-zone", "-mcmodel=small"),
            bus="mmio",
            forbidden=re.compile(r"%(?:[xyz]?mm|st\b|k[0-7])|^(?:f[a-z]|rep|ldmxcsr|stmxcsr|xgetbv|emms)"),
        ),
        "aarch64": Target(
            elf_machine=183,
            triple="aarch64-none-elf",
            flags=("-mgeneral-regs-only",),
            bus="mmio",
            forbidden=re.compile(r"\b[vqdsbh](?:[12]?[0-9]|3[01])\b(?:\.|,|$)"),
        ),
        "riscv64": Target(
            elf_machine=243,
            triple="riscv64-none-elf",
            flags=("-march=rv64imac", "-mabi=lp64", "-mcmodel=medany", "-mno-relax"),
            bus="mmio",
            extensions="+m,+a,+c",
            forbidden=re.compile(r"^(?!fence)(?:c\.)?f[a-z]|^v(?:[ls]|set|mv|add)"),
        ),
        "mips64el": Target(
            elf_machine=8,
            triple="mips64el-none-elf",
            flags=("-mips64r2", "-mabi=64", "-mno-abicalls", "-msoft-float", "-G0"),
            bus="pci",
            forbidden=re.compile(r"\$f[0-9]|^[a-z.]+c1\b|^bc1"),
            physical_mask=0x1FFFFFFF,
        ),
    }
)

COMMON_FLAGS = (
    "-std=c11",
    "-O2",
    "-ffreestanding",
    "-nostdlibinc",
    *("-Wall", "-Wextra", "-Werror"),
    "-fno-pic",
    "-fno-common",
    "-fno-stack-protector",
    "-fno-asynchronous-unwind-tables",
    "-fomit-frame-pointer",
    "-ffunction-sections",
    "-fdata-sections",
)
