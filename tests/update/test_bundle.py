"""Bundles: built, signed, verified as a board does, and refused."""

import dataclasses
import json
import re
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeagent.cli.main import main
from edgeagent.errors import ConfigError, DamagedError, ImageError, RemoteProtocolError
from edgeagent.image.inspection import Declaration
from edgeagent.seal.cose import UnknownKeyError
from edgeagent.seal.keys import SigningKey
from edgeagent.update import bundle, commands, contract, suit
from edgeagent.update.authors import AuthorSigner
from edgeagent.update.commands import NotForThisDeviceError
from edgeagent.update.contract import App, Contract, Expected, Health, Probe, Reading
from tests.guests import IMAGES

SIGNER = AuthorSigner(SigningKey.from_seed(bytes(32)))
OTHER = AuthorSigner(SigningKey.from_seed(b"o" * 32))
APP = App("aggregate", 1, 1, 7, "0.1.0", (), 8 << 20)
PROBE = Probe(
    {"window": "10s"},
    (Reading("a", b"21.5", 1000),),
    (Expected("a", "", 0, 1, Decimal("21.5"), Decimal("21.5"), Decimal("21.5")),),
)
CONTRACT = Contract(APP, probes=(PROBE,))
CONTENTS = {"aarch64": b"for arm", "x86_64": b"for x86"}
BUILT = bundle.build(CONTRACT, CONTENTS, [SIGNER])


def board(arch="x86_64", profile="generic-x86_64"):
    return bundle.device(arch, profile, "attic")


def opened(data=BUILT, author=SIGNER):
    return bundle.open_bundle(suit.parse(data), [author.author])


@pytest.mark.parametrize("arch", CONTENTS)
def test_each_architecture_gets_its_image(arch):
    envelope = suit.parse(BUILT)
    assert bundle.content_of(envelope, opened().image(board(arch))) == CONTENTS[arch]
    assert contract.decode(bundle.content_of(envelope, opened().contract)) == CONTRACT


def test_another_architecture_gets_none():
    with pytest.raises(NotForThisDeviceError):
        opened().image(board("riscv64"))


def test_one_architecture_needs_no_choice():
    data = bundle.build(CONTRACT, {"riscv64": b"r"}, [SIGNER])
    assert opened(data).image(board("riscv64")).size == 1


@pytest.mark.parametrize("names", [("raspberry-pi-4",), ("raspberry-pi-4", "generic-x86_64")])
def test_boards_that_it_is_for(names):
    limited = Contract(dataclasses.replace(APP, boards=names))
    found = opened(bundle.build(limited, CONTENTS, [SIGNER]))
    assert found.image(board("aarch64", "raspberry-pi-4"))
    with pytest.raises(NotForThisDeviceError):
        found.image(board("aarch64", "raspberry-pi-3"))
    assert contract.decode(encoded(found.contract, limited)) == limited


def encoded(content, of):
    return content.verify(contract.encode(of))


def test_contents_may_lie_elsewhere():
    envelope = dataclasses.replace(suit.parse(BUILT), payloads={})
    found = bundle.open_bundle(envelope, [SIGNER.author]).image(board())
    assert found.verify(CONTENTS["x86_64"])
    with pytest.raises(RemoteProtocolError, match="#x86_64 isn't in it"):
        bundle.content_of(envelope, found)


def test_an_exchanged_image():
    envelope = suit.parse(BUILT)
    changed = dataclasses.replace(envelope, payloads={**envelope.payloads, "#x86_64": b"for x87"})
    with pytest.raises(RemoteProtocolError, match="isn't what its author signed"):
        bundle.content_of(changed, opened().image(board()))


def test_an_author_who_is_unknown_and_one_who_signs_too():
    with pytest.raises(UnknownKeyError):
        opened(author=OTHER)
    both = suit.encode(bundle.sign(suit.parse(BUILT), OTHER))
    assert opened(both, OTHER).sequence == opened(both).sequence == 7


