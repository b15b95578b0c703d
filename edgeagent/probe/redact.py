"""Core: what of a board's files may leave it in a capture. What isn't known to be harmless stays behind.

Kernel and firmware fill these files, so that most lines are the same on all boards of a kind. Those that aren't are
kept out by lists of what is kept: keys of cpuinfo, words of the command line, subsystems of the log. What is kept is
then searched for addresses, numbers and names that point at one board or one person.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

from .cpuinfo import PATH as CPUINFO
from .documents import Documents
from .interrupts import GIC_V2, GIC_V3
from .system import CMDLINE, CONFIG_PREFIX, DEVICE_TREE, INTERRUPTS, LOG, MEMORY, MISC, MODULES, UNAME

REMOVED = "REMOVED"
NO_HOST = "(none)"
"""What uname says on a machine without a name."""

CPUINFO_KEYS = frozenset({
    "processor", "# processors", "hart", "vendor_id", "vendor", "cpu family", "model", "model name",
    "stepping", "microcode", "cpu mhz", "cache size", "physical id", "siblings", "core id", "cpu cores",
    "apicid", "initial apicid", "fpu", "fpu_exception", "cpuid level", "wp", "flags", "vmx flags", "bugs",
    "bogomips", "clflush size", "cache_alignment", "address sizes", "power management", "tlb size", "arch",
    "family", "features", "cpu implementer", "cpu architecture", "cpu variant", "cpu part", "cpu revision",
    "hardware", "revision", "system type", "machine", "cpu model", "wait instruction", "microsecond timers",
    "tlb_entries", "extra interrupt vector", "hardware watchpoint", "isa", "ases implemented",
    "options implemented", "shadow register sets", "kscratch registers", "package", "core", "vpe",
    "global_id", "vced exceptions", "vcei exceptions", "mmu", "uarch", "mvendorid", "marchid", "mimpid",
    "hart isa", "fpu revision", "tlb entries", "cpu", "clock", "timebase", "platform", "firmware",
})  # fmt: skip

PARAMETERS = re.compile(
    r"(?:console|earlycon|quiet|splash|ro|rw|debug|loglevel|panic|init|rdinit|rootwait|rootfstype|nomodeset|maxcpus"
    r"|nr_cpus|nosmp|nosmt|mem|isolcpus|mitigations|nokaslr|clearcpuid|module_blacklist|modprobe\.blacklist|nomodule"
    r"|kvm[\w.-]*|id_aa64\w+\.\w+|arm64\.\w+|\w*iommu[\w.]*|cgroup_\w+|swapaccount|systemd\.unified_cgroup_hierarchy"
    r"|acpi|efi|tsc|clocksource|lsm|security|apparmor|rd_start|rd_size|no_hash_pointers|log_buf_len)(?:=.*)?"
)
"""Words of a command line that are kept. What points at disks, networks and hosts isn't among them."""

SUBSYSTEMS = re.compile(
    r"Linux version |Booting Linux|Booting paravirtualized|(?:Kernel c|C)ommand line: |Machine model|MIPS: machine"
    r"|CPUs? ?(?:\d+|\(s\))?[: ]|CPUs |CPU features|smp|SMP|psci|GIC|ITS|Root IRQ|arch_timer|kvm|x86/|SVM |VMX "
    r"|Hypervisor detected|(?:AMD )?Memory Encryption|SEV|tdx|SBI|riscv|DMI: |efi: (?:EFI|UEFI)|Detected |alternatives"
    r"|Memory: |Hardware virtualization"
)
"""How a line of the kernel's log begins that is kept, behind its time."""
PROPERTIES = frozenset({
    "compatible", "model", "status", "device_type", "method", "mmu-type",
    "riscv,isa", "riscv,isa-base", "riscv,isa-extensions",
    "reg", "interrupts", "interrupts-extended", "#address-cells", "#size-cells",
})  # fmt: skip
"""Of the device tree. Nothing in it names one board of many: no serial numbers, no addresses of networks."""
DMI_FOLDER = "sys/class/dmi/id"
DMI = ("sys_vendor", "product_name", "product_family", "board_vendor", "board_name")
"""Of DMI_FOLDER; its other files hold serial numbers, tags and versions."""

