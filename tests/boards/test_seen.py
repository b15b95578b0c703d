"""The board in the probe's answer: its name, and a note when the verdict isn't what the profile expects."""

import json

import pytest
from click.testing import CliRunner

from edgeagent.boards.match import Identity, Match
from edgeagent.boards.seen import Seen, seen
from edgeagent.cli.main import cli
from tests.boards.given import GOOD, profile, shared

PARTIAL = Match(profile(), "device tree: maker,board")
NO_IDEA = Match(profile(GOOD.replace('verdict = "partial"', 'verdict = "unknown"')), "architecture: aarch64")


def test_names():
    identity = Identity("aarch64")
    assert seen(identity, PARTIAL) == Seen("a-board", PARTIAL)
    assert seen(identity, None) == Seen("generic-aarch64")
    assert seen(Identity(""), None) == Seen("")


@pytest.mark.parametrize("verdict", ["yes", "slow", "no", "unknown"])
def test_an_unexpected_verdict_is_noted_with_the_trap(verdict):
    words = Seen("a-board", PARTIAL).warning(verdict, "some-reason")
    assert words == (
        f"a-board should answer partial (gic-missing), not {verdict} (some-reason). "
        'memory = "of the trap" [guests]'
    )


def test_nothing_to_note():
    assert Seen("a-board", PARTIAL).warning("partial", "another-reason") == ""
    assert Seen("a-board", NO_IDEA).warning("no", "no-node") == ""
    assert Seen("generic-m68k").warning("no", "no-node") == ""


def test_json():
    found = Seen("a-board", PARTIAL).as_json("no", "arm32-host-removed")
    assert found["expected"] == {"verdict": "partial", "reason": "gic-missing"}
    assert found["warning"].startswith("a-board should answer partial")
    assert found["defaults"]["unit.memory"] == "12MiB"
    assert Seen("a-board", PARTIAL).as_json("partial", "gic-missing")["warning"] is None
    assert Seen("generic-m68k").as_json("no", "no-node") is None


def probe(root, *options):
    words = ["probe", "--root", str(root), *options]
    return CliRunner().invoke(cli, words, catch_exceptions=False, terminal_width=80).stdout


def pi_3(root, machine):
    (root / "proc/device-tree").mkdir(parents=True)
    (root / "proc/device-tree/compatible").write_bytes(b"raspberrypi,3-model-b\0brcm,bcm2837\0")
    (root / "uname.txt").write_text(f"Linux pi 6.12.25 #1 SMP {machine} GNU/Linux\n{machine}\n")
    (root / "sys/class/rtc").mkdir(parents=True)
    (root / "proc/mounts").write_text("cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n")
    return root


def test_a_32_bit_kernel_on_a_64_bit_board(tmp_path):
    root = pi_3(tmp_path, "armv7l")
    found = json.loads(probe(root, "--json"))
    assert (found["arch"], found["board"]) == ("armv7l", "raspberry-pi-3")
    assert found["kvm"]["reason"] == "arm32-host-removed"
    assert found["profile"]["recognised_by"] == "device tree: raspberrypi,3-model-b"
    assert "A 32-bit kernel has no KVM at all." in found["profile"]["warning"]
    assert found["rtc"] == {"present": False, "name": None, "hctosys": False}
    assert found["cgroup"] == {"version": 2, "controllers": [], "delegated": None}
    assert (found["tpm"], found["clock_synchronised"]) == (None, None)
    text = " ".join(probe(root).split())
    assert "raspberry-pi-3: Raspberry Pi 3, Zero 2 W, Compute Module 3" in text
    assert "raspberry-pi-3 should answer partial (gic-missing), not no (arm32-host-removed)" in text
    assert "no clock chip" in text


@pytest.mark.parametrize(
    ("capture", "name"),
    [("arm64-vhe", "qemu-aarch64"), ("malta-without-vz", "malta"), ("x86-svm-module-absent", "qemu-x86_64")],
)
def test_captures(capture, name):
    found = json.loads(probe(shared("boards") / capture, "--json"))
    assert found["board"] == name
    assert found["profile"]["warning"] is None


def test_nothing_but_a_processor(tmp_path):
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text("processor\t: 0\nhart\t\t: 0\nisa\t\t: rv64imafdc\n")
    found = json.loads(probe(tmp_path, "--json"))
    assert (found["arch"], found["board"]) == ("riscv64", "generic-riscv64")
