"""The strict reader takes what it wrote, refuses every other way of writing it, and is bounded."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeagent.errors import RemoteProtocolError
from edgeagent.seal import strict
from edgeagent.seal.strict import Tagged

LIMIT = 1 << 16
plain = st.one_of(
    st.none(),
    st.integers(-(2**64), 2**64 - 1),
    st.binary(max_size=40),
    st.text(st.characters(exclude_categories=["Cs"])),
)
values = st.recursive(
    plain,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.one_of(st.integers(-50, 500), st.text("abc", max_size=3)), inner, max_size=4),
        st.builds(Tagged, st.integers(0, 2**32), inner),
    ),
    max_leaves=7,
)


@given(values)
def test_round_trip(value):
    assert strict.loads(strict.dumps(value), limit=LIMIT, what="it") == value


@given(st.binary(max_size=64))
def test_whatever_is_read_is_written_back_alike(data):
    try:
        value = strict.loads(data, limit=LIMIT, what="it")
    except RemoteProtocolError:
        return
    assert sorted(strict.dumps(value)) == sorted(data)  # maps may stand in another order


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ("", "ends too early"),
        ("1800", "shortest"),
        ("190017", "shortest"),
        ("1a0000ffff", "shortest"),
        ("1b00000000ffffffff", "shortest"),
        ("1c", "indefinite or reserved"),
        ("9f01ff", "indefinite or reserved"),
        ("5f4101ff", "indefinite or reserved"),
        ("a201000100", "repeated"),
        ("a1f600", "neither number nor text"),
        ("a1810000", "neither number nor text"),
        ("f4", "simple value"),
        ("f97e00", "simple value"),
        ("f816", "shortest"),
        ("f820", "simple value"),
        ("61ff", "UTF-8"),
        ("0000", "1 bytes follow"),
        ("5affffffff00", "ends too early"),
        ("9affffffff00", "ends too early"),
        ("baffffffff00", "more than 32 keys"),
        ("81" * 9 + "00", "too deep"),
        ("991fff" + "00" * 8191, "too many items"),
    ],
)
def test_refused(data, why):
    with pytest.raises(RemoteProtocolError, match=why):
        strict.loads(bytes.fromhex(data), limit=LIMIT, what="it")


def test_limit():
    with pytest.raises(RemoteProtocolError, match="above the limit of 4"):
        strict.loads(b"\x44abcd", limit=4, what="it")


@pytest.mark.parametrize("value", [True, 1.5, 2**64, object()])
def test_what_has_no_place_is_not_written(value):
    with pytest.raises((TypeError, ValueError)):
        strict.dumps(value)
