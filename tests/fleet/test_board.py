"""A board's memory: the power cut at every file operation, copies, order, garbage, leftovers, a clock in 1970."""

from __future__ import annotations

import errno
import random
from pathlib import Path

import pytest

from edgeagent.errors import RemoteProtocolError
from edgeagent.fleet import commands, payloads, topics
from edgeagent.fleet.board import Board
from edgeagent.fleet.payloads import FINAL, Command, CommandState, Desired, DesiredUnit, State
from edgeagent.host.disk import DiskFiles
from edgeagent.seal.keys import SigningKey, lookup
from tests.sim.crashing_files import CrashingFiles, PowerCutError

FLEET = SigningKey.from_seed(bytes([1]) * 32)
STRANGER = SigningKey.from_seed(bytes([2]) * 32)
NOW = 1_800_000_000_000
STATE = Path("/state")
DESIRED = topics.topic("cellar", topics.DESIRED)


def opened(files, now=NOW, folder=STATE):
    board = Board(files, folder, "cellar", lookup([FLEET.public]), ["home"])
    board.open(now)
    return board


def command(name="c1", kind="restart", issued=NOW, deadline=NOW + 60_000, signer=FLEET, topic=""):
    topic = topic or topics.command("cellar", name)
    one = Command(id=name, kind=kind, unit="home", issued=issued, deadline=deadline)
    return topic, payloads.sign(one, signer, topic)


def desired(version, issued=NOW, deadline=NOW + 60_000, units=("home",)):
    asked = tuple(DesiredUnit(name=one, target="t", sequence=version) for one in units)
    one = Desired(version=version, operation="op", issued=issued, deadline=deadline, units=asked)
    return DESIRED, payloads.sign(one, FLEET, DESIRED)


def states(publications):
    return [payloads.decode(CommandState, data).state if data else None for _, data in publications]


def test_a_command_from_first_to_last(tmp_path):
    board = opened(DiskFiles(), folder=tmp_path)
    topic, data = command()
    assert states(board.take(topic, data, NOW)) == [State.ACCEPTED]
    asked, said = board.begin_next(NOW)
    assert (asked.kind, states([said])) == ("restart", [State.EXECUTING])
    assert board.begin_next(NOW) is None
    assert states([board.end("c1", State.SUCCESSFUL, NOW, detail="a\nb" * 200)]) == [State.SUCCESSFUL]
    again = opened(DiskFiles(), folder=tmp_path)
    assert states(again.take(topic, data, NOW)) == states(again.states()) == [State.SUCCESSFUL]
    assert again.begin_next(NOW) is None
    assert again.take(topic, b"", NOW) == [(topics.command_state("cellar", "c1"), b"")]
    assert again.states() == []
    assert states(again.take(topic, data, NOW)) == [State.SUCCESSFUL]


def test_a_command_cleared_while_it_is_done_leaves_nothing_at_the_broker():
    board = opened(CrashingFiles())
    topic, data = command()
    board.take(topic, data, NOW)
    board.begin_next(NOW)
    assert states(board.take(topic, b"", NOW)) == [None]
    assert states([board.end("c1", State.SUCCESSFUL, NOW)]) == [None]


@pytest.mark.parametrize("mode", ["none", "prefix", "subset", "torn"])
def test_power_cut_at_every_operation(mode):
    """What was said to be accepted is known afterwards, done at most as often as it was begun, and ends once."""
    for at in range(200):
        files, begun, acknowledged = CrashingFiles(), 0, False
        files.fail_at(at, "crash")
        try:
            board = opened(files)
            board.take(*command(kind="rollback"), NOW)
            acknowledged = True
            if board.begin_next(NOW):
                begun += 1
                board.end("c1", State.SUCCESSFUL, NOW)
            board.take(*desired(3), NOW)
            finished = True
        except PowerCutError:
            finished = False
        files.heal()
        if not finished:
            files.power_cut(mode, random.Random(at))
        board = opened(files)
        said = states(board.states())
        assert len(said) == 1 if acknowledged else len(said) <= 1
        board.take(*command(kind="rollback"), NOW)
        if board.begin_next(NOW):
            begun += 1
            board.end("c1", State.SUCCESSFUL, NOW)
        assert begun <= 1
        assert set(states(board.states())) <= FINAL
        board.take(*desired(3), NOW)
        assert board.progress.version == 3
        if finished:
            break
    assert finished
    assert at > 5


