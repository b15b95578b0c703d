"""Profiles: what they say, and bad ones: one line with file, line and what to do."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeagent.boards.profile import VERDICTS
from edgeagent.errors import ConfigError
from edgeagent.probe.verdict import Answer
from tests.boards.given import GOOD, profile


def test_a_good_profile():
    found = profile()
    assert found.name == "a-board"
    assert found.board.title == "A board"
    assert found.recognise.compatible == ("maker,board",)
    assert (found.kvm.verdict, found.kvm.reason) == ("partial", "gic-missing")
    assert found.guests.memory == 12 << 20
    assert found.defaults["unit"] == {"accelerator": "auto", "memory": "12MiB", "cpu": 80}
    assert found.defaults["board"] == {"memory_budget": "25%"}
    assert not found.flash.ab_root
    assert not found.fallback


def test_without_a_mark_it_stands_for_its_architecture():
    assert profile(GOOD.replace('compatible = ["maker,board"]', "")).fallback
    assert not profile(GOOD.replace('compatible = ["maker,board"]', 'firmware = "uefi"')).fallback


def test_verdicts_are_those_of_the_probe():
    assert set(VERDICTS) == set(Answer)


BAD = [
    ('title = "A board"', "", "a-board.toml:1 [board]: title is missing. Set title: what people call it."),
    ('title = "A board"', 'titel = "A board"', "a-board.toml:2 [board] titel: unknown setting titel. Did you mean"),
    ('title = "A board"', 'title = "A\\nboard"', "a-board.toml:2 [board] title: 'A\\nboard' is no title of one line"),
    ('endianness = "little"', 'endianness = "middle"', "a-board.toml:4 [board] endianness: 'middle' is none of"),
    ("[recognise]", "[recognize]", "a-board.toml:6 [recognize]: unknown section [recognize]. Did you mean recognise?"),
    ('["maker,board"]', '["maker,*"]', "a-board.toml:7 [recognise] compatible: 'maker,*' is no device-tree name"),
    ('["maker,board"]', '"maker,board"', "a-board.toml:7 [recognise] compatible: 'maker,board' is no array"),
    ('["maker,board"]', '["a"]\ndmi = ["x"]', "a-board.toml:8 [recognise] dmi: 'x' is no table of DMI fields"),
    ('["maker,board"]', '["a"]\ndmi = [{sys_vendr = "x"}]', "unknown DMI field sys_vendr. Did you mean sys_vendor?"),
    ('["maker,board"]', '["a"]\ndmi = [{product_serial = "x"}]', "unknown DMI field product_serial"),
    ('["maker,board"]', '["a"]\ndmi = [{}]', "a-board.toml:8 [recognise] dmi: {} is no table of DMI fields"),
    ('["maker,board"]', '["a"]\ncpu = ["*"]', "[recognise] cpu: '*' is no text, with a * at its end at most"),
    ('["maker,board"]', '["a"]\ncpu = ["a*b"]', "a-board.toml:8 [recognise] cpu: 'a*b' is no text"),
    ('verdict = "partial"', 'verdict = "maybe"', "a-board.toml:10 [kvm] verdict: 'maybe' is none of yes, slow"),
    ('reason = "gic-missing"', 'reason = "No GIC"', "a-board.toml:11 [kvm] reason: 'No GIC' is no word"),
    ('memory = "12MiB"', "memory = 12", 'a-board.toml:20 [guests] memory: 12 is no size such as "64MiB"'),
    ('memory = "12MiB"', 'memory = "1MiB"', "a-board.toml:20 [guests] memory: 1MiB is not within 2.0 MiB to 1.0 GiB"),
    ('memory = "12MiB"', "", "a-board.toml:17 [guests]: memory is missing. Set memory: guest RAM"),
    ('accelerator = "auto"', 'accelerator = "hvf"', "a-board.toml:18 [guests] accelerator: 'hvf' is none of"),
    ('"25%"', '"0%"', "a-board.toml:19 [guests] memory_budget: "),
    ('"25%"', "25", "a-board.toml:19 [guests] memory_budget: 25 is no"),
    ('method = "card"', 'method = "magic"', "a-board.toml:24 [flash] method: 'magic' is none of card"),
    ('how = "Write it."', 'how = "Write it."\nab_root = 1', "[flash] ab_root: 1 is neither true nor false"),
    ('how = "Write it."', 'how = "Write it.', "a-board.toml:25: no valid TOML"),
    ("[flash]", "[[flash]]", "a-board.toml:23 [flash]: this must be a table"),
]  # fmt: skip


@pytest.mark.parametrize(("good", "bad", "message"), BAD, ids=[message[-40:] for *_, message in BAD])
def test_bad_profiles_are_named(good, bad, message):
    assert good in GOOD
    with pytest.raises(ConfigError) as caught:
        profile(GOOD.replace(good, bad, 1))
    line = str(caught.value)
    assert message in line
    assert "\n" not in line


def test_the_files_name_is_the_boards():
    with pytest.raises(ConfigError, match=r"My Board\.toml: .* Rename the file to NAME\.toml"):
        profile(name="My Board", where="My Board.toml")


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.sampled_from([*GOOD.splitlines(), "[guests", '"""', "[[unit]]", "trap = 1", "= 3", "\0", "é"])
    )
)
def test_any_text_is_read_or_refused_in_one_line(lines):
    line = "a-board.toml"
    try:
        profile("\n".join(lines))
    except ConfigError as error:
        line = str(error)
    assert line.startswith("a-board.toml")
    assert "\n" not in line
