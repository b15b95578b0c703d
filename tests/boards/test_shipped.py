"""The profiles that we ship: all are good, none is another's, and none catches a board that it doesn't describe."""

import csv
import tomllib
from itertools import combinations
from pathlib import Path

import pytest

from edgeagent.boards import library
from edgeagent.boards.facts import identify
from edgeagent.boards.match import Identity, match
from edgeagent.boards.reference import reference
from edgeagent.probe.answer import REASONS
from edgeagent.probe.gather import gather
from tests.boards.given import SHIPPED, shared

PROFILES = library.load((SHIPPED,))

MODELS = {
    "raspberry-pi-3": {
        "Raspberry Pi 3 Model B", "Raspberry Pi 3 Model B+", "Raspberry Pi 3 Model A+", "Raspberry Pi Zero 2 W",
        "Raspberry Pi Compute Module 3 IO board V3.0",
    },
    "raspberry-pi-4": {"Raspberry Pi 4 Model B", "Raspberry Pi 400"},
    "raspberry-pi-5": {"Raspberry Pi 5"},
    "rock-5b": {"Radxa ROCK 5B"},
    "turris-mox": {"CZ.NIC Turris Mox Board"},
    "turris-omnia": {"Turris Omnia"},
    "visionfive-2": {"StarFive VisionFive 2 v1.2A", "StarFive VisionFive 2 v1.3B"},
    "malta": {""},
}  # fmt: skip
"""What Linux 6.12 calls the boards that our profiles name. The tree of the Malta has no model."""

CELERON = "Intel(R) Celeron(R) J4125 CPU @ 2.00GHz"
MACHINES = [
    (Identity("x86_64", "little", cpu=CELERON), "intel-celeron-nas"),
    (Identity("x86_64", "little", cpu="Intel(R) Celeron(R) CPU J3455 @ 1.50GHz"), "intel-celeron-nas"),
    (Identity("x86_64", "little", cpu=CELERON, dmi={"sys_vendor": "QEMU"}), "qemu-x86_64"),
    (Identity("x86_64", "little", cpu="AMD Ryzen Embedded V1500B"), "amd-embedded-nas"),
    (Identity("x86_64", "little", cpu="AMD EPYC 7763 64-Core Processor", uefi=True), "generic-x86_64"),
    (Identity("x86_64", "little", cpu="Intel(R) Celeron(R) CPU N3450 @ 1.10GHz"), "generic-x86_64"),
    (Identity("aarch64", "little", uefi=True), "generic-aarch64-uefi"),
    (Identity("aarch64", "little"), "generic-aarch64"),
    (Identity("aarch64", "little", ("friendlyarm,cm3588-nas", "rockchip,rk3588")), "generic-aarch64"),
    (Identity("armv7l", "little", ("raspberrypi,4-model-b", "brcm,bcm2711")), "raspberry-pi-4"),
    (Identity("armv7l", "little", ("raspberrypi,2-model-b", "brcm,bcm2836")), "generic-armv7l"),
    (Identity("riscv64", "little", ("milkv,mars", "starfive,jh7110")), "generic-riscv64"),
    (Identity("riscv64", "little", ("sifive,hifive-premier-p550", "eswin,eic7700")), "hifive-premier-p550"),
    (Identity("riscv64", "little", ("bananapi,bpi-f3", "spacemit,k1")), "bananapi-f3"),
    (Identity("mips64", "big", ("ubnt,edgerouter-4", "cavium,cn7130")), "edgerouter-octeon3"),
    (Identity("mips64", "big", ("ubnt,e100",)), "generic-mips64"),
    (Identity("mips64el", "little"), "generic-mips64el"),
    (Identity("loongarch64", "little"), "generic-loongarch64"),
    (Identity("ppc64le", "little"), None),
]


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.toml")), ids=lambda path: path.stem)
def test_each_is_good(path):
    found = library.read(path)
    assert found.kvm.trap
    if found.kvm.verdict != "unknown":
        assert REASONS[found.kvm.reason][0] == found.kvm.verdict
    assert found.flash.how
    # Where nobody knows what to expect, auto lets the probe find out; tcg is for what is known.
    assert found.guests.accelerator == "auto" or found.kvm.verdict != "yes"
    assert found.fallback == (found.name == f"generic-{found.board.arch}")


@pytest.mark.parametrize(("identity", "name"), MACHINES, ids=[str(name) for _, name in MACHINES])
def test_machines(identity, name):
    found = match(identity, PROFILES.values())
    assert (found.profile.name if found else None) == name


def test_no_two_share_a_mark():
    for one, other in combinations(PROFILES.values(), 2):
        assert not set(one.recognise.compatible) & set(other.recognise.compatible)
        if one.board.arch == other.board.arch:
            assert not (one.fallback and other.fallback)
            assert not [mark for mark in one.recognise.dmi if mark in other.recognise.dmi]
            for mark in one.recognise.cpu:
                assert not any(mark.startswith(pattern.rstrip("*")) for pattern in other.recognise.cpu)


def test_no_profile_catches_a_foreign_board():
    table = shared("data/board_dt/dt_board_compatible.csv")
    caught = {}
    with table.open(newline="") as file:
        rows = [row for row in csv.reader(file) if row[3]][1:]
    for _, _, model, compatible in rows:
        # No architecture: the device tree alone has to tell.
        if found := match(Identity("", compatible=tuple(compatible.split("|"))), PROFILES.values()):
            caught.setdefault(found.profile.name, set()).add(model)
    assert len(rows) > 2_700
    assert caught == MODELS


CAPTURES = [
    ("arm64-el2", "aarch64", "qemu-aarch64"),
    ("arm64-vhe", "aarch64", "qemu-aarch64"),
    ("riscv64-h", "riscv64", "qemu-riscv64"),
    ("riscv64-without-h", "riscv64", "qemu-riscv64"),
    ("x86-svm", "x86_64", "qemu-x86_64"),
    ("malta-without-vz", "mips64", "malta"),
]


@pytest.mark.parametrize(("capture", "arch", "name"), CAPTURES)
def test_captures(capture, arch, name):
    root = shared("boards") / capture
    found = match(identify(gather(root), arch, little=None), PROFILES.values())
    assert found is not None
    assert found.profile.name == name


def test_the_folder_is_found_beside_the_code():
    assert library.shipped() == SHIPPED
    assert Path(__file__).parents[2] == SHIPPED.parent


def test_the_page_is_current():
    page = SHIPPED.parent / "docs/boards.md"
    assert page.read_text() == reference(PROFILES.values()), (
        "python -m edgeagent.boards.reference > docs/boards.md"
    )


def test_a_wheel_has_them_where_the_code_looks():
    project = tomllib.loads((SHIPPED.parent / "pyproject.toml").read_text())
    included = project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    assert SHIPPED.parent / included["boards"] == library.INSTALLED
