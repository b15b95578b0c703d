"""edgeagent boards: the list, one board, and checking profiles."""

import json

import pytest
from click.testing import CliRunner

from edgeagent.boards import library
from edgeagent.cli.main import cli, main
from tests.boards.given import GOOD, SHIPPED

NAMES = sorted(path.stem for path in SHIPPED.glob("*.toml"))


@pytest.fixture(autouse=True)
def anew():
    library.profiles.cache_clear()
    yield
    library.profiles.cache_clear()


def run(*words):
    return CliRunner().invoke(cli, ["boards", *words], catch_exceptions=False, terminal_width=80).stdout


def failing(capsys, *words):
    with pytest.raises(SystemExit) as ended:
        main(["boards", *words])
    return ended.value.code, capsys.readouterr().err


def test_the_list():
    lines = run().splitlines()
    assert [line.split()[0] for line in lines[1:]] == NAMES
    assert max(len(line.rstrip()) for line in lines) <= 80
    pi = next(line for line in lines if line.startswith("raspberry-pi-3 "))
    assert pi.split()[1] == "partial"
    found = json.loads(run("--json"))
    assert [one["name"] for one in found] == NAMES
    assert sum(one["here"] for one in found) <= 1


def test_one_board():
    text = " ".join(run("show", "raspberry-pi-3").split())
    for words in (
        "Raspberry Pi 3",
        "device tree raspberrypi,3-model-b",
        "partial (gic-missing)",
        "brcm,bcm2836-l1-intc",
        "50% of the memory together; each 12.0 MiB, 80% of a core; accelerator tcg",
        "Write the image to an SD card",
    ):
        assert words in text
    found = json.loads(run("show", "qemu-aarch64", "--json"))
    assert found["recognise"]["dmi"] == [{"sys_vendor": "QEMU"}]
    assert found["guests"]["memory"] == 12 << 20
    assert found["flash"]["ab_root"] is True
    assert found["kvm"]["verdict"] == "unknown"


def test_an_unknown_board(capsys):
    assert failing(capsys, "show", "rasberry-pi-4") == (
        2,
        "edgeagent: there is no board profile rasberry-pi-4. Did you mean raspberry-pi-4?\n",
    )
    assert "See `edgeagent boards`" in failing(capsys, "show", "zzz")[1]


def test_check(tmp_path, capsys):
    good, bad = tmp_path / "good.toml", tmp_path / "bad.toml"
    good.write_text(GOOD)
    bad.write_text(GOOD.replace("gic-missing", "GIC"))
    assert run("check", str(good)) == f"{good}: good; good, A board\n"
    code, line = failing(capsys, "check", str(good), str(bad))
    assert code == 2
    assert f"edgeagent: {bad}:11 [kvm] reason: 'GIC' is no word" in line
    huge = tmp_path / "huge.toml"
    huge.write_bytes(b"#" * ((1 << 20) + 1))
    assert "longer than" in failing(capsys, "check", str(huge))[1]
    assert "cannot be read" in failing(capsys, "check", str(tmp_path / "absent.toml"))[1]


def test_a_local_profile_replaces_ours(tmp_path, monkeypatch):
    monkeypatch.setattr(library, "LOCAL", tmp_path)
    (tmp_path / "rock-5b.toml").write_text(GOOD)
    (tmp_path / "shed.toml").write_text(GOOD.replace("maker,board", "maker,shed"))
    found = {one["name"]: one["board"]["title"] for one in json.loads(run("--json"))}
    assert found["rock-5b"] == found["shed"] == "A board"
    assert set(found) == {*NAMES, "shed"}


def test_a_bad_local_profile_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(library, "LOCAL", tmp_path)
    (tmp_path / "shed.toml").write_text("[board]\ntitle = 1\n")
    code, line = failing(capsys)
    assert code == 2
    assert f"{tmp_path / 'shed.toml'}:2 [board] title: 1 is no title" in line
