"""Core: what rules of all architectures are made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..answer import Verdict, verdict
from ..documents import Line
from ..kernel import built_in, configured, forbidden_module
from ..system import MODULES, System

Rule = Callable[[System], Verdict | None]
"""None: it says nothing about this board. Rules never say yes: only a VM does."""

NEW_KERNEL = "Install a kernel with CONFIG_KVM (Debian's linux-image has it), or build one"

EMULATED = "Nothing makes up for it on this board: guests run under emulation"
NEW_COMMAND_LINE = (
    "Remove it from the kernel's command line (/etc/default/grub, extlinux.conf, cmdline.txt) and reboot"
)


@dataclass(frozen=True, slots=True)
class Rules:
    """Of one family. causes: in order, hardware first, what is easiest to change last.

    signs: lines that speak for KVM. doubts: rules that are asked after them, and say that something isn't known.
    """

    causes: tuple[Rule, ...]
    signs: Callable[[System], tuple[Line | str, ...]]
    doubts: tuple[Rule, ...] = ()
    absent: Rule | None = None
    """Asked where there is no node, and neither cause nor doubt."""


def config_off(system: System, *options: str) -> Verdict | None:
    """The kernel lacks KVM or one of the options that it needs here."""
    kvm = configured(system, "CONFIG_KVM")
    # The menu around KVM: where it is off there is no KVM. Where it is on, nothing follows.
    menu = configured(system, "CONFIG_VIRTUALIZATION") if kvm is None else None
    for found in (kvm, menu, *(configured(system, option) for option in options)):
        if found and not found[0]:
            return verdict("kernel-config-off", found[1], remedy=NEW_KERNEL)
    return None


def forbidden(system: System, *modules: str) -> Verdict | None:
    """One of the modules is on a blacklist of the command line."""
    if line := forbidden_module(system, *modules):
        return verdict("disabled-on-command-line", line, remedy=NEW_COMMAND_LINE)
    return None


def not_loaded(
    system: System, module: str, option: str, sign: Line | str | None, *, listed: bool = True
) -> Verdict | None:
    """The CPU can, as the sign says, and the module isn't there. Nothing is said without a sign.

    listed: by the list of loaded modules; else only where there is no list, as the likeliest cause.
    """
    known = MODULES in system.documents
    if sign is None or known != listed or system.module(module) or built_in(system, option):
        return None
    missing = f"{MODULES}: {module} isn't listed" if known else system.documents.absence(MODULES)
    remedy = f"modprobe {module}; to keep it: echo {module} > /etc/modules-load.d/kvm.conf"
    return verdict("module-not-loaded", sign, missing, remedy=remedy)