_TIME = re.compile(r"^(?:<\d+>)?(?:\[[\s\d.]+\](?:\[\s*[TC]\d+\])?\s)?")
_BUILDER = re.compile(r"(Linux version \S+).*")
_PARTS = re.compile(r"((?:Kernel c|C)ommand line: )(.*)")
_STRING = re.compile(r'^(CONFIG_\w+)=".+"$')
_LOADED = re.compile(r"0x[0-9a-f]+(?=\s*(?:\(|$))")
_CGROUP = re.compile(r"^\S+ /sys/fs/cgroup\S* cgroup2? ")

_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), new)
    for pattern, new in (
        (r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", REMOVED),  # UUID
        (
            r"(?<![0-9a-f:-])[0-9a-f]{2}(?:[:-][0-9a-f]{2}){5,19}(?![0-9a-f:-])",
            REMOVED,
        ),  # MAC, EUI-64, InfiniBand
        (r"\b[0-9a-f]{4}\.[0-9a-f]{4}\.[0-9a-f]{4}\b", REMOVED),  # MAC as Cisco writes it
        (r"\b(en|wl|ww|eth)x[0-9a-f]{12}\b", r"\1x" + REMOVED),  # an interface named by its MAC
        (r"(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?![\d.])", REMOVED),  # IPv4
        (r"(?<![0-9a-f:])(?:[0-9a-f]{1,4}:){4,7}[0-9a-f]{1,4}(?![0-9a-f:])", REMOVED),  # IPv6
        (
            r"(?<![0-9a-f:])(?:[0-9a-f]{1,4}:){1,6}:(?:[0-9a-f]{1,4}(?::[0-9a-f]{1,4})*)?",
            REMOVED,
        ),  # IPv6, short
        (r"[\w.+-]+@(?!(?:0x)?[0-9a-f]+\b)[\w.-]+", REMOVED),  # user@host
        (r"\b((?:serial|s/n|asset|service tag)[\w ]{0,12}\s*[:=#]\s*)[^\s,;]+", r"\1" + REMOVED),
        (r"\b(naa|eui|wwn|nqn)[.\-:][\w.:-]+", REMOVED),  # names of disks
        (r"(?<![0-9a-z])(?=[0-9a-f]*[a-f])(?=[0-9a-f]*\d)[0-9a-f]{12,}(?![0-9a-z])", REMOVED),  # keys, ids
        (r"(?<![0-9a-z])[0-9a-f]{32,}(?![0-9a-z])", REMOVED),  # machine-id
        (r"(/home|/Users|/run/user|/media|/mnt)/[^\s\"',:]+", r"\1/" + REMOVED),
    )
)
_VOCABULARY = frozenset({
    "all", "at", "bios", "by", "cpu", "cpus", "disabled", "el1", "el2", "gic", "hyp", "kvm", "linux", "mode", "none",
    "started", "svm", "vgic", "vmx",
})  # fmt: skip
"""Host names that are left: taken out, they would take evidence with them, and they tell nothing."""
SHORTEST_NAME = 3


def scrub(text: str, names: Iterable[str] = ()) -> str:
    """Without what points at one board or person. names: of the host and of people, as words."""
    for pattern, new in _PATTERNS:
        text = pattern.sub(new, text)
    for name in names:
        if len(name) >= SHORTEST_NAME and name.lower() not in _VOCABULARY:
            text = re.sub(
                rf"(?<![A-Za-z0-9]){re.escape(name)}(?![A-Za-z0-9])", NO_HOST, text, flags=re.IGNORECASE
            )
    return text


