"""Shell: clang and ld.lld over firmware-images/. The same sources give the same bytes, wherever they lie."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from edgeagent.errors import ConfigError, EnvironmentFaultError, ImageError
from edgeagent.host.disk import DiskFiles

from . import elf, inspection
from .inspection import Declaration, ImageInfo
from .targets import COMMON_FLAGS, TARGETS, Target

SOURCE = Path(__file__).resolve().parents[2] / "firmware-images"
"""Of a checkout."""
OUT = Path("build/images")

TOOLS = {"clang": "clang", "ld.lld": "lld", "llvm-objdump": "llvm"}
"""Program: Debian package."""
TOOL_TIMEOUT_S = 120.0
MAX_TOOL_OUTPUT = 400
"""Characters of a failing tool's output that are shown."""

UNKNOWN = "<unknown>"
"""What the disassembler says of an instruction that it doesn't know, or of an extension that wasn't asked for."""

RING_SYMBOL, APP_SYMBOL = "edge_ring", "edge_app"
APP_HEAD = 16
"""Bytes of struct edge_app up to its functions: name pointer, version, state version."""
MAX_APP_NAME = 32
HOSTILE = "hostile-"
"""Apps of this name misbehave on purpose: tests build them by name, and nobody else needs them."""


@dataclass(frozen=True, slots=True)
class ImageFile:
    """A built image, and what it is."""

    path: Path
    info: ImageInfo


def apps(source: Path = SOURCE) -> list[str]:
    """Names of the apps that have code."""
    return sorted(folder.name for folder in (source / "app").glob("*") if any(folder.glob("*.c")))


def useful(source: Path = SOURCE) -> list[str]:
    """Names of the apps that a board may run."""
    return [app for app in apps(source) if not app.startswith(HOSTILE)]


def build(source: Path, out: Path, arch: str, app: str) -> ImageFile:
    """Compile, link, check and declare one image: out/arch/app.elf, and its symbols beside it in app.symbols.elf.

    ConfigError for an architecture or app that isn't there, EnvironmentFaultError when a tool is missing, ImageError
    when a source doesn't compile or the code has instructions that a guest mustn't have.
    """
    target = TARGETS.get(arch)
    if target is None:
        raise ConfigError(f"no architecture {arch!r}", remedy="There are " + ", ".join(TARGETS))
    if app not in (known := apps(source)):
        raise ConfigError(f"no app {app!r} in {source / 'app'}", remedy="There are " + ", ".join(known))
    source = source.resolve()
    with tempfile.TemporaryDirectory(prefix="edgeagent-image-") as folder:
        work = _Work(Path(folder), source, arch, target)
        work.compile(app)
        named = work.link()
        declaration = _read_declaration(elf.parse(named))
        if declaration.app != app:
            raise ImageError(f"the app calls itself {declaration.app!r}", where=str(source / "app" / app))
        work.compile_notes(declaration.encode())
        named = work.link()
        work.check()
        data = _finish(work.link("--strip-all"), elf.parse(named), target)
    path = out / arch / f"{app}.elf"
    files = DiskFiles()
    files.make_folder(path.parent, 0o755)
    files.replace(path.with_suffix(".symbols.elf"), named, 0o644)
    files.replace(path, data, 0o644)
    return ImageFile(path, inspection.inspect(data))


