"""Boards on which opening /dev/kvm gave ENOENT: their files, and the reason that follows from them."""

from __future__ import annotations

from tests.probe.boards import x86

Files = dict[str, str | bytes]

NO_MODULES: Files = {"proc/modules": "ext4 1 0 - Live 0x0\n"}
MISC: Files = {"proc/misc": "232 kvm\n"}
WHOLE = "#\n# Automatically generated file; DO NOT EDIT.\n# Linux Kernel Configuration\n#\nCONFIG_64BIT=y\n"


def intel(flags: str = "vmx", log: str = "", **more: str) -> Files:
    return {"proc/cpuinfo": x86(flags), "dmesg.txt": log, **NO_MODULES, **more}


def amd(flags: str = "svm", log: str = "", vendor: str = "AuthenticAMD") -> Files:
    return {"proc/cpuinfo": x86(flags, vendor, 23), "dmesg.txt": log, **NO_MODULES}


X86: dict[str, tuple[Files, str]] = {
    "module absent": (intel(), "module-not-loaded"),
    "module absent, AMD": (amd(), "module-not-loaded"),
    "module of the other vendor": (
        amd() | {"proc/modules": "kvm_intel 1 0 -\nkvm 1 0 -\n"},
        "module-not-loaded",
    ),
    "FX-8320 whose log is of kvm_intel": (amd(log="[ 1.0] kvm: no hardware support\n"), "module-not-loaded"),
    "container": (intel() | MISC, "no-node"),
    "built in, and no trace": (intel() | {"boot/config-x": "CONFIG_KVM=y\nCONFIG_KVM_INTEL=y\n"}, "no-node"),
    "loaded, and no trace": (intel() | {"proc/modules": "kvm_intel 1 0 -\n"}, "no-node"),
    "no list of modules": ({"proc/cpuinfo": x86("vmx")}, "module-not-loaded"),
    "no flag": (intel(""), "no-vmx"),
    "no flag, AMD": (amd(""), "no-svm"),
    "no flag, Hygon": (amd("", vendor="HygonGenuine"), "no-svm"),
    "no flag, Zhaoxin": ({"proc/cpuinfo": x86("", "  Shanghai  ", 7), **NO_MODULES}, "no-vmx"),
    "Zhaoxin": ({"proc/cpuinfo": x86("vmx", "  Shanghai  ", 7), **NO_MODULES}, "module-not-loaded"),
    "Intel with AMD's flag": (intel("svm"), "no-vmx"),
    "flag within a word": (intel("vmxoff svm_lock"), "no-vmx"),
    "WinChip": ({"proc/cpuinfo": x86("vmx", "CentaurHauls", 5), **NO_MODULES}, "no-vmx"),
    "line of VMX features": (intel("") | {"proc/cpuinfo": x86("") + "vmx flags\t: vnmi vmx\n"}, "no-vmx"),
    "one CPU without": (intel() | {"proc/cpuinfo": x86("vmx") + "\n" + x86("")}, "no-vmx"),
    "firmware, flag gone": (
        intel("", "[ 0.1] x86/cpu: VMX (outside TXT) disabled by BIOS\n"),
        "disabled-by-firmware",
    ),
    "firmware, before 5.6": (intel("vmx", "[ 9.1] kvm: disabled by bios\n"), "disabled-by-firmware"),
    "firmware, 6.x": (
        intel("vmx", "[ 9.1] kvm_intel: VMX not enabled (by BIOS) in MSR_IA32_FEAT_CTL on CPU 0\n"),
        "disabled-by-firmware",
    ),
    "firmware, AMD": (
        amd("svm", "[ 9] kvm_amd: SVM disabled (by BIOS) in MSR_VM_CR on CPU 3\n"),
        "disabled-by-firmware",
    ),
    "firmware, AMD, flag gone": (
        amd("", "[ 0] x86/cpu: SVM disabled (by BIOS) in MSR_VM_CR\n"),
        "disabled-by-firmware",
    ),
    "guest": (intel("hypervisor"), "guest-without-nested"),
    "guest that may": (intel("hypervisor vmx"), "module-not-loaded"),
    "Xen without the flag": (
        intel("", "[ 0.0] Booting paravirtualized kernel on Xen PV\n"),
        "guest-without-nested",
    ),
    "bare hardware": (intel("", "[ 0.0] Booting paravirtualized kernel on bare hardware\n"), "no-vmx"),
    "SEV": (
        amd("svm hypervisor", "[ 5] kvm_amd: KVM is unsupported when running as an SEV guest\n"),
        "guest-without-nested",
    ),
    "clearcpuid": (intel("") | {"proc/cmdline": "quiet clearcpuid=smap,vmx\n"}, "disabled-on-command-line"),
    "blacklist": (
        intel() | {"proc/cmdline": "module_blacklist=foo,kvm-intel ro\n"},
        "disabled-on-command-line",
    ),
    "modprobe blacklist": (
        intel() | {"proc/cmdline": "modprobe.blacklist=kvm\n"},
        "disabled-on-command-line",
    ),
    "blacklist of the other vendor": (
        intel() | {"proc/cmdline": "module_blacklist=kvm_amd\n"},
        "module-not-loaded",
    ),
    "blacklist for init": (
        intel() | {"proc/cmdline": "quiet -- module_blacklist=kvm\n"},
        "module-not-loaded",
    ),
    "kernel without": (intel() | {"proc/config.gz": "# CONFIG_KVM is not set\n"}, "kernel-config-off"),
    "kernel without Intel": (
        intel() | {"proc/config.gz": "CONFIG_KVM=m\n# CONFIG_KVM_INTEL is not set\nCONFIG_KVM_AMD=m\n"},
        "kernel-config-off",
    ),
    "KVM on in an extract without its menu": (
        intel()
        | {"proc/config.gz": "# CONFIG_VIRTUALIZATION is not set\nCONFIG_KVM=m\nCONFIG_KVM_INTEL=m\n"},
        "module-not-loaded",
    ),
    "another kernel's configuration": (
        intel() | {"uname.txt": "Linux h 6.1.0 x86_64\n", "boot/config-5.10": "# CONFIG_KVM is not set\n"},
        "module-not-loaded",
    ),
    "CRLF": (intel() | {"proc/cpuinfo": x86("vmx").replace("\n", "\r\n")}, "module-not-loaded"),
    "not UTF-8": (
        intel() | {"proc/cpuinfo": b"model name\t: \xff\xfe\n" + x86("vmx").encode()},
        "module-not-loaded",
    ),
    "byte order mark, spaces": (
        intel() | {"proc/cpuinfo": "\ufeffprocessor : 0\nvendor_id : GenuineIntel\nflags : lm vmx\n"},
        "module-not-loaded",
    ),
    "cut within the flags": (
        intel() | {"proc/cpuinfo": "vendor_id\t: GenuineIntel\nflags\t: fpu vm"},
        "cpuinfo-incomplete",
    ),
    "cut behind the flag": (
        intel() | {"proc/cpuinfo": "vendor_id\t: GenuineIntel\nflags\t: fpu vmx ss"},
        "module-not-loaded",
    ),
    "last CPU is cut": (
        intel() | {"proc/cpuinfo": x86("vmx") + "processor: 1\nflags : fpu"},
        "module-not-loaded",
    ),
    "cut before the flags": (
        intel() | {"proc/cpuinfo": "processor : 0\nvendor_id : GenuineIntel\n"},
        "cpuinfo-incomplete",
    ),
    "empty": ({"proc/cpuinfo": ""}, "architecture-unknown"),
    "binary": ({"proc/cpuinfo": bytes(range(256)) * 16}, "architecture-unknown"),
    "uname alone": ({"uname.txt": "x86_64\n"}, "cpuinfo-incomplete"),
    "32-bit kernel": (
        intel() | {"uname.txt": "Linux h 6.1.0-686 #1 SMP i686 GNU/Linux\n"},
        "module-not-loaded",
    ),
}