def redact(documents: Documents, names: Iterable[str] = ()) -> dict[str, bytes]:
    """Files of a capture, of those documents that it has. names: as for scrub."""
    words = tuple(names)
    kept: dict[str, bytes] = {}
    for path, raw in documents.files.items():
        folder, _, name = path.rpartition("/")
        if path.startswith(DEVICE_TREE):
            if name in PROPERTIES and (name != "reg" or _is_gic(documents, folder)):
                kept[path] = raw
            continue
        if folder == DMI_FOLDER and name not in DMI:
            continue
        rule = next((rule for prefix, rule in _RULES.items() if path.startswith(prefix)), None)
        if rule:
            lines = [line.text for line in documents.lines(path)] if path == LOG else _lines(raw)
            text = "\n".join(scrub(line, words) if path != UNAME else line for line in rule(lines))
            kept[path] = text.encode() + (b"\n" if text and raw.endswith((b"\n", b"\0")) else b"")
    return kept


def _lines(raw: bytes) -> list[str]:
    return raw.decode("utf-8", "replace").replace("\0", "").splitlines()


def _is_gic(documents: Documents, node: str) -> bool:
    kinds = documents.strings(f"{node}/compatible")
    return not (GIC_V2 | GIC_V3).isdisjoint(kinds)


def _same(lines: list[str]) -> list[str]:
    return lines


def _cpuinfo(lines: list[str]) -> list[str]:
    return [
        line if not line.strip() or line.partition(":")[0].strip().lower() in CPUINFO_KEYS else REMOVED
        for line in lines
    ]


def _command(text: str) -> str:
    """Behind "--" stand arguments of the first program, which may be anything."""
    options, dashes, arguments = f"{text} ".partition(" -- ")
    words = [_parameter(word) for word in options.split()]
    return " ".join([*words, *(["--"] if dashes else []), *([REMOVED] if arguments.strip() else [])])


def _parameter(word: str) -> str:
    if PARAMETERS.fullmatch(word):
        return word
    name, equals, _ = word.partition("=")
    return f"{name}={REMOVED}" if equals and re.fullmatch(r"[\w.-]{1,40}", name) else REMOVED


def _cmdline(lines: list[str]) -> list[str]:
    return [_command(line) for line in lines]


def _log(lines: list[str]) -> list[str]:
    kept = []
    for line in lines:
        stamp = _TIME.match(line)
        start = stamp.end() if stamp else 0
        if not SUBSYSTEMS.match(line, start):
            continue
        text = _BUILDER.sub(rf"\1 ({REMOVED})", line)
        text = _PARTS.sub(lambda found: found[1] + _command(found[2]), text)
        kept.append(text)
    return kept


def _modules(lines: list[str]) -> list[str]:
    return [_LOADED.sub("0x0", line) for line in lines]


def _config(lines: list[str]) -> list[str]:
    return [_STRING.sub(rf'\1="{REMOVED}"', line) for line in lines]


def _memory(lines: list[str]) -> list[str]:
    return [line for line in lines if line.startswith("MemTotal:")]


def _uname(lines: list[str]) -> list[str]:
    """The host's name is the second word."""
    return [
        " ".join(["Linux", NO_HOST, *words[2:]]) if (words := line.split()) and words[0] == "Linux" else line
        for line in lines
    ]


def _mounts(lines: list[str]) -> list[str]:
    return [line for line in lines if _CGROUP.match(line)]


_RULES: Mapping[str, Callable[[list[str]], list[str]]] = {
    CPUINFO: _cpuinfo,
    CMDLINE: _cmdline,
    MODULES: _modules,
    MISC: _same,
    INTERRUPTS: _same,
    MEMORY: _memory,
    UNAME: _uname,
    LOG: _log,
    CONFIG_PREFIX: _config,
    "sys/module/kvm": _same,
    "proc/mounts": _mounts,
    "proc/cgroups": _same,
    f"{DMI_FOLDER}/": _same,
    "sys/class/rtc/": _same,
    "sys/class/tpm/": _same,
    "sys/firmware/efi/": _same,
}
"""How files that begin so are kept; others aren't."""
