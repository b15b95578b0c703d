"""Core: what holds the VMM, beside QEMU's own system call filter: which wrappers run before it, said in words.

A wrapper changes what the process is and then becomes the next one (exec), so the VMM stays the agent's own child.
Privileges fall before QEMU starts: with its own -runas its system call filter kills it.
"""

from __future__ import annotations

from dataclasses import dataclass

DEFAULT_USER = "edgeagent-vm"
MAX_FILES = 64
"""Descriptors of a VMM."""

NETWORK = "--net"
NAMESPACES = (NETWORK, "--ipc", "--uts")
OWN_USERS = ("--user", "--map-current-user")
"""What unshare makes; the second is what lets an unprivileged process make the first."""

# The death signal is set first, then the parent is looked at: an agent that died in between is noticed here, one
# that dies later sends the signal. Arguments are never part of the text.
# Where memory runs out, the kernel ends a VMM before it ends the agent.
GUARD = 'test "$PPID" = "$0" || exit 1; echo 500 >/proc/self/oom_score_adj; exec "$@"'
ENTER = 'echo 0 >"$0" && exec "$@"'
"""Into a cgroup, by its cgroup.procs; 0 is the process that writes."""


@dataclass(frozen=True, slots=True)
class Account:
    """A user of this machine. groups: of the user, beside gid."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Node:
    """A device node's owner and permission bits."""

    uid: int
    gid: int
    mode: int

    def opens(self, uid: int, groups: tuple[int, ...]) -> bool:
        """Whether this user may read and write it."""
        shift = 6 if uid == self.uid else 3 if self.gid in groups else 0
        return self.mode >> shift & 6 == 6


@dataclass(frozen=True, slots=True)
class Facts:
    """What a jail can be made of. Tools are paths, "" where missing."""

    agent: int
    """Process id of the agent."""
    privileged: bool
    """It may change its user and drop capabilities from the bounding set."""
    wanted: str
    """Name of the configured user."""
    user: Account | None
    """The configured user, where it exists."""
    nobody: Account | None
    kvm: Node | None
    setpriv: str
    shell: str
    unshare: str
    prlimit: str
    namespaces: bool
    """NAMESPACES (for the unprivileged: behind OWN_USERS) was tried with unshare, and works."""


@dataclass(frozen=True, slots=True)
class Jail:
    """Arguments to put before QEMU's; what they amount to; what is missing of the whole."""

    prefix: tuple[str, ...]
    words: tuple[str, ...]
    missing: tuple[str, ...]


def build(
    facts: Facts,
    *,
    kvm: bool,
    group: str = "",
    network: bool = False,
    writes: int = 0,
    filtered: str = "QEMU's system call filter",
) -> Jail:
    """The tightest jail that these facts allow.

    kvm: the VMM must open /dev/kvm by itself; group: cgroup.procs of the cgroup to enter first, "" for none;
    network: it speaks to this machine's network for its guest; writes: how large a file of its guest's may get, bytes;
    filtered: what filters its system calls, in words.
    """
    words = [filtered, "no new privileges", "dies with the agent"]
    missing: list[str] = []
    prefix: list[str] = [facts.shell, "-c", ENTER, group] if group else []
    if facts.prlimit:
        prefix += [facts.prlimit, "--core=0", f"--fsize={writes}", f"--nofile={MAX_FILES}", "--"]
        files = f"files of at most {writes} bytes" if writes else "writes no files"
        words.append(f"no core dumps, {files}, at most {MAX_FILES} descriptors")
    else:
        missing.append("limits: prlimit (util-linux) is missing")
    prefix += _namespaces(facts, network, words, missing)
    prefix += [facts.setpriv, "--pdeathsig", "SIGKILL", "--no-new-privs", "--inh-caps=-all"]
    if facts.privileged:
        prefix += ["--bounding-set=-all", *_identity(facts, kvm, words, missing)]
        words.append("no capabilities")
    else:
        missing.append("a user of its own: the agent may not change users, so QEMU runs as the agent's")
    prefix += ["--", facts.shell, "-c", GUARD, str(facts.agent)]
    return Jail(tuple(prefix), tuple(words), tuple(missing))


def _namespaces(facts: Facts, network: bool, words: list[str], missing: list[str]) -> list[str]:  # noqa: FBT001
    if not facts.unshare:
        missing.append("namespaces: unshare (util-linux) is missing")
        return []
    if not facts.namespaces:
        missing.append("a network namespace: this kernel or container doesn't let the agent make one")
        return []
    if network:
        words.append("an IPC and host name of its own")
        missing.append("a network namespace: its guest was given this machine's network")
    else:
        words.append("a network, IPC and host name of its own (no interfaces)")
    made = [name for name in NAMESPACES if not (network and name == NETWORK)]
    return [facts.unshare, *(() if facts.privileged else OWN_USERS), *made, "--"]


def _identity(facts: Facts, kvm: bool, words: list[str], missing: list[str]) -> list[str]:  # noqa: FBT001
    account = facts.user or facts.nobody
    node = facts.kvm if kvm else None
    groups = account.groups if account and kvm else ()
    if account and node and not node.opens(account.uid, (account.gid, *groups)):
        if not node.gid or node.mode & 0o060 != 0o060:
            missing.append(
                f"a user other than root: only root may open /dev/kvm (mode {node.mode:04o}); "
                "`chgrp kvm /dev/kvm; chmod 0660 /dev/kvm` lets QEMU run as another"
            )
            return _root(words)
        # The node's group is lent to this process.
        groups = (node.gid,)
    if account is None:
        missing.append("a user other than root: this machine has none to spare")
        return _root(words)
    if facts.user is None:
        missing.append(
            f"a user of its own: there is no {facts.wanted!r}, so QEMU runs as {account.name} "
            f"(`useradd --system --shell /usr/sbin/nologin {facts.wanted or DEFAULT_USER}`)"
        )
    words.append(f"user {account.name}")
    lent = ["--groups", ",".join(map(str, groups))] if groups else ["--clear-groups"]
    return [f"--reuid={account.uid}", f"--regid={account.gid}", *lent]


def _root(words: list[str]) -> list[str]:
    words.append("user root")
    return ["--clear-groups"]
