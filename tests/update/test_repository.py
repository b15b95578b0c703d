"""A repository through its life: signatures, thresholds, teams, keys, and power cuts while it publishes."""

import random
from pathlib import Path

import pytest

from edgeagent.errors import ConfigError, DamagedError, EnvironmentFaultError
from edgeagent.update.roles import ROOT, SNAPSHOT, TARGETS, TIMESTAMP
from tests.sim.crashing_files import CrashingFiles, PowerCutError
from tests.update.fleet import KEYS, TARGET, Board, Fleet, now


@pytest.fixture
def fleet(tmp_path):
    return Fleet.at(tmp_path / "fleet")


@pytest.fixture
def board(tmp_path, fleet):
    return Board(tmp_path / "board", tmp_path / "fleet")


def versions(repository):
    found = {role: repository.published(role) for role in (ROOT, TARGETS, SNAPSHOT, TIMESTAMP, "heating")}
    return {role: one.signed.version for role, one in found.items() if one}


def test_a_target_reaches_a_board(fleet, board):
    assert board.download() == b"first"
    fleet.change(b"second")
    assert board.download() == b"second"
    assert versions(fleet.repository) == {ROOT: 1, TARGETS: 2, SNAPSHOT: 3, TIMESTAMP: 3, "heating": 2}


def test_nothing_is_seen_before_it_is_published(fleet, board):
    fleet.add(b"second")
    assert board.download() == b"first"
    fleet.sign("heating")
    assert board.download() == b"first"


def test_what_lacks_signatures_is_not_published(fleet):
    before = versions(fleet.repository)
    fleet.add(b"second")
    with pytest.raises(ConfigError, match="heating version 2 isn't signed enough; missing: 1"):
        fleet.publish()
    assert versions(fleet.repository) == before


def test_another_change_takes_the_signatures_away(fleet):
    fleet.add(b"second")
    fleet.sign("heating")
    fleet.add(b"third", path="heating/other.suit")
    with pytest.raises(ConfigError, match="missing: 1"):
        fleet.publish()


def test_a_key_that_may_sign_nothing(fleet):
    fleet.add(b"second")
    with pytest.raises(ConfigError, match="may sign nothing"):
        fleet.sign("targets")


def test_publishing_needs_the_online_keys(fleet):
    with pytest.raises(EnvironmentFaultError, match="0 of 1 keys of role timestamp"):
        fleet.publish(online=(SNAPSHOT,))


def test_a_team_stays_in_its_folder(fleet):
    with pytest.raises(ConfigError, match=r"only name targets like heating/\*"):
        fleet.add(b"x", path="lights/home.suit")


@pytest.mark.parametrize(
    "path", ["", "/etc/passwd", "../x", "heating/../x", "heating//x", "heating\\x", "./x"]
)
def test_paths_that_are_refused(fleet, path):
    with pytest.raises(ConfigError, match="relative"):
        fleet.add(b"x", path=path)


@pytest.mark.parametrize("name", ["root", "timestamp", "a/b", "", "heating"])
def test_names_that_a_team_cant_have(fleet, name):
    with pytest.raises(ConfigError):
        fleet.repository.delegate(name, [KEYS["spare"].public_key], 1, ["x/*"], now())


def test_thresholds_that_cant_be_reached(fleet):
    with pytest.raises(ConfigError, match="2 signatures of 1 keys"):
        fleet.repository.delegate("lights", [KEYS["spare"].public_key], 2, ["x/*"], now())


def test_a_removed_target_is_gone(fleet, board):
    fleet.repository.remove("heating", TARGET, now())
    fleet.sign("heating")
    fleet.publish()
    with pytest.raises(ConfigError, match="no such target"):
        board.download()


def test_a_second_repository_in_the_same_folder(fleet):
    with pytest.raises(ConfigError, match="there is a repository already"):
        Fleet.at(fleet.repository.folder)


