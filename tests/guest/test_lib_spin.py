"""The calibration loop's length in instructions, read off the compiled code."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.guest import native

TARGETS = {
    "x86_64-unknown-none-elf": ((), 3),
    "aarch64-none-elf": ((), 3),
    "riscv64-unknown-elf": (("-march=rv64imac", "-mabi=lp64", "-mno-relax"), 3),
    "mips64el-unknown-elf": (("-mabi=64", "-march=mips64r2", "-mno-abicalls", "-fno-pic"), 4),
}


@pytest.mark.parametrize("target", TARGETS)
def test_instructions_per_iteration(target: str, tmp_path: Path) -> None:
    flags, expected = TARGETS[target]
    made = tmp_path / "session.o"
    source = native.IMAGES / "lib/session.c"
    subprocess.run(
        [
            native.clang(), f"--target={target}", *flags, "-std=c11", "-O2", "-ffreestanding",
            f"-I{native.IMAGES}/include", "-c", str(source), "-o", str(made),
        ],
        check=True,
    )  # fmt: skip
    tool = shutil.which("llvm-objdump") or shutil.which("llvm-objdump-14")
    assert tool, "llvm-objdump comes with clang"
    text = subprocess.run(
        [tool, "-d", "--no-show-raw-insn", "--disassemble-symbols=spin", str(made)],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    code = re.findall(r"^\s*([0-9a-f]+):\s+(\S+)(.*)$", text, re.MULTILINE)
    first = int(code[0][0], 16)
    backward = []
    for index, (address, name, operands) in enumerate(code):
        here = int(address, 16)
        if target.startswith("mips"):  # printed relative to the branch
            jump = re.search(r", (-\d+) <", operands)
            goal = here + int(jump[1]) if jump and name.startswith("b") else None
        else:
            jump = re.search(r"0x([0-9a-f]+) <", operands)
            goal = int(jump[1], 16) if jump else None
        if goal is not None and first <= goal < here:
            start = next(i for i, row in enumerate(code) if int(row[0], 16) == goal)
            backward.append(index - start + 1 + target.startswith("mips"))
    assert backward == [expected]
