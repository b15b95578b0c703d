"""Real images in the real QEMU: each protocol, each end, and nothing left behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from tests.guests import need
from tests.image.test_boot import X86_64, elf_file, solo5_notes
from tests.vm.build import GetForeign
from tests.vm.given import RUN, gone, read_until, run, running, vmm_of

PASSED = ("--exit-map", "83=0")

# image, options -> exit status, what is printed, words of the summary
ENDS: dict[str, tuple[str, tuple[str, ...], int, bytes, str]] = {
    "multiboot": (
        "hello",
        ("--cmdline", "a, b", *PASSED),
        0,
        b" a, b\nhello\n",
        "multiboot1 on pc, x86_64, tcg",
    ),
    "pvh": ("pvh", ("--cmdline", "a, b", *PASSED), 0, b"a, b\nhello\n", "pvh on pc"),
    "microvm": ("pvh", ("--machine", "microvm", "--cpu", "qemu64", *PASSED), 0, b"hello\n", "pvh on microvm"),
    "exit status unmapped": (
        "hello",
        (),
        7,
        b"hello\n",
        "status 83. If that is success, give --exit-map 83=0",
    ),
    "shutdown": ("off", (), 0, b"good bye\n", "it shut down"),
    "shutdown before": ("off", ("--expect", "hello"), 1, b"good bye\n", "it shut down without 'hello'"),
    "expected in its last words": (
        "off",
        ("--expect", "bye"),
        0,
        b"good bye",
        "the expected text was seen",
    ),
    "expected": ("hang", ("--expect", "for ever"), 0, b"waiting for ever", "the expected text was seen"),
    "panic": ("panic", (), 7, b"can't go on\n", "the guest panicked"),
    "triple fault": ("triple", (), 7, b"about to fault\n", "triple fault"),
    "reset is an end": (
        "triple",
        ("--exit-map", "reset=0"),
        0,
        b"about to fault\n",
        "which --exit-map makes 0",
    ),
    "timeout": ("hang", ("--timeout", "1s"), 124, b"", "still running after 1 s"),
    "sse": ("sse", PASSED, 0, b"SSE works\n", "which --exit-map makes 0"),
    "arm64 ELF": ("arm64.elf", (), 0, b"hello\n", "arm-elf on virt, aarch64"),
    "arm64 Image": ("arm64.Image", (), 0, b"hello\n", "linux-arm64 on virt, aarch64"),
    "riscv M": ("riscv-m", (), 0, b"hello\n", "riscv-m on virt, riscv64"),
    "riscv S": ("riscv-s", (), 0, b"hello\n", "riscv-s on virt, riscv64"),
    "riscv Image": ("riscv.Image", (), 0, b"hello\n", "linux-riscv on virt, riscv64"),
    "mips": ("mips", ("--exit-map", "reset=0"), 0, b"hello\n", "mips-elf on malta, mips,"),
    "mipsel": ("mipsel", ("--exit-map", "reset=0"), 0, b"hello\n", "mips-elf on malta, mipsel"),
    "mips64": ("mips64", ("--exit-map", "reset=0"), 0, b"hello\n", "mips-elf on malta, mips64,"),
    "mips64el": ("mips64el", ("--exit-map", "reset=0"), 0, b"hello\n", "mips-elf on malta, mips64el"),
    "no such CPU": ("hello", ("--cpu", "nosuch"), 3, b"", "unable to find CPU model 'nosuch'"),
    "no such machine": ("hello", ("--machine", "nosuch"), 3, b"", "ended with status 1"),
}


@pytest.mark.parametrize("name", ENDS)
def test_ends(foreign: GetForeign, name: str) -> None:
    image, options, status, printed, words = ENDS[name]
    done = run(foreign(image), "--timeout", "30s", *options)
    assert done.returncode == status, done
    assert printed in done.stdout
    said = done.stderr.decode()
    assert said.startswith(f"edgeagent: {image}: ")
    assert words in said
    assert said.count("\n") == 1


def test_firmware_is_only_there_where_it_is_needed(foreign: GetForeign) -> None:
    assert run(foreign("riscv-m")).stdout == b"hello\n"
    assert b"OpenSBI" in run(foreign("riscv-s")).stdout


def test_kvm_is_used_or_the_reason_told(foreign: GetForeign) -> None:
    """Whatever this machine has: a software KVM can't run SSE, a real one can, and where there is none it says so."""
    done = run(foreign("sse"), "--machine", "microvm", "--timeout", "50s", *PASSED, accel="kvm")
    said = done.stderr.decode()
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        assert done.returncode == 3
        assert "can't use KVM" in said
        assert "--accel tcg" in said
    elif Path("/sys/module/kvm_pvm").is_dir():
        assert done.returncode == 7
        assert done.stdout == b"about to use SSE\n"
        assert "KVM couldn't run an instruction of the guest (Suberror: 1). Run it with --accel tcg" in said
    else:
        assert done.returncode == 0
        assert done.stdout.endswith(b"SSE works\n")


