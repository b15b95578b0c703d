"""Core: what was found out about a board, before anybody judges it. A capture holds the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from edgeagent.vmm.port import VmmInfo


@dataclass(frozen=True, slots=True)
class KvmNode:
    """What /dev/kvm said to one user. ``open`` and ``create_vm``, ``create_vcpu`` are "ok" or an errno's name."""

    user: str
    open: str
    mode: int | None = None
    """Permission bits."""
    uid: int | None = None
    group: str = ""
    """Name of its group."""
    api_version: int | None = None
    create_vm: str = ""
    create_vcpu: str = ""
    capabilities: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Speed:
    """A calibration guest under one accelerator. ns: for a guest instruction, None when it failed, which says why."""

    ns: float | None
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Of one board, for guests of its own architecture. None: not looked at."""

    arch: str
    node: KvmNode
    modules: tuple[str, ...]
    """Names below /sys/module that begin with kvm."""
    cpu_flags: frozenset[str]
    vmm: VmmInfo | None
    vmm_failure: str
    kvm: Speed | None
    tcg: Speed | None
    memory: int
    """Bytes of RAM."""
    cpus: int
