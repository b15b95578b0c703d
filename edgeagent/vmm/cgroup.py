"""Shell: a group of cgroup v2 for each machine, in the subtree that is the agent's."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from edgeagent.errors import EnvironmentFaultError

from . import bounds, subtree
from .port import MachineLimits

AGENT_WEIGHT = 1000
"""cpu.weight of the agent; a machine has 100 if nobody says otherwise."""


class Group:
    """One machine's. ``procs`` is where its first process enters; ``close`` when the last one is reaped."""

    def __init__(self, path: Path, limits: MachineLimits) -> None:
        self.procs = path / "cgroup.procs"
        self._path = path
        self._limits = limits

    @property
    def throttled_s(self) -> float:
        """How long cpu.max has held it back."""
        return self._keyed("cpu.stat").get("throttled_usec", 0) / 1e6

    def over(self) -> str:
        """Which limit the kernel ended it for, "" for none."""
        killed = self._keyed("memory.events").get("oom_kill", 0)
        return bounds.over_memory(self._limits) if killed else ""

    def close(self) -> None:
        """Remove it; what a stranger put into it keeps it, and then the next start removes it."""
        with contextlib.suppress(OSError):
            self._path.rmdir()

    def _keyed(self, name: str) -> dict[str, int]:
        try:
            return bounds.keyed((self._path / name).read_text("ascii"))
        except OSError:
            return {}


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """Makes groups. controllers: those that hold machines; missing: what doesn't, and why, in words."""

    base: Path | None = None
    controllers: frozenset[str] = frozenset()
    missing: tuple[str, ...] = ()
    _numbers: count[int] = field(default_factory=count)

    def group(self, machine: str, limits: MachineLimits) -> Group | None:
        """A new group with these limits; None where there are no groups."""
        if self.base is None:
            return None
        path = self.base / subtree.group_name(os.getpid(), next(self._numbers), machine)
        try:
            path.mkdir()
            for name, value in bounds.files(limits, self.controllers):
                (path / name).write_text(value)
            swap, none = bounds.NO_SWAP
            if (path / swap).exists():
                (path / swap).write_text(none)
        except OSError as error:
            with contextlib.suppress(OSError):
                path.rmdir()
            raise EnvironmentFaultError(
                f"the cgroup {path} can't be made: {error.strerror}", where=machine
            ) from error
        return Group(path, limits)


NONE = Hierarchy(missing=("the agent took no cgroup subtree",))
"""Machines are held by looking at them."""


def enter(proc: Path = Path("/proc/self")) -> Hierarchy:
    """Make the agent's cgroup a subtree: move this process into a leaf of it, and hand out the controllers.

    For the agent's start, before its first machine. Never fails: what can't be had is said in ``missing``.
    """
    try:
        mount, base, missing = _look(proc)
    except (subtree.NoSubtreeError, OSError) as error:
        return Hierarchy(missing=(f"cgroups: {error}",))
    try:
        return _take(mount, base, missing)
    except OSError as error:
        return Hierarchy(missing=(f"cgroups: {error.filename or base}: {error.strerror}",))


def refusal(proc: Path = Path("/proc/self")) -> str:
    """Why this process couldn't ``enter``; "" when it could. Changes nothing."""
    try:
        _look(proc)
    except (subtree.NoSubtreeError, OSError) as error:
        return str(error)
    return ""


def _look(proc: Path) -> tuple[Path, Path, tuple[str, ...]]:
    """Mount point of the hierarchy, the group that can be the subtree, and which controllers can't be had."""
    mount, own = (
        Path(one)
        for one in subtree.locate(
            (proc / "mountinfo").read_text("utf-8", "replace"), (proc / "cgroup").read_text()
        )
    )
    base = own.parent if own.name == subtree.LEAF and own != mount else own
    return mount, base, subtree.check(_facts(base), bounds.CONTROLLERS)


def _facts(group: Path) -> subtree.Facts:
    needed = [group, group / "cgroup.procs", group / "cgroup.subtree_control"]
    writable = all(os.access(one, os.W_OK) for one in needed)
    return subtree.Facts(
        writable=writable,
        systemd=Path("/run/systemd/system").is_dir(),
        delegated=(writable and os.geteuid() != 0) or _marked(group),
        controllers=_words(group / "cgroup.controllers"),
    )


def _marked(group: Path) -> bool:
    for name in ("user.delegate", "trusted.delegate"):
        with contextlib.suppress(OSError):
            if os.getxattr(group, name) == b"1":
                return True
    return False


def _take(mount: Path, base: Path, missing: tuple[str, ...]) -> Hierarchy:
    top = base / subtree.TOP if base == mount else base
    leaf = top / subtree.LEAF
    leaf.mkdir(parents=True, exist_ok=True)
    (leaf / "cgroup.procs").write_text("0")
    for group in dict.fromkeys((base, top)):
        missing += _hand_out(group, _words(group / "cgroup.controllers"))
    held = _words(top / "cgroup.subtree_control") & {*bounds.CONTROLLERS}
    if bounds.CPU in held:
        (leaf / "cpu.weight").write_text(str(AGENT_WEIGHT))
    _remove_leftovers(top)
    return Hierarchy(top if held else None, held, missing)


def _hand_out(group: Path, controllers: Collection[str]) -> tuple[str, ...]:
    missing = []
    for one in bounds.CONTROLLERS:
        if one in controllers:
            try:
                (group / "cgroup.subtree_control").write_text(f"+{one}")
            except OSError as error:
                missing.append(f"cgroup controller {one}: {group}: {error.strerror}")
    return tuple(missing)


def _remove_leftovers(base: Path) -> None:
    """Empty groups of agents that are gone; their machines died with them."""
    for path in base.iterdir():
        owner = subtree.owner_of(path.name)
        if owner is not None and (owner == os.getpid() or not Path(f"/proc/{owner}").exists()):
            with contextlib.suppress(OSError):
                path.rmdir()


def _words(path: Path) -> frozenset[str]:
    try:
        return frozenset(path.read_text("ascii").split())
    except OSError:
        return frozenset()
