"""Builds what boards boot from: kernel, initramfs and root file system, of Debian packages.

`python -m tests.board.build [BOARD…]` fills the cache. As root: the root file systems have files of root.
"""

from __future__ import annotations

import gzip
import lzma
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import click

from edgeagent.errors import EdgeAgentError, EnvironmentFaultError
from tests.board.cache import MIRROR, Index, cached, index, say, temporary
from tests.board.table import BOARDS, Board

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
RUN_S = 900.0
"""Longest time that one program may take."""
SAID_BYTES = 2000
"""Of a failed program's output, shown."""
ROOM = 256 << 20
"""Bytes that are free in a root file system."""
UNWANTED = ("usr/share/doc/*", "usr/share/locale/*", "usr/share/man/*", "usr/share/info/*")
RECIPE = Path(__file__).read_bytes()


@dataclass(frozen=True, slots=True)
class Media:
    """What a board boots from."""

    kernel: Path
    initrd: Path
    root: Path


def media(board: Board) -> Media:
    """From the cache, or built now. EnvironmentFaultError when that can't be done."""
    recipe = RECIPE + repr((board.debian, board.packages, board.boot_modules)).encode()
    found = partial(index, board.release, board.debian)
    folder = cached(board.system, recipe, found, partial(_build, board))
    return Media(folder / "kernel", folder / "initrd", folder / "root.ext4")


def native(release: str, package: str) -> Path:
    """The root of a release with this package for this machine's own processor; ``program`` runs what is in it."""
    debian = _run("dpkg", "--print-architecture").strip()
    recipe = RECIPE + f"{debian} {package}".encode()
    found = partial(index, release, debian)
    return cached(f"native-{release}-{package}", recipe, found, partial(_extract, debian, (package,)))


def program(root: Path, path: str) -> list[str]:
    """How to run a program of another Debian release: with that release's own loader and libraries."""
    # Releases before trixie have the libraries of the C library beside those of usr.
    folders = [root / top / f"{platform.machine()}-linux-gnu" for top in ("lib", "usr/lib")]
    loader = next(path for folder in folders for path in folder.glob("ld-linux*.so.*"))
    return [str(loader), "--library-path", ":".join(map(str, folders)), str(root / path)]


def archive(folder: Path) -> bytes:
    """A compressed cpio of all that is in it, owned by root. The kernel takes several, one after the other."""
    names = "\n".join(sorted(str(path.relative_to(folder)) for path in folder.rglob("*")))
    words = ("cpio", "-o", "-H", "newc", "-R", "0:0", "--quiet")
    return gzip.compress(_run_bytes(words, folder, names.encode()), 1)


def _build(board: Board, folder: Path, found: Index) -> None:
    root = folder / "root"
    _extract(board.debian, board.packages, root, found)
    version = next((root / "lib/modules").iterdir()).name
    _run("depmod", "-b", str(root), version)
    _initrd(root, root / "lib/modules" / version, board.boot_modules, folder / "initrd")
    shutil.copy(next((root / "boot").glob("vmlinu[xz]-*")), folder / "kernel")
    say(f"{board.system}: compiles Python modules")
    compile_python(board.release, root, [*(root / "usr/lib").glob("python3*")])
    say(f"{board.system}: writes the file system")
    _file_system(root, folder / "root.ext4")
    shutil.rmtree(root)


def _extract(debian: str, packages: Sequence[str], root: Path, found: Index) -> None:
    """Unpack packages and what they depend on; nothing of them runs."""
    if os.geteuid() != 0:
        raise EnvironmentFaultError("only root can build root file systems", remedy="sudo make boards")
    say(f"{debian}: unpacks {' '.join(packages[:2])} and the like of Debian {found.suite}")
    _run(
        "mmdebstrap", "--mode=root", "--variant=extract", f"--architectures={debian}",
        f"--include={','.join(packages)}", '--aptopt=APT::Install-Recommends "false"',
        *(f"--dpkgopt=path-exclude=/{pattern}" for pattern in UNWANTED),
        f"--keyring={KEYRING}", found.suite, str(root), f"deb {MIRROR} {found.suite} main",
    )  # fmt: skip


def _initrd(root: Path, modules: Path, wanted: Sequence[str], target: Path) -> None:
    """Busybox, and the modules without which there is no root, numbered in the order in which they load."""
    with temporary() as folder:
        for name in ("bin", "dev", "proc", "sys", "root", "modules"):
            (folder / name).mkdir()
        shutil.copy(root / "bin/busybox", folder / "bin")
        for number, path in enumerate(_ordered((modules / "modules.dep").read_text(), wanted)):
            data = (modules / path).read_bytes()
            name = Path(path).name.removesuffix(".xz")
            plain = lzma.decompress(data) if path.endswith(".xz") else data
            (folder / "modules" / f"{number:02}-{name}").write_bytes(plain)
        target.write_bytes(archive(folder))


def _ordered(dependencies: str, wanted: Sequence[str]) -> list[str]:
    """Paths of these modules and of those that they need, which come first; without what is built in."""
    needs = {
        path: rest.split() for path, _, rest in (line.partition(":") for line in dependencies.splitlines())
    }
    by_name = {Path(path).name.partition(".")[0].replace("-", "_"): path for path in needs}
    found: list[str] = []
    for name in wanted:
        if path := by_name.get(name):
            found += [one for one in (*reversed(needs[path]), path) if one not in found]
    return found


def compile_python(release: str, root: Path, folders: Sequence[Path]) -> None:
    """Byte code of what is in these folders below a board's root, which the board itself would take long to make."""
    tools = native(release, "python3")
    python = next((tools / "usr/bin").glob("python3.*[0-9]"))
    _run(
        *program(tools, f"usr/bin/{python.name}"), "-m", "compileall", "-q", "-x", "/tests?/",
        "--invalidation-mode", "unchecked-hash", "-s", str(root), "-p", "/", *map(str, folders),
    )  # fmt: skip


def _file_system(root: Path, target: Path) -> None:
    used = sum(path.lstat().st_blocks * 512 for path in root.rglob("*"))
    with target.open("wb") as file:
        file.truncate((used * 5 // 4 + ROOM) & ~0xFFFFF)
    features = "^has_journal,^metadata_csum"
    _run("mke2fs", "-q", "-F", "-t", "ext4", "-O", features, "-m", "0", "-d", str(root), str(target))


def _run(*words: str) -> str:
    return _run_bytes(words).decode("utf-8", "replace")


def _run_bytes(words: Sequence[str], folder: Path | None = None, data: bytes = b"") -> bytes:
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    try:
        done = subprocess.run(
            words,
            cwd=folder,
            input=data,
            capture_output=True,
            timeout=RUN_S,
            env={**os.environ, "PATH": path},
            check=False,
        )
    except FileNotFoundError:
        raise EnvironmentFaultError(f"{words[0]} isn't installed", remedy="Run .ci/setup boards") from None
    except subprocess.TimeoutExpired:
        raise EnvironmentFaultError(f"{words[0]} wasn't done in {RUN_S:.0f} s") from None
    if done.returncode:
        said = (done.stderr or done.stdout)[-SAID_BYTES:].decode("utf-8", "replace").strip()
        raise EnvironmentFaultError(f"{words[0]} failed: {said}")
    return done.stdout


def main(names: Sequence[str]) -> int:
    """Exit code 0: all are there."""
    try:
        for name in names or BOARDS:
            media(BOARDS[name])
    except EdgeAgentError as error:
        click.echo(f"boards: {error}", err=True)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