def test_a_flood_is_slowed_and_then_ended(foreign: GetForeign) -> None:
    done = run(foreign("flood"), "--output-limit", "20KiB", "--output-rate", "1MiB")
    assert done.returncode == 7
    assert len(done.stdout) == 20 << 10
    assert "printed more than --output-limit allows" in done.stderr.decode()


def test_a_reader_that_goes_away_ends_it(foreign: GetForeign) -> None:
    with running(foreign("flood")) as process:
        assert process.stdout
        read_until(process.stdout.fileno(), b"work")
        vmm = vmm_of(process.pid)
        process.stdout.close()
        assert process.wait() == 0
        assert gone(vmm)


def test_a_reader_that_does_not_read_holds_nobody_up(foreign: GetForeign) -> None:
    with running(foreign("flood"), "--timeout", "2s", "--output-limit", "0", "--output-rate", "0") as process:
        assert process.wait() == 124


def test_the_summary_as_json(foreign: GetForeign) -> None:
    done = run(foreign("hello"), "--json", *PASSED)
    told = json.loads(done.stderr)
    assert told["status"] == done.returncode == 0
    assert told["output"] == len(done.stdout)
    assert 0 < told["first_byte_s"] <= told["seconds"]
    assert (told["protocol"], told["arch"], told["machine"]) == ("multiboot1", "x86_64", "pc")
    assert told["accelerator"]["chosen"] == "tcg"
    assert (told["end"]["kind"], told["end"]["vmm_status"]) == ("mapped", 83)
    told = json.loads(run(foreign("triple"), "--json").stderr)
    assert (told["status"], told["end"]["vmm_status"]) == (7, None)
    assert any("SHUTDOWN" in event for event in told["end"]["events"])
    assert "reset=0" in told["end"]["remedy"]


def test_what_is_typed_through_a_pipe(foreign: GetForeign) -> None:
    done = run(foreign("echo"), *PASSED, typed=b"abc\x01x\x03dq")
    assert done.stdout == b"type\nabc\x01x\x03d", "nothing has a meaning in a pipe"
    assert done.returncode == 0


@pytest.mark.parametrize("closed", ["<&-", "<&- >&-", "</dev/null", "<&- >&- 2>&-"])
def test_streams_that_are_closed(foreign: GetForeign, closed: str) -> None:
    command = f'exec "$@" {closed}'
    words = [*RUN, str(foreign("off")), "--accel", "tcg", "--timeout", "30s"]
    done = subprocess.run(["sh", "-c", command, "sh", *words], capture_output=True, check=False, timeout=60)
    assert done.returncode == 0, done
    assert done.stdout == (b"" if ">&- " in f"{closed} " and "<&- >" in closed else b"good bye\n")


def test_standard_input_from_a_file(foreign: GetForeign, tmp_path: Path) -> None:
    typed = tmp_path / "typed"
    typed.write_bytes(b"from a file q")
    with typed.open("rb") as file:
        words = [*RUN, str(foreign("echo")), "--accel", "tcg", *PASSED]
        done = subprocess.run(words, stdin=file, capture_output=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (0, b"type\nfrom a file ")


@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGKILL, -signal.SIGKILL)],
)
def test_told_to_end_it_leaves_no_process(foreign: GetForeign, number: int, status: int) -> None:
    with running(foreign("hang")) as process:
        assert process.stdout
        read_until(process.stdout.fileno(), b"for ever\n")
        vmm = vmm_of(process.pid)
        process.send_signal(number)
        assert process.wait() == status
        assert gone(vmm)


