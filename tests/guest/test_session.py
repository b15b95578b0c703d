from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeagent.errors import LocalProtocolError
from edgeagent.guest.events import (
    AckEvent,
    CheckpointDone,
    ContractBreach,
    EchoEvent,
    HungEvent,
    LogEvent,
    OutputEvent,
    ReadyEvent,
    RefusedEvent,
    RejectEvent,
    RunningEvent,
    SpunEvent,
    ThrottledEvent,
)
from edgeagent.guest.limits import Limits
from edgeagent.guest.session import Phase, Session
from edgeagent.wire import cbor, messages
from edgeagent.wire.frame import Decoder, FrameType, encode

LIMITS = Limits(
    window=4096,
    least_window=1024,
    state=1000,
    garbage=64,
    frame_rate=100,
    byte_rate=10_000,
    frame_burst=40,
    byte_burst=8192,
    throttled_s=2.0,
    log_lines=2,
    log_bytes=100,
)
READY = [1, "echo", 1, 1, bytes(32), 100, 200]


def said(kind: int, *items: object) -> bytes:
    return encode(kind, cbor.dumps(list(items)))


def summary(out: int, seq: int) -> bytes:
    number = [0, 1]
    return said(
        FrameType.SUMMARY, out, seq, "s", "f", "", 0, 1000, 1, *(number,) * 6, [number], 10, 0, 0
    )  # fmt: skip


def asked(session: Session) -> list[tuple[int, list[object]]]:
    """What the session wants to be sent, as the guest reads it."""
    frames = Decoder().feed(session.output())
    return [(frame.type, cbor.loads(frame.body, limit=1 << 20, what="frame")) for frame in frames]


def running(limits: Limits = LIMITS) -> Session:
    session = Session(limits, 0.0)
    session.hello("unit", 1 << 22, {}, 0.0)
    (ready,) = session.receive(said(FrameType.READY, *READY), 0.1)
    assert isinstance(ready, ReadyEvent)
    assert session.begin(0.1) == [RunningEvent(0, 0)]
    assert [kind for kind, _ in asked(session)] == [FrameType.HELLO]
    return session


def breach(session: Session, data: bytes, now: float = 1.0) -> str:
    *_, last = session.receive(data, now)
    assert isinstance(last, ContractBreach), last
    assert session.dead
    assert session.receive(said(FrameType.ACK, 1, 0), now) == []
    return last.words


def test_hello_comes_first_and_once() -> None:
    session = Session(LIMITS, 0.0)
    with pytest.raises(LocalProtocolError):
        session.input(1, 1, 0.0)
    session.hello("unit", 4096, {"a": 1}, 0.0)
    assert asked(session) == [(FrameType.HELLO, [1, "unit", 4096, {"a": 1}])]
    with pytest.raises(LocalProtocolError):
        session.hello("unit", 4096, {}, 0.0)


def test_a_state_is_restored_before_input() -> None:
    session = Session(LIMITS, 0.0)
    session.hello("unit", 4096, {}, 0.0)
    session.receive(said(FrameType.READY, *READY), 0.0)
    session.output()
    session.restore(10, 3, b"state", 0.0)
    assert asked(session) == [(FrameType.STATE, [1, 10, 3, 0, 1, b"state"])]
    assert session.room == 0
    assert session.receive(said(FrameType.ACK, 10, 3), 0.5) == [RunningEvent(10, 3)]
    session.input(50, 12, 0.5)
    events = session.receive(summary(4, 11) + said(FrameType.ACK, 12, 4), 0.6)
    assert [type(event) for event in events] == [OutputEvent, AckEvent]


def test_a_restored_guest_must_be_where_its_state_was() -> None:
    session = Session(LIMITS, 0.0)
    session.hello("unit", 4096, {}, 0.0)
    session.receive(said(FrameType.READY, *READY), 0.0)
    session.restore(10, 3, b"", 0.0)
    assert "restored to input 9" in breach(session, said(FrameType.ACK, 9, 3))


def test_outputs_keep_their_bytes() -> None:
    session = running()
    session.input(100, 1, 0.2)
    frame = summary(1, 1)
    (output,) = session.receive(frame, 0.3)
    assert isinstance(output, OutputEvent)
    assert (output.type, output.body) == (FrameType.SUMMARY, frame[12:])


