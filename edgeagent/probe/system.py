"""Core: what kind of machine and kernel the documents are of."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from . import cpuinfo
from .cpuinfo import Cpuinfo
from .documents import Documents, Line


class Family(StrEnum):
    """Whose rules decide. Of the kernel, not of the CPU: a 32-bit ARM kernel on a v8 core is ARM."""

    X86 = "x86"
    ARM64 = "arm64"
    ARM = "arm"
    MIPS = "mips"
    RISCV = "riscv"
    LOONGARCH = "loongarch"
    OTHER = "other"


FAMILIES: tuple[tuple[re.Pattern[str], Family], ...] = (
    (re.compile(r"x86_64|amd64|i[3-6]86"), Family.X86),
    # armv8l is how a 64-bit kernel presents itself to 32-bit programs (arm64: COMPAT_UTS_MACHINE).
    (re.compile(r"aarch64(_be)?|arm64|armv8[lb]"), Family.ARM64),
    (re.compile(r"armv?[2-7]\w*|arm"), Family.ARM),
    (re.compile(r"mips\w*"), Family.MIPS),
    (re.compile(r"riscv\w*"), Family.RISCV),
    (re.compile(r"loongarch\w*"), Family.LOONGARCH),
    (re.compile(r"ppc\w*|s390x?|ia64|sparc\w*|alpha|parisc\w*|sh\d\w*|m68k|arc|hexagon"), Family.OTHER),
)
"""Machine names of uname."""

ARCHITECTURES: Mapping[str, str] = {
    "arm64": "aarch64",
    "amd64": "x86_64",
    "armv8l": "aarch64",
    "armv8b": "aarch64_be",
}
"""Names by which one machine goes, to the one that we use."""

# The kernel's machine and its byte order to the architecture that images are built for.
_IMAGES: Mapping[tuple[str, bool], str] = {
    ("x86_64", True): "x86_64",
    ("aarch64", True): "aarch64",
    ("riscv64", True): "riscv64",
    ("mips64", True): "mips64el",
}

UNAME = "uname.txt"
LOG = "dmesg.txt"
MODULES = "proc/modules"
MISC = "proc/misc"
INTERRUPTS = "proc/interrupts"
CMDLINE = "proc/cmdline"
CONFIG = "proc/config.gz"
CONFIG_PREFIX = "boot/config-"
MEMORY = "proc/meminfo"
DEVICE_TREE = "proc/device-tree"

_RELEASE = re.compile(r"^(\d{1,3})\.(\d{1,4})(?![\d])")
_VERSION = re.compile(r"Linux version (\S+)")


def family_of(machine: str) -> Family | None:
    """Of a machine name of uname; None for a word that isn't one."""
    return next((family for pattern, family in FAMILIES if pattern.fullmatch(machine)), None)


def image_arch(machine: str, *, little: bool) -> str | None:
    """The architecture of images for a machine of uname; None where we build none (32 bits, big endian, others)."""
    return _IMAGES.get((ARCHITECTURES.get(machine, machine), little))


@dataclass(frozen=True, slots=True)
class System:
    """A board as far as it is known. arch: the kernel's machine, "" when nothing tells; release: "" when unknown."""

    documents: Documents
    cpuinfo: Cpuinfo
    family: Family
    arch: str
    release: str
    little: bool | None
    """Byte order; None: not known."""

    @property
    def version(self) -> tuple[int, int] | None:
        """Of the kernel: (5, 7). None: not known."""
        found = _RELEASE.match(self.release)
        return (int(found[1]), int(found[2])) if found else None

    @property
    def image_arch(self) -> str | None:
        """The architecture of guests that would run here; an unknown byte order is taken for little."""
        return image_arch(self.arch, little=self.little is not False)

    def log(self, pattern: str) -> Line | None:
        """The first line of the kernel's log in which a pattern is found, letter case aside."""
        return self.documents.find(LOG, re.compile(pattern, re.IGNORECASE))

    def any_log(self, *patterns: str) -> Line | None:
        """As log, for the first of several patterns that is found."""
        return next((line for pattern in patterns if (line := self.log(pattern))), None)

    def module(self, name: str) -> Line | str | None:
        """Where it is seen loaded or built in; None when it isn't seen."""
        pattern = re.compile(rf"^{name}\s")
        if line := self.documents.find(MODULES, pattern):
            return line
        folder = f"sys/module/{name}"
        return folder if self.documents.below(folder) else None

    def registered(self) -> Line | None:
        """The driver's line in /proc/misc: it is up, whether or not a node for it is in sight."""
        return self.documents.find(MISC, re.compile(r"^\s*232\s+kvm\s*$|^\s*\d+\s+kvm\s*$"))