def test_it_leaves_no_file(foreign: GetForeign, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TMPDIR", "HOME", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.chdir(tmp_path)
    shared = set(os.listdir("/dev/shm"))
    assert run(foreign("off")).returncode == 0
    assert list(tmp_path.iterdir()) == []
    assert set(os.listdir("/dev/shm")) <= shared


@pytest.mark.parametrize("net", ["none", "user"])
def test_the_jail_is_that_of_units(foreign: GetForeign, net: str) -> None:
    with running(foreign("hang"), "--net", net) as process:
        assert process.stdout
        read_until(process.stdout.fileno(), b"for ever\n")
        vmm = Path(f"/proc/{vmm_of(process.pid)}")
        status = dict(
            line.split(":\t", 1) for line in (vmm / "status").read_text().splitlines() if ":\t" in line
        )
        assert status["NoNewPrivs"] == "1"
        assert status["Seccomp"] == "2"
        assert int(status["CapEff"], 16) == 0
        limits = (vmm / "limits").read_text()
        assert any(line.split()[:5] == ["Max", "file", "size", "0", "0"] for line in limits.splitlines())
        if os.geteuid() == 0:
            assert "0" not in status["Uid"].split()
            same = os.readlink(vmm / "ns/net") == os.readlink("/proc/self/ns/net")
            assert same == (net == "user")
            assert os.readlink(vmm / "ns/ipc") != os.readlink("/proc/self/ns/ipc")


@pytest.mark.parametrize(
    ("content", "options", "status", "words"),
    [
        (b"hello", (), 6, "no other boot protocol that is known here"),
        (elf_file(X86_64), (), 6, "neither a Multiboot 1 header nor a PVH note"),
        (elf_file(X86_64, notes=solo5_notes(5)), (), 6, "a Solo5 image for genode"),
        (
            elf_file(183, 0x40080000, content=bytes(3 << 20)),
            ("--memory", "2MiB"),
            6,
            "Give --memory 4MiB or more",
        ),
        (elf_file(183, 0x40080000), ("--disk", "/dev/null"), 2, "neither a file nor a block device"),
        (elf_file(183, 0x40080000), ("--accel", "kvm"), 3, "Use --accel tcg"),
        (elf_file(183, 0x40080000), ("--memory", "3 apples"), 2, "is no size such as"),
        (elf_file(183, 0x40080000), ("--exit-map", "83"), 2, "is no part of an exit map"),
    ],
)
def test_refused_in_one_line(
    tmp_path: Path, content: bytes, options: tuple[str, ...], status: int, words: str
) -> None:
    image = tmp_path / "image"
    image.write_bytes(content)
    done = run(image, *options)
    assert done.returncode == status
    assert words in done.stderr.decode()
    assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize(("target", "tender"), [(1, "solo5-hvt"), (2, "solo5-spt")])
def test_a_tender_that_is_not_installed(tmp_path: Path, target: int, tender: str) -> None:
    if shutil.which(tender):
        pytest.skip(f"{tender} is installed")
    image = tmp_path / "image"
    image.write_bytes(elf_file(X86_64, notes=solo5_notes(target)))
    done = run(image, accel="auto")
    assert done.returncode == 3
    assert f"{tender} is not installed. opam install solo5" in done.stderr.decode()


# ---- images that Debian ships ------------------------------------------------------------------------------------

U_BOOT = Path("/usr/lib/u-boot")
MEMTEST = Path("/boot/memtest86+x64.bin")


def shipped(path: Path) -> Path:
    if not path.is_file():
        need(str(path))
    return path


@pytest.mark.parametrize(
    ("path", "options"),
    [
        (U_BOOT / "qemu-riscv64/uboot.elf", ("--expect", "stop autoboot")),
        (U_BOOT / "qemu-riscv64_smode/uboot.elf", ("--expect", "stop autoboot")),
        (U_BOOT / "qemu_arm64/uboot.elf", ("--expect", "stop autoboot")),
        (U_BOOT / "qemu_arm/uboot.elf", ("--expect", "stop autoboot")),
        (MEMTEST, ("--expect", "Memtest86+", "--cmdline", "console=ttyS0")),
    ],
    ids=["riscv M", "riscv S", "arm64", "arm", "bzImage"],
)
def test_others_images(path: Path, options: tuple[str, ...]) -> None:
    done = run(shipped(path), "--timeout", "50s", *options)
    assert done.returncode == 0, done


SECTOR = 512
COMMANDS = (
    "virtio scan; virtio read 0x40400000 0 1; md.b 0x40400000 10; "
    "mw.b 0x40400000 42 200; virtio write 0x40400000 1 1; dhcp"
)


@pytest.mark.parametrize("locked", [False, True])
def test_disk_network_and_keys_of_others(tmp_path: Path, locked: bool) -> None:
    """U-Boot, told so through its console, reads and writes a disk and gets an address from QEMU's network."""
    disk = tmp_path / "disk"
    disk.write_bytes(b"A" * SECTOR + bytes(SECTOR))
    disk.chmod(0o600)
    options = (
        "--disk",
        str(disk),
        "--net",
        "user",
        "--timeout",
        "50s",
        "--expect",
        "client bound to address",
    )
    more = ("--read-only",) if locked else ()
    done = run(shipped(U_BOOT / "qemu_arm64/uboot.elf"), *options, *more, typed=f"\n\n{COMMANDS}\n".encode())
    assert done.returncode == 0, done
    assert b"AAAAAAAAAAAAAAAA" in done.stdout
    assert disk.read_bytes() == b"A" * SECTOR + (bytes(SECTOR) if locked else b"B" * SECTOR)
