from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edgeagent.guest.limits import Limits
from edgeagent.guest.throttle import MOST_PAUSE_S, Throttle

LIMITS = Limits(frame_rate=1000, byte_rate=100_000, frame_burst=5000, byte_burst=1 << 20, throttled_s=10.0)
READ = 16 << 10
"""Bytes at once."""


def flood(frame: int, seconds: float, limits: Limits = LIMITS) -> tuple[Throttle, float, int]:
    """A guest without input that has always more to say: the throttle, when it was given up, and frames heard."""
    throttle, now, frames = Throttle(limits, 0.0), 0.0, 0
    while now < seconds and not throttle.excess:
        throttle.said(READ // frame, READ, 0, now)
        frames += READ // frame
        while pause := throttle.pause(now):
            now += pause
    return throttle, now, frames


def test_a_flood_of_frames_is_slowed_to_the_rate_and_then_given_up() -> None:
    throttle, now, frames = flood(20, 100.0)
    assert "1,000 frames a second" in throttle.excess
    assert LIMITS.throttled_s <= now <= 1.3 * LIMITS.throttled_s
    assert frames <= LIMITS.frame_burst + LIMITS.frame_rate * now + READ // 20
    assert throttle.paused_s > 0.9 * now


def test_a_flood_of_bytes_too() -> None:
    throttle, now, _ = flood(8192, 100.0)
    assert "100,000 bytes a second" in throttle.excess
    assert LIMITS.throttled_s <= now <= 1.3 * LIMITS.throttled_s


def test_pauses_are_short() -> None:
    throttle = Throttle(LIMITS, 0.0)
    throttle.said(5000 + 9000, 0, 0, 0.0)
    assert throttle.pause(0.0) == MOST_PAUSE_S


def test_what_is_said_slowly_is_never_too_much() -> None:
    throttle = Throttle(LIMITS, 0.0)
    for second in range(100_000):
        throttle.said(90, 9000, 0, float(second))
        assert not throttle.behind
    assert throttle.excess == ""


def test_input_explains_output_only_once() -> None:
    """What was earned and not used is gone with the acknowledgement."""
    throttle = Throttle(LIMITS, 0.0)
    for _ in range(100):
        throttle.given(1 << 20)
        throttle.said(1, 20, 0, 0.0)
    throttle.said(LIMITS.frame_burst + 1, 0, 0, 0.0)
    assert throttle.behind


lumps = st.lists(
    st.tuples(st.integers(1, 1 << 20), st.floats(0, 1), st.floats(0, 1), st.floats(0, 60)),
    max_size=50,
)


@given(lumps)
def test_an_honest_guest_is_never_given_up(lumps: list[tuple[int, float, float, float]]) -> None:
    """However dense its input, and however slowly it is read: it says what that explains, and then acknowledges."""
    throttle, now = Throttle(LIMITS, 0.0), 0.0
    for size, dense, early, wait in lumps:
        throttle.given(size)
        frames = int(size / 6 * dense)
        for part in (int(frames * early), frames - int(frames * early)):
            # Some of the input is acknowledged later than the rest.
            throttle.said(part, 768 * part, int(size * (1 - early)), now)
            while pause := throttle.pause(now):
                now += pause
            assert throttle.excess == ""
        now += wait


def test_every_open_window_at_once() -> None:
    throttle = Throttle(LIMITS, 0.0)
    throttle.said(LIMITS.frame_burst, LIMITS.byte_burst, 0, 0.0)
    assert throttle.pause(0.0) == 0.0
