"""The probe on this machine, whatever it is."""

from __future__ import annotations

import asyncio
import errno
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from edgeagent.cli.probe import probe as command
from edgeagent.errors import ConfigError
from edgeagent.host.disk import DiskFiles
from edgeagent.probe import kvm, live
from edgeagent.probe.calibrate import measure
from edgeagent.vmm.machines import MACHINES
from edgeagent.vmm.port import Accelerator
from edgeagent.vmm.qemu import Qemu
from tests.guests import GetImage, spec


def openable() -> bool:
    return os.access("/dev/kvm", os.R_OK | os.W_OK)


def test_node_is_asked_and_let_go() -> None:
    before = len(os.listdir("/proc/self/fd"))
    said = kvm.ask()
    assert len(os.listdir("/proc/self/fd")) == before
    if openable():
        assert (said.open, said.api_version, said.create_vm) == ("ok", 12, "ok")
        assert said.capabilities["USER_MEMORY"] > 0
    else:
        assert said.open in errno.errorcode.values()


def test_nodes_that_are_none(tmp_path: Path) -> None:
    assert kvm.ask(tmp_path / "none").open == "ENOENT"
    plain = tmp_path / "plain"
    plain.touch()
    said = kvm.ask(plain)
    assert (said.open, said.api_version, said.create_vm) == ("ok", None, "ENOTTY")


def test_calibration_measures(guest_image: GetImage) -> None:
    measured = asyncio.run(measure(Qemu(MACHINES), spec(guest_image("echo", live.host_arch()))))
    assert measured.failure == ""
    assert measured.ns is not None
    assert 0.01 < measured.ns < 10_000


@pytest.mark.parametrize("program", ["/bin/true", "qemu-system-none"])
def test_calibration_says_why_it_failed(guest_image: GetImage, program: str) -> None:
    arch = live.host_arch()
    broken = Qemu({arch: replace(MACHINES[arch], program=program, machine="no-such-machine")})
    measured = asyncio.run(measure(broken, spec(guest_image("echo", arch))))
    assert measured.ns is None
    assert "ended" in measured.failure or "not installed" in measured.failure


def test_calibration_of_a_guest_that_is_no_echo(guest_image: GetImage) -> None:
    """A guest that refuses its configuration is an answer, not an endless wait."""
    measured = asyncio.run(measure(Qemu(MACHINES), spec(guest_image("aggregate", live.host_arch()))))
    assert measured.ns is None
    assert measured.failure


def test_answers_and_remembers(guest_image: GetImage, tmp_path: Path) -> None:
    image = guest_image("echo", live.host_arch()).path

    def ask(fresh: bool = False) -> live.Report:
        vmm = Qemu(MACHINES)
        return asyncio.run(
            live.probe(vmm, DiskFiles(), state=tmp_path / "state", image=image, user="nobody", fresh=fresh)
        )

    first = ask()
    assert first.evidence.tcg is not None
    assert not first.cached
    again = ask()
    assert again.cached
    assert (again.evidence.tcg, again.evidence.kvm) == (first.evidence.tcg, first.evidence.kvm)
    assert not ask(fresh=True).cached
    (tmp_path / "state" / live.CACHE).write_bytes(b'{"key": 1, "ns": {"tcg": "x"}}')
    assert not ask().cached, "a cache that says nothing is measured anew"
    if openable():
        assert first.evidence.kvm is not None
        faster = (first.evidence.kvm.ns or 1e9) <= (first.evidence.tcg.ns or 0)
        assert first.choice.chosen is (Accelerator.KVM if faster else Accelerator.TCG)
        assert (first.verdict.answer == "yes") == faster
    else:
        assert first.choice.chosen is Accelerator.TCG


def test_command(guest_image: GetImage, tmp_path: Path) -> None:
    image = guest_image("echo", live.host_arch()).path
    options = ["--image", str(image), "--state", str(tmp_path / "state")]
    result = CliRunner().invoke(command, [*options, "--json"], catch_exceptions=False)
    assert result.exit_code == 0
    answer = json.loads(result.output)
    assert answer["arch"] == live.host_arch()
    assert answer["accelerator"]["chosen"] in ("kvm", "tcg")
    assert answer["kvm"]["ns_per_instruction"]["tcg"] > 0
    result = CliRunner().invoke(command, options, catch_exceptions=False)
    assert result.exit_code == 0
    assert f"KVM: {answer['kvm']['verdict']} ({answer['kvm']['reason']})" in result.output
    assert "guests get" in result.output
    help_text = CliRunner().invoke(command, ["--help"]).output
    assert "  edgeagent probe --json --fresh\n" in help_text


def test_a_capture_answers_as_the_board_does(guest_image: GetImage, tmp_path: Path) -> None:
    image = guest_image("echo", live.host_arch()).path
    folder = tmp_path / "capture"
    options = ["--json", "--image", str(image), "--state", str(tmp_path / "state"), "--capture", str(folder)]
    result = CliRunner().invoke(command, options, catch_exceptions=False)
    assert result.exit_code == 0
    here = json.loads(result.stdout)
    again = json.loads(CliRunner().invoke(command, ["--json", "--root", str(folder)]).stdout)
    for key in ("verdict", "reason", "ns_per_instruction", "capabilities"):
        assert again["kvm"][key] == here["kvm"][key]
    for key in ("arch", "board", "accelerator", "vmm", "memory", "cpus"):
        assert again[key] == here[key]


def test_wrong_use(tmp_path: Path) -> None:
    both = CliRunner().invoke(command, ["--root", str(tmp_path), "--capture", str(tmp_path / "x")])
    assert both.exit_code == 2
    assert "give one of them" in both.output
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="isn't an empty folder"):
        CliRunner().invoke(command, ["--capture", str(tmp_path)], catch_exceptions=False)
