"""A running emulated board, and commands in it over SSH."""

from __future__ import annotations

import shlex
import shutil
import socket
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from types import TracebackType
from typing import Self

from edgeagent.errors import EnvironmentFaultError
from edgeagent.sim.broker import free_port
from tests.board import build
from tests.board.table import Board

MEMORY_MIB = 1024
BOOT_S = 180.0
"""Longest wait for the board's SSH server; usual are 5 s, and several times that on a busy machine."""
COMMAND_S = 300.0
POLL_S = 0.2
GREETING_S = 5.0
LOG_BYTES = 3000
"""Of the serial line, shown when something fails."""
HOST = "10.0.2.2"
"""This machine's loopback, seen from the board."""
PROJECT = Path(__file__).parents[2]
INSTALLED = "/opt/edgeagent"
"""Where the project is in the board."""
SENT = ("edgeagent", "tests", "pyproject.toml", "firmware-images", "boards")
BUILT = ("build/images", "build/test-images")
"""Of each, the folder of the board's architecture."""
LAUNCHER = '#!/bin/sh\nexec python3 -m edgeagent "$@"\n'
PACKAGES = "/usr/lib/python3/dist-packages"


@dataclass(frozen=True, slots=True)
class Done:
    """What a command said, and its exit status."""

    status: int
    out: str
    err: str


