"""Core: what was found out about a board, before anybody judges it. A capture holds the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from edgeagent.vmm.port import VmmInfo

from .system import System


@dataclass(frozen=True, slots=True)
class KvmNode:
    """What /dev/kvm said to one user. ``open`` and ``create_vm``, ``create_vcpu`` are "ok" or an errno's name."""

    user: str
    open: str
    mode: int | None = None
    """Permission bits."""
    uid: int | None = None
    gid: int | None = None
    group: str = ""
    """Name of its group; "" when it isn't known."""
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

    system: System
    node: KvmNode | None
    vmm: VmmInfo | None = None
    vmm_failure: str = ""
    """Why there is no VMM or no calibration; "" when nobody looked (a capture without it)."""
    kvm: Speed | None = None
    tcg: Speed | None = None
    memory: int | None = None
    """Bytes of RAM."""
    cpus: int | None = None
    node_failure: str = ""
    """Why a capture's dev-kvm.json can't be used."""
