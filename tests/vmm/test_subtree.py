"""Which cgroup is the agent's, from what kernels and containers really say."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeagent.vmm.bounds import CONTROLLERS
from edgeagent.vmm.subtree import HYBRID, Facts, NoSubtreeError, check, group_name, locate, owner_of

V2 = "24 1 0:22 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
HYBRID_MOUNT = "36 25 0:31 / /sys/fs/cgroup/unified rw,nosuid shared:10 - cgroup2 cgroup2 rw\n"
CONTAINER = "950 940 0:28 /docker/ab /sys/fs/cgroup ro,nosuid - cgroup2 cgroup rw\n"
SPACED = r"24 1 0:22 / /mnt/c\040groups rw - cgroup2 cgroup2 rw"
OTHER = "22 1 0:21 / /proc rw shared:5 - proc proc rw\n23 1 8:1 / / rw,relatime - ext4 /dev/root rw\n"


@pytest.mark.parametrize(
    ("mountinfo", "cgroup", "mount", "own"),
    [
        (OTHER + V2, "0::/system.slice/edgeagent.service\n", "", "/system.slice/edgeagent.service"),
        (V2, "0::/\n", "", ""),
        (HYBRID_MOUNT, "9:name=systemd:/x\n8:pids:/x\n0::/x\n", "/unified", "/unified/x"),
        (CONTAINER, "0::/docker/ab\n", "", ""),
        (CONTAINER, "0::/docker/ab/sub\n", "", "/sub"),
    ],
)
def test_where_the_agents_group_is(mountinfo: str, cgroup: str, mount: str, own: str) -> None:
    root = "/sys/fs/cgroup"
    assert locate(mountinfo, cgroup) == (PurePosixPath(root + mount), PurePosixPath(root + own))


def test_a_mount_point_with_a_space() -> None:
    assert locate(SPACED, "0::/\n")[0] == PurePosixPath("/mnt/c groups")


@pytest.mark.parametrize(
    ("mountinfo", "cgroup"),
    [(OTHER, "0::/\n"), (V2, "8:pids:/\n"), ("", ""), (CONTAINER, "0::/elsewhere\n"), ("- cgroup2", "0::/")],
)
def test_there_is_none(mountinfo: str, cgroup: str) -> None:
    with pytest.raises(NoSubtreeError):
        locate(mountinfo, cgroup)


ALL = frozenset(CONTROLLERS)


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        (Facts(True, True, True, frozenset({"hugetlb"})), HYBRID),
        (Facts(False, True, False, ALL), "Delegate=yes"),
        (Facts(True, True, False, ALL), "systemd-run"),
    ],
)
def test_what_is_not_ours(facts: Facts, words: str) -> None:
    with pytest.raises(NoSubtreeError, match=words.replace("(", r"\(").replace(")", r"\)")):
        check(facts, CONTROLLERS)


def test_what_is_ours() -> None:
    assert check(Facts(True, True, True, ALL), CONTROLLERS) == ()
    assert check(Facts(True, False, False, ALL), CONTROLLERS) == ()
    (missing,) = check(Facts(True, True, True, ALL - {"memory"}), CONTROLLERS)
    assert "cgroup_enable=memory" in missing


@given(st.integers(1, 1 << 22), st.integers(0, 1 << 30), st.text(max_size=300))
def test_names_of_groups(agent: int, number: int, machine: str) -> None:
    name = group_name(agent, number, machine)
    assert PurePosixPath(name).name == name
    assert len(name) < 128
    assert owner_of(name) == agent


@given(st.text(max_size=40))
def test_other_groups_are_nobodys(name: str) -> None:
    if not name.startswith("vm."):
        assert owner_of(name) is None