def test_a_folder_without_a_repository(tmp_path):
    fleet = Fleet.at(tmp_path / "one")
    fleet.repository = type(fleet.repository)(fleet.repository._files, tmp_path / "other")
    with pytest.raises(ConfigError, match="this is no repository"):
        fleet.publish()


# ---- keys --------------------------------------------------------------------------------------------------------


def test_a_root_key_is_exchanged(fleet, board):
    assert board.download() == b"first"
    fleet.repository.exchange_key(ROOT, KEYS["root-3"].public_key.keyid, KEYS["spare"].public_key, now())
    fleet.sign("root-1")
    with pytest.raises(ConfigError, match="missing: 1"):
        fleet.publish()
    fleet.sign("root-2")
    fleet.publish()
    fleet.change(b"second")
    assert board.download() == b"second"
    assert versions(fleet.repository)[ROOT] == 2


def test_the_new_root_needs_the_old_roots_signatures_too(fleet):
    """One old key and the new one reach the new threshold, not the old one."""
    fleet.repository.exchange_key(ROOT, KEYS["root-3"].public_key.keyid, KEYS["spare"].public_key, now())
    fleet.sign("root-1", "spare")
    with pytest.raises(ConfigError, match="missing: 1"):
        fleet.publish()


@pytest.mark.parametrize(("role", "signs"), [("targets", ("spare",)), ("heating", ("targets", "spare"))])
def test_a_key_of_another_role_is_exchanged(fleet, board, role, signs):
    fleet.repository.exchange_key(role, KEYS[role].public_key.keyid[:12], KEYS["spare"].public_key, now())
    if role == "targets":
        fleet.sign("root-1", "root-2")
    fleet.sign(*signs)
    fleet.publish()
    assert board.download() == b"first"


def test_an_online_key_is_exchanged(fleet, board):
    fleet.repository.exchange_key(
        TIMESTAMP, KEYS["timestamp"].public_key.keyid, KEYS["spare"].public_key, now()
    )
    fleet.sign("root-1", "root-2")
    fleet.publish(online=(SNAPSHOT, "spare"))
    assert board.download() == b"first"
    with pytest.raises(EnvironmentFaultError):
        fleet.publish()


def test_a_key_that_isnt_there(fleet):
    with pytest.raises(ConfigError, match="0 keys of role targets"):
        fleet.repository.exchange_key(TARGETS, "ffffffffffff", KEYS["spare"].public_key, now())


def test_metadata_that_isnt_any(fleet):
    (fleet.repository.folder / "metadata" / "timestamp.json").write_text("[]")
    with pytest.raises(DamagedError, match="no TUF metadata"):
        fleet.publish()


# ---- power cuts --------------------------------------------------------------------------------------------------


FOLDER = Path("/fleet")


def crashes(mode):
    """Every operation of a publication of a new target and a new root."""
    n = 0
    while True:
        files = CrashingFiles()
        fleet = Fleet.at(FOLDER, files)
        fleet.add(b"second")
        exchange = KEYS["root-3"].public_key.keyid, KEYS["spare"].public_key, now()
        fleet.repository.exchange_key(ROOT, *exchange)
        fleet.sign("heating", "root-1", "root-2")
        files.fail_at(n, "crash")
        try:
            fleet.publish()
        except PowerCutError:
            files.power_cut(mode, random.Random(n))
            files.heal()
            yield n, fleet, files
            n += 1
        else:
            return


def _carry(files, to):
    for path, data in files.files():
        place = to / path.relative_to(FOLDER)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(bytes(data))


@pytest.mark.parametrize("mode", ["none", "prefix", "subset", "torn"])
def test_a_board_sees_a_publication_whole_or_not_at_all(tmp_path, mode):
    seen = set()
    for n, fleet, files in crashes(mode):
        place = tmp_path / str(n)
        _carry(files, place / "fleet")
        board = Board(place / "board", place / "fleet")
        seen.add(board.download())
        fleet.publish()
        _carry(files, place / "fleet")
        assert board.download() == b"second"
        assert not fleet.repository.staged()
    assert seen == {b"first", b"second"}
