"""The marker, the keys and the pace: no machine needed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeagent.vm.screen import BURST_S, Keys, Marker, Pace

TEXT = st.binary(max_size=6).map(lambda data: bytes(byte & 3 for byte in data))


@given(text=TEXT.filter(bool), parts=st.lists(TEXT, max_size=12))
def test_a_marker_is_seen_however_the_stream_is_cut(text: bytes, parts: list[bytes]) -> None:
    marker = Marker(text)
    seen = [marker.seen(part) for part in parts]
    first = next((at for at in range(len(parts)) if text in b"".join(parts[: at + 1])), None)
    assert first == next((at for at, found in enumerate(seen) if found), None)


def test_no_marker_is_never_seen() -> None:
    assert not Marker(b"").seen(b"anything")


@pytest.mark.parametrize(
    ("typed", "sent", "ended"),
    [
        ([b"ls\r"], b"ls\r", False),
        ([b"\x03\x1c"], b"\x03\x1c", False),
        ([b"a\x01x"], b"a", True),
        ([b"a\x01", b"xb"], b"a", True),
        ([b"\x01", b"a"], b"\x01", False),
        ([b"\x01\x01"], b"\x01", False),
        ([b"\x01b"], b"\x01b", False),
    ],
)
def test_keys(typed: list[bytes], sent: bytes, ended: bool) -> None:
    keys = Keys()
    told = [keys.typed(part) for part in typed]
    assert b"".join(data for data, _ in told) == sent
    assert any(end for _, end in told) == ended


@given(st.lists(st.binary(max_size=20)))
def test_without_ctrl_a_every_key_is_the_guests(parts: list[bytes]) -> None:
    keys = Keys()
    clean = [part.replace(b"\x01", b"") for part in parts]
    assert b"".join(keys.typed(part)[0] for part in clean) == b"".join(clean)


@given(rate=st.integers(1, 10**6), sizes=st.lists(st.integers(1, 65_536), min_size=1, max_size=40))
def test_a_stream_stays_within_its_rate(rate: int, sizes: list[int]) -> None:
    pace = Pace(rate)
    now = start = 100.0
    for size in sizes:
        now += pace.wait(size, now)
    assert sum(sizes) <= rate * (now - start + BURST_S) * (1 + 1e-9)
    # And no slower than that: with what came at once, no wait was needed.
    assert now - start <= sum(sizes) / rate


def test_no_rate_is_no_wait() -> None:
    assert Pace(0).wait(1 << 40, 1.0) == 0
