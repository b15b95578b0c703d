"""`edgeagent repo` and `edgeagent-tuf-client` as people run them."""

import json

import pytest
from click.testing import CliRunner

from edgeagent.cli import tuf_client
from edgeagent.cli.main import main


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    """Run a command line in an empty folder: exit code, standard output, standard error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "140")

    def run(line):
        with pytest.raises(SystemExit) as ended:
            main(line.split())
        said = capsys.readouterr()
        return ended.value.code, said.out, said.err

    return run


@pytest.fixture
def fleet(run, tmp_path):
    assert run("repo init fleet --keys keys")[0] == 0
    (tmp_path / "home.suit").write_bytes(b"bundle")
    return tmp_path / "fleet"


def status(run):
    return {row["role"]: row for row in json.loads(run("repo status fleet --json")[1])["roles"]}


def test_init_says_what_to_take_away(run, tmp_path):
    code, out, _ = run("repo init fleet --keys keys")
    assert code == 0
    assert "root-1.pem, root-2.pem, root-3.pem, targets.pem" in out
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "keys").glob("*.pem")} == {0o600}
    assert (tmp_path / "fleet/metadata/1.root.json").exists()


def test_from_a_team_to_a_board(run, fleet, tmp_path, capsys):
    for line in (
        "repo key heating.pem",
        "repo delegate fleet heating --key heating.pem.pub --paths heating/*",
        "repo add fleet home.suit --team heating --as heating/home.suit",
        "repo sign fleet --key heating.pem --key keys/targets.pem",
        "repo publish fleet --keys keys",
    ):
        assert run(line)[0] == 0, line
    assert status(run)["heating"]["targets"] == ["heating/home.suit"]
    assert status(run)["heating"]["staged"] is None
    client = ["--metadata-dir", "trusted", "--metadata-url", "fleet/metadata"]
    more = ["--target-name", "heating/home.suit", "--target-base-url", "fleet/targets", "--target-dir", "got"]
    assert tuf_client.main([*client, "init", "fleet/metadata/1.root.json"]) == 0
    assert tuf_client.main([*client, "refresh"]) == 0
    assert tuf_client.main([*client, *more, "download"]) == 0
    (got,) = (tmp_path / "got").iterdir()
    assert got.read_bytes() == b"bundle"
    more[1] = "heating/other.suit"
    assert tuf_client.main([*client, *more, "download"]) == 1
    assert "heating/other.suit: the repository has no such target" in capsys.readouterr().err


def test_status_shows_what_is_missing(run, fleet):
    run("repo add fleet home.suit")
    assert status(run)["targets"]["staged"] == {"version": 2, "signatures": 0, "missing": 1}
    assert "version 2; signatures: 0, missing: 1" in run("repo status fleet")[1]
    code, _, err = run("repo publish fleet --keys keys")
    assert (code, err.count("\n")) == (2, 1)
    assert "Sign it: edgeagent repo sign" in err
    assert run("repo discard fleet")[1] == "given up: targets\n"


def test_a_root_key_is_rotated(run, fleet):
    old = status(run)["root"]["keys"][0]
    run("repo key root-4.pem")
    assert run(f"repo rotate-key fleet root --old {old[:10]} --new root-4.pem.pub")[0] == 0
    assert run("repo sign fleet --key keys/root-1.pem --key keys/root-2.pem --key root-4.pem")[0] == 0
    assert run("repo publish fleet --keys keys")[0] == 0
    now = status(run)["root"]
    assert now["version"] == 2
    assert old not in now["keys"]


def everything(folder):
    return sorted((path, path.read_bytes()) for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("repo status nowhere", "this is no repository"),
        ("repo add fleet missing.suit", "missing.suit: the file can't be read"),
        ("repo add fleet home.suit --team nobody", "nobody: there is no such role"),
        ("repo sign fleet --key missing.pem", "missing.pem"),
        ("repo sign fleet --key home.suit", "home.suit"),
        ("repo publish fleet --keys nowhere", "nowhere"),
        ("repo init other --keys keys", "is there already"),
        ("repo init fleet --keys other", "there is a repository already"),
        ("repo delegate fleet a --key keys/root-1.pem --paths x", "root-1.pem"),
        ("repo rotate-key fleet root --old ff00 --new keys/root-1.pem.pub", "0 keys of role root"),
    ],
)
def test_bad_input_is_one_line(run, fleet, line, words):
    (fleet.parent / "home.suit").chmod(0o600)
    before = everything(fleet.parent)
    code, _, err = run(line)
    assert code in (2, 3, 5)
    assert err.count("\n") == 1
    assert words in err
    assert everything(fleet.parent) == before


def test_the_clients_help():
    said = CliRunner().invoke(tuf_client.tuf_client, ["--help"]).output
    assert all(word in said for word in ("init", "refresh", "download"))


def test_the_client_without_a_root(capsys, tmp_path):
    assert tuf_client.main(["--metadata-dir", str(tmp_path), "--metadata-url", str(tmp_path), "refresh"]) == 1
    assert "no root is trusted here yet" in capsys.readouterr().err