@pytest.mark.parametrize(
    ("topic", "data"),
    [
        command(signer=STRANGER),
        (topics.command("cellar", "c2"), command("c1")[1]),
        (topics.command("cellar", "c2"), command("c1", topic=topics.command("cellar", "c2"))[1]),
        (topics.command("cellar", "c1"), command("c1", topic=topics.command("attic", "c1"))[1]),
        (topics.command("cellar", "c1"), b"\xff" * 100),
        (topics.command("cellar", "c1"), bytes(payloads.MAX_PAYLOAD + 1)),
        (DESIRED, b"{}"),
        (DESIRED, command(topic=DESIRED)[1]),
    ],
    ids=["stranger", "other id", "other name", "other board", "garbage", "too much", "text", "other kind"],
)
def test_what_isnt_the_fleets_counts_for_nothing(topic, data):
    board = opened(CrashingFiles())
    with pytest.raises(RemoteProtocolError):
        board.take(topic, data, NOW)
    assert (board.states(), board.progress.version, board.refused) == ([], 0, 1)


def test_leftovers_of_others_and_of_nobody():
    board = opened(CrashingFiles())
    assert board.take(topics.command("attic", "c1"), b"x", NOW) == []
    assert board.take("edgeagent/1/cellar/command/c1/state", b"x", NOW) == []
    assert board.take(topics.command("cellar", "c9"), b"", NOW) == []
    assert board.take(DESIRED, b"", NOW) == []
    assert board.refused == 0


def test_desired_states_out_of_order():
    files = CrashingFiles()
    board = opened(files)
    for version in (5, 3, 5, 6, 5):
        board.take(*desired(version), NOW)
    assert board.progress.version == opened(files).progress.version == 6
    board.advance(State.SUCCESSFUL)
    board.advance(State.FAILED)
    assert opened(files).progress.state is State.SUCCESSFUL


def test_deadlines():
    board = opened(CrashingFiles())
    board.take(*desired(5), NOW)
    board.take(*command(), NOW)
    assert states(board.settle(NOW + 59_999)) == []
    assert states(board.settle(NOW + 60_000)) == [State.TIMED_OUT]
    assert (board.progress.state, board.progress.reason) == (State.TIMED_OUT, "deadline")


def test_a_clock_in_1970_waits_until_it_is_right():
    files = CrashingFiles()
    board = opened(files, now=1000)
    board.take(*desired(5), 1000)
    assert board.waits_for_clock
    assert board.progress.version == 0
    assert states(board.take(*command(), 1000)) == [State.REJECTED]
    # It remembers over a restart what time it must be.
    assert opened(files, now=2000).floor == board.floor > 0
    board.settle(NOW)
    assert (board.waits_for_clock, board.progress.version) == (False, 5)


def test_damage_is_forgotten_and_said(caplog):
    files = CrashingFiles()
    board = opened(files)
    board.take(*command(), NOW)
    files.replace(STATE / "commands" / "c1", b"rubbish")
    assert opened(files).states() == []
    assert "is damaged" in caplog.text


def test_records_are_bounded():
    files = CrashingFiles()
    board = opened(files)
    for number in range(commands.MAX_KEPT + 10):
        board.take(*command(f"c{number}", kind="dance"), NOW + number)
    assert len(board.states()) == len(files.names(STATE / "commands")) == commands.MAX_KEPT


def test_a_full_disk_takes_nothing():
    files = CrashingFiles()
    board = opened(files)
    files.fail_at(0, errno.ENOSPC, 1000)
    with pytest.raises(OSError):
        board.take(*command(), NOW)
    assert board.states() == []
    files.heal()
    assert states(board.take(*command(), NOW)) == [State.ACCEPTED]
