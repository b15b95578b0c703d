"""The attacks that TUF is there against (specification, 1.5.2), each tried on a real client, each with its reason.

A wrong device is refused by the bundle's manifest (test_suit.py), not here.
"""

import contextlib
import copy
import http.server
import shutil
import threading
import time
from datetime import timedelta

import pytest

from edgeagent.errors import ConfigError, DamagedError, UnreachableError
from edgeagent.update import client, roles
from edgeagent.update.fetch import Fetcher
from edgeagent.update.roles import ROOT, SNAPSHOT, TARGETS, TIMESTAMP
from edgeagent.update.tuf_library import Metadata
from tests.update.fleet import KEYS, TARGET, Board, Fleet, now


@pytest.fixture
def fleet(tmp_path):
    return Fleet.at(tmp_path / "fleet")


@pytest.fixture
def board(tmp_path, fleet):
    board = Board(tmp_path / "board", tmp_path / "fleet")
    assert board.download() == b"first"
    return board


def metadata(fleet, name):
    return fleet.repository.folder / "metadata" / name


def refused(board, words, name=TARGET):
    """The attack comes to nothing: what was trusted before still is, and nothing was written."""
    before, files = board.trusted, sorted(board.places.targets.rglob("*"))
    contents = [file.read_bytes() for file in files]
    with pytest.raises(DamagedError, match=words):
        board.download(name=name)
    for role, data in before.items():
        assert (
            Metadata.from_bytes(board.trusted[role]).signed.version
            >= Metadata.from_bytes(data).signed.version
        )
    assert sorted(board.places.targets.rglob("*")) == files
    assert [file.read_bytes() for file in files] == contents


def forge(fleet, role, change, *signers):
    """A next version made without the repository's consent, signed by stolen keys."""
    document = roles.following(fleet.repository.published(role), role, now())
    change(document.signed)
    for name in signers:
        document.sign(KEYS[name], append=True)
    name = f"{role}.json" if role == TIMESTAMP else f"{document.signed.version}.{role}.json"
    metadata(fleet, name).write_bytes(document.to_bytes())
    return document


def show(fleet, snapshot):
    """Make a forged snapshot visible with the stolen timestamp key."""
    timestamp = roles.next_timestamp(fleet.repository.published(TIMESTAMP), snapshot, now())
    timestamp.sign(KEYS["timestamp"])
    metadata(fleet, "timestamp.json").write_bytes(timestamp.to_bytes())


def test_arbitrary_software(fleet, board):
    fleet.change(b"second")
    for file in (fleet.repository.folder / "targets").rglob("*.suit"):
        file.write_bytes(b"sec0nd")
    refused(board, "mustn't be trusted|more was sent")


def test_software_that_nobody_named(fleet, board):
    (fleet.repository.folder / "targets" / "evil.suit").write_bytes(b"evil")
    with pytest.raises(ConfigError, match="no such target"):
        board.download(name="evil.suit")


def test_rollback_of_the_timestamp(fleet, board):
    old = metadata(fleet, "timestamp.json").read_bytes()
    fleet.change(b"second")
    assert board.download() == b"second"
    metadata(fleet, "timestamp.json").write_bytes(old)
    # An old timestamp is no news: nothing is taken from it.
    refused(board, "mustn't be trusted")


def test_rollback_of_a_team_by_stolen_online_keys(fleet, board):
    fleet.change(b"second")
    assert board.download() == b"second"

    def back(snapshot):
        snapshot.meta["heating.json"].version = 1

    show(fleet, forge(fleet, SNAPSHOT, back, "snapshot"))
    refused(board, "mustn't be trusted")


def test_freeze(tmp_path):
    fleet = Fleet.at(tmp_path / "fleet", days=-8)
    board = Board(tmp_path / "board", tmp_path / "fleet")
    with pytest.raises(DamagedError, match="too old"):
        board.download()
    # A publication mends it.
    fleet.publish()
    assert board.download() == b"first"


