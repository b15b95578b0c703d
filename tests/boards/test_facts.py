"""Facts of a machine: parsed from what kernels write, and gathered below a root."""

import json
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeagent.boards.facts import Cgroup, Facts, Rtc, facts, identify, model_name, own_group, unified
from edgeagent.boards.here import completed, this_machine
from edgeagent.probe.documents import Documents
from edgeagent.probe.gather import gather

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
    ("", None, ""),
    ("proc /proc proc rw 0 0\n\nodd\n", None, ""),
    (UNIFIED, Cgroup(2, (), None), "/sys/fs/cgroup"),
    (OLD, Cgroup(1, ("cpu", "memory"), None), ""),
    (HYBRID, Cgroup("hybrid", ("cpu", "memory"), None), "/sys/fs/cgroup/unified"),
]


def documents(**files):
    return Documents({path: raw if isinstance(raw, bytes) else raw.encode() for path, raw in files.items()})


@pytest.mark.parametrize(("mounts", "found", "point"), MOUNTS)
def test_control_groups(mounts, found, point):
    given = documents(**{"proc/mounts": mounts, "proc/cgroups": CGROUPS})
    assert facts(given).cgroup == found
    assert unified(given) == point


def test_own_group():
    given = documents(**{"proc/self/cgroup": "12:cpu:/x\n0::/system.slice/edgeagent.service\n"})
    assert own_group(given) == "/system.slice/edgeagent.service"
    assert own_group(documents(**{"proc/self/cgroup": "12:cpu:/x\n"})) == "/"
    assert own_group(documents()) == "/"


def test_the_first_processors_name():
    given = "processor\t: 0\nmodel\t: 1\nmodel name\t: AMD  Ryzen\t V1500B \nmodel name: other\n"
    assert model_name(documents(**{"proc/cpuinfo": given})) == "AMD Ryzen V1500B"
    assert model_name(documents(**{"proc/cpuinfo": "isa\t: rv64imafdc\nuarch\t: sifive,u74-mc\n"})) == ""


PATHS = [
    "proc/device-tree/compatible", "proc/cpuinfo", "proc/mounts", "proc/cgroups", "sys/class/dmi/id/sys_vendor",
    "sys/class/rtc/rtc0/name", "sys/class/rtc/rtc0/hctosys", "sys/class/tpm/tpm0/tpm_version_major",
]  # fmt: skip


@given(st.dictionaries(st.sampled_from(PATHS), st.binary(max_size=200)))
def test_any_bytes_give_something(files):
    found = facts(Documents(files))
    assert found.cgroup is None or found.cgroup.version in (1, 2, "hybrid")
    assert (found.rtc is not None) == any(path.startswith("sys/class/rtc") for path in files)
    assert found.tpm in (None, "1.2", "2.0")
    assert json.loads(json.dumps(found.as_json()))
    assert "\n" not in identify(Documents(files), "x86_64", little=None).cpu


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
    found = identify(gather(root), "aarch64", little=None)
    assert found.compatible == ("maker,board", "maker,chip")
    assert found.dmi == {"sys_vendor": "Maker"}
    assert (found.arch, found.endianness, found.cpu, found.uefi) == ("aarch64", "", "A", True)
    clock = Rtc(present=True, name="rtc-efi rtc-efi.0", hctosys=True)
    assert facts(gather(root)) == Facts(Cgroup("hybrid", ("cpu", "memory"), None), clock, "2.0", None)
    assert facts(gather(root)).as_json() == {
        "cgroup": {"version": "hybrid", "controllers": ["cpu", "memory"], "delegated": None},
        "rtc": {"present": True, "name": "rtc-efi rtc-efi.0", "hctosys": True},
        "tpm": "2.0",
        "clock_synchronised": None,
    }


def test_what_isnt_in_a_capture_isnt_known():
    assert facts(Documents()) == Facts()
    assert set(Facts().as_json().values()) == {None}
    found = identify(Documents(), "riscv64", little=True)
    assert (found.compatible, found.dmi, found.cpu, found.uefi) == ((), {}, "", False)
    assert (found.arch, found.endianness) == ("riscv64", "little")


def test_a_board_without_a_clock(tmp_path):
    (tmp_path / "sys/class/rtc").mkdir(parents=True)
    assert facts(gather(tmp_path)).rtc == Rtc(present=False)


@pytest.mark.parametrize(("text", "version"), [("1\n", "1.2"), ("2\n", "2.0"), ("9\n", None), ("", None)])
def test_tpm(text, version):
    assert facts(documents(**{"sys/class/tpm/tpm0/tpm_version_major": text})).tpm == version


def test_a_capture_reads_nothing_outside_of_it(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("hidden")
    root = tmp_path / "capture"
    (root / "sys/class/rtc/rtc0").mkdir(parents=True)
    (root / "sys/class/rtc/rtc0/name").symlink_to(secret)
    assert facts(gather(root)).rtc == Rtc(present=True)


def test_this_machine():
    here = this_machine()
    assert here.endianness == sys.byteorder
    assert here.arch
    files = gather(Path("/"))
    found = completed(facts(files), files, delegated=False)
    assert found.rtc is not None
    assert found.clock_synchronised is not None
    assert found.tpm == facts(files).tpm
    assert found.cgroup is None or found.cgroup.delegated is False
    again = identify(files, here.arch, little=sys.byteorder == "little")
    assert again == here
