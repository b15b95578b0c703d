"""Core: the conversation with one guest, without I/O: bytes in, events out; ``output`` gives what is to be sent.

The guest is believed nothing: every number it says must be the next one, lie within what it was given, and come only
when it was asked for. What it says of the world is the contract's business, not the session's.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from edgeagent.errors import LocalProtocolError, RemoteProtocolError
from edgeagent.wire import messages
from edgeagent.wire.frame import Decoder, Frame, FrameType
from edgeagent.wire.messages import (
    Ack,
    Log,
    Message,
    Pong,
    Ready,
    Refused,
    Reject,
    Report,
    Spun,
    State,
    Summary,
)

from .events import (
    AckEvent,
    CheckpointDone,
    ContractBreach,
    EchoEvent,
    Event,
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
from .limits import Limits
from .ring import plain
from .throttle import Throttle
from .window import Window

MAX_APP = 32
MAX_LOG = 240
MAX_REASON = 200
MAX_LEVEL = 3
LATE = 2
"""Times ping_s: when we look that rarely, we are the ones who are held up."""
BUILD = 32


class Phase(enum.StrEnum):
    """Where the conversation is."""

    STARTING = "starting"
    HELLO_SENT = "hello-sent"
    READY = "ready"
    RESTORING = "restoring"
    RUNNING = "running"
    DRAINING = "draining"
    DEAD = "dead"


@dataclass(slots=True)
class _Ping:
    token: int
    at: float
    after: int
    """Last input given before it."""


@dataclass(slots=True)
class _Checkpoint:
    ident: int
    at: float
    after: int
    out: int = -1
    count: int = 0
    size: int = 0
    pieces: list[bytes] = field(default_factory=list)


class Session:
    """One guest from its start to its end; a restarted guest gets a new session.

    Times are monotonic seconds, given by the caller. LocalProtocolError is raised when the phase doesn't allow a call.
    """

    def __init__(self, limits: Limits, now: float) -> None:
        self.phase = Phase.STARTING
        self.acked = 0
        self.given = 0
        self.out = 0
        self.log_dropped = 0
        self._limits = limits
        self._decoder = Decoder()
        self._output: list[bytes] = []
        self._window = Window(limits)
        self._entered = now
        self._progress = now
        """When the guest last did a piece of its work."""
        self._looked = now
        self._pinged = now
        self._ping: _Ping | None = None
        self._checkpoint: _Checkpoint | None = None
        self._spinning: int | None = None
        self._tokens = 0
        self._throttle = Throttle(limits, now)
        self._throttled = False
        self._said = self._said_frames = 0
        """Since the last look at the throttle, states that were asked for left out."""
        self._rejected = 0
        self._log_second = now
        self._log_used = self._log_bytes = 0

    @property
    def dead(self) -> bool:
        """Nothing more is said or heard."""
        return self.phase is Phase.DEAD

    # ---- what the owner asks for -------------------------------------------------------------------------------

    def hello(self, unit: str, memory: int, config: Mapping[str, Any], now: float) -> None:
        """Introduce the unit; memory: bytes of guest RAM."""
        self._require(Phase.STARTING)
        self._output.append(messages.hello(unit, memory, config))
        self._enter(Phase.HELLO_SENT, now)

    def restore(self, seq: int, out: int, state: bytes, now: float) -> None:
        """Give a fresh guest its state after input seq and output out."""
        self._require(Phase.READY)
        self._restore(seq, out, (state,), now)

    def take_over(
        self, seq: int, out: int, states: Sequence[bytes], shard: tuple[int, int], now: float
    ) -> None:
        """Give a fresh guest its part of other guests' states after input seq; shard: index and count."""
        self._require(Phase.READY)
        self._output.append(messages.shard(*shard, len(states)))
        self._restore(seq, out, states, now)

    def _restore(self, seq: int, out: int, states: Sequence[bytes], now: float) -> None:
        self._output += (messages.restore(self._token(), seq, out, state) for state in states)
        self.acked = self.given = self._rejected = seq
        self.out = out
        self._enter(Phase.RESTORING, now)

    def begin(self, now: float) -> list[Event]:
        """Run without a state: input begins at 1."""
        self._require(Phase.READY)
        return self._run(now)

    @property
    def room(self) -> int:
        """Bytes of input that may be given now."""
        return self._window.room if self.phase is Phase.RUNNING else 0

    @property
    def unacknowledged(self) -> int:
        """Bytes of input that wait for an ack."""
        return self._window.unacknowledged

    def input(self, size: int, last_seq: int, now: float) -> None:
        """Whole frames of that many bytes, up to last_seq, are being sent. They are not copied or looked at."""
        self._require(Phase.RUNNING)
        if last_seq <= self.given:
            raise LocalProtocolError(f"input {last_seq} was given already")
        self.given = last_seq
        self._window.give(last_seq, size, now)
        self._throttle.given(size)

    def checkpoint(self, now: float) -> bool:
        """Ask for the state; False when it can't be given now."""
        if self.phase is not Phase.RUNNING or self._checkpoint:
            return False
        self._checkpoint = _Checkpoint(self._token(), now, self.given)
        self._output.append(messages.checkpoint(self._checkpoint.ident))
        return True

    @property
    def state_asked(self) -> bool:
        """A state is due."""
        return self._checkpoint is not None

    def drain(self) -> None:
        """Take no more input. Once ``drained``, everything given is processed and said."""
        self._require(Phase.RUNNING)
        self.phase = Phase.DRAINING

    @property
    def drained(self) -> bool:
        """Nothing is due any more."""
        return self.acked == self.given and self._checkpoint is None

    def spin(self, iterations: int) -> None:
        """Ask for a calibration loop."""
        self._require(Phase.RUNNING)
        self._spinning = iterations
        self._output.append(messages.spin(iterations))

    def output(self) -> bytes:
        """What is to be sent now, before any further input."""
        data = b"".join(self._output)
        self._output.clear()
        return data

    def _token(self) -> int:
        self._tokens += 1
        return self._tokens

    def _require(self, phase: Phase) -> None:
        if self.phase is not phase:
            raise LocalProtocolError(f"the session is {self.phase}, not {phase}")

    # ---- time --------------------------------------------------------------------------------------------------

    @property
    def _running(self) -> bool:
        return self.phase in (Phase.RUNNING, Phase.DRAINING)

    @property
    def _patience(self) -> float:
        return self._window.patience if self._running else self._limits.start_s

    def _asked_at(self) -> float | None:
        """When the oldest thing was asked for that is still due."""
        if self.phase in (Phase.HELLO_SENT, Phase.RESTORING):
            return self._entered
        if not self._running:
            return None
        asked = [due.at for due in (self._ping, self._checkpoint) if due]
        if self._window.since is not None:
            asked.append(self._window.since)
        return min(asked, default=None)

    def next_deadline(self) -> float | None:
        """When ``on_time`` wants to be called, at the latest; None when never."""
        asked = self._asked_at()
        deadlines = [] if asked is None else [max(asked, self._progress) + self._patience]
        if self._running and not self._ping:
            deadlines.append(self._pinged + self._limits.ping_s)
        return min(deadlines, default=None)

    def on_time(self, now: float) -> list[Event]:
        """Time has come to now: ping when it is due, or see that the guest hangs."""
        slept, self._looked = now - self._looked, now
        asked = self._asked_at()
        if asked is not None and now >= max(asked, self._progress) + self._patience:
            if slept < LATE * self._limits.ping_s:
                return self._die(HungEvent(self._silence()))
            # Stopped, or starved: what the guest said may still be unread. It gets its time again.
            self._progress = now
        if self._running and not self._ping and now >= self._pinged + self._limits.ping_s:
            self._ping = _Ping(self._token(), now, self.given)
            self._pinged = now
            self._output.append(messages.ping(self._ping.token))
        return []

    def _silence(self) -> str:
        match self.phase:
            case Phase.HELLO_SENT:
                awaited = "answer to hello"
            case Phase.RESTORING:
                awaited = "answer to its state"
            case _ if self._window.since is not None:
                awaited = f"acknowledgement of input {self.acked + 1} to {self.given}"
            case _:
                awaited = f"answer to {'ping' if self._ping else 'checkpoint'} after input {self.acked}"
        return f"no {awaited} within {self._patience:g} s"

    # ---- what the guest says -----------------------------------------------------------------------------------

    def receive(self, data: bytes, now: float) -> list[Event]:
        """Bytes from the channel, in any pieces. A dead session hears nothing."""
        events: list[Event] = []
        if self.dead:
            return events
        self._said = len(data)
        self._said_frames = 0
        try:
            for frame in self._decoder.feed(data):
                events += self._take(frame, now)
                if self.phase is Phase.DEAD:
                    return events
            self._throttle.said(self._said_frames, self._said, self._window.unacknowledged, now)
            self._within_bounds()
        except RemoteProtocolError as error:
            events += self._die(ContractBreach(error.what))
        else:
            if self._throttle.behind and not self._throttled:
                self._throttled = True
                events.append(ThrottledEvent("it says more than its input explains, and is read more slowly"))
        return events

    def _within_bounds(self) -> None:
        if self._decoder.skipped > self._limits.garbage:
            raise RemoteProtocolError(f"{self._decoder.skipped} bytes that belong to no frame")
        if words := self._throttle.excess:
            raise RemoteProtocolError(words)

    def pause(self, now: float) -> float:
        """Seconds for which nothing should be received, because the guest says too much; 0.0 for none.

        Meanwhile nothing is expected of it: what it said may be still unread.
        """
        pause = self._throttle.pause(now)
        if pause:
            self._progress = max(self._progress, now + pause)
        return pause

    @property
    def throttled_s(self) -> float:
        """How long the guest was held back."""
        return self._throttle.paused_s

    def throttled(self, now: float) -> bool:
        """Whether the guest is being held back."""
        return self._throttle.throttled(now)

    def closed(self) -> None:
        """The channel is gone."""
        self.phase = Phase.DEAD

    def _die(self, event: Event) -> list[Event]:
        self.phase = Phase.DEAD
        self._output.clear()
        return [event]

    def _enter(self, phase: Phase, now: float) -> None:
        self.phase = phase
        self._entered = self._progress = self._looked = now

    def _run(self, now: float) -> list[Event]:
        self._enter(Phase.RUNNING, now)
        self._pinged = now
        return [RunningEvent(self.acked, self.out)]

    def _take(self, frame: Frame, now: float) -> list[Event]:
        self._said_frames += 1
        if frame.type == FrameType.ECHO:
            self._speaking("echo")
            return [EchoEvent(frame.body)]
        return self._hear(messages.parse(frame.type, frame.body), frame, now)

    def _hear(self, message: Message, frame: Frame, now: float) -> list[Event]:
        match message:
            case Summary() | Report():
                return self._take_output(message, frame)
            case Ack(seq, out):
                return self._take_ack(seq, out, now)
            case Reject(seq, reason, offset):
                self._speaking("reject")
                self._answers("reject", seq)
                if seq <= self._rejected:
                    raise RemoteProtocolError(f"reject of {seq} after that of {self._rejected}")
                self._rejected = seq
                return [RejectEvent(seq, reason, offset)]
            case Pong(token, seq):
                return self._take_pong(token, seq)
            case State():
                return self._take_state(message, now)
            case Log(level, text):
                return self._take_log(level, text, now)
            case Ready():
                if self.phase is not Phase.HELLO_SENT:
                    raise RemoteProtocolError("ready, and no hello to answer")
                if (
                    message.abi != messages.ABI
                    or len(message.build) != BUILD
                    or not 0 < len(message.app) <= MAX_APP
                ):
                    raise RemoteProtocolError(f"ready isn't one of ABI {messages.ABI}")
                self._enter(Phase.READY, now)
                return [ReadyEvent(message)]
            case Refused(reason, needed, available):
                if self.phase not in (Phase.HELLO_SENT, Phase.RESTORING):
                    raise RemoteProtocolError(f"refused, and nothing was offered: {reason}")
                return self._die(RefusedEvent(plain(reason)[:MAX_REASON], needed, available))
            case Spun(iterations, _):
                if iterations != self._spinning:
                    raise RemoteProtocolError(f"spun {iterations}, and wasn't asked to")
                self._spinning = None
                return [SpunEvent(iterations)]

    def _speaking(self, what: str) -> None:
        if self.phase not in (Phase.RUNNING, Phase.DRAINING):
            raise RemoteProtocolError(f"{what} while {self.phase}")

    def _answers(self, what: str, seq: int) -> None:
        """The input must be an input that was given and not yet acknowledged."""
        if not self.acked < seq <= self.given:
            raise RemoteProtocolError(f"{what} for input {seq}, of {self.acked + 1} to {self.given}")

    def _take_output(self, message: Summary | Report, frame: Frame) -> list[Event]:
        self._speaking("output")
        if message.out != self.out + 1:
            raise RemoteProtocolError(f"output {message.out} after {self.out}")
        self._answers("output", message.seq)
        self.out = message.out
        return [OutputEvent(message, frame.type, frame.body)]

    def _take_ack(self, seq: int, out: int, now: float) -> list[Event]:
        if self.phase is Phase.RESTORING:
            if (seq, out) != (self.given, self.out):
                raise RemoteProtocolError(
                    f"restored to input {seq} and output {out}, not {self.given} and {self.out}"
                )
            return self._run(now)
        self._speaking("ack")
        self._answers("ack", seq)
        if out != self.out:
            raise RemoteProtocolError(f"ack of output {out} after output {self.out}")
        for due in (self._ping, self._checkpoint):
            if due and seq > due.after:
                raise RemoteProtocolError(f"ack of input {seq} before what was asked after {due.after}")
        self.acked = seq
        self._progress = now
        self._window.acknowledge(seq, now)
        return [AckEvent(seq, out)]

    def _take_pong(self, token: int, seq: int) -> list[Event]:
        if not self._ping or token != self._ping.token:
            raise RemoteProtocolError(f"pong {token}, and wasn't asked")
        if seq != self._ping.after:
            raise RemoteProtocolError(f"pong at input {seq}, and {self._ping.after} were given before")
        if self._checkpoint and self._checkpoint.ident < token:
            raise RemoteProtocolError(f"pong {token} before the state that was asked earlier")
        self._ping = None
        return []

    def _take_state(self, state: State, now: float) -> list[Event]:
        asked = self._checkpoint
        if asked is None or state.ident != asked.ident:
            raise RemoteProtocolError(f"state {state.ident}, and wasn't asked for it")
        if not asked.pieces:
            asked.count, asked.out = state.count, self.out
        expected = (asked.after, asked.out, len(asked.pieces), asked.count)
        if (state.seq, state.out, state.index, state.count) != expected or self.out != asked.out:
            raise RemoteProtocolError(f"piece {state.index} of the state isn't the one that follows")
        asked.size += len(state.piece)
        if asked.size > self._limits.state or not state.piece:
            raise RemoteProtocolError(f"state of {asked.size} bytes; the limit is {self._limits.state}")
        asked.pieces.append(state.piece)
        self._said -= len(state.piece)
        self._said_frames -= 1
        self._progress = now
        if len(asked.pieces) < asked.count:
            return []
        self._checkpoint = None
        return [CheckpointDone(asked.ident, asked.after, asked.out, b"".join(asked.pieces))]

    def _take_log(self, level: int, text: str, now: float) -> list[Event]:
        size = len(text.encode())
        if level > MAX_LEVEL or size > MAX_LOG:
            raise RemoteProtocolError(f"log line of level {level} and {len(text)} characters")
        if now >= self._log_second + 1:
            self._log_second, self._log_used, self._log_bytes = now, 0, 0
        if self._log_used >= self._limits.log_lines or self._log_bytes + size > self._limits.log_bytes:
            self.log_dropped += 1
            return []
        self._log_used += 1
        self._log_bytes += size
        dropped, self.log_dropped = self.log_dropped, 0
        return [LogEvent(level, plain(text), dropped)]