def read(documents: Documents) -> System:
    """From uname.txt; where that is missing, from the form of cpuinfo and the log."""
    found = cpuinfo.parse(documents)
    machine, release = _uname(documents)
    if not release and (line := documents.find(LOG, _VERSION)):
        match = _VERSION.search(line.text)
        release = match[1] if match else ""
    arch = ARCHITECTURES.get(machine, machine) or _from_cpuinfo(found)
    return System(documents, found, family_of(arch) or Family.OTHER, arch, release, _little(arch, documents))


def _uname(documents: Documents) -> tuple[str, str]:
    """Machine and release out of `uname -a` or `uname -m`, in any order; "" for what isn't there."""
    machine = release = ""
    for line in documents.lines(UNAME):
        words = line.text.split()
        full = words[0] == "Linux"
        # `uname -a`: Linux HOST RELEASE VERSION… MACHINE; the version may be any words.
        names = [word for word in (words[2:] if full else words) if family_of(word)]
        if names and (len(words) == 1 or not machine):
            machine = names[-1]
        releases = [word for word in (words[2:3] if full else words) if _RELEASE.match(word)]
        release = release or (releases[0] if releases else "")
    return machine, release


def _from_cpuinfo(found: Cpuinfo) -> str:
    """From keys that only one architecture has."""
    isas = [one.value.lower() for one in found.get("isa", "hart isa")]
    if any(isa.startswith(("rv32", "rv64")) for isa in isas):
        return "riscv32" if any(isa.startswith("rv32") for isa in isas) else "riscv64"
    if "loongarch" in found.value("isa").lower() or "loongson-64bit" in found.value("cpu family").lower():
        return "loongarch64"
    if found.get("ases implemented") or found.value("cpu model").lower().startswith("mips"):
        return "mips64" if any("mips64" in isa or "mips3" in isa for isa in isas) else "mips"
    if arm := found.value("cpu architecture").lower():
        # A 32-bit kernel says 7 on a v8 core; 8 is a 64-bit kernel, also in what it shows to 32-bit programs.
        return "aarch64" if arm in ("8", "aarch64") else f"armv{arm[:1]}l"
    if "asimd" in {word for one in found.get("features") for word in one.words}:
        return "aarch64"
    if found.get("flags", "vendor_id") and not found.get("features"):
        wide = any("lm" in one.words for one in found.get("flags")) or not found.get("flags")
        return "x86_64" if wide else "i686"
    return ""


def _little(arch: str, documents: Documents) -> bool | None:
    if not arch.startswith("mips"):
        return not arch.endswith(("_be", "eb"))
    if "el" in arch:
        return True
    for line in _config_lines(documents):
        if line.text.startswith("CONFIG_CPU_LITTLE_ENDIAN=y"):
            return True
        if line.text.startswith("CONFIG_CPU_BIG_ENDIAN=y"):
            return False
    return None


def config_path(documents: Documents, release: str) -> str | None:
    """Of the running kernel's configuration; of several in /boot only the one that the release names."""
    if documents.files.get(CONFIG):
        return CONFIG
    there = [path for path in documents.files if path.startswith(CONFIG_PREFIX)]
    if f"{CONFIG_PREFIX}{release}" in there:
        return f"{CONFIG_PREFIX}{release}"
    return there[0] if len(there) == 1 and not release else None


def _config_lines(documents: Documents) -> list[Line]:
    path = config_path(documents, _uname(documents)[1])
    return list(documents.lines(path)) if path else []
