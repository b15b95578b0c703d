"""`edgeagent keys` and `edgeagent collect ...`, as people use them together."""

from __future__ import annotations

import csv
import io
import json

import pytest

from edgeagent.cli.main import main
from edgeagent.collector.receive import receive
from edgeagent.collector.store import Store
from edgeagent.host.disk import DiskFiles
from edgeagent.seal.keys import agree_with
from edgeagent.seal.keystore import KeyStore
from tests.seal.given import OPENER, TOPIC, sealed


@pytest.fixture
def run(capfd):
    def command(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main([str(one) for one in arguments])
        done = capfd.readouterr()
        return ended.value.code, done.out, done.err

    return command


def test_from_keys_to_export(run, sqlite_url, tmp_path):
    board, public = tmp_path / "board", tmp_path / "attic.pem"
    code, out, _ = run("keys", "init", "--role", "board", "--folder", board, "--json")
    assert (code, json.loads(out)["role"]) == (0, "board")
    public.write_text(run("keys", "public", "--folder", board)[1])
    code, out, _ = run("collect", "enroll", "--database", sqlite_url, "attic", public)
    signer = KeyStore(DiskFiles(), board).signer()
    assert (code, out) == (0, f"attic: key {signer.kid.hex()}\n")

    assert run("keys", "rotate", "--folder", board, "--board", "attic")[0] == 0
    code, out, _ = run("collect", "--database", sqlite_url, "enroll", "attic", board / "rotation.cose")
    assert (code, out.startswith("attic: key ")) == (0, True)
    assert run("keys", "retire", "--folder", board)[0] == 0
    rotated = KeyStore(DiskFiles(), board).signer()
    code, out, _ = run(
        "collect", "enroll", "--database", sqlite_url, "attic", public, "--retire", signer.kid.hex()
    )
    assert (code, f"attic: retired {signer.kid.hex()}" in out) == (0, True)
    code, out, _ = run("collect", "boards", "--database", sqlite_url, "--json")
    assert json.loads(out)["keys"] == [rotated.kid.hex()]

    store = Store(sqlite_url)
    assert run("collect", "gaps", "--database", sqlite_url)[:2] == (0, "nothing is missing\n")
    found = receive(TOPIC, sealed(2, signer=rotated), agree=agree_with([OPENER]), keys=store.keys("attic"))
    store.write([found], 1)
    store.close()
    code, out, _ = run("collect", "gaps", "--database", sqlite_url)
    assert (code, out.splitlines()[1]) == (1, "attic: out 1..3 of home/1 is missing")

    code, out, _ = run("collect", "export", "--database", sqlite_url, "--since", "2023-11-14")
    assert (code, [row["out"] for row in csv.DictReader(io.StringIO(out))]) == (0, ["4", "5"])
    code, out, _ = run(
        "collect", "export", "--database", sqlite_url, "--format", "senml", "--until", "2023-11-14"
    )
    assert (code, out) == (0, "[]\n")


@pytest.mark.parametrize(
    ("command", "code", "words"),
    [
        (
            "keys init --role board --folder {f}/board",
            2,
            "there are keys already (signing-next.pem, signing.pem)",
        ),
        ("keys show --folder {f}/none", 3, "there are no keys in this folder"),
        ("keys rotate --folder {f}/board --board Attic", 2, "'Attic' can't be a board's name"),
        ("collect enroll --database {d} attic {f}/none.pem", 2, "the file can't be read: No such file"),
        ("collect enroll --database {d} attic {f}/board/signing.pem", 2, "this is a private key"),
        ("collect enroll --database {d} cellar {f}/board/rotation.cose", 2, "needs a board that is enrolled"),
        ("collect enroll --database {d} attic {f}/stranger/rotation.cose", 5, "signed by the unknown key"),
        (
            "collect enroll --database {d} other {f}/board/rotation.cose",
            2,
            "the statement is of board 'attic'",
        ),
        ("collect boards --database nonsense", 2, "this is no database URL"),
        ("collect boards --database sqlite:////nowhere/x.db", 2, "there is no such database"),
        (
            "collect enroll --database sqlite:////nowhere/x.db attic {f}/board/rotation.cose",
            3,
            "can't be opened",
        ),
        ("collect --database {d} --keys {f}/none", 3, "the key is missing"),
        ("collect --database {d} --keys {f}/collector --broker mqtt://127.0.0.1:1", 4, "Connection refused"),
        ("collect --database {d} --keys {f}/collector --broker http://x", 2, "'http://x' is no broker"),
        (
            "collect --database {d} --keys {f}/collector --password-file {f}/none --user u",
            3,
            "password file can't be read",
        ),
        ("collect export --since yesterday", 2, "is no ISO 8601 time"),
    ],
)
def test_one_clear_line(run, sqlite_url, tmp_path, command, code, words):
    for name, role in (("board", "board"), ("stranger", "board"), ("collector", "collector")):
        run("keys", "init", "--role", role, "--folder", tmp_path / name)
        if role == "board":
            run("keys", "rotate", "--folder", tmp_path / name, "--board", "attic")

    store = Store(sqlite_url)
    for board in ("attic", "other"):
        store.enroll(board, KeyStore(DiskFiles(), tmp_path / "board").signer().public, 1)
    store.close()
    found, _, errors = run(*command.format(f=tmp_path, d=sqlite_url).split())
    assert (found, words in errors) == (code, True), errors
    assert len([line for line in errors.splitlines() if line.startswith(("edgeagent: ", "Error: "))]) == 1


def test_nothing_private_is_printed(run, tmp_path):
    folder = tmp_path / "keys"
    said = [run("keys", "init", "--role", "collector", "--folder", folder)]
    said += [run("keys", verb, "--folder", folder) for verb in ("show", "public", "rotate", "retire", "show")]
    secrets = "".join(path.read_text() for path in folder.glob("*.pem")).splitlines()
    words = "".join(out + err for _, out, err in said)
    assert not [line for line in secrets if len(line) > 40 and line in words]