A53 = (
    "processor\t: 0\nFeatures\t: fp asimd evtstrm crc32 cpuid\nCPU implementer\t: 0x41\nCPU architecture: 8\n"
    "CPU part\t: 0xd03\n"
)
COMPAT = A53.replace("fp asimd", "half thumb neon vfpv4 lpae")
EL2 = "[ 0.2] CPU: All CPU(s) started at EL2\n"
EL1 = "[ 0.2] CPU: All CPU(s) started at EL1\n"


def arm64(log: str | None = EL2, cpuinfo: str = A53, **more: str) -> Files:
    return {"proc/cpuinfo": cpuinfo, **({"dmesg.txt": log} if log is not None else {}), **more}


ARM64: dict[str, tuple[Files, str]] = {
    "EL1": (arm64(EL1), "started-at-el1"),
    "EL1, only KVM's line is left": (arm64("[ 1.4] kvm [1]: HYP mode not available\n"), "started-at-el1"),
    "EL1 and mode=none": (arm64(EL1) | {"proc/cmdline": "kvm-arm.mode=none\n"}, "started-at-el1"),
    "inconsistent": (arm64("[ 0.2] CPU: CPUs started in inconsistent modes\n"), "inconsistent-modes"),
    "mode=none": (
        arm64(EL2 + "[ 1.4] kvm [1]: KVM disabled from command line\n"),
        "disabled-on-command-line",
    ),
    "mode=none, unreadable log": (
        arm64(None) | {"proc/cmdline": "kvm-arm.mode=none ro\n"},
        "disabled-on-command-line",
    ),
    "mode=none, as kernels also take it": (
        arm64(None) | {"proc/cmdline": "kvm_arm.mode=none\n"},
        "disabled-on-command-line",
    ),
    "the last mode wins": (
        arm64(None) | {"proc/cmdline": "kvm-arm.mode=none kvm-arm.mode=protected\n"},
        "log-unreadable",
    ),
    "mode=none, only in the log": (
        arm64("[ 0] Kernel command line: ro kvm-arm.mode=none\n"),
        "disabled-on-command-line",
    ),
    "unreadable log": (arm64(None), "log-unreadable"),
    "empty log": (arm64(""), "log-unreadable"),
    "log without its beginning": (arm64("[ 900.1] usb 1-1: new device\n"), "log-unreadable"),
    "32-bit view of a 64-bit kernel": (arm64(None, COMPAT), "log-unreadable"),
    "32-bit view, armv8l": (arm64(EL1, COMPAT) | {"uname.txt": "armv8l\n"}, "started-at-el1"),
    "big.LITTLE": (arm64(EL1, A53 + "\n" + A53.replace("0xd03", "0xd08")), "started-at-el1"),
    "uname alone": ({"uname.txt": "aarch64"}, "log-unreadable"),
    "kernel without": (
        arm64() | {"proc/config.gz": "CONFIG_VIRTUALIZATION=y\n# CONFIG_KVM is not set\n"},
        "kernel-config-off",
    ),
    "kernel without, whole": (
        arm64() | {"proc/config.gz": WHOLE + "CONFIG_VIRTUALIZATION=y\n"},
        "kernel-config-off",
    ),
    "minimised configuration": (arm64() | {"proc/config.gz": "CONFIG_VIRTUALIZATION=y\n"}, "no-node"),
    "kernel without, minimised": (
        arm64() | {"proc/config.gz": "# CONFIG_VIRTUALIZATION is not set\n"},
        "kernel-config-off",
    ),
    "container": (arm64(None) | MISC, "no-node"),
    "no trace": (arm64(EL2 + "[ 1.6] kvm [1]: VHE mode initialized successfully\n"), "no-node"),
    "gave up": (arm64(EL2 + "[ 1.6] kvm [1]: error initializing Hyp mode: -22\n"), "driver-failed"),
    "Pi 3": (
        arm64(EL2) | {"proc/device-tree/soc/local_intc@40000000/compatible": b"brcm,bcm2836-l1-intc\0"},
        "gic-missing",
    ),
}