def test_mix_and_match(fleet, board):
    """The snapshot names version 2, and version 1 lies in its place."""
    fleet.change(b"second")
    shutil.copy(metadata(fleet, "1.heating.json"), metadata(fleet, "2.heating.json"))
    refused(board, "mustn't be trusted")


def test_mix_and_match_of_snapshots(fleet, board):
    fleet.change(b"second")
    shutil.copy(metadata(fleet, "2.snapshot.json"), metadata(fleet, "3.snapshot.json"))
    refused(board, "mustn't be trusted|more was sent")


def test_fast_forward_and_recovery(fleet, board):
    """Stolen online keys publish the highest version there is; new keys in a new root undo it."""
    high = 1 << 31

    def ahead(snapshot):
        snapshot.version = high
        snapshot.meta["heating.json"].version = high
        snapshot.meta["targets.json"].version = 2

    snapshot = forge(fleet, SNAPSHOT, ahead, "snapshot")
    timestamp = roles.next_timestamp(fleet.repository.published(TIMESTAMP), snapshot, now())
    timestamp.signed.version = high
    timestamp.sign(KEYS["timestamp"])
    good = metadata(fleet, "timestamp.json").read_bytes()
    metadata(fleet, "timestamp.json").write_bytes(timestamp.to_bytes())
    with pytest.raises(UnreachableError):
        board.download()  # there is no such version of the team's role
    metadata(fleet, "timestamp.json").write_bytes(good)
    metadata(fleet, f"{high}.snapshot.json").unlink()
    for role in (SNAPSHOT, TIMESTAMP):
        fleet.repository.exchange_key(role, KEYS[role].public_key.keyid, KEYS["spare"].public_key, now())
    fleet.sign("root-1", "root-2")
    fleet.publish(online=("spare",))
    assert board.download() == b"first"


def test_a_compromised_key_below_the_threshold(fleet, board):
    """One root key of two that are needed."""

    def take_over(root):
        root.roles[TARGETS].keyids[:] = []
        root.add_key(KEYS["spare"].public_key, TARGETS)

    forge(fleet, ROOT, take_over, "root-1")
    refused(board, "mustn't be trusted")


def test_stolen_online_keys_name_no_target(fleet, board):
    """They decide what is current, not what is in it."""

    def evil(targets):
        targets.targets[TARGET].length = 4

    document = forge(fleet, "heating", evil, "snapshot", "timestamp")

    def show_it(snapshot):
        snapshot.meta["heating.json"].version = document.signed.version

    show(fleet, forge(fleet, SNAPSHOT, show_it, "snapshot"))
    refused(board, "mustn't be trusted")


def test_a_team_cant_name_anothers_target(fleet, board):
    """Its key is good, its path isn't: the delegation doesn't reach there."""
    document = roles.following(fleet.repository.published("heating"), "heating", now())
    document.signed.targets["lights/evil.suit"] = copy.deepcopy(document.signed.targets[TARGET])
    document.sign(KEYS["heating"])
    metadata(fleet, "2.heating.json").write_bytes(document.to_bytes())
    snapshot = roles.next_snapshot(fleet.repository.published(SNAPSHOT), {"heating": 2}, now())
    snapshot.sign(KEYS["snapshot"])
    metadata(fleet, f"{snapshot.signed.version}.snapshot.json").write_bytes(snapshot.to_bytes())
    show(fleet, snapshot)
    assert board.download() == b"first"
    with pytest.raises(ConfigError, match="no such target"):
        board.download(name="lights/evil.suit")


def test_somebody_elses_root(tmp_path, fleet):
    other = Fleet.at(tmp_path / "other")
    for name in ("timestamp", "snapshot"):
        other.repository.exchange_key(name, KEYS[name].public_key.keyid, KEYS["spare"].public_key, now())
    other.sign("root-1", "root-2")
    other.publish(online=("spare",))
    board = Board(tmp_path / "board", fleet.repository.folder)
    metadata(fleet, "timestamp.json").write_bytes(metadata(other, "timestamp.json").read_bytes())
    with pytest.raises(DamagedError, match="mustn't be trusted"):
        board.download()


