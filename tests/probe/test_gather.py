"""Files of a board, read from folders that strangers made."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest

from edgeagent.errors import ConfigError
from edgeagent.probe import gather as gathering
from edgeagent.probe import kmsg, live
from edgeagent.probe.gather import MAX_FILE, gather
from tests.probe.boards import x86


def put(root: Path, path: str, content: str | bytes) -> Path:
    target = root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content.encode() if isinstance(content, str) else content)
    return target


def test_only_what_is_listed_is_read(tmp_path: Path) -> None:
    put(tmp_path, "proc/cpuinfo", "flags : vmx\n")
    put(tmp_path, "proc/kallsyms", "secret")
    put(tmp_path, "boot/config-6.1", "CONFIG_KVM=y\n")
    put(tmp_path, "boot/vmlinuz-6.1", "MZ")
    put(tmp_path, "sys/module/kvm_intel/parameters/nested", "Y\n")
    put(tmp_path, "sys/module/ext4/parameters/x", "Y\n")
    put(tmp_path, "proc/device-tree/cpus/cpu@0/riscv,isa", b"rv64i\0")
    put(tmp_path, "proc/device-tree/serial-number", b"1234\0")
    put(tmp_path, "sys/class/dmi/id/product_serial", "1234\n")
    put(tmp_path, "sys/class/dmi/id/sys_vendor", "ACME\n")
    assert set(gather(tmp_path).files) == {
        "proc/cpuinfo",
        "boot/config-6.1",
        "sys/module/kvm_intel/parameters/nested",
        "sys/module/kvm_intel/.present",
        "proc/device-tree/cpus/cpu@0/riscv,isa",
        "sys/class/dmi/id/sys_vendor",
    }


def test_nothing_outside_is_read(tmp_path: Path) -> None:
    outside = put(tmp_path, "outside/cpuinfo", x86("vmx"))
    put(tmp_path, "outside/tree/compatible", b"x\0")
    root = tmp_path / "capture"
    (root / "proc").mkdir(parents=True)
    (root / "proc/cpuinfo").symlink_to(outside)
    (root / "proc/cmdline").symlink_to("../../outside/cpuinfo")
    (root / "proc/device-tree").symlink_to(tmp_path / "outside/tree")
    found = gather(root)
    assert found.files == {}
    assert found.refused["proc/cpuinfo"] == found.refused["proc/cmdline"] == "leads out of the folder"


def test_links_within_are_followed(tmp_path: Path) -> None:
    put(tmp_path, "sys/firmware/devicetree/base/compatible", b"acme,box\0")
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/device-tree").symlink_to("../sys/firmware/devicetree/base")
    assert gather(tmp_path).strings("proc/device-tree/compatible") == ("acme,box",)


def test_pipes_folders_and_loops_are_no_files(tmp_path: Path) -> None:
    (tmp_path / "proc/cpuinfo").mkdir(parents=True)
    os.mkfifo(tmp_path / "dmesg.txt")
    (tmp_path / "uname.txt").symlink_to("uname.txt")
    put(tmp_path, "proc/device-tree/compatible", b"x\0")
    (tmp_path / "proc/device-tree/loop").symlink_to(".")
    found = gather(tmp_path)
    assert set(found.files) == {"proc/device-tree/compatible"}
    assert set(found.refused) == {"proc/cpuinfo", "dmesg.txt", "uname.txt"}


def test_sizes_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, "proc/cpuinfo", b"x" * (MAX_FILE + 10))
    put(tmp_path, "proc/config.gz", gzip.compress(b"CONFIG_X=y\n" * 800_000))
    deep = "proc/device-tree" + "/a" * (gathering.MAX_DEPTH + 1)
    put(tmp_path, f"{deep}/compatible", b"x\0")
    found = gather(tmp_path)
    assert len(found.files["proc/cpuinfo"]) == MAX_FILE
    assert len(found.files["proc/config.gz"]) == MAX_FILE
    assert not found.below("proc/device-tree")
    monkeypatch.setattr(gathering, "MAX_FILES", 1)
    assert len(gather(tmp_path).files) == 1


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (gzip.compress(b"CONFIG_KVM=y\n"), b"CONFIG_KVM=y\n"),
        (gzip.compress(b"CONFIG_KVM=y\n" + os.urandom(2000))[:-300], b"CONFIG_KVM=y\n"),
        (b"CONFIG_KVM=m\n", b"CONFIG_KVM=m\n"),
        (b"", b""),
    ],
    ids=["whole", "cut", "unpacked", "empty"],
)
def test_configurations(tmp_path: Path, raw: bytes, expected: bytes) -> None:
    put(tmp_path, "proc/config.gz", raw)
    assert gather(tmp_path).files["proc/config.gz"].startswith(expected)


def test_damaged_configuration(tmp_path: Path) -> None:
    put(tmp_path, "proc/config.gz", b"\x1f\x8b garbage")
    assert gather(tmp_path).refused == {"proc/config.gz": "damaged"}
    put(tmp_path, "boot/config-6.1", "# CONFIG_KVM is not set\n")
    put(tmp_path, "uname.txt", "Linux h 6.1 #1 x86_64\n")
    put(tmp_path, "proc/cpuinfo", x86("vmx"))
    assert live.look(tmp_path).verdict.reason == "kernel-config-off"


def test_folders_that_are_no_capture(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds nothing of a board"):
        live.look(tmp_path)
    with pytest.raises(ConfigError, match="is no folder"):
        live.look(tmp_path / "none")
    with pytest.raises(ConfigError, match="is no folder"):
        live.look(put(tmp_path, "file", ""))


@pytest.mark.parametrize(
    ("said", "reason", "word"),
    [
        ("", "not-tried", "isn't a JSON object"),
        ("[1]", "not-tried", "isn't a JSON object"),
        ("[" * 100_000, "not-tried", "isn't a JSON object"),
        ('{"exists": true}', "not-tried", "what open did"),
        ('{"open": 5}', "not-tried", "what open did"),
        ('{"exists": false}', "module-not-loaded", "ENOENT"),
        ('{"open": "EACCES"}', "permission-denied", "EACCES"),
        ('{"open": "EACCES", "mode": "crw-rw----", "gid": 36}', "permission-denied", "0660"),
        ('{"open": "ok", "api_version": "12", "create_vm": "ok"}', "api-version", "None"),
        ('{"open": "ok", "api_version": 12, "create_vm": "ok", "capabilities": [1]}', "works", "API 12"),
        ('{"open": "ok", "api_version": 12, "create_vm": "ok", "capabilities": {"IRQCHIP": 0}}',
         "capability-missing", "IRQ"),
        ('\ufeff{"open": "OK", "api_version": 12, "create_vm": "ok"}', "works", "API 12"),
        ('{"open": "E\\u001b[31mODD"}', "open-failed", "E[31mODD"),
    ],
)  # fmt: skip
def test_what_the_node_said(tmp_path: Path, said: str, reason: str, word: str) -> None:
    put(tmp_path, "uname.txt", "x86_64\n")
    put(tmp_path, "proc/cpuinfo", x86("vmx"))
    put(tmp_path, "dev-kvm.json", said)
    verdict = live.look(tmp_path).verdict
    assert verdict.reason == reason
    assert word in "; ".join(verdict.evidence)


def test_measured_speeds_decide(tmp_path: Path) -> None:
    put(tmp_path, "uname.txt", "x86_64\n")
    put(tmp_path, "proc/cpuinfo", x86("vmx"))
    put(tmp_path, "dev-kvm.json", '{"open": "ok", "api_version": 12, "create_vm": "ok"}')
    put(tmp_path, "measured.json", '{"ns_per_instruction": {"kvm": 900, "tcg": 2.5}, "cpus": 3, "vmm": 7}')
    report = live.look(tmp_path)
    assert (report.verdict.reason, report.choice.chosen, report.evidence.cpus) == (
        "slower-than-tcg",
        "tcg",
        3,
    )
    put(tmp_path, "measured.json", '{"ns_per_instruction": {"kvm": -1, "tcg": "x"}, "failures": 3}')
    assert live.look(tmp_path).verdict.reason == "works"


def test_the_log_without_what_programs_wrote(tmp_path: Path) -> None:
    """A file gives all at once what the device gives record by record: enough for the form."""
    assert kmsg._line(b"6,1,1500000,-;kvm [1]: up\n SUBSYSTEM=x\n") == b"[    1.500000] kvm [1]: up"
    assert kmsg._line(b"30,2,1500000,-;systemd[1]: hello\n") is None
    assert kmsg._line(b"6,3,12345678901,c,caller=T1;late") == b"[12345.678901] late"
    assert kmsg._line(b"nonsense") is None
    with pytest.raises(FileNotFoundError):
        kmsg.read(tmp_path / "none")


def test_the_log_of_this_machine() -> None:
    if os.access(kmsg.KMSG, os.R_OK):
        text = kmsg.read()
        assert all(line.startswith(b"[") for line in text.splitlines())
    else:
        with pytest.raises(OSError):
            kmsg.read()
