"""Builds the small guests of tests/vm/images with the tree's clang: one for each boot protocol and each bad end."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.guests import need

SOURCES = Path(__file__).parent / "images"
GetForeign = Callable[[str], Path]


@dataclass(frozen=True)
class Recipe:
    """raw: without its ELF headers."""

    target: str
    base: int
    flags: tuple[str, ...] = ()
    source: str = "hello.c"
    raw: bool = False


def x86(act: str, *flags: str, target: str = "i386-unknown-none-elf") -> Recipe:
    return Recipe(target, 0x100000, (f"-DACT={act}", "-mgeneral-regs-only", "-mno-red-zone", *flags), "x86.c")


RISCV = ("-march=rv64imac", "-mabi=lp64", "-mcmodel=medany", "-mno-relax")
MIPS = ("-mno-abicalls", "-msoft-float", "-G0")

RECIPES = {
    **{act: x86(act) for act in ("hello", "off", "panic", "triple", "sse", "flood", "hang", "echo")},
    "pvh": x86("hello", "-DPVH"),
    "arm64.elf": Recipe("aarch64-none-elf", 0x40080000, ("-mgeneral-regs-only",)),
    "arm64.Image": Recipe("aarch64-none-elf", 0x40080000, ("-mgeneral-regs-only",), raw=True),
    "riscv-m": Recipe("riscv64-none-elf", 0x80000000, RISCV),
    "riscv-s": Recipe("riscv64-none-elf", 0x80200000, RISCV),
    "riscv.Image": Recipe("riscv64-none-elf", 0x80200000, RISCV, raw=True),
    "mips": Recipe("mips-none-elf", 0x80100000, ("-mips32r2", *MIPS)),
    "mipsel": Recipe("mipsel-none-elf", 0x80100000, ("-mips32r2", *MIPS)),
    "mips64": Recipe("mips64-none-elf", 0xFFFFFFFF80100000, ("-mips64r2", "-mabi=64", *MIPS)),
    "mips64el": Recipe("mips64el-none-elf", 0xFFFFFFFF80100000, ("-mips64r2", "-mabi=64", *MIPS)),
}


def build(recipe: Recipe, out: Path) -> Path:
    compiled = out.with_suffix(".o")
    common = ("-std=c11", "-O1", "-ffreestanding", "-fno-pic", "-fno-builtin", "-Wall", "-Wextra", "-Werror")
    run(
        "clang",
        f"--target={recipe.target}",
        *common,
        *recipe.flags,
        "-c",
        SOURCES / recipe.source,
        "-o",
        compiled,
    )
    script = SOURCES / "link.ld"
    run("ld.lld", "-n", f"--defsym=BASE={recipe.base:#x}", "-T", script, compiled, "-o", out)
    if recipe.raw:
        run("llvm-objcopy", "-O", "binary", out, out)
    return out


def run(*command: object) -> None:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="session")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> GetForeign:
    """Factory: foreign("hello") -> the path of an image, built once."""
    folder = tmp_path_factory.mktemp("foreign")

    def get(name: str) -> Path:
        need("clang", "ld.lld", "llvm-objcopy")
        path = folder / name
        return path if path.is_file() else build(RECIPES[name], path)

    return get
