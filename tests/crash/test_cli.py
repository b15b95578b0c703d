"""`edgeagent crash` over a state folder with a real crash in it; with a real gdb too."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from edgeagent.cli.crash import crash as command
from edgeagent.cli.main import main
from edgeagent.crash.case import pack
from edgeagent.crash.store import CrashStore
from edgeagent.host.disk import DiskFiles
from edgeagent.probe.live import host_arch
from tests.crash.given import CONFIG
from tests.crash.test_replay import crash, frames
from tests.guests import IMAGES, GetImage, need


@pytest.fixture(scope="module")
def board(guest_image: GetImage, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with agent.toml, and a state folder in which crash 1 is: poisoned by input 41."""
    folder = tmp_path_factory.mktemp("board")
    crash(folder / "state", guest_image("hostile-poison"), frames(60, bad=41))
    own = f'name = "attic"\nstate = "{folder}/state"\nimages = "{IMAGES}"'
    (folder / "agent.toml").write_text(CONFIG.replace('name = "attic"', own))
    return folder


def run(board: Path, *words: str) -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    where = ("--config", str(board / "agent.toml"))
    done = CliRunner().invoke(command, [*words, *where], standalone_mode=False, catch_exceptions=False)
    return done.return_value or 0, done.stdout, done.stderr


def fails(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    with pytest.raises(SystemExit) as ended:
        main(["crash", *words])
    code = ended.value.code
    assert isinstance(code, int)
    return code, capsys.readouterr().err


def test_list(board: Path) -> None:
    _, out, _ = run(board, "list")
    head, row = out.splitlines()[:2]
    assert head.split()[:2] == ["ID", "LAST"]
    assert row.split()[0] == "1"
    assert "home" in row
    assert "panicked" in row
    _, out, _ = run(board, "list", "--json")
    (one,) = json.loads(out)
    assert (one["id"], one["unit"], one["kind"], one["times"]) == (1, "home", "panicked", 1)


def test_show(board: Path) -> None:
    for words in (("show",), ("show", "1")):
        _, out, _ = run(board, *words)
        for expected in (
            "crash 1  unit home, panicked, seen once",
            "the guest gave up: poisoned by reading 0000000037",
            "hostile-poison 1, build",
            "E this one tastes odd",
            "from the beginning",
        ):
            assert expected in out
    _, out, _ = run(board, "show", "1", "--json", "--inputs", "1000")
    found = json.loads(out)
    assert found["panic"] == "poisoned by reading 0000000037"
    assert [one["seq"] for one in found["inputs"]] == list(range(found["acked"] + 1, found["given"] + 1))
    (fatal,) = [one for one in found["inputs"] if one["seq"] == 41]
    assert bytes.fromhex(fatal["payload"]) == b"poison"
    assert bytes.fromhex(fatal["topic"]) == b"home/room"


def test_replay(board: Path) -> None:
    code, out, _ = run(board, "replay", "1")
    assert code == 0
    assert out.startswith("crash 1: reproduced: the same end at input 41")
    assert "poison" in out.splitlines()[-1]
    code, out, _ = run(board, "replay", "1", "--json", "--accel", "tcg")
    found = json.loads(out)
    assert (found["reproduced"], found["first"], found["last"], found["accelerator"]) == (True, 41, 41, "tcg")


def test_export_is_as_good_as_the_record(
    board: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "crash-1.tar.gz"
    run(board, "export", "1", str(file))
    assert oct(file.stat().st_mode & 0o777) == "0o600"
    state = ("--state", str(tmp_path))  # nothing of the board is needed
    done = CliRunner().invoke(command, ["replay", str(file), *state], standalone_mode=False)
    assert done.return_value == 0
    done = CliRunner().invoke(command, ["show", str(file)], standalone_mode=False)
    assert "poisoned by reading" in done.stdout
    code, err = fails(capsys, "export", "1", str(file), "--config", str(board / "agent.toml"))
    assert (code, "is there already" in err) == (2, True)
    file.write_bytes(file.read_bytes()[:-100])
    code, err = fails(capsys, "show", str(file))
    assert code == 5
    assert "no exported crash" in err


def test_not_reproduced(board: Path, tmp_path: Path) -> None:
    """A crash that its input doesn't explain."""
    store = CrashStore(DiskFiles(), board / "state" / "crashes")
    case = store.case(1)
    record = replace(case.record, kind="hang", words="the guest hangs", panic="")
    file = tmp_path / "other.tar.gz"
    file.write_bytes(pack(replace(case, record=record)))
    code, out, _ = run(board, "replay", str(file))
    assert code == 1
    assert "not reproduced: another end at input 41: the guest gave up" in out


def test_what_cant_be(board: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = ("--config", str(board / "agent.toml"))
    for words, expected, wanted in (
        (("show", "7", *config), "there is no crash 7. There are 1", 2),
        (("show", "nosuch.tar.gz"), "nosuch.tar.gz: can't be read: No such file", 2),
        (("show", "--state", str(tmp_path / "none")), "there is no such folder", 2),
        (("show", "--state", str(tmp_path)), "no guest has crashed", 2),
        (("remove", *config), "give IDs, or --all", 2),
        (("remove", "1", "7", *config), "there is no crash 7", 2),
        (("show", str(board / "agent.toml")), "no exported crash", 5),
    ):
        code, err = fails(capsys, *words)
        assert (code, expected in err) == (wanted, True), err
        assert len(err.splitlines()) == 1
    assert len(json.loads(run(board, "list", "--json")[1])) == 1


def test_remove(guest_image: GetImage, tmp_path: Path) -> None:
    crash(tmp_path, guest_image("hostile-panic"), frames(3))
    state = ("--state", str(tmp_path))
    for words, said in ((("remove", "1"), "removed 1"), (("list",), "No guest has crashed.")):
        done = CliRunner().invoke(command, [*words, *state], standalone_mode=False, catch_exceptions=False)
        assert done.stdout.strip() == said
    assert list((tmp_path / "crashes").iterdir()) == []


@pytest.mark.parametrize("options", [("--gdb",), ("--gdb-port", "0")])
def test_with_a_debugger(board: Path, options: tuple[str, ...]) -> None:
    """The command that is printed attaches gdb, which stops where the guest gives up, with names and lines."""
    need("gdb")
    assert host_arch() == "x86_64"
    words = (sys.executable, "-m", "edgeagent", "crash", "replay", "1", "--config", str(board / "agent.toml"))
    with subprocess.Popen(
        [*words, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as playing:
        try:
            assert playing.stderr is not None
            assert "waits for its debugger" in playing.stderr.readline()
            line = shlex.split(playing.stderr.readline())
            then = ("-batch", "-nx", *(part for ex in ("backtrace", "detach") for part in ("-ex", ex)))
            *before, symbols = line
            attached = subprocess.run(
                [*before, *then, symbols], capture_output=True, text=True, timeout=60, check=False
            )
            assert "edge_panic" in attached.stdout, attached.stdout + attached.stderr
            assert "give_up" in attached.stdout, attached.stdout
            out, _ = playing.communicate(timeout=60)
        finally:
            playing.kill()
        assert playing.returncode == 0
    assert "reproduced: the same end at input 41" in out