def test_a_manifest_that_doesnt_check_its_image():
    """Signed by an author we trust, and still not a bundle."""
    manifest = suit.read_manifest(suit.parse(BUILT))
    fetch = suit.strict.dumps([commands.SET_COMPONENT_INDEX, [0, 1], commands.FETCH, 15])
    lax = dataclasses.replace(manifest, sequences={**manifest.sequences, suit.INSTALL: fetch})
    data = suit.encode(suit.sign(suit.encode_manifest(lax), [SIGNER]))
    with pytest.raises(RemoteProtocolError, match="doesn't fetch and check"):
        opened(data).image(board())
    alone = dataclasses.replace(manifest, components=((b"image",),))
    with pytest.raises(RemoteProtocolError, match="components"):
        opened(suit.encode(suit.sign(suit.encode_manifest(alone), [SIGNER])))


# ---- contracts ---------------------------------------------------------------------------------------------------

numbers = st.decimals(allow_nan=False, allow_infinity=False, places=4, min_value=-(10**9), max_value=10**9)
expected = st.builds(
    Expected, st.text(max_size=9), st.text(max_size=9), st.integers(0, 1 << 60), st.integers(1, 99),
    numbers, numbers, numbers,
)  # fmt: skip
readings = st.builds(Reading, st.text(min_size=1, max_size=9), st.binary(max_size=9), st.integers(0, 1 << 60))
probes = st.builds(
    Probe, st.just({}), st.lists(readings, max_size=3).map(tuple), st.lists(expected, max_size=3).map(tuple)
)


@given(st.lists(probes, max_size=3).map(tuple), st.integers(1, 1 << 62))
def test_a_contract_is_read_as_it_was_written(found, sequence):
    one = Contract(dataclasses.replace(APP, sequence=sequence), Health(5000, 1, 2, 300), found)
    assert contract.decode(contract.encode(one)) == one


@given(st.binary(max_size=100))
def test_any_bytes_are_no_contract(data):
    with pytest.raises(DamagedError):
        contract.decode(data)


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"more": 1},
        {"app": {}},
        {"app": {**contract._plain(APP), "name": 1}},
        {"app": {**contract._plain(APP), "other": 1}},
        {"health": {"window": "x", "rejects": 1, "least": 1, "most": 1}},
        {"probes": [{}]},
        {"probes": [{"config": {}, "readings": [[1, 2, 3, 4]], "expected": []}]},
        {"probes": [{"config": {}, "readings": [], "expected": [["a", "b", 0, 1, "x", "1", "1"]]}]},
    ],
)
def test_contracts_that_are_refused(change):
    whole = suit.strict.loads(contract.encode(CONTRACT), limit=1 << 20, what="")
    with pytest.raises(RemoteProtocolError, match="contract"):
        contract.decode(suit.strict.dumps({**whole, **change}))


@pytest.mark.parametrize(
    ("said", "agent", "words"),
    [
        (Declaration(1, "echo", 1, 1, ()), "0.1.0", "declares echo 1 with state 1"),
        (Declaration(1, "aggregate", 2, 1, ()), "0.1.0", "declares aggregate 2"),
        (Declaration(1, "aggregate", 1, 2, ()), "0.1.0", "with state 2"),
        (Declaration(1, "aggregate", 1, 1, ()), "0.0.9", "needs agent 0.1.0 or later"),
    ],
)
def test_images_that_arent_the_contracts(said, agent, words):
    with pytest.raises(ImageError, match=words):
        CONTRACT.check(said, agent, "x")


def test_later_agents_are_good_enough():
    said = Declaration(1, "aggregate", 1, 1, ("agent",))
    for agent in ("0.1.0", "0.1.1", "0.10", "1"):
        CONTRACT.check(said, agent, "x")


TOML = """\
[app]
name = "aggregate"
version = 1
state = 1
sequence = 7

[[probe]]
config = { window = "10s" }
readings = [{ topic = "a", payload = "21.5", time = 1000 }]
expect = [{ source = "a", field = "", start = 0, count = 1, sum = 21.5, min = 21.5, max = 21.5 }]
"""


