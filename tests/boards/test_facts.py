"""Facts of a machine: parsed from what kernels write, and gathered below a root."""

import os
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeagent.boards.facts import (
    Cgroup,
    CgroupMounts,
    Facts,
    Rtc,
    cgroup_mounts,
    model_name,
    old_controllers,
    own_group,
)
from edgeagent.boards.here import facts, identify, this_machine

UNIFIED = "cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid,nodev,noexec,relatime,nsdelegate 0 0\n"
OLD = "cgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0\n"
HYBRID = f"{OLD}cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n"
CGROUPS = """#subsys_name\thierarchy\tnum_cgroups\tenabled
cpu\t3\t20\t1
memory\t4\t20\t1
pids\t0\t20\t1
hugetlb\t5\t1\t0
"""
MOUNTS = [
    ("", None),
    ("proc /proc proc rw 0 0\n\nodd\n", None),
    (UNIFIED, CgroupMounts(2, "/sys/fs/cgroup")),
    (OLD, CgroupMounts(1, "")),
    (HYBRID, CgroupMounts("hybrid", "/sys/fs/cgroup/unified")),
]


@pytest.mark.parametrize(("text", "found"), MOUNTS)
def test_where_control_groups_are_mounted(text, found):
    assert cgroup_mounts(text) == found


def test_groups_and_controllers():
    assert own_group("12:cpu:/x\n0::/system.slice/edgeagent.service\n") == "/system.slice/edgeagent.service"
    assert own_group("12:cpu:/x\n") == "/"
    assert old_controllers(CGROUPS) == ("cpu", "memory")


def test_the_first_processors_name():
    assert (
        model_name("processor\t: 0\nmodel name\t: AMD  Ryzen\t V1500B \nmodel name: other\n")
        == "AMD Ryzen V1500B"
    )
    assert model_name("isa\t: rv64imafdc\nuarch\t: sifive,u74-mc\n") == ""


@given(st.text())
def test_any_text_gives_something(text):
    assert own_group(text).startswith("/")
    assert all(old_controllers(text))
    assert "\n" not in model_name(text)
    found = cgroup_mounts(text)
    assert found is None or found.version in (1, 2, "hybrid")


def write(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return root


def test_a_capture(tmp_path):
    root = write(
        tmp_path,
        {
            "proc/device-tree/compatible": b"maker,board\0maker,chip\0",
            "proc/cpuinfo": "model name : A\n",
            "proc/mounts": HYBRID,
            "proc/cgroups": CGROUPS,
            "sys/class/dmi/id/sys_vendor": "Maker \n",
            "sys/class/dmi/id/product_serial": "0815\n",
            "sys/class/rtc/rtc0/name": "rtc-ds1307 0-0068\n",
            "sys/class/rtc/rtc0/hctosys": "0\n",
            "sys/class/rtc/rtc1/name": "rtc-efi rtc-efi.0\n",
            "sys/class/rtc/rtc1/hctosys": "1\n",
            "sys/class/tpm/tpm0/tpm_version_major": "2\n",
            "sys/firmware/efi/fw_platform_size": "64\n",
        },
    )
    found = identify("aarch64", root)
    assert found.compatible == ("maker,board", "maker,chip")
    assert found.dmi == {"sys_vendor": "Maker"}
    assert (found.arch, found.endianness, found.cpu, found.uefi) == ("aarch64", "", "A", True)
    clock = Rtc(present=True, name="rtc-efi rtc-efi.0", hctosys=True)
    assert facts(root) == Facts(Cgroup("hybrid", ("cpu", "memory"), None), clock, "2.0", None)
    assert facts(root).as_json() == {
        "cgroup": {"version": "hybrid", "controllers": ["cpu", "memory"], "delegated": None},
        "rtc": {"present": True, "name": "rtc-efi rtc-efi.0", "hctosys": True},
        "tpm": "2.0",
        "clock_synchronised": None,
    }


def test_what_isnt_in_a_capture_isnt_known(tmp_path):
    assert facts(tmp_path) == Facts()
    assert set(facts(tmp_path).as_json().values()) == {None}
    found = identify("riscv64", tmp_path)
    assert (found.compatible, found.dmi, found.cpu, found.uefi) == ((), {}, "", False)


def test_a_board_without_a_clock(tmp_path):
    (tmp_path / "sys/class/rtc").mkdir(parents=True)
    assert facts(tmp_path).rtc == Rtc(present=False)


@pytest.mark.parametrize(("name", "text", "version"), [
    ("tpm_version_major", "1\n", "1.2"), ("tpm_version_major", "9\n", None), ("device/caps", "x", "1.2"),
    ("dev", "x", None),
])  # fmt: skip
def test_tpm(tmp_path, name, text, version):
    assert facts(write(tmp_path, {f"sys/class/tpm/tpm0/{name}": text})).tpm == version


def test_odd_files_are_no_evidence(tmp_path):
    (tmp_path / "proc/device-tree").mkdir(parents=True)
    os.mkfifo(tmp_path / "proc/device-tree/compatible")
    (tmp_path / "proc/cpuinfo").mkdir()
    write(tmp_path, {"proc/mounts": b"\xff\0\xfe", "sys/class/rtc/rtc0/hctosys": b"\xff"})
    assert identify("aarch64", tmp_path).compatible == ()
    assert facts(tmp_path) == Facts(rtc=Rtc(present=True))


def test_this_machine():
    found = facts()
    assert found.rtc is not None
    assert found.clock_synchronised is not None
    if cgroup_mounts(Path("/proc/mounts").read_text()):
        assert found.cgroup is not None
        assert found.cgroup.delegated is None
        assert facts(delegated=True).cgroup.delegated
    assert this_machine().endianness == sys.byteorder
    assert this_machine().arch
