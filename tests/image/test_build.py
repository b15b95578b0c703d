"""The build with real tools: the same bytes from anywhere, nothing that a guest mustn't have."""

from __future__ import annotations

import shutil

import pytest

from edgeagent.errors import ConfigError, EnvironmentFaultError, ImageError
from edgeagent.image.build import SOURCE, build
from edgeagent.image.targets import TARGETS
from tests.guests import need


@pytest.fixture
def copy(tmp_path):
    """A checkout of the guest sources that a test may change."""
    need("clang", "ld.lld", "llvm-objdump")
    folder = tmp_path / "elsewhere" / "firmware"
    shutil.copytree(SOURCE, folder, ignore=shutil.ignore_patterns("hostile*", "aggregate"))
    return folder


@pytest.mark.parametrize("arch", TARGETS)
def test_the_same_bytes_from_any_folder(guest_image, copy, tmp_path, arch):
    here = guest_image("echo", arch)
    there = build(copy, tmp_path / "there", arch, "echo")
    assert here.path.read_bytes() == there.path.read_bytes()


@pytest.mark.parametrize(
    ("arch", "code", "words"),
    [
        ("x86_64", '__asm__ volatile("movq %xmm0, %rax")', "forbidden instruction"),
        ("x86_64", '__asm__ volatile("fld1")', "forbidden instruction"),
        ("x86_64", '__asm__ volatile("rep movsb")', "forbidden instruction"),
        ("aarch64", '__asm__ volatile(".arch_extension fp\\nfmov d0, x0")', "forbidden instruction"),
        ("riscv64", '__asm__ volatile(".word 0xf2050553")', "forbidden instruction"),
        ("mips64el", '__asm__ volatile(".set hardfloat\\nmtc1 $4, $f0")', "forbidden instruction"),
        ("riscv64", "volatile double x = 1.5; x = x * 3.0", "undefined symbol: __muldf3"),
        ("x86_64", "volatile unsigned __int128 x = 9; x = x / 7", "undefined symbol: __udivti3"),
    ],
)
def test_what_a_guest_must_not_have_fails_the_build(copy, tmp_path, arch, code, words):
    app = copy / "app" / "echo" / "app.c"
    app.write_text(app.read_text().replace("    (void)arena;\n", f"    (void)arena;\n    {code};\n"))
    with pytest.raises(ImageError) as caught:
        build(copy, tmp_path / "out", arch, "echo")
    assert words in str(caught.value)


def test_an_app_must_bear_its_folders_name(copy, tmp_path):
    shutil.move(copy / "app" / "echo", copy / "app" / "other")
    with pytest.raises(ImageError, match="calls itself 'echo'"):
        build(copy, tmp_path, "x86_64", "other")


@pytest.mark.parametrize(("arch", "app"), [("vax", "echo"), ("x86_64", "nothing")])
def test_what_is_not_there_is_named(tmp_path, arch, app):
    with pytest.raises(ConfigError, match="There are"):
        build(SOURCE, tmp_path, arch, app)


def test_a_missing_tool_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EnvironmentFaultError, match="apt install clang"):
        build(SOURCE, tmp_path, "x86_64", "echo")
