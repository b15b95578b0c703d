"""What the documents say of machine, kernel, interrupt controller and ISA."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeagent.probe.choice import choose
from edgeagent.probe.interrupts import missing_vgic
from edgeagent.probe.isa import has_hypervisor, single_letters
from edgeagent.probe.kernel import configured
from edgeagent.probe.system import Family, image_arch, read
from edgeagent.probe.verdict import judge
from tests.probe.boards import board, documents, x86

DATA = Path(__file__).resolve().parents[2] / "../shared/data"


@pytest.mark.parametrize(
    ("uname", "arch", "release", "family"),
    [
        (
            "Linux nas 6.12.1-amd64 #1 SMP PREEMPT_DYNAMIC Debian 6.12.1-1 x86_64 GNU/Linux",
            "x86_64",
            (6, 12),
            "x86",
        ),
        ("Linux aarch64 5.10.0 #1 SMP x86_64 x86_64 x86_64 GNU/Linux", "x86_64", (5, 10), "x86"),
        ("Linux (none) 6.1.0-50-5kc-malta #1 SMP mips64\nmips64\n", "mips64", (6, 1), "mips"),
        ("Linux pi 6.1.21-v8+ #1642 SMP armv8l GNU/Linux", "aarch64", (6, 1), "arm64"),
        ("Linux pi 5.10.103-v7l+ #1529 SMP armv7l GNU/Linux", "armv7l", (5, 10), "arm"),
        ("armv6l", "armv6l", None, "arm"),
        ("arm64\r\n", "aarch64", None, "arm64"),
        ("6.6.30\nriscv64", "riscv64", (6, 6), "riscv"),
        ("Linux 10.0.0.1 4.9.0 #1 mips", "mips", (4, 9), "mips"),
        ("ppc64le", "ppc64le", None, "other"),
        ("i686", "i686", None, "x86"),
        ("nonsense", "", None, "other"),
        ("", "", None, "other"),
    ],
)
def test_uname(uname: str, arch: str, release: tuple[int, int] | None, family: str) -> None:
    system = read(documents({"uname.txt": uname}))
    assert (system.arch, system.version, system.family) == (arch, release, family)


def test_the_kernels_own_word_wins_over_the_form_of_cpuinfo() -> None:
    system = read(documents({"uname.txt": "riscv64", "proc/cpuinfo": x86("vmx")}))
    assert system.family is Family.RISCV
    assert judge(board({"uname.txt": "riscv64", "proc/cpuinfo": x86("vmx")}, None)).answer == "unknown"


def test_the_release_from_the_log() -> None:
    system = read(documents({"dmesg.txt": "[ 0] Linux version 5.4.0-1-armmp (x@y)\n"}))
    assert system.version == (5, 4)


@pytest.mark.parametrize(
    ("machine", "little", "expected"),
    [
        ("x86_64", True, "x86_64"),
        ("arm64", True, "aarch64"),
        ("armv8l", True, "aarch64"),
        ("aarch64_be", False, None),
        ("mips64", True, "mips64el"),
        ("mips64", False, None),
        ("riscv64", True, "riscv64"),
        ("armv7l", True, None),
        ("i686", True, None),
        ("ppc64le", True, None),
    ],
)
def test_images(machine: str, *, little: bool, expected: str | None) -> None:
    assert image_arch(machine, little=little) == expected


@pytest.mark.parametrize(
    ("files", "chosen", "word"),
    [
        ({"uname.txt": "mips64"}, "tcg", "not by hardware"),
        ({"uname.txt": "mips64", "boot/config-x": "CONFIG_CPU_LITTLE_ENDIAN=y\n"}, "tcg", "not by hardware"),
        (
            {"uname.txt": "mips64", "boot/config-x": "CONFIG_CPU_BIG_ENDIAN=y\n"},
            None,
            "no guest images for mips64",
        ),
        ({"uname.txt": "armv7l"}, None, "no guest images for armv7l"),
        ({}, None, "an unknown machine"),
    ],
)
def test_where_guests_could_run(files: dict[str, str | bytes], chosen: str | None, word: str) -> None:
    evidence = board(files)
    choice = choose(evidence, judge(evidence))
    assert choice.chosen == chosen
    assert word in choice.why


# ---- ISA strings ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("isa", "letters"),
    [
        ("rv64imafdch_zicsr", "imafdch"),
        ("RV64GCH", "gch"),
        ("rv64imafdc_zihpm", "imafdc"),
        ("rv64imafdczihpm", "imafdc"),
        ("rv64imafdcsu", "imafdc"),
        ("rv64imafdcvxtheadh", "imafdcv"),
        (" rv32i ", "i"),
        ("rv64", ""),
        ("", None),
        ("i686", None),
        ("mips64r2", None),
    ],
)
def test_single_letters(isa: str, letters: str | None) -> None:
    assert single_letters(isa) == letters


@given(
    st.lists(st.sampled_from("imafdqcbv"), unique=True),
    st.booleans(),
    st.lists(st.from_regex(r"[zsx][a-z0-9]{1,8}", fullmatch=True), max_size=5),
)
def test_h_is_found_whatever_follows(letters: list[str], h: bool, long: list[str]) -> None:
    isa = "_".join(["rv64" + "".join(letters) + ("h" if h else ""), *long])
    assert has_hypervisor(isa) == h
    assert has_hypervisor(isa.upper()) == h


def test_isa_lists_of_the_kernels_device_trees() -> None:
    table = DATA / "board_dt/riscv_isa_from_dt.csv"
    if not table.is_file():
        pytest.skip("no ../shared/data/board_dt")
    for row in csv.DictReader(table.read_text("utf-8").splitlines()):
        extensions = row["riscv,isa-extensions"].split(" || ") if row["riscv,isa-extensions"] else []
        files: dict[str, str | bytes] = {"uname.txt": "riscv64"}
        for number, isa in enumerate(row["riscv,isa"].split(" / ")):
            files[f"proc/device-tree/cpus/cpu@{number}/riscv,isa"] = f"{isa}\0"
        for number, listed in enumerate(extensions):
            files[f"proc/device-tree/cpus/cpu@{number}/riscv,isa-extensions"] = (
                listed.replace(" ", "\0") + "\0"
            )
        verdict = judge(board(files, None))
        assert row["h_listed"] == "no"
        assert verdict.reason == "no-h-extension", row


# ---- interrupt controllers --------------------------------------------------------------------------------------


def gic(compatible: str, ranges: int, *, maintenance: bool) -> dict[str, str | bytes]:
    node = "proc/device-tree/soc/interrupt-controller@1000"
    cells = {
        "proc/device-tree/soc/#address-cells": b"\0\0\0\2",
        "proc/device-tree/soc/#size-cells": b"\0\0\0\2",
    }
    files: dict[str, str | bytes] = {
        f"{node}/compatible": f"{compatible}\0",
        f"{node}/reg": bytes(16 * ranges),
    }
    return files | cells | ({f"{node}/interrupts": bytes(12)} if maintenance else {})


@pytest.mark.parametrize(
    ("compatible", "ranges", "maintenance", "usable"),
    [
        ("arm,gic-400", 4, True, True),
        ("arm,gic-400", 2, True, False),
        ("arm,gic-400", 4, False, False),
        ("arm,gic-v3", 2, True, True),
        ("arm,gic-v3", 2, False, False),
        ("arm,cortex-a15-gic\0arm,cortex-a9-gic", 4, True, True),
        ("brcm,bcm2836-l1-intc", 1, False, False),
        ("apple,aic", 1, False, True),
        ("acme,gpio", 1, True, True),
    ],
)
def test_vgic(compatible: str, ranges: int, *, maintenance: bool, usable: bool) -> None:
    system = read(documents({"uname.txt": "aarch64", **gic(compatible, ranges, maintenance=maintenance)}))
    assert bool(missing_vgic(system)) != usable


def test_one_usable_controller_is_enough() -> None:
    files = gic("arm,gic-400", 4, maintenance=True) | {
        "proc/device-tree/l1/compatible": "brcm,bcm2836-l1-intc\0"
    }
    assert not missing_vgic(read(documents(files)))
    lacking: dict[str, str | bytes] = {"proc/device-tree/l1/compatible": "brcm,bcm2836-l1-intc\0"}
    assert missing_vgic(read(documents(lacking)))
    assert not missing_vgic(read(documents({**lacking, "proc/interrupts": "  9: 0 GICv2 25 Level vgic\n"})))
    log = {"dmesg.txt": "[ 1.0] kvm [1]: No vgic maintenance irq\n"}
    assert missing_vgic(read(documents({**log})))


def test_controllers_of_the_kernels_device_trees() -> None:
    table = DATA / "board_dt/arm64_gic_from_dt.csv"
    if not table.is_file():
        pytest.skip("no ../shared/data/board_dt")
    for row in csv.DictReader(table.read_text("utf-8").splitlines()):
        kind, ranges = row["interrupt_controller"].strip('"'), int(row["reg_entries"])
        maintenance = row["maintenance_interrupt_in_dt"] == "yes"
        files = gic(kind, ranges, maintenance=maintenance)
        usable = kind == "apple,aic" or (maintenance and (kind == "arm,gic-v3" or ranges >= 4))
        assert bool(missing_vgic(read(documents(files)))) != usable, row


# ---- kernel configurations --------------------------------------------------------------------------------------


def test_configurations_of_real_kernels() -> None:
    folder = DATA / "board_kconfig"
    if not folder.is_dir():
        pytest.skip("no ../shared/data/board_kconfig")
    silent = 0
    for row in csv.DictReader((folder / "index.csv").read_text("utf-8").splitlines()):
        raw = (folder / row["file"]).read_bytes()
        found = configured(read(documents({"boot/config-x": raw})), "CONFIG_KVM")
        if found is None:
            # A missing line says nothing where the first lines don't say that this is a whole configuration.
            assert row["KVM"] == "n"
            assert b"Automatically generated" not in raw, row
            silent += 1
        else:
            assert found[0] == (row["KVM"] in "ym"), row
    assert silent < 60
