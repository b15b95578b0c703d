"""Recognition: the most specific mark wins, and two that are as good are an error."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeagent.boards.match import Identity, match
from edgeagent.boards.profile import Recognise
from edgeagent.errors import ConfigError
from tests.boards.given import profile

NO_MARK = Recognise((), (), (), "")
PLAIN = profile()


def made(name, **marks):
    return replace(PLAIN, name=name, recognise=replace(NO_MARK, **marks))


BOARD = made("board", compatible=("maker,board", "maker,board-plus"))
CHIP = made("chip", compatible=("maker,chip",))
VENDOR = made("vendor", dmi=({"sys_vendor": "Maker"},))
MODEL = made("model", dmi=({"sys_vendor": "Maker", "product_name": "Box*"}, {"board_name": "B"}))
CPU = made("cpu", cpu=("Celeron J4125*", "V1500B"))
UEFI = made("uefi", firmware="uefi")
ANY = made("any")
ALL = [BOARD, CHIP, VENDOR, MODEL, CPU, UEFI, ANY]

EVERYTHING = Identity(
    "aarch64",
    "little",
    ("maker,board", "maker,chip"),
    {"sys_vendor": "Maker", "product_name": "Box 3"},
    "Celeron J4125 @ 2.00GHz",
    uefi=True,
)

CASES = [
    (EVERYTHING, "board", "device tree: maker,board"),
    (replace(EVERYTHING, compatible=("other,board", "maker,chip")), "chip", "device tree: maker,chip"),
    (replace(EVERYTHING, compatible=()), "model", "DMI: Maker Box 3"),
    (replace(EVERYTHING, compatible=("maker,board-minus",)), "model", "DMI: Maker Box 3"),
    (Identity("aarch64", dmi={"sys_vendor": "Maker", "product_name": "Bo"}), "vendor", "DMI: Maker"),
    (Identity("aarch64", dmi={"board_name": "B"}), "model", "DMI: B"),
    (Identity("aarch64", dmi={"board_name": "Bo"}, cpu="V1500B"), "cpu", "CPU: V1500B"),
    (Identity("aarch64", cpu="V1500B with more", uefi=True), "uefi", "UEFI firmware"),
    (Identity("aarch64"), "any", "architecture: aarch64"),
    (Identity("aarch64", "little"), "any", "architecture: aarch64"),
]


@pytest.mark.parametrize(("identity", "name", "by"), CASES, ids=[by for *_, by in CASES])
def test_the_most_specific_mark_wins(identity, name, by):
    for order in (ALL, ALL[::-1]):
        found = match(identity, order)
        assert (found.profile.name, found.by) == (name, by)


def test_only_the_device_tree_counts_on_another_architecture():
    assert match(replace(EVERYTHING, arch="armv7l"), ALL).profile is BOARD
    assert match(replace(EVERYTHING, arch="armv7l", compatible=()), ALL) is None
    assert match(Identity("aarch64", "big"), ALL) is None


def test_two_that_are_as_good_are_an_error():
    with pytest.raises(
        ConfigError, match=r"profiles board and twin both describe this board .* Set board.profile"
    ):
        match(EVERYTHING, [*ALL, made("twin", compatible=("maker,board",))])
    with pytest.raises(ConfigError, match="any and other both"):
        match(Identity("aarch64"), [*ALL, made("other")])


text = st.text(max_size=20)


@given(
    st.sampled_from(["aarch64", "x86_64", ""]),
    st.lists(st.sampled_from(["maker,board", "maker,chip", "x", ""]), max_size=4),
    st.dictionaries(st.sampled_from(["sys_vendor", "product_name", "board_name"]), text),
    text,
    st.booleans(),
)
def test_whatever_a_machine_says(arch, compatible, dmi, cpu, uefi):
    found = match(Identity(arch, "", tuple(compatible), dmi, cpu, uefi=uefi), ALL)
    known = {"maker,board", "maker,chip"} & set(compatible)
    assert (found is not None) == (arch == "aarch64" or bool(known))
    if known:
        first = next(name for name in compatible if name in known)
        assert found.by == f"device tree: {first}"