@dataclass(slots=True)
class Emulated:
    """A context manager: the board boots, gets the project, and is gone afterwards with all that was written there."""

    board: Board
    name: str
    _port: int = 0
    _process: subprocess.Popen[bytes] | None = None
    _folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="edgeagent-board-")))

    def __enter__(self) -> Self:
        try:
            self._start()
            self._wait()
            self.run("date", "--utc", "--set", f"@{time.time():.0f}")
            self.send(_project(self.board, self._folder))
            self.run("ln", "-s", f"{INSTALLED}/edgeagent", f"{PACKAGES}/edgeagent")
            self.write("/usr/bin/edgeagent", LAUNCHER, mode=0o755)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Take its power away."""
        if self._process:
            self._process.kill()
            self._process.wait()
            with suppress(OSError, subprocess.SubprocessError):
                subprocess.run(
                    [*self._ssh(), "-O", "exit"], check=False, capture_output=True, timeout=GREETING_S
                )
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def serial(self) -> str:
        """The end of what came over its serial line, for a message."""
        path = self._folder / "serial.log"
        said = path.read_text(errors="replace")[-LOG_BYTES:] if path.exists() else ""
        return f"\n--- {self.name}, serial line ---\n{said}"

    # ---- commands ------------------------------------------------------------------------------------------------

    def run(
        self,
        *words: str,
        user: str = "root",
        data: bytes = b"",
        seconds: float = COMMAND_S,
        check: bool = True,
    ) -> Done:
        """Run a program there. AssertionError when it takes longer than that, or fails and check is true."""
        asked = f"{self.name}: {shlex.join(words)}"
        try:
            done = subprocess.run(
                self.command(*words, user=user), input=data, capture_output=True, timeout=seconds, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise AssertionError(
                f"{asked} takes more than {seconds:.0f} s: {error.output!r}{self.serial}"
            ) from None
        out, err = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
        if check and done.returncode:
            raise AssertionError(f"{asked} ended with {done.returncode}: {err or out}{self.serial}")
        return Done(done.returncode, out, err)

    def command(self, *words: str, user: str = "root") -> list[str]:
        """The command of this machine that runs words in the board, as its user, in the project's folder."""
        become = ("setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", "--inh-caps=-all")
        there = shlex.join(words if user == "root" else (*become, *words))
        return [*self._ssh(), f"cd {INSTALLED} 2>/dev/null; exec {there}"]

    def send(self, archive: bytes, folder: str = "/") -> None:
        """Unpack a tar there."""
        self.run("tar", "-xf", "-", "--no-same-owner", "-C", folder, data=archive)

    def write(self, path: str, text: str, *, mode: int = 0o644) -> None:
        """Make a file there."""
        script = 'mkdir -p "$(dirname "$1")" && cat >"$1" && chmod "$2" "$1"'
        self.run("sh", "-c", script, "sh", path, f"{mode:o}", data=text.encode())

    def _ssh(self) -> tuple[str, ...]:
        return (
            *("ssh", "-q", "-p", str(self._port), "-i", str(self._folder / "key"), "-F", "none"),
            *("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "BatchMode=yes"),
            # One connection for all: each costs the emulated processor a second.
            *(
                "-o",
                "ControlMaster=auto",
                "-o",
                f"ControlPath={self._folder}/ssh",
                "-o",
                "ControlPersist=yes",
            ),
            "root@127.0.0.1",
        )

    # ---- the start -----------------------------------------------------------------------------------------------

    def _start(self) -> None:
        media = build.media(self.board)
        own = self._folder / "own"
        own.mkdir()
        shutil.copy(Path(__file__).parent / "init", own)
        key = self._folder / "key"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
        shutil.copy(key.with_suffix(".pub"), own / "authorized_keys")
        initrd = self._folder / "initrd"
        initrd.write_bytes(media.initrd.read_bytes() + build.archive(own))
        self._port = free_port()
        modules = f"modules={','.join(self.board.modules)}"
        parameters = (f"console={self.board.console}", "quiet", "panic=-1", modules, *self.board.parameters)
        words = (
            *self._emulator(),
            *self.board.machine,
            *("-accel", "tcg", "-m", str(MEMORY_MIB)),
            *("-nodefaults", "-display", "none", "-no-reboot", "-serial", "stdio"),
            *("-kernel", str(media.kernel), "-initrd", str(initrd), "-append", " ".join(parameters)),
            *("-drive", f"if=none,id=root,format=raw,snapshot=on,file={media.root}"),
            *("-device", "virtio-blk-pci,drive=root"),
            *("-netdev", f"user,id=net,hostfwd=tcp:127.0.0.1:{self._port}-:22"),
            *("-device", "virtio-net-pci,netdev=net,romfile="),
        )
        with (self._folder / "serial.log").open("wb") as log:
            self._process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def _emulator(self) -> Sequence[str]:
        if not self.board.emulator_release:
            return (self.board.emulator,)
        root = build.native(self.board.emulator_release, self.board.vmm)
        firmware = (("-L", str(root / "usr/share" / name)) for name in ("qemu", "seabios"))
        return (
            *build.program(root, f"usr/bin/{self.board.emulator}"),
            *(word for pair in firmware for word in pair),
        )

    def _wait(self) -> None:
        assert self._process
        deadline = time.monotonic() + BOOT_S
        while not self._greets():
            if self._process.poll() is not None:
                raise EnvironmentFaultError(f"the board ended{self.serial}", where=self.name)
            if time.monotonic() > deadline:
                raise EnvironmentFaultError(f"no SSH server in {BOOT_S:.0f} s{self.serial}", where=self.name)
            time.sleep(POLL_S)

    def _greets(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self._port), GREETING_S) as there:
                return there.recv(4) == b"SSH-"
        except OSError:
            return False


def _project(board: Board, folder: Path) -> bytes:
    """The agent, its tests and images, as a tar; and Python packages that the board's Debian doesn't have."""
    root = folder / "project"
    packages = root / PACKAGES.lstrip("/")
    ignored = shutil.ignore_patterns("__pycache__", "*.symbols.elf")
    for name in (*SENT, *(f"{built}/{board.arch}" for built in BUILT)):
        source, target = PROJECT / name, root / INSTALLED.lstrip("/") / name
        if source.is_dir():
            shutil.copytree(source, target, ignore=ignored)
        elif source.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
    packages.mkdir(parents=True)
    for name in board.borrowed:
        if (spec := find_spec(name)) and spec.submodule_search_locations:
            shutil.copytree(spec.submodule_search_locations[0], packages / name, ignore=ignored)
    build.compile_python(board.release, root, [root / INSTALLED.lstrip("/") / "edgeagent", packages])
    data = BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        for path in root.iterdir():
            tar.add(path, path.name)
    return data.getvalue()