def test_what_is_trusted_changes_through_the_repository_only(board, fleet):
    with pytest.raises(ConfigError, match="trusted here already"):
        client.trust(metadata(fleet, "1.root.json").read_bytes(), board.places.metadata)


@pytest.mark.parametrize("data", [b"", b"{}", b"[" * 100_000, b"\xff"])
def test_a_first_root_that_is_none(tmp_path, data):
    with pytest.raises(DamagedError, match="no root"):
        client.trust(data, tmp_path / "trusted")


# ---- servers that misbehave --------------------------------------------------------------------------------------


@contextlib.contextmanager
def serving(folder, endless="", slow=""):
    """The repository over HTTP; a path that ends so never ends, or comes byte by byte."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=str(folder))

        def do_GET(self):
            if endless and self.path.endswith(endless):
                self.drip(b" " * 65536, 0)
            elif slow and self.path.endswith(slow):
                self.drip(b" ", 0.01)
            else:
                super().do_GET()

        def drip(self, data, pause):
            self.send_response(200)
            self.end_headers()
            with contextlib.suppress(OSError):
                while not stopped.is_set():
                    self.wfile.write(data)
                    time.sleep(pause)

        def log_message(self, *_):
            pass

    stopped = threading.Event()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            stopped.set()
            server.shutdown()
            thread.join()


def test_over_http(tmp_path, fleet):
    with serving(fleet.repository.folder) as url:
        assert Board(tmp_path / "web", fleet.repository.folder, url).download() == b"first"


@pytest.mark.parametrize("what", ["timestamp.json", "2.snapshot.json", "2.root.json", ".suit"])
def test_endless_data(tmp_path, fleet, what):
    with serving(fleet.repository.folder, endless=what) as url:
        board = Board(tmp_path / "web", fleet.repository.folder, url)
        with pytest.raises(DamagedError, match="more was sent than was signed for"):
            board.download()
        assert not list(board.places.targets.rglob("*.suit"))


@pytest.mark.parametrize("what", ["timestamp.json", "2.snapshot.json"])
def test_slow_retrieval(tmp_path, fleet, what):
    with serving(fleet.repository.folder, slow=what) as url:
        board = Board(tmp_path / "web", fleet.repository.folder, url)
        with pytest.raises(UnreachableError, match="slower than"):
            board.download(Fetcher(least_rate=1_000_000, grace_s=0.2))


def test_a_server_that_isnt_there(tmp_path, fleet):
    with serving(fleet.repository.folder) as url:
        board = Board(tmp_path / "web", fleet.repository.folder, url)
    with pytest.raises(UnreachableError, match="can't be read"):
        board.download()


@pytest.mark.parametrize("where", ["ftp://example.com/x", "mqtt:x"])
def test_repositories_elsewhere(tmp_path, fleet, where):
    board = Board(tmp_path / "board", fleet.repository.folder, where)
    with pytest.raises(ConfigError, match="http:, https: or file:"):
        board.download()


def test_expiry_is_looked_at_with_each_refresh(tmp_path):
    """A team's role that ended is refused though the timestamp is new."""
    fleet = Fleet.at(tmp_path / "fleet", days=-(roles.LIFETIME + timedelta(days=1)).days)
    fleet.repository.exchange_key(
        TIMESTAMP, KEYS["timestamp"].public_key.keyid, KEYS["spare"].public_key, now()
    )  # a new root, so that root isn't what ended
    fleet.sign("root-1", "root-2")
    fleet.publish(online=(SNAPSHOT, "spare"))
    board = Board(tmp_path / "board", tmp_path / "fleet")
    with pytest.raises(DamagedError, match=r"too old: .*targets"):
        board.download()