class _Work:
    """One image's objects, in a folder of their own."""

    def __init__(self, folder: Path, source: Path, arch: str, target: Target) -> None:
        self._folder = folder
        self._source = source
        self._script = source / "arch" / arch / "link.ld"
        self._places = ("lib", "drivers", f"drivers/{target.bus}", f"arch/{arch}")
        self._target = target

    def compile(self, app: str) -> None:
        (self._folder / "declaration.cbor").write_bytes(b"")
        for place in (*self._places, f"app/{app}"):
            folder = self._source / place
            self._clang(place, sorted([*folder.glob("*.c"), *folder.glob("*.S")]))

    def compile_notes(self, declaration: bytes) -> None:
        (self._folder / "declaration.cbor").write_bytes(declaration)
        self._clang("drivers", [self._source / "drivers" / "notes.S"])

    def link(self, *more: str) -> bytes:
        """All objects, as the architecture's script says."""
        image = self._folder / "image.elf"
        objects = [str(path.relative_to(self._folder)) for path in sorted(self._folder.rglob("*.o"))]
        flags = ("--nmagic", "--gc-sections", "--orphan-handling=error", "--build-id=none", *more)
        self._run("ld.lld", *flags, "-T", str(self._script), "-o", str(image), *objects)
        return image.read_bytes()

    def check(self) -> None:
        """No instruction that the target forbids, or that the disassembler doesn't know."""
        listing = self._run(
            "llvm-objdump",
            "--disassemble",
            "--no-show-raw-insn",
            "--no-leading-addr",
            "--section=.text",
            f"--mattr={self._target.extensions}",
            "image.elf",
        )
        function = "?"
        for line in listing.splitlines():
            if line.endswith(">:"):
                function = line
                continue
            instruction = line.strip()
            if line[:1].isspace() and (self._target.forbidden.search(instruction) or UNKNOWN in instruction):
                raise ImageError(f"forbidden instruction in {function} {' '.join(instruction.split())}")

    def _clang(self, place: str, sources: list[Path]) -> None:
        folder = self._folder / place
        folder.mkdir(parents=True, exist_ok=True)
        includes = [self._source / "include", *(self._source / where for where in self._places)]
        self._run(
            "clang",
            *(f"--target={self._target.triple}", *COMMON_FLAGS, *self._target.flags),
            f"-ffile-prefix-map={self._source}=.",
            *(f"-I{path}" for path in includes),
            f"-Wa,-I{self._folder}",
            "-c",
            *map(str, sources),
            cwd=folder,
        )

    def _run(self, tool: str, *arguments: str, cwd: Path | None = None) -> str:
        program = shutil.which(tool)
        if program is None:
            raise EnvironmentFaultError(
                f"{tool} isn't installed", remedy=f"Install it: apt install {TOOLS[tool]}"
            )
        try:
            done = subprocess.run(
                [program, *arguments],
                cwd=cwd or self._folder,
                capture_output=True,
                text=True,
                errors="replace",
                check=False,
                timeout=TOOL_TIMEOUT_S,
            )
        except subprocess.TimeoutExpired as error:
            raise EnvironmentFaultError(f"{tool} took more than {TOOL_TIMEOUT_S:.0f} s") from error
        if done.returncode:
            raise ImageError(
                f"{tool} failed: {done.stderr.strip()[:MAX_TOOL_OUTPUT]}", where=str(self._source)
            )
        return done.stdout


def _read_declaration(image: elf.Elf) -> Declaration:
    """From the app's own struct edge_app, so that the note can't say something else."""
    address, _ = _symbol(image, APP_SYMBOL)
    head = image.at(address, APP_HEAD)
    name_at = int.from_bytes(head[:8], "little")
    name = b""
    while (byte := image.at(name_at + len(name), 1)) != b"\0" and len(name) < MAX_APP_NAME:
        name += byte
    version, state = int.from_bytes(head[8:12], "little"), int.from_bytes(head[12:], "little")
    return Declaration(inspection.ABI, name.decode("ascii"), version, state, ("agent",))


def _finish(stripped: bytes, named: elf.Elf, target: Target) -> bytes:
    """Fill in the notes that only the finished image knows: the log ring, then the build id over everything."""
    notes = {note.kind: note.offset for note in elf.parse(stripped).notes() if note.name == inspection.OWNER}
    address, size = _symbol(named, RING_SYMBOL)
    ring = (address & target.physical_mask).to_bytes(8, "big") + size.to_bytes(8, "big")
    data = bytearray(stripped)
    at = notes[inspection.LOG_RING]
    data[at : at + len(ring)] = ring
    at = notes[inspection.BUILD_ID]
    data[at : at + inspection.BUILD_ID_SIZE] = inspection.compute_build_id(bytes(data), at)
    return bytes(data)


def _symbol(image: elf.Elf, name: str) -> tuple[int, int]:
    found = image.symbols().get(name)
    if found is None:
        raise ImageError(f"the image has no symbol {name}")
    return found
