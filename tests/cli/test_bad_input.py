"""Bad input of options and files: one clear line (what, where, what to do) and an exit code; no traceback."""

import pytest

from edgeagent.cli.main import main

NOBODY = "mqtt://127.0.0.1:1"


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    """Run a command in a folder with a file, an empty folder and a table; gives exit code and standard error."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_bytes(b"\x7fEL\xff\x00")
    (tmp_path / "folder").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    (tmp_path / "table.csv").write_text("t,node,x\n1,a,2\noops,a,3\n,a,4\n")
    (tmp_path / "bad.toml").write_text("[board]\nnaem = 1\n")

    def run(*words):
        with pytest.raises(SystemExit) as ended:
            main(list(words))
        return ended.value.code, capsys.readouterr().err

    return run


CASES = [
    ("nosuch", 2, "no such command 'nosuch'. see: edgeagent --help"),
    ("run --config nosuch.toml", 2, "nosuch.toml: cannot be read: no such file"),
    ("run --config folder", 2, "folder: cannot be read: is a directory"),
    ("run --config file", 2, "file: no utf-8 at byte 3"),
    ("run --config bad.toml", 2, "bad.toml:2 [board] naem: unknown setting naem. did you mean name?"),
    ("run --log-level loud", 2, "run: invalid value for '--log-level'"),
    ("status --runtime nosuch", 4, "nosuch/agent.sock: no agent answers"),
    ("status --runtime file", 4, "file/agent.sock: no agent answers"),
    (f"status --runtime {'x' * 200}", 4, "no agent answers: af_unix path too long"),
    ("logs --runtime nosuch --follow", 4, "nosuch/agent.sock: no agent answers"),
    ("logs --lines 0", 2, "0 is not in the range"),
    ("logs --lines many", 2, "'many' is not a valid integer"),
    ("probe --image nosuch", 2, "'nosuch' does not exist"),
    ("probe --state file", 2, "'file' is a file"),
    ("image build --arch vax", 2, "'vax' is not one of"),
    ("image build --app nosuch", 2, "no app 'nosuch'"),
    ("image build --source folder", 2, "folder/app: there are no apps"),
    ("image build --out file", 2, "'file' is a file"),
    ("image inspect", 2, "missing argument 'file'"),
    ("image inspect file", 6, "file: not an elf file"),
    ("image inspect folder", 6, "folder: is a directory"),
    ("image inspect nosuch", 6, "nosuch: no such file"),
    ("image inspect /dev/zero", 6, "/dev/zero: too large"),
    ("vm run", 2, "missing argument 'image'"),
    ("vm run file", 6, "file: not an elf file"),
    ("vm run folder", 6, "folder: is a directory"),
    ("vm run nosuch", 6, "nosuch: no such file"),
    ("vm run /dev/zero", 6, "/dev/zero: too large"),
    ("vm run file --accel fast", 2, "'fast' is not one of"),
    ("vm run file --net host", 2, "'host' is not one of"),
    ("vm run file --memory lots", 2, "'lots' is no size such as"),
    ("vm run file --timeout 0s", 2, "'0s' is shorter than 1ms"),
    ("vm run file --disk nosuch", 2, "nosuch: the disk can't be used: no such file"),
    ("vm run file --read-only", 2, "--read-only is for a disk"),
    ("vm run file --exit-map x", 2, "'x' is no part of an exit map"),
    ("keys init", 2, "missing option '--role'"),
    ("keys init --role king", 2, "'king' is not one of"),
    ("keys init --role board --folder file", 3, "file: the keys can't be used: not a directory"),
    ("keys show --folder nosuch", 3, "nosuch: there are no keys in this folder. make them with"),
    ("keys public --folder folder", 3, "folder: there are no keys in this folder"),
    ("keys retire --folder nosuch", 3, "nosuch: there are no keys in this folder"),
    ("collect --name A/B", 2, "--name: 'a/b' can't be a collector's name. use 1 to 63"),
    ("collect --database sqlite:///c.db --keys nosuch", 3, "nosuch/signing.pem: the key is missing"),
    ("collect boards --database sqlite:///nosuch.db", 2, "sqlite:///nosuch.db: there is no such database"),
    ("collect gaps --database sqlite:///file", 5, "the database refuses: file is not a database"),
    ("collect export --database mysql://x/y", 2, "'mysql' is no database for this"),
    ("collect export --format xml", 2, "'xml' is not one of"),
    ("collect export --until soon", 2, "'soon' is no iso 8601 time such as"),
    ("collect enroll --database sqlite:///c.db attic nosuch", 2, "nosuch: the file can't be read"),
    ("collect enroll --database sqlite:///c.db attic file", 2, "file: neither a public key"),
    ("crash list --config nosuch.toml", 2, "nosuch.toml: cannot be read: no such file"),
    ("crash list --state nosuch", 2, "nosuch: there is no such folder"),
    ("crash show --state folder", 2, "folder/crashes: no guest has crashed"),
    ("crash show 3 --state folder", 2, "there is no crash 3. there are none"),
    ("crash replay file", 5, "file: no exported crash"),
    ("crash replay nosuch", 2, "nosuch: can't be read: no such file"),
    ("crash replay --accel hvf", 2, "'hvf' is not one of"),
    ("crash replay --timeout 0s", 2, "'0s' is shorter than 1s"),
    ("crash export 0 x", 2, "0 is not in the range"),
    ("crash remove --state folder", 2, "crash remove: give ids, or --all"),
    ("simulate", 2, "missing option '--broker'"),
    ("simulate --broker nonsense", 2, "'nonsense' is no address such as mqtt://host"),
    (f"simulate --broker {NOBODY}", 4, f"{NOBODY}: the broker doesn't answer: connection refused"),
    (f"simulate --broker {NOBODY} --coap http://x", 2, "'http://x' is no address such as coap://"),
    (f"simulate --broker {NOBODY} --for 1x", 2, "'1x' is no duration such as"),
    (f"simulate --broker {NOBODY} --for 0s", 2, "'0s' is shorter than 1ms"),
    (f"simulate --broker {NOBODY} --window 0s", 2, "'0s' is shorter than 1ms"),
    (f"simulate --broker {NOBODY} --rate nan", 2, "'nan' is no number"),
    (f"simulate --broker {NOBODY} --rate 0", 2, "0.0 is not in the range"),
    (f"simulate --broker {NOBODY} --faulty 2", 2, "2.0 is not in the range"),
    (f"simulate --broker {NOBODY} --sensors 0", 2, "0 is not in the range"),
    (f"simulate --broker {NOBODY} --quantiles 2", 2, "'2' is no list of quantiles"),
    (f"simulate --broker {NOBODY} --qos 2", 2, "'2' is not one of"),
    (f"simulate --broker {NOBODY} --truth folder", 2, "folder: cannot be written: is a directory"),
    ("replay table.csv --topic a --time t", 2, "there is nowhere to send to. give --broker or --coap"),
    (f"replay nosuch --topic a --time t --broker {NOBODY}", 2, "nosuch: cannot be read"),
    (f"replay folder --topic a --time t --broker {NOBODY}", 2, "folder: cannot be read: is a directory"),
    (f"replay file --topic a --time t --broker {NOBODY}", 5, "file: cannot be read to its end"),
    (f"replay table.csv --topic a --time nosuch --broker {NOBODY}", 2, "nosuch"),
    (f"replay table.csv --topic {{nosuch}} --time t --broker {NOBODY}", 2, "nosuch"),
    (f"replay table.csv --topic a --time t --broker {NOBODY}", 5, "table.csv:2"),
    (f"replay table.csv --topic a# --time t --fields t --time-unit s --broker {NOBODY}", 2, "a#"),
    (f"replay table.csv --topic a --time t --delimiter xx --broker {NOBODY}", 2, "--delimiter: 'xx'"),
    (f"replay table.csv --topic a --time t --speed fast --broker {NOBODY}", 2, "'fast' is neither max nor"),
    (f"replay table.csv --topic a --time t --speed nan --broker {NOBODY}", 2, "'nan' is neither max nor"),
    (
        f"replay table.csv --topic a --time t --fields t --time-unit s --broker {NOBODY}",
        4,
        "the broker doesn't answer",
    ),
    ("demo --for 0s", 2, "'0s' is shorter than 1ms"),
    ("demo --window 10ms", 2, "'10ms' is shorter than 1s"),
    ("demo --sensors 0", 2, "0 is not in the range"),
    ("demo --accel fast", 2, "'fast' is not one of"),
    ("demo --keep file", 3, "file: the folder can't be used: file exists"),
    ("demo --keep full", 2, "full: the folder isn't empty"),
    ("demo --images nosuch", 6, "nosuch"),
    ("completion tcsh", 2, "'tcsh' is not one of"),
]


@pytest.mark.parametrize(("line", "code", "words"), CASES, ids=[line[:60] for line, _, _ in CASES])
def test_one_clear_line(run, line, code, words):
    ended, said = run(*line.split())
    assert said.startswith("edgeagent: ")
    assert said.count("\n") == 1
    assert words in said.lower()
    assert ended == code


def test_a_boards_rotation_needs_its_name(run):
    assert run("keys", "init", "--role", "board", "--folder", "keys") == (0, "")
    code, said = run("keys", "rotate", "--folder", "keys")
    assert (code, said) == (2, "edgeagent: keys: these are a board's keys. Give --board, its name.\n")


def test_what_nobody_foresaw_is_one_line_too(run, monkeypatch, tmp_path):
    monkeypatch.setattr(
        "os.urandom", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device", "/x"))
    )
    code, said = run("keys", "init", "--role", "board", "--folder", "keys")
    assert code == 3
    assert "No space left on device" in said
    assert said.count("\n") == 1