def arm32(core: str, uname: str = "armv7l", implementer: str = "0x41", log: str = "") -> Files:
    text = f"Features : half thumb neon lpae\nCPU implementer : {implementer}\nCPU architecture: 7\nCPU part : {core}\n"
    return {"proc/cpuinfo": text, "uname.txt": uname, "dmesg.txt": log}


ARM: dict[str, tuple[Files, str]] = {
    "A15": (arm32("0xc0f"), "arm32-host-removed"),
    "A15, 5.10": (arm32("0xc0f", "Linux h 5.10.0 armv7l"), "arm32-host-removed"),
    "A53 with a 32-bit kernel": (arm32("0xd03"), "arm32-host-removed"),
    "Krait": (arm32("0x06f", implementer="0x51"), "arm32-host-removed"),
    "A9": (arm32("0xc09"), "no-hyp"),
    "ARM1176": (arm32("0xb76"), "no-hyp"),
    "A15, 4.19, SVC": (
        arm32("0xc0f", "Linux h 4.19.0 armv7l", log="[0] CPU: All CPU(s) started in SVC mode.\n"),
        "started-at-el1",
    ),
    "A15, 4.19, HYP": (
        arm32("0xc0f", "Linux h 4.19.0 armv7l", log="[0] CPU: All CPU(s) started in HYP mode.\n"),
        "no-node",
    ),
    "uname alone": ({"uname.txt": "armv7l\n"}, "arm32-host-removed"),
}