def test_window_is_given_back_by_acks_of_whole_chunks() -> None:
    session = running()
    session.input(600, 5, 0.2)
    session.input(424, 9, 0.2)
    assert session.room == 0
    assert session.receive(said(FrameType.ACK, 7, 0), 0.9) == [AckEvent(7, 0)]
    assert (session.room, session.unacknowledged) == (600, 424)


def test_window_grows_for_a_quick_guest_and_shrinks_for_a_slow_one() -> None:
    session = running()
    seq, now = 0, 1.0
    for _ in range(5):
        seq, now = seq + 1, now + 0.01
        session.input(session.room, seq, now)
        session.receive(said(FrameType.ACK, seq, 0), now)
    assert session.room == LIMITS.window == 4096
    for _ in range(10):
        seq, now = seq + 1, now + 5
        session.input(session.room, seq, now - 5)
        session.receive(said(FrameType.ACK, seq, 0), now)
    assert session.room == LIMITS.least_window


def test_checkpoint_comes_in_pieces() -> None:
    session = running()
    session.input(10, 4, 0.2)
    assert session.checkpoint(0.2)
    assert not session.checkpoint(0.2), "one at a time"
    ((_, [ident]),) = asked(session)
    session.receive(said(FrameType.ACK, 4, 0), 0.3)
    assert session.receive(said(FrameType.STATE, ident, 4, 0, 0, 2, b"ab"), 0.3) == []
    assert session.receive(said(FrameType.STATE, ident, 4, 0, 1, 2, b"c"), 0.3) == [
        CheckpointDone(ident, 4, 0, b"abc")
    ]


def test_draining_takes_no_input_and_ends_with_the_last_ack() -> None:
    session = running()
    session.input(10, 4, 0.2)
    session.drain()
    assert session.room == 0
    with pytest.raises(LocalProtocolError):
        session.input(10, 5, 0.2)
    assert not session.drained
    session.receive(said(FrameType.ACK, 4, 0), 0.3)
    assert session.drained


def test_log_lines_are_bounded_and_printable() -> None:
    session = running()
    line = said(FrameType.LOG, 1, "a\x1b[2Jb")
    assert session.receive(line * 5, 1.5) == [LogEvent(1, "a\ufffd[2Jb", 0)] * 2
    assert session.receive(line, 2.6) == [LogEvent(1, "a\ufffd[2Jb", 3)]


def test_log_bytes_are_bounded() -> None:
    session = running()
    line = said(FrameType.LOG, 1, "\u00e9" * 40)
    assert [event.dropped for event in session.receive(line * 3, 1.5)] == [0]
    assert [event.dropped for event in session.receive(line, 3.0)] == [2]


def test_a_guest_that_says_too_much_is_paused() -> None:
    session = running()
    assert session.receive(encode(FrameType.ECHO, b"") * 40, 1.0)
    assert session.pause(1.0) == 0
    *_, told = session.receive(encode(FrameType.ECHO, b"") * 20, 1.0)
    assert isinstance(told, ThrottledEvent)
    assert session.pause(1.0) == pytest.approx(0.2)
    assert session.pause(1.21) == 0
    assert session.throttled_s == pytest.approx(0.2)


def test_silence_while_nobody_reads_is_no_hang() -> None:
    session = running(replace(LIMITS, ping_s=0.2, hang_s=0.5))
    now, last = 1.0, None
    for _ in range(100):
        *_, last = session.receive(encode(FrameType.ECHO, b"") * 50, now)
        if session.dead:
            break
        while pause := session.pause(now):
            assert session.on_time(now) == []
            now += pause
    assert isinstance(last, ContractBreach)
    assert now > 2, "its answer to the ping wasn't read for longer than hang_s"


def test_a_guest_that_goes_on_saying_too_much_breaks_its_contract() -> None:
    session = running()
    assert "more than 100 frames a second that no input explains, for 2 s" in breach(
        session, encode(FrameType.ECHO, b"") * 241
    )


def test_a_state_that_was_asked_for_is_not_too_much() -> None:
    session = running(replace(LIMITS, state=1 << 20))
    session.checkpoint(0.2)
    ((_, [ident]),) = asked(session)
    for index in range(60):
        session.receive(said(FrameType.STATE, ident, 0, 0, index, 100, bytes(10_000)), 0.3)
        assert session.pause(0.3) == 0


