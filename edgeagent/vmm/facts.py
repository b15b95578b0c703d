"""Shell: looks up what a jail can be made of on this machine."""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import subprocess
from pathlib import Path

from edgeagent.errors import EnvironmentFaultError

from .jail import NAMESPACES, OWN_USERS, Account, Facts, Node

KVM = Path("/dev/kvm")
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
TRIAL_SECONDS = 5.0

# Changing user and group, dropping from the bounding set (capability numbers of linux/capability.h).
_SETGID, _SETUID, _SETPCAP = 6, 7, 8


def tool(name: str) -> str:
    """Its path, "" where it isn't installed."""
    return shutil.which(name, path=PATH) or ""


def gather(user: str) -> Facts:
    """user: name of the configured user. EnvironmentFaultError without setpriv: nothing would tie QEMU to the agent."""
    setpriv, shell, unshare = tool("setpriv"), tool("sh"), tool("unshare")
    if not setpriv or not shell:
        raise EnvironmentFaultError(
            f"{'setpriv' if shell else 'sh'} is missing, which ties QEMU's life to the agent's",
            remedy="apt install util-linux",
        )
    privileged = os.geteuid() == 0 and _holds(_SETGID, _SETUID, _SETPCAP)
    own = () if privileged else OWN_USERS
    return Facts(
        agent=os.getpid(),
        privileged=privileged,
        wanted=user,
        user=_account(user),
        nobody=_account("nobody"),
        kvm=_node(KVM),
        setpriv=setpriv,
        shell=shell,
        unshare=unshare,
        prlimit=tool("prlimit"),
        namespaces=bool(unshare) and _works(unshare, *own, *NAMESPACES, "--", shell, "-c", ":"),
    )


def _holds(*capabilities: int) -> bool:
    for line in Path("/proc/self/status").read_text("ascii", "replace").splitlines():
        name, _, value = line.partition(":")
        if name == "CapEff":
            return all(int(value, 16) >> number & 1 for number in capabilities)
    return False


def _account(name: str) -> Account | None:
    try:
        found = pwd.getpwnam(name)
    except KeyError:
        return None
    groups = os.getgrouplist(name, found.pw_gid)
    return Account(
        name, found.pw_uid, found.pw_gid, tuple(group for group in groups if group != found.pw_gid)
    )


def _node(path: Path) -> Node | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return Node(status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode))


def _works(*argv: str) -> bool:
    try:
        done = subprocess.run(argv, capture_output=True, timeout=TRIAL_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