def riscv(*isas: str, log: str = "", **more: str) -> Files:
    text = "\n".join(
        f"processor\t: {n}\nhart\t\t: {n}\nisa\t\t: {isa}\nmmu\t\t: sv39\n" for n, isa in enumerate(isas)
    )
    return {"proc/cpuinfo": text, "dmesg.txt": log, **NO_MODULES, **more}


def harts(**properties: bytes) -> Files:
    return {
        f"proc/device-tree/cpus/cpu@0/riscv,{name.replace('_', '-')}": raw for name, raw in properties.items()
    }


RISCV: dict[str, tuple[Files, str]] = {
    "module absent": (riscv("rv64imafdch_zicsr"), "module-not-loaded"),
    "upper case": (riscv("RV64IMAFDCH"), "module-not-loaded"),
    "zihpm isn't h": (riscv("rv64imafdc_zihpm_zicsr"), "no-h-extension"),
    "no underscore": (riscv("rv64imafdczihpm"), "no-h-extension"),
    "shcounterenw isn't h": (riscv("rv64imafdc_shcounterenw_shgatpa"), "no-h-extension"),
    "old kernels": (riscv("rv64imafdcsu"), "no-h-extension"),
    "32 bits": (riscv("rv32imach"), "module-not-loaded"),
    "one hart without": (riscv("rv64imafdch", "rv64imac"), "no-h-extension"),
    "hart isa of one without": (
        riscv("rv64imafdch") | {"proc/cpuinfo": "isa : rv64imafdch\nhart isa : rv64imafdc\n"},
        "no-h-extension",
    ),
    "cut in the letters": (
        riscv() | {"proc/cpuinfo": "hart : 0\nisa : rv64imafdc", "uname.txt": "riscv64"},
        "cpuinfo-incomplete",
    ),
    "cut behind the letters": (
        riscv() | {"proc/cpuinfo": "hart : 0\nisa : rv64imafdc_zih"},
        "no-h-extension",
    ),
    "not an ISA": (riscv("unknown") | {"uname.txt": "riscv64"}, "cpuinfo-incomplete"),
    "the log says no": (
        riscv("rv64imafdc", log="[ 9] kvm [171]: hypervisor extension not available\n"),
        "no-h-extension",
    ),
    "SBI 0.1": (riscv("rv64imafdch", log="[ 9] kvm [1]: require SBI v0.2 or higher\n"), "sbi-too-old"),
    "no RFENCE": (riscv("rv64imafdch", log="[ 9] kvm [1]: require SBI RFENCE extension\n"), "sbi-too-old"),
    "kernel without": (
        riscv("rv64imafdch") | {"proc/config.gz": "# CONFIG_KVM is not set\n"},
        "kernel-config-off",
    ),
    "hardware before kernel": (
        riscv("rv64imac") | {"proc/config.gz": "# CONFIG_KVM is not set\n"},
        "no-h-extension",
    ),
    "list of the tree": (
        {"uname.txt": "riscv64", **NO_MODULES, **harts(isa_extensions=b"i\0m\0h\0zicsr\0")},
        "module-not-loaded",
    ),
    "list of the tree without": (
        {"uname.txt": "riscv64", **harts(isa_extensions=b"i\0m\0zihpm\0")},
        "no-h-extension",
    ),
    "the list counts, not the string": (
        {"uname.txt": "riscv64", **harts(isa_extensions=b"i\0m\0", isa=b"rv64imh\0")},
        "no-h-extension",
    ),
    "string of the tree": (
        {"uname.txt": "riscv64", **NO_MODULES, **harts(isa=b"rv64imafdch_zicsr\0")},
        "module-not-loaded",
    ),
    "a hart that is off doesn't count": (
        {
            "uname.txt": "riscv64",
            **NO_MODULES,
            **harts(isa=b"rv64imafdch\0"),
            "proc/device-tree/cpus/cpu@1/riscv,isa": b"rv64imac\0",
            "proc/device-tree/cpus/cpu@1/status": b"disabled\0",
        },
        "module-not-loaded",
    ),
    "EIC7700 whose tree claims a fu740": (
        riscv("rv64imafdch_zicsr")
        | {"proc/device-tree/compatible": b"sifive,hifive-unmatched-a00\0sifive,fu740\0"},
        "module-not-loaded",
    ),
}


