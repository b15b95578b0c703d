"""JSON: what is accepted is what RFC 8259 says, byte by byte."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edgeagent.wire.messages import Reason
from tests.guest.reference import Refusal, _surrogate_inside, parse_json
from tests.guest.test_lib_numbers import JSON, numbers

REFUSED = {Reason.MALFORMED_JSON, Reason.TRAILING_BYTES, Reason.NOT_UTF8, Reason.TOO_DEEP}

seeds = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text()
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)
pieces = st.sampled_from(
    [*list('{}[],:"\\ \n\t01-+.eEtrufalsn\x00\x1f\x7f'), "\\u", "d800", "\\udc00", "é", "😀"]
)
mutations = st.lists(st.tuples(st.integers(0, 200), st.one_of(st.just(""), pieces)), max_size=2)


def changed(value: object, ascii_only: bool, edits: list[tuple[int, str]]) -> bytes:
    text = json.dumps(value, ensure_ascii=ascii_only)
    for place, piece in edits:
        at = place % (len(text) + 1)
        text = text[:at] + piece + text[at + 1 :]
    return text.encode(errors="surrogatepass")


def strict(payload: bytes) -> bool:
    try:
        return not _surrogate_inside(parse_json(payload.decode()))
    except (Refusal, UnicodeDecodeError):
        return False


@settings(max_examples=60, deadline=None)
@given(st.lists(st.builds(changed, seeds, st.booleans(), mutations), min_size=1, max_size=50))
@example(
    [
        b"\xef\xbb\xbf1",
        b'"\xed\xa0\x80"',
        b'"\xc0\xaf"',
        b'"\xf4\x90\x80\x80"',
        b'"\xe2\x82"',
        b"nul",
        b"[1,]",
    ]
)
def test_accepts_what_python_accepts(payloads: list[bytes]) -> None:
    payloads = [payload for payload in payloads if payload]
    for payload, got in zip(payloads, numbers(payloads, JSON), strict=True):
        if got is not Reason.TOO_MANY_VALUES:
            refused = isinstance(got, Reason) and got in REFUSED
            assert refused != strict(payload), payload


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"[" * 32 + b"]" * 32, None),
        (b"[" * 33 + b"]" * 33, Reason.TOO_DEEP),
        (b"[" * 100_000, Reason.TOO_DEEP),
        (b'{"a":' * 32 + b"null" + b"}" * 32, None),
        (b'"' + b"x" * 65536 + b'"', None),
        (b'{"' + b"k" * 65536 + b'":"' + b"\\u00e9" * 8000 + b'"}', None),
        (b'"' + b"x" * 65536, Reason.MALFORMED_JSON),
        (b"[" + b"1," * 600 + b"1]", Reason.TOO_MANY_VALUES),
        (b"{" + b",".join(b'"%d":null' % i for i in range(1025)) + b"}", Reason.TOO_MANY_VALUES),
        (b"{" + b",".join(b'"%d":null' % i for i in range(1024)) + b"}", None),
        (b"", Reason.EMPTY),
        (b'{"a":1} x', Reason.TRAILING_BYTES),
        (b'{"a":1}\xff', Reason.TRAILING_BYTES),
        (b'"\\ud800"', Reason.NOT_UTF8),
        (b'"\\udc00\\ud800"', Reason.NOT_UTF8),
        (b'"\x1f"', Reason.MALFORMED_JSON),
    ],
    ids=lambda value: None if isinstance(value, bytes) else str(value),
)
def test_bounds(payload: bytes, reason: Reason | None) -> None:
    assert numbers([payload], JSON) == [reason]