def test_echo_spin_and_reject() -> None:
    session = running()
    session.input(10, 3, 0.2)
    session.spin(1000)
    assert asked(session) == [(FrameType.SPIN, [1000])]
    data = encode(FrameType.ECHO, b"\x01") + said(FrameType.REJECT, 2, 4, 0) + said(FrameType.SPUN, 1000, 7)
    assert session.receive(data, 0.3) == [EchoEvent(b"\x01"), RejectEvent(2, 4, 0), SpunEvent(1000)]


def test_refusal_says_why() -> None:
    session = Session(LIMITS, 0.0)
    session.hello("unit", 4096, {}, 0.0)
    assert session.receive(said(FrameType.REFUSED, "series", 10, 5), 0.1) == [RefusedEvent("series", 10, 5)]
    assert session.dead


LIES = {
    "output skipped a number": summary(2, 1),
    "output for input that was never given": summary(1, 4),
    "output for input 0": summary(1, 0),
    "ack of input that was never given": said(FrameType.ACK, 4, 0),
    "ack of nothing": said(FrameType.ACK, 0, 0),
    "ack of an output that was never said": said(FrameType.ACK, 1, 1),
    "the same ack again": said(FrameType.ACK, 2, 0) * 2,
    "reject of the future": said(FrameType.REJECT, 9, 1, 0),
    "reject twice": said(FrameType.REJECT, 2, 1, 0) * 2,
    "ready again": said(FrameType.READY, *READY),
    "refused too late": said(FrameType.REFUSED, "no", 0, 0),
    "pong unasked": said(FrameType.PONG, 1, 3),
    "state unasked": said(FrameType.STATE, 1, 3, 0, 0, 1, b"x"),
    "spun unasked": said(FrameType.SPUN, 5, 5),
    "an agent's frame": said(FrameType.HELLO, 1, "u", 1, {}),
    "unknown frame": said(0x77, 1),
    "no CBOR": encode(FrameType.ACK, b"\xff"),
    "a line that is too long": said(FrameType.LOG, 1, "x" * 241),
    "a level that isn't one": said(FrameType.LOG, 4, "x"),
    "garbage": b"\x00" * 65,
    "a flood of bytes": encode(FrameType.ECHO, bytes(1000)) * 45,
    "a flood of frames": encode(FrameType.ECHO, b"") * 300,
}


@pytest.mark.parametrize("lie", LIES)
def test_lies_end_the_session(lie: str) -> None:
    session = running()
    session.input(100, 3, 0.2)
    assert breach(session, LIES[lie])


def test_a_state_must_be_whole_and_within_bounds() -> None:
    for pieces in (
        [(4, 0, 1, 2, b"a")],  # starts with the second piece
        [(3, 0, 0, 1, b"a")],  # after another input
        [(4, 1, 0, 1, b"a")],  # after another output
        [(4, 0, 0, 2, b"a"), (4, 0, 1, 3, b"a")],  # another count
        [(4, 0, 0, 9, b"a" * 600), (4, 0, 1, 9, b"a" * 401)],  # above the bound
        [(4, 0, 0, 9, b"")],  # never ends
    ):
        session = running()
        session.input(10, 4, 0.2)
        session.checkpoint(0.2)
        ((_, [ident]),) = asked(session)
        assert breach(session, b"".join(said(FrameType.STATE, ident, *piece) for piece in pieces))


def test_answers_come_in_order() -> None:
    session = running()
    session.input(10, 1, 0.2)
    session.on_time(2.2)
    session.input(10, 2, 2.3)
    assert "before what was asked after 1" in breach(session, said(FrameType.ACK, 2, 0))


def test_ping_when_due_and_pong() -> None:
    session = running()
    assert session.next_deadline() == pytest.approx(2.1)
    assert session.on_time(2.0) == []
    assert asked(session) == []
    session.on_time(2.2)
    ((kind, [token]),) = asked(session)
    assert kind == FrameType.PING
    assert session.next_deadline() == pytest.approx(12.2)
    assert session.receive(said(FrameType.PONG, token, 0), 2.3) == []
    assert session.next_deadline() == pytest.approx(4.2)