def mips(ases: str, **more: str) -> Files:
    text = f"system type : Cavium\nprocessor : 0\ncpu model : Cavium Octeon III\nASEs implemented : {ases}\ncore : 0\n"
    return {"uname.txt": "mips64", "proc/cpuinfo": text, **NO_MODULES, **more}


LVZ = "processor : 0\nISA : loongarch32 loongarch64\nFeatures : cpucfg lam {}\nx : 1\n"


def loong(features: str, release: str = "6.12.0") -> Files:
    return {
        "proc/cpuinfo": LVZ.format(features),
        "uname.txt": f"Linux h {release} loongarch64\n",
        **NO_MODULES,
    }


OTHERS: dict[str, tuple[Files, str]] = {
    "mips, no VZ": (mips("mips16 dsp"), "no-vz"),
    "mips, none at all": (mips(""), "no-vz"),
    "mips, evz isn't vz": (mips("evz vz2"), "no-vz"),
    "mips, module absent": (mips("mips16 vz msa"), "module-not-loaded"),
    "mips, kernel without": (
        mips("vz") | {"boot/config-6.1": "CONFIG_HAVE_KVM=y\n# CONFIG_VIRTUALIZATION is not set\n"},
        "kernel-config-off",
    ),
    "mips, hardware before kernel": (
        mips("") | {"boot/config-6.1": "# CONFIG_VIRTUALIZATION is not set\n"},
        "no-vz",
    ),
    "mips, one CPU without": (
        mips("vz") | {"proc/cpuinfo": "ASEs implemented : vz\nASEs implemented :\nx : 1\n"},
        "no-vz",
    ),
    "mips, no line": ({"uname.txt": "mips64", "proc/cpuinfo": "processor : 0\n"}, "cpuinfo-incomplete"),
    "mips, from cpuinfo": (
        {"proc/cpuinfo": "cpu model : MIPS 24Kc V7.4\nASEs implemented : mips16\ncore : 0\n"},
        "no-vz",
    ),
    "loongarch, no LVZ": (loong("fpu"), "no-lvz"),
    "loongarch, old kernel": (loong("lvz", "6.6.1"), "kernel-too-old"),
    "loongarch, module absent": (loong("lvz"), "module-not-loaded"),
    "loongarch, the log says no": (
        loong("lvz") | {"dmesg.txt": "[1] kvm: Hardware virtualization not available\n"},
        "no-lvz",
    ),
    "POWER": (
        {"proc/cpuinfo": "processor : 0\ncpu : POWER9\n", "uname.txt": "ppc64le"},
        "architecture-unknown",
    ),
    "s390": ({"proc/cpuinfo": "vendor_id : IBM/S390\nfeatures : sie\n"}, "architecture-unknown"),
    "nothing": ({"proc/modules": ""}, "architecture-unknown"),
}

CASES = {
    f"{arch}: {name}": case
    for arch, table in {"x86": X86, "arm64": ARM64, "arm": ARM, "riscv": RISCV, "": OTHERS}.items()
    for name, case in table.items()
}
