"""The agent on boards that QEMU plays: real kernels, real /dev/kvm, guests under KVM. Run by `make boards`.

One boot for each board of the table, for all of its tests.
"""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass, field

import pytest

from tests.board import pipeline
from tests.board.emulated import Emulated
from tests.board.table import BOARDS

pytestmark = pytest.mark.timeout(1500)

AGENT, VISITOR, ROOT = "edgeagent", "visitor", "root"
BOOT_APPS = ("echo", "aggregate", "hostile-fault")
"""What tests/guest/test_boot.py boots under KVM."""
HELD_APPS = ("hostile-spin",)
"""What inside/check_cgroup.py runs."""
TESTS_S = 600.0
SAID_LINES = 40


@dataclass(frozen=True, slots=True)
class Expected:
    """What the probe says there to each user: verdict and reason; a reason of "" is any."""

    said: dict[str, tuple[str, str]] = field(default_factory=dict)
    chosen: str = "tcg"


WORKS = Expected({AGENT: ("yes", ""), ROOT: ("yes", ""), VISITOR: ("no", "permission-denied")}, "kvm")
EXPECTED = {
    "arm64": WORKS,
    "arm64-vhe": WORKS,
    "riscv64": WORKS,
    "x86_64": WORKS,
    # Debian lets root only read the kernel's log, and nothing else tells a processor without EL2.
    "arm64-no-el2": Expected({ROOT: ("no", "started-at-el1"), AGENT: ("unknown", "")}),
    "arm64-mode-none": Expected(dict.fromkeys((ROOT, AGENT), ("no", "disabled-on-command-line"))),
    "riscv64-no-h": Expected(dict.fromkeys((ROOT, AGENT), ("no", "no-h-extension"))),
    # The emulator says that it is a hypervisor, so this is a guest whose host withholds virtualisation.
    "x86_64-no-svm": Expected(dict.fromkeys((ROOT, AGENT), ("no", "guest-without-nested"))),
    "x86_64-no-module": Expected(dict.fromkeys((ROOT, AGENT), ("no", "module-not-loaded"))),
    "malta": Expected(dict.fromkeys((ROOT, AGENT), ("no", "no-vz"))),
}
WITH_KVM = ("arm64", "riscv64", "x86_64")


@pytest.fixture(scope="module")
def board(request, guest_image):
    name = request.param
    for app in (*BOOT_APPS, *HELD_APPS):
        guest_image(app, BOARDS[name].arch)
    with Emulated(BOARDS[name], name) as running:
        yield running


def each(*names: str) -> pytest.MarkDecorator:
    """For these boards; pytest then runs all tests of one before it starts the next."""
    return pytest.mark.parametrize("board", names, indirect=True, scope="module")


@each(*EXPECTED)
def test_the_probe_is_right(board):
    expected = EXPECTED[board.name]
    for user, (verdict, reason) in expected.said.items():
        said = json.loads(board.run("edgeagent", "probe", "--json", user=user).out)
        kvm, accelerator = said["kvm"], said["accelerator"]
        assert kvm["verdict"] == verdict, (user, said)
        assert reason in ("", kvm["reason"]), (user, said)
        assert kvm["evidence"], user
        assert verdict == "yes" or kvm["remedy"], (user, said)
        assert accelerator["chosen"] == (expected.chosen if verdict == "yes" else "tcg"), (user, said)
        assert ("emulated" in accelerator["why"]) == (accelerator["chosen"] == "tcg"), (user, said)
        assert ("by the processor" in accelerator["why"]) == (accelerator["chosen"] == "kvm"), (user, said)


@each(*WITH_KVM)
def test_guests_boot_under_kvm(board):
    """tests/guest/test_boot.py, there."""
    words = "python3 -m pytest -p no:cacheprovider -q tests/guest/test_boot.py -k kvm"
    done = board.run(*shlex.split(words), seconds=TESTS_S, check=False)
    last = "\n".join(done.out.splitlines()[-SAID_LINES:])
    assert done.status == 0, last + done.err
    assert " passed" in last
    assert "skipped" not in last


@each(*WITH_KVM)
def test_machines_are_held_by_cgroups(board):
    words = "python3 -m pytest -p no:cacheprovider -q tests/board/inside/check_cgroup.py"
    done = board.run(*shlex.split(words), seconds=TESTS_S, check=False)
    assert done.status == 0, "\n".join(done.out.splitlines()[-SAID_LINES:]) + done.err


@each(*WITH_KVM, "malta")
def test_the_main_job(board, tmp_path):
    """Sensors, broker and collector here; the agent and its guest on the board."""
    outcome = pipeline.run(board, tmp_path)
    assert outcome.faults == []
    assert outcome.sent > 0
    (unit,) = outcome.status["units"]
    assert unit["readings"] == outcome.sent
    guest = unit["guest"]
    assert guest["accelerator"] == EXPECTED[board.name].chosen, guest["why"]
    assert ("emulated" in guest["why"]) == (guest["accelerator"] == "tcg")
    assert ("isolated by the processor" in guest["why"]) == (guest["accelerator"] == "kvm")
