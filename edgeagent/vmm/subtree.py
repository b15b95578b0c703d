"""Core: which part of the cgroup v2 hierarchy is the agent's to make groups in, and why none is.

systemd is the only one who may write its hierarchy, except where it has delegated a part (Delegate=yes), which it notes
in an extended attribute: systemd's CGROUP_DELEGATION.md. Without systemd the agent takes what it may write.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import PurePosixPath

LEAF = "agent"
"""The agent's own group: processes live in leaves only (cgroup-v2.rst, "No Internal Process Constraint")."""
TOP = "edgeagent"
"""The subtree below the root of a hierarchy."""
HYBRID = "cgroups are of version 1 or mixed here (kernel's command line: systemd.unified_cgroup_hierarchy=1)"
MEMORY_OFF = "(Raspberry Pi: cgroup_enable=memory on the kernel's command line)"


class NoSubtreeError(Exception):
    """There is none, in words."""


def locate(mountinfo: str, cgroup: str) -> tuple[PurePosixPath, PurePosixPath]:
    """Mount point of the hierarchy and this process's group, from /proc/self/mountinfo and /proc/self/cgroup.

    NoSubtreeError where there is no such hierarchy, or the process lies outside of what is mounted.
    """
    own = next((line[3:] for line in cgroup.splitlines() if line.startswith("0::")), "")
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        if after.split(" ")[:1] == ["cgroup2"] and own:
            root, point = (PurePosixPath(_plain(one)) for one in before.split(" ")[3:5])
            if PurePosixPath(own).is_relative_to(root):
                return point, point / PurePosixPath(own).relative_to(root)
    raise NoSubtreeError("this kernel or container has no cgroup v2 for the agent")


def _plain(path: str) -> str:
    """Spaces and the like are octal in mountinfo."""
    for code, char in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        path = path.replace(code, char)
    return path


@dataclass(frozen=True, slots=True)
class Facts:
    """What is seen of a group that could be the agent's subtree."""

    writable: bool
    """Its cgroup.procs and cgroup.subtree_control can be written, and groups be made in it."""
    systemd: bool
    """systemd runs this machine."""
    delegated: bool
    """systemd says that the group was delegated, or it belongs to the agent's user, who isn't root."""
    controllers: frozenset[str]
    """That may be handed out to groups below."""


def check(facts: Facts, wanted: Collection[str]) -> tuple[str, ...]:
    """Which controllers can't be had, in words. NoSubtreeError where the group isn't ours."""
    if not facts.controllers & {*wanted}:
        raise NoSubtreeError(HYBRID)
    if not facts.writable:
        raise NoSubtreeError("the agent may not write its cgroup (set Delegate=yes in its systemd unit)")
    if facts.systemd and not facts.delegated:
        raise NoSubtreeError(
            "the agent's cgroup is systemd's (run it as a service with Delegate=yes, or by "
            "`systemd-run --scope -p Delegate=yes`)"
        )
    return tuple(
        f"this kernel has no cgroup controller {one}{f' {MEMORY_OFF}' if one == 'memory' else ''}"
        for one in wanted
        if one not in facts.controllers
    )


def group_name(agent: int, number: int, machine: str) -> str:
    """Of a machine's group. agent: process id, number: of the machine in it."""
    readable = "".join(c if c.isascii() and (c.isalnum() or c in "_-") else "_" for c in machine)[:64]
    return f"vm.{agent}.{number}.{readable}"


def owner_of(name: str) -> int | None:
    """The agent whose machine's group it is; None for what isn't one."""
    parts = name.split(".")
    return int(parts[1]) if len(parts) == 4 and parts[0] == "vm" and parts[1].isdecimal() else None