def test_the_file_that_an_author_writes():
    assert contract.parse_toml(TOML, "home.toml") == CONTRACT


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("sequence = 7", "sequence = 0", "home.toml:5 .*whole number"),
        ("sequence = 7", "", "sequence is missing"),
        ("version = 1", "versoin = 1", "Did you mean version"),
        ("[[probe]]", "[probe]", "probes are at most"),
        ("time = 1000", "time = -1", "home.toml:9 .*a reading has"),
        ("count = 1, ", "", "home.toml:10 .*an expected summary has"),
        ("sum = 21.5", 'sum = "x"', "home.toml:10 .*are numbers"),
        ("[app]", "[health]\nwindow = '2h'\n[app]", "not within 5s to 1h"),
        ("[app]", "[ap]", "unknown section"),
        ("[app]", "[app", "no valid TOML"),
    ],
)
def test_mistakes_of_an_author(old, new, words):
    with pytest.raises(ConfigError) as error:
        contract.parse_toml(TOML.replace(old, new, 1), "home.toml")
    assert re.search(words, str(error.value))


# ---- the command -------------------------------------------------------------------------------------------------


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    (tmp_path / "home.toml").write_text(TOML)

    def run(line):
        with pytest.raises(SystemExit) as ended:
            main(line.split())
        said = capsys.readouterr()
        return ended.value.code, said.out, said.err

    for name in ("author", "other"):
        assert run(f"repo key {name}.pem")[0] == 0
    return run


@pytest.fixture
def built(run, guest_image):
    for arch in ("x86_64", "riscv64"):
        guest_image("aggregate", arch)
    line = f"bundle build home.toml --images {IMAGES} --arch x86_64 --arch riscv64 --key author.pem --out home.suit"
    code, out, err = run(line)
    assert code == 0, err
    assert "for x86_64, riscv64" in out
    return run


def test_verify_and_inspect(built):
    code, out, _ = built("bundle verify home.suit --author author.pem.pub")
    assert (code, "whole, for x86_64, riscv64" in out) == (0, True)
    assert built("bundle verify home.suit --author author.pem.pub --arch aarch64")[0] == 1
    shown = json.loads(built("bundle inspect home.suit --json")[1])
    assert list(shown["images"]) == ["x86_64", "riscv64"]
    assert shown["verified"] is False
    assert "(not checked)" in built("bundle inspect home.suit")[1]


def test_a_second_signature(built):
    assert built("bundle verify home.suit --author other.pem.pub")[0] == 5
    assert built("bundle sign home.suit --key other.pem")[0] == 0
    assert built("bundle verify home.suit --author other.pem.pub")[0] == 0
    assert len(json.loads(built("bundle inspect home.suit --json")[1])["author"]) == 2


def test_a_damaged_bundle(built, tmp_path):
    data = bytearray((tmp_path / "home.suit").read_bytes())
    data[-100] ^= 1
    (tmp_path / "home.suit").write_bytes(data)
    code, _, err = built("bundle verify home.suit --author author.pem.pub")
    assert (code, err.count("\n")) == (5, 1)


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        ("bundle build missing.toml --key author.pem --out x", 2, "missing.toml: the file can't be read"),
        ("bundle build home.toml --images . --key author.pem --out x", 2, "there is no image of aggregate"),
        ("bundle build home.toml --images . --arch aarch64 --key author.pem --out x", 2, "aggregate.elf"),
        ("bundle inspect home.toml", 5, "the SUIT envelope"),
        ("bundle verify missing --author author.pem.pub", 2, "missing: the file can't be read"),
    ],
)
def test_bad_input_is_one_line(run, tmp_path, line, code, words):
    found, _, err = run(line)
    assert (found, err.count("\n")) == (code, 1)
    assert words in err
    assert not (tmp_path / "x").exists()


def test_an_image_that_isnt_the_contracts(run, guest_image, tmp_path):
    guest_image("aggregate")
    (tmp_path / "home.toml").write_text(TOML.replace("version = 1", "version = 2"))
    code, _, err = run(f"bundle build home.toml --images {IMAGES} --arch x86_64 --key author.pem --out x")
    assert code == 6
    assert "declares aggregate 1 with state 1, the contract is for aggregate 2 with state 1" in err
