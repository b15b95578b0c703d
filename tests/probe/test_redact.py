"""What leaves a board in a capture: nothing that points at it, and all that the verdict rests on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeagent.errors import ConfigError
from edgeagent.probe import live
from edgeagent.probe.capture import capture, names, write
from edgeagent.probe.documents import Documents
from edgeagent.probe.evidence import Evidence, KvmNode, Speed
from edgeagent.probe.gather import gather
from edgeagent.probe.redact import REMOVED, redact, scrub
from edgeagent.probe.said import load
from edgeagent.probe.system import read
from edgeagent.probe.verdict import judge
from edgeagent.vmm.port import VmmInfo
from tests.probe.boards import board, documents
from tests.probe.cases import CASES
from tests.probe.test_truth import CAPTURES

NAMES = ("nas.example.org", "nas-kontor", "wilhelmine")

SECRETS: dict[str, tuple[str, ...]] = {
    "proc/cpuinfo": (
        "Serial\t\t: 10000000deadbeef",
        "serial number : SN-4711-0815",
        "Chip id : a1b2c3d4e5",
        "wilhelmine@nas-kontor:~$ cat /proc/cpuinfo",
        "processor 0: version = 00,  identification = 279F25, machine = 2964",
        "Model name of WILHELMINE : x",
    ),
    "proc/cmdline": (
        "root=UUID=8d2e0a6e-52f1-4f4c-9f5e-3a1c0d7b9e11 ro quiet",
        "ip=192.168.17.23:192.168.17.1:192.168.17.254:255.255.255.0:nas-kontor:eth0:off",
        "systemd.hostname=nas-kontor systemd.machine_id=0123456789abcdef0123456789abcdef",
        "rd.luks.name=8d2e0a6e-52f1-4f4c-9f5e-3a1c0d7b9e11=geheim nfsroot=nas.example.org:/srv",
        "smsc95xx.macaddr=B8:27:EB:12:34:56 bcm2708.serial=0xdeadbeef wilhelmine",
        "androidboot.serialno=R58M123ABCD vc_mem.mem_base=0x3ec00000 init=/home/wilhelmine/init",
        "quiet -- --password hunter2 192.168.17.99",
    ),
    "dmesg.txt": (
        "[    0.000000] Linux version 6.1.0 (wilhelmine@nas-kontor) (gcc 12) #1 SMP",
        "[    0.000000] Kernel command line: root=UUID=8d2e0a6e-52f1-4f4c-9f5e-3a1c0d7b9e11 ip=192.168.17.23",
        "[    0.000000] Command line: user=wilhelmine -- hunter2",
        "[    1.100000] usb 1-1: SerialNumber: 4C530001071205115241",
        "[    1.200000] ata1.00: ATA-10: WDC WD40EFRX, 82.00A82, S/N WD-WCC7K0123456",
        "[    1.300000] EXT4-fs (sda1): mounted filesystem 8d2e0a6e-52f1-4f4c-9f5e-3a1c0d7b9e11 r/w",
        "[    1.400000] e1000e 0000:00:19.0 eth0: (PCI Express:2.5GT/s:Width x1) 00:1b:21:aa:bb:cc",
        "[    1.500000] systemd[1]: Hostname set to <nas-kontor>.",
        "[    1.600000] wlan0: authenticate with b8:27:eb:12:34:56",
        "[    1.700000] CPU0: odd line of a vendor with MAC B8-27-EB-12-34-56 and 0123456789abcdef0123456789abcdef",
        "[    1.800000] kvm [1]: vendor says serial: R58M123ABCD, s/n=SN-4711-0815, at fe80::ba27:ebff:fe12:3456",
        "[    1.900000] kvm: user wilhelmine at 192.168.17.23 has /home/wilhelmine/vm.img on nas-kontor",
        "[    2.000000] CPU features: naa.5000c500a1b2c3d4 eui.0025388b71b2c3d4",
        '[    2.100000] audit: type=1400 apparmor="STATUS" profile="/home/wilhelmine/kvm"',
        "[    2.200000] DMI: ACME Box/Board, BIOS 1.0, Serial Number: SN-4711-0815",
        "kvm: no time, wilhelmine",
    ),
    "boot/config-6.1.0": (
        'CONFIG_DEFAULT_HOSTNAME="nas-kontor"',
        'CONFIG_CMDLINE="root=UUID=8d2e0a6e-52f1-4f4c-9f5e-3a1c0d7b9e11"',
        'CONFIG_INITRAMFS_SOURCE="/home/wilhelmine/initramfs"',
        'CONFIG_SYSTEM_TRUSTED_KEYS="certs/wilhelmine.pem"',
    ),
    "proc/interrupts": (" 30: 1 0 PCI-MSI 524288-edge enx00e04c681234", " 31: 1 GICv3 25 Level nas-kontor"),
    "proc/modules": ("kvm 1 0 - Live 0xffffc86cc9b0f000 (OE)",),
    "proc/meminfo": ("MemTotal: 1024 kB", "Wilhelmine: 1 kB"),
    "proc/mounts": ("//nas.example.org/wilhelmine /mnt/geheim cifs rw,username=wilhelmine 0 0",),
    "uname.txt": ("Linux nas-kontor 6.1.0 #1 SMP x86_64 GNU/Linux",),
    "sys/module/kvm/parameters/odd": ("192.168.17.23",),
    "sys/class/dmi/id/product_name": ("Box of wilhelmine",),
    "sys/class/dmi/id/product_serial": ("SN-4711-0815",),
    "proc/device-tree/serial-number": ("10000000deadbeef",),
    "proc/self/environ": ("PASSWORD=hunter2",),
    "etc/passwd": ("wilhelmine:x:1000:",),
}  # fmt: skip
"""What must not leave: lines by file."""

TELLING = (
    "deadbeef", "4711", "a1b2c3d4", "wilhelmine", "nas-kontor", "nas.example", "279F25", "8d2e0a6e", "3a1c0d7b9e11",
    "192.168",
    "0123456789abcdef", "geheim", "b8:27", "b8-27", "R58M", "4C53", "WCC7K", "00:1b:21", "hunter2", "ba27:ebff",
    "5000c500", "00e04c681234", "c86cc9b0f000", "/home/w",
)  # fmt: skip


def test_nothing_that_points_at_a_board_or_person_is_left() -> None:
    files = {path: "\n".join(lines) + "\n" for path, lines in SECRETS.items()}
    kept = redact(documents(files), NAMES)
    assert set(files) - set(kept) == {
        "sys/class/dmi/id/product_serial",
        "proc/self/environ",
        "etc/passwd",
        "proc/device-tree/serial-number",
    }
    for path, raw in kept.items():
        found = [word for word in TELLING if word.lower() in raw.decode().lower()]
        assert not found, (path, raw.decode())


def test_what_is_of_use_is_left() -> None:
    kept = redact(documents({
        "proc/cmdline": "console=ttyS0,115200 quiet kvm-arm.mode=none kvm_intel.nested=1 root=/dev/sda1\n",
        "dmesg.txt": "[    0.0] Linux version 6.1.0-18-amd64 (x@y)\n<6>[ 1.0] kvm [1]: vgic-v2@2c020000, IRQ9\n"
        "[   12.0][    T1] CPU: All CPU(s) started at EL2\n[1] GICv3: CPU0: found redistributor 0:0x00000000080a0000\n",
        "uname.txt": "Linux nas-kontor 5.15.90.1-microsoft #1 x86_64\nx86_64\n",
        "proc/interrupts": " 22: 0 ITS-PCI-MSIX-0000:00:02.0   0 Edge      virtio1-config\n",
        "proc/cpuinfo": "processor\t: 0\nflags\t\t: fpu vmx\n",
    }), NAMES)  # fmt: skip
    assert kept["proc/cmdline"] == (
        b"console=ttyS0,115200 quiet kvm-arm.mode=none kvm_intel.nested=1 root=REMOVED\n"
    )
    assert kept["dmesg.txt"].decode().splitlines() == [
        "[    0.0] Linux version 6.1.0-18-amd64 (REMOVED)",
        "<6>[ 1.0] kvm [1]: vgic-v2@2c020000, IRQ9",
        "[   12.0][    T1] CPU: All CPU(s) started at EL2",
        "[1] GICv3: CPU0: found redistributor 0:0x00000000080a0000",
    ]
    assert kept["uname.txt"] == b"Linux (none) 5.15.90.1-microsoft #1 x86_64\nx86_64\n"
    assert b"0000:00:02.0" in kept["proc/interrupts"]
    assert kept["proc/cpuinfo"] == b"processor\t: 0\nflags\t\t: fpu vmx\n"


@pytest.mark.parametrize("name", CASES)
def test_the_verdict_stays(name: str) -> None:
    files, reason = CASES[name]
    evidence = board({**files, "uname.txt": files.get("uname.txt", "")})
    again = Documents(capture(evidence, ("kvm", "cpu", *NAMES)))
    assert judge(load(again, read(again))).reason == reason


@pytest.mark.parametrize("name", sorted(path.name for path in CAPTURES.glob("*")) or [None])
def test_the_verdict_of_a_real_board_stays(name: str | None) -> None:
    if name is None:
        pytest.skip("no ../shared/boards")
    evidence = live.look(CAPTURES / name).evidence
    again = Documents(capture(evidence, NAMES))
    before, after = judge(evidence), judge(load(again, read(again)))
    assert (after.answer, after.reason) == (before.answer, before.reason)
    assert len(after.evidence) == len(before.evidence)


def test_what_was_measured_and_said_comes_back() -> None:
    node = KvmNode("wilhelmine", "ok", 0o660, 0, 1000, "wilhelmine", 12, "ok", "ok", {"IRQCHIP": 1})
    evidence = board(
        {"uname.txt": "x86_64", "proc/meminfo": "MemTotal: 2048 kB\n"},
        node,
        vmm=VmmInfo("/home/wilhelmine/bin/qemu", "8.2", ("kvm", "tcg")),
        kvm=Speed(900.5),
        tcg=Speed(None, "no /home/wilhelmine/echo.elf"),
        memory=2 << 20,
        cpus=4,
    )
    files = capture(evidence, NAMES)
    assert not [raw for raw in files.values() if b"wilhelmine" in raw]
    again = load(Documents(files), read(Documents(files)))
    assert again.node == replace(node, user="", group="")
    assert again.vmm == VmmInfo(f"/home/{REMOVED}", "8.2", ("kvm", "tcg"))
    assert (again.kvm, again.tcg) == (Speed(900.5), Speed(None, f"no /home/{REMOVED}"))
    assert (again.memory, again.cpus) == (2 << 20, 4)


def test_this_machine_reads_itself_back(tmp_path: Path) -> None:
    documents_here = gather(Path("/"))
    evidence = Evidence(read(documents_here), KvmNode("someone", "EACCES", 0o600, 0, 0, "root"), cpus=2)
    folder = tmp_path / "new" / "capture"
    count = write(evidence, folder)
    assert count == sum(path.is_file() for path in folder.rglob("*"))
    again = live.look(folder)
    assert again.verdict.reason == judge(evidence).reason == "permission-denied"
    assert again.evidence.system.arch == evidence.system.arch
    words = [name for name in names() if len(name) > 5]
    text = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file()).decode(
        "utf-8", "replace"
    )
    assert not [word for word in words if word in text]
    with pytest.raises(ConfigError, match="isn't an empty folder"):
        write(evidence, folder)


HEX = "0123456789abcdef"


@given(
    st.lists(st.text(HEX, min_size=2, max_size=2), min_size=6, max_size=6),
    st.sampled_from([":", "-"]),
    st.sampled_from(["{}", "mac {}", "({})", "hw={},x", "[ 1.0] kvm: {}."]),
    st.booleans(),
)
def test_any_mac_address_goes(octets: list[str], between: str, around: str, upper: bool) -> None:
    address = between.join(octets)
    text = around.format(address.upper() if upper else address)
    assert address not in scrub(text).lower()


@given(st.uuids(), st.ip_addresses())
def test_any_uuid_and_address_goes(uuid: object, address: object) -> None:
    text = scrub(f"root={uuid} from {address}, twice {address}")
    assert str(uuid) not in text
    if not str(address).startswith("::"):
        assert str(address) not in text


def test_names_are_words_of_any_case() -> None:
    assert scrub("NAS nas-2 nasal nas.local", ["nas"]) == "(none) (none)-2 nasal (none).local"
    assert scrub("kvm [1]: linux a", ["kvm", "linux", "a"]) == "kvm [1]: linux a"
    assert json.loads(scrub(json.dumps({"a": "x wilhelmine"}), NAMES)) == {"a": "x (none)"}