@pytest.mark.parametrize("due", ["hello", "state", "ping", "checkpoint", "input"])
def test_silence_is_a_hang_when_an_answer_is_due(due: str) -> None:
    limits = Limits(ping_s=1000 if due in ("input", "checkpoint") else 2)
    session = Session(limits, 0.0)
    session.hello("unit", 4096, {}, 0.0)
    if due != "hello":
        session.receive(said(FrameType.READY, *READY), 0.0)
        if due == "state":
            session.restore(1, 0, b"x", 0.0)
        else:
            session.begin(0.0)
    if due == "checkpoint":
        session.checkpoint(1.0)
    if due == "input":
        session.input(10, 1, 1.0)
    now, events = 0.0, []
    while not events:
        now += 0.5
        assert now < 20
        events = session.on_time(now)
    (hung,) = events
    assert isinstance(hung, HungEvent)
    assert session.dead


def test_pongs_do_not_hide_that_input_is_not_processed() -> None:
    session = running(Limits())
    session.input(10, 1, 0.2)
    now = 0.2
    for _ in range(100):
        now += 0.5
        if events := session.on_time(now):
            assert isinstance(events[0], HungEvent)
            assert now == pytest.approx(10.2, abs=0.6)
            return
        for kind, items in asked(session):
            assert kind == FrameType.PING
            session.receive(said(FrameType.PONG, items[0], 1), now)
    raise AssertionError("never seen")


def test_a_busy_guest_that_makes_progress_is_no_hang() -> None:
    session = running(Limits())
    now = 1.0
    for seq in range(1, 30):
        session.input(10, seq, now)
    for seq in range(1, 30):
        now += 8
        session.on_time(now - 4)
        pings = [items[0] for kind, items in asked(session) if kind == FrameType.PING]
        if seq == 29:
            for token in pings:
                session.receive(said(FrameType.PONG, token, 29), now)
        assert session.on_time(now) == []
        session.receive(said(FrameType.ACK, seq, 0), now)
    assert session.acked == 29


def test_our_own_sleep_is_not_the_guests() -> None:
    session = running(Limits())
    session.input(10, 1, 0.2)
    session.on_time(1.0)
    assert session.on_time(3600.0) == []
    for late in range(9):
        assert session.on_time(3601.0 + late) == []
    assert session.on_time(3610.1) != []


def test_a_slow_guest_gets_time_for_what_it_has() -> None:
    """1 ms a byte: 100 bytes in 0.1 s, so 60 KB take a minute and are no hang."""
    session = running(Limits(window=1 << 20, least_window=1 << 20))
    session.input(100, 1, 1.0)
    session.receive(said(FrameType.ACK, 1, 0), 1.1)
    session.input(60_000, 2, 1.1)
    now = 1.1
    while now < 61:
        now += 1
        assert session.on_time(now) == []
    while not (events := session.on_time(now)):
        now += 1
        assert now < 1.1 + Limits().hang_most_s + 2
    assert isinstance(events[0], HungEvent)


FRAMES = st.sampled_from(
    [
        *LIES.values(),
        summary(1, 1),
        summary(2, 2),
        said(FrameType.ACK, 3, 0),
        said(FrameType.ACK, 3, 1),
        said(FrameType.LOG, 1, "x"),
    ]
)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(FRAMES, st.binary(max_size=200)), max_size=20), st.integers(1, 500))
def test_any_bytes_end_in_events_and_bounds(parts: list[bytes], piece: int) -> None:
    """Whatever comes, in whatever pieces: no exception, numbers never go beyond what was given, memory is bounded."""
    session = running()
    session.input(100, 3, 0.2)
    data, outs = b"".join(parts), []
    for at in range(0, len(data), piece):
        events = session.receive(data[at : at + piece], 1.0)
        outs += [event.message.out for event in events if isinstance(event, OutputEvent)]
        assert session.acked <= session.given == 3
        assert session._decoder.pending <= 12 + 196_608
    assert outs == list(range(1, len(outs) + 1))
    assert session.phase in (Phase.RUNNING, Phase.DEAD)


def test_input_is_accounted_not_parsed() -> None:
    session = running()
    session.input(len(b"anything at all"), 77, 0.2)
    assert (session.given, session.unacknowledged) == (77, 15)
    with pytest.raises(LocalProtocolError):
        session.input(10, 77, 0.2)
    assert messages.tick(1, 1), "framing is the log's business"
