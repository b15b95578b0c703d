"""Shell: asks /dev/kvm itself, as the user we are (Linux: Documentation/virt/kvm/api.rst)."""

from __future__ import annotations

import errno
import fcntl
import grp
import os
import platform
import pwd
import stat
from collections.abc import Mapping
from pathlib import Path

from .evidence import KvmNode

NODE = Path("/dev/kvm")

# _IO(0xAE, number); some architectures say "no argument" with a bit (asm/ioctl.h).
_TYPE = 0xAE00
_NO_ARGUMENT = {"mips": 1 << 29, "mips64": 1 << 29, "ppc64": 1 << 29, "ppc64le": 1 << 29, "sparc64": 1 << 29}
_GET_API_VERSION, _CREATE_VM, _CHECK_EXTENSION, _CREATE_VCPU = 0x00, 0x01, 0x03, 0x41

CAPABILITIES: Mapping[str, int] = {
    "IRQCHIP": 0,
    "USER_MEMORY": 3,
    "SET_TSS_ADDR": 4,
    "EXT_CPUID": 7,
    "NR_VCPUS": 9,
    "NR_MEMSLOTS": 10,
    "IRQFD": 32,
    "IOEVENTFD": 36,
    "MAX_VCPUS": 66,
    "ONE_REG": 70,
    "TSC_DEADLINE_TIMER": 72,
    "READONLY_MEM": 81,
    "DEVICE_CTRL": 89,
    "ARM_EL1_32BIT": 93,
    "SPLIT_IRQCHIP": 121,
    "IMMEDIATE_EXIT": 136,
    "MIPS_VZ": 137,
    "MIPS_64BIT": 139,
    "NESTED_STATE": 157,
    "ARM_VM_IPA_SIZE": 165,
    "VM_GPA_BITS": 207,
}
"""KVM_CAP_… of linux/kvm.h."""

_Node = tuple[int | None, int | None, int | None, str]
"""Mode, user, group and the group's name."""


def ask(node: Path = NODE) -> KvmNode:
    """Open it, look at its version and capabilities, make a VM with one VCPU, and let all go again."""
    user = _user(os.geteuid())
    try:
        status = node.stat()
        there: _Node = (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid, _group(status.st_gid))
    except OSError:
        there = (None, None, None, "")
    try:
        kvm = os.open(node, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        return KvmNode(user, _name(error), *there)
    try:
        try:
            version = _ioctl(kvm, _GET_API_VERSION)
        except OSError as error:
            return KvmNode(user, "ok", *there, create_vm=_name(error))
        capabilities = {name: _check(kvm, number) for name, number in CAPABILITIES.items()}
        create_vm, create_vcpu = _create(kvm, capabilities)
        return KvmNode(user, "ok", *there, version, create_vm, create_vcpu, capabilities)
    finally:
        os.close(kvm)


def _create(kvm: int, capabilities: Mapping[str, int]) -> tuple[str, str]:
    """The machine type of arm64 is the width of its addresses, where the CPU has less than the default of 40 bits."""
    vm, said = -1, ""
    for machine_type in (0, capabilities["ARM_VM_IPA_SIZE"]):
        try:
            vm = _ioctl(kvm, _CREATE_VM, machine_type)
            break
        except OSError as error:
            said = said or _name(error)
    if vm < 0:
        return said, ""
    try:
        os.close(_ioctl(vm, _CREATE_VCPU, 0))
    except OSError as error:
        return "ok", _name(error)
    finally:
        os.close(vm)
    return "ok", "ok"


def _ioctl(fd: int, number: int, argument: int = 0) -> int:
    return fcntl.ioctl(fd, _TYPE | number | _NO_ARGUMENT.get(platform.machine(), 0), argument)


def _check(kvm: int, capability: int) -> int:
    try:
        return _ioctl(kvm, _CHECK_EXTENSION, capability)
    except OSError:
        return 0


def _name(error: OSError) -> str:
    return errno.errorcode.get(error.errno or 0, str(error.errno))


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
