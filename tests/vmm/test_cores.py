"""Arguments, jail, monitor protocol and the meaning of an end: no process needed."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeagent.errors import LocalProtocolError, RemoteProtocolError
from edgeagent.vmm import argv, crash, jail, qmp
from edgeagent.vmm.jail import Account, Facts, Node
from edgeagent.vmm.machines import MACHINES
from edgeagent.vmm.port import Accelerator, End, Ending, MachineSpec

FDS = argv.Descriptors(image=10, memory=11, channel=12, monitor=13)
SPEC = MachineSpec("a,b", "x86_64", Accelerator.TCG, 8 << 20, Path("/image"))


def values(arguments: list[str], option: str) -> list[str]:
    return [value for name, value in itertools.pairwise(arguments) if name == option]


@pytest.mark.parametrize("arch", MACHINES)
@pytest.mark.parametrize("accelerator", Accelerator)
def test_arguments(arch: str, accelerator: Accelerator) -> None:
    row = MACHINES[arch]
    spec = replace(SPEC, arch=arch, accelerator=accelerator)
    if accelerator not in row.cpu:
        with pytest.raises(KeyError):
            argv.arguments("qemu", spec, row, FDS)
        return
    arguments = argv.arguments("qemu", spec, row, FDS)
    assert {"-nodefaults", "-no-user-config"} <= set(arguments)
    assert values(arguments, "-accel")[0].split(",")[0] == accelerator
    assert values(arguments, "-sandbox") == [
        "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"
    ]
    assert values(arguments, "-kernel") == ["/dev/fd/10"]
    assert "mem-path=/dev/fd/11,share=on" in values(arguments, "-object")[0]
    assert [value.split("fd=")[1] for value in values(arguments, "-chardev")] == ["12", "13"]
    assert values(arguments, "-name") == ["a,,b"], "a comma can't become an option"
    assert not any(option in arguments for option in ("-netdev", "-nic", "-serial", "-monitor", "-S"))


def test_paused() -> None:
    assert "-S" in argv.arguments("qemu", replace(SPEC, paused=True), MACHINES["x86_64"], FDS)


def test_a_debugger_is_let_in_only_when_it_is_asked_for() -> None:
    plain = argv.arguments("qemu", SPEC, MACHINES["x86_64"], FDS)
    assert "-gdb" not in plain
    held = argv.arguments("qemu", SPEC, MACHINES["x86_64"], replace(FDS, gdb=14))
    assert values(held, "-gdb") == ["chardev:gdb"]
    assert "socket,id=gdb,fd=14,server=on,wait=off" in values(held, "-chardev")
    assert (FDS.all, replace(FDS, gdb=14).all) == ((10, 11, 12, 13), (10, 11, 12, 13, 14))


ROOT = Facts(
    agent=77,
    privileged=True,
    wanted="edgeagent-vm",
    user=Account("edgeagent-vm", 900, 901),
    nobody=Account("nobody", 65534, 65534),
    kvm=Node(0, 36, 0o660),
    setpriv="/bin/setpriv",
    shell="/bin/sh",
    unshare="/bin/unshare",
    prlimit="/bin/prlimit",
    namespaces=True,
)
USER = replace(ROOT, privileged=False)

# facts, kvm -> arguments that must be there, words that must be said, words that must be said as missing
JAILS = {
    "root": (
        ROOT,
        False,
        ["--reuid=900", "--regid=901", "--clear-groups", "--bounding-set=-all"],
        "user edgeagent-vm",
        "",
    ),
    "group lent": (ROOT, True, ["--reuid=900", "--groups", "36"], "user edgeagent-vm", ""),
    "groups kept": (
        replace(ROOT, user=Account("edgeagent-vm", 900, 901, (36, 50))),
        True,
        ["--groups", "36,50"],
        "user edgeagent-vm",
        "",
    ),
    "user missing": (replace(ROOT, user=None), False, ["--reuid=65534"], "user nobody", "useradd"),
    "kvm for root only": (
        replace(ROOT, kvm=Node(0, 0, 0o600)),
        True,
        ["--clear-groups", "--bounding-set=-all"],
        "user root",
        "only root may open /dev/kvm (mode 0600)",
    ),
    "kvm for root only, but not needed": (
        replace(ROOT, kvm=Node(0, 0, 0o600)), False, ["--reuid=900"], "user edgeagent-vm", "",
    ),
    "kvm for all": (replace(ROOT, kvm=Node(0, 0, 0o666)), True, ["--reuid=900"], "user edgeagent-vm", ""),
    "not root": (USER, True, ["--user", "--map-current-user", "--net"], "network", "may not change users"),
    "no namespaces": (replace(USER, namespaces=False), False, [], "no new privileges", "network namespace"),
    "no unshare": (replace(ROOT, unshare=""), False, [], "no capabilities", "unshare (util-linux) is missing"),
    "no prlimit": (replace(ROOT, prlimit=""), False, [], "no capabilities", "prlimit (util-linux) is missing"),
}  # fmt: skip


@pytest.mark.parametrize("name", JAILS)
def test_jail(name: str) -> None:
    facts, kvm, arguments, said, lacking = JAILS[name]
    walls = jail.build(facts, kvm=kvm)
    assert jail.build(facts, kvm=kvm, group="/g/cgroup.procs").prefix == (
        *(facts.shell, "-c", jail.ENTER, "/g/cgroup.procs"),
        *walls.prefix,
    )
    assert set(arguments) <= set(walls.prefix)
    assert said in "; ".join(walls.words)
    assert lacking in "; ".join(walls.missing)
    assert bool(lacking) == bool(walls.missing)
    # Whatever is missing: it dies with the agent, and gains nothing.
    at = walls.prefix.index("/bin/setpriv")
    assert walls.prefix[at : at + 4] == ("/bin/setpriv", "--pdeathsig", "SIGKILL", "--no-new-privs")
    assert walls.prefix[-4:] == ("/bin/sh", "-c", jail.GUARD, "77")
    if "user root" in walls.words:
        assert not any(argument.startswith("--reuid") for argument in walls.prefix)


GREETING = (
    b'{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": ""}, '
    b'"capabilities": []}}\r\n'
)


def test_qmp_conversation() -> None:
    monitor = qmp.Qmp()
    with pytest.raises(LocalProtocolError):
        monitor.command("cont")
    assert monitor.receive(GREETING[:20]) == []
    assert monitor.receive(GREETING[20:]) == [qmp.Greeting("7.2.22")]
    asked = json.loads(monitor.command("query-status"))
    assert asked == {"execute": "query-status", "id": 1}
    assert json.loads(monitor.command("screendump", filename="x"))["arguments"] == {"filename": "x"}
    data = (
        b'{"return": {"status": "running"}, "id": 1}\n'
        b'{"event": "STOP", "timestamp": {}}\n'
        b'{"error": {"class": "x", "desc": "no"}, "id": 2}\n'
    )
    assert monitor.receive(data) == [
        qmp.Reply(1, "query-status", {"status": "running"}, ""),
        qmp.Event("STOP", {}),
        qmp.Reply(2, "screendump", None, "no"),
    ]


@pytest.mark.parametrize(
    "data",
    [
        b"hello\n",
        b'{"return": {}, "id": 1}\n',
        b"[]\n",
        b"x" * (qmp.MAX_LINE + 1),
        b"[" * 60_000 + b"\n",
        b"\xff\n",
    ],
    ids=["text", "reply unasked", "array", "long", "deep", "no UTF-8"],
)
def test_qmp_nonsense(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        qmp.Qmp().receive(data)


@given(st.lists(st.binary(max_size=100)))
def test_qmp_any_bytes(parts: list[bytes]) -> None:
    monitor = qmp.Qmp()
    try:
        for part in parts:
            monitor.receive(part)
    except RemoteProtocolError:
        return


@pytest.mark.parametrize(
    ("status", "reason", "meaning"),
    [
        ("running", "", None),
        ("paused", "", None),
        ("prelaunch", "", None),
        ("shutdown", "guest-reset", End.RESET),
        ("shutdown", "guest-shutdown", End.SHUTDOWN),
        ("shutdown", "guest-panic", End.PANICKED),
        ("guest-panicked", "", End.PANICKED),
        ("internal-error", "", End.INTERNAL_ERROR),
        ("watchdog", "", End.WATCHDOG),
    ],
)
def test_run_states(status: str, reason: str, meaning: End | None) -> None:
    assert crash.classify(status, reason) == meaning


def end(kind: End, status: int | None = None, stderr: str = "") -> Ending:
    return Ending(kind, status, (), stderr, "SIGKILL" if kind is End.SIGNALLED else "")


NO_KVM = "Could not access KVM kernel module: Permission denied\nqemu: failed to initialize kvm"
NOT_BUILT_IN = "qemu: -accel kvm: invalid accelerator kvm"


@pytest.mark.parametrize(
    ("ending", "accelerator", "panic", "kind", "words"),
    [
        (end(End.RESET), "tcg", "arena used up", "panicked", "arena used up"),
        (end(End.PANICKED), "tcg", "", "panicked", "left no record"),
        (end(End.RESET), "tcg", "", "guest-reset", "triple fault"),
        (end(End.INTERNAL_ERROR), "kvm", "", "internal-error", "KVM couldn't run"),
        (
            end(End.INTERNAL_ERROR, None, "KVM internal error. Suberror: 1\nRAX=0"),
            "kvm",
            "",
            "internal-error",
            "Suberror: 1",
        ),
        (end(End.SIGNALLED, -9), "tcg", "", "vmm-killed", "SIGKILL"),
        (end(End.EXITED, 1, "qemu: what\nqemu: last\n"), "tcg", "", "vmm-exited", "status 1: qemu: last"),
        (end(End.EXITED, 1, NO_KVM), "kvm", "", "kvm-unavailable", "Permission denied"),
        (end(End.EXITED, 1, NOT_BUILT_IN), "kvm", "", "kvm-unavailable", "without KVM"),
        (end(End.SIGNALLED, -6, "error: failed to set MSR 0x10a to 0x0"), "kvm", "", "kvm-cpu", "0x10a"),
        (end(End.SHUTDOWN), "tcg", "", "guest-shutdown", "ended"),
    ],
)
def test_explanations(ending: Ending, accelerator: str, panic: str, kind: str, words: str) -> None:
    told = crash.explain(ending, Accelerator(accelerator), panic)
    assert told.kind == kind
    assert words in told.words
    if accelerator == "kvm":
        assert "tcg" in told.remedy


@given(st.sampled_from(End), st.none() | st.integers(-31, 255), st.text(max_size=200), st.text(max_size=20))
def test_every_end_is_explained(kind: End, status: int | None, stderr: str, panic: str) -> None:
    if kind is End.SIGNALLED:
        status = -abs(status or 9) if abs(status or 9) < 32 else -9
    told = crash.explain(Ending(kind, status, (), stderr), Accelerator.TCG, panic)
    assert told.kind
    assert told.words
