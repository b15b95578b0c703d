"""Core: plays a crash's input to a guest again, and says whether it ended as before.

What was acknowledged before is given in one go, what the guest had when it ended one by one: so the input at which it
ends is known. Pings, and when each piece of input came, aren't replayed: a guest's state doesn't depend on them.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from edgeagent.errors import DamagedError
from edgeagent.guest.events import AckEvent, CheckpointDone, Event, OutputEvent
from edgeagent.guest.limits import Limits
from edgeagent.guest.owner import Evidence, Hello, Saved, Status, Takeover
from edgeagent.ingest.topics import TopicPolicy
from edgeagent.unit.outbox import Counts, Outbox
from edgeagent.unit.settings import contract_of
from edgeagent.vmm.crash import Crash
from edgeagent.wire import cbor

from .case import Case
from .inputs import Input, inputs, newest_arrival
from .record import Record, Start, plain_words

NEVER_S = 1e6
"""Longer than anybody sits at a debugger."""


@dataclass(frozen=True, slots=True)
class _Start:
    seq: int
    out: int
    state: bytes


class Player:
    """Owns the guest that is played to. Implements guest.Owner; DamagedError for input that isn't what a log has."""

    def __init__(self, case: Case) -> None:
        self.record = case.record
        self.inputs = tuple(inputs(case.parts.get("input", b"")))
        self.acked = self.given = self._begin = case.record.start.seq
        self.stated = False
        """It answered with a state."""
        start = case.record.start
        self._start = _start(start, case.parts.get("state", b""))
        self._arrived = newest_arrival(list(self.inputs))
        policy = TopicPolicy(start.topics) if start.topics else None
        allows = policy.allows if policy else lambda _topic: True
        try:
            contract = contract_of(dict(start.config), allows)
        except (KeyError, TypeError) as error:
            raise DamagedError(f"the crash's configuration is damaged: {error}") from None
        self._outbox = Outbox(contract, Counts(), start.out, NEVER_S, len(self.inputs))

    @property
    def through(self) -> bool:
        """The guest has taken everything."""
        return self.acked >= (self.inputs[-1].seq if self.inputs else self._begin)

    # ---- guest.Owner ---------------------------------------------------------------------------------------------

    def hello(self) -> Hello:
        """As then."""
        return Hello(self.record.unit, self.record.machine.memory, self.record.start.config)

    def checkpoint(self) -> Saved | Takeover | None:
        """As then."""
        return self._start

    def input_after(self, seq: int) -> _Feed:
        """The input; seq is that of the checkpoint."""
        return _Feed(self, seq)

    def on_event(self, event: Event) -> None:
        """Hold it to its contract, as the unit did."""
        match event:
            case OutputEvent(message, kind, body):
                self._outbox.take(message, kind, body, self._arrived, 0.0)
                self._outbox.stored(self._outbox.last, 0.0)
            case AckEvent(seq, _):
                self.acked = seq
            case CheckpointDone():
                self.stated = True

    def on_state(self, status: Status) -> None:
        """Of no interest."""

    def on_end(self, evidence: Evidence) -> None:
        """Judged by ``judge``."""


def _start(start: Start, state: bytes) -> Saved | Takeover | None:
    if start.shard and state:
        states = cbor.loads(state, limit=len(state), what="the crash's state")
        if len(start.shard) != 2 or not isinstance(states, list) or {type(one) for one in states} != {bytes}:
            raise DamagedError("the crash's state is none of several guests")
        return Takeover(start.seq, start.out, tuple(states), (start.shard[0], start.shard[1]))
    if not (start.seq or start.out or state):
        return None
    return _Start(start.seq, start.out, state)


class _Feed:
    """Implements guest.owner.InputReader."""

    def __init__(self, player: Player, after: int) -> None:
        self.last_seq = after
        self._player = player
        self._at = 0

    def read(self, max_bytes: int) -> bytes:
        """Whole frames; b"" until what was given alone is acknowledged."""
        player, size = self._player, 0
        taken: list[bytes] = []
        while self._at < len(player.inputs):
            one = player.inputs[self._at]
            size += len(one.data)
            alone = one.seq > player.record.acked
            if (alone and player.acked < self.last_seq) or (taken and (alone or size > max_bytes)):
                break
            taken.append(one.data)
            self._at += 1
            player.given = self.last_seq = one.seq
        return b"".join(taken)

    def close(self) -> None:
        """Nothing to give back."""


def limits_of(record: Record, *, patient: bool = False) -> Limits:
    """What the guest was held to. patient: a person stops it now and then."""
    known = {one.name for one in fields(Limits)}
    told = record.start.limits.items()
    given = {name: value for name, value in told if name in known and type(value) in (int, float)}
    limits = Limits(**given)
    if patient:
        limits = replace(limits, start_s=NEVER_S, ping_s=NEVER_S, hang_s=NEVER_S, hang_most_s=NEVER_S)
    return limits


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of a replay. first, last: the input at which the guest ended lies between them; 0 where it didn't."""

    reproduced: bool
    words: str
    crash: Crash | None = None
    first: int = 0
    last: int = 0

    @property
    def at(self) -> str:
        """Where it ended, in words."""
        if self.last < self.first or not self.last:
            return "before any input"
        return f"at input {self.last}" if self.first == self.last else f"at input {self.first} to {self.last}"


def judge(player: Player, evidence: Evidence | None) -> Verdict:
    """evidence: None when the guest took everything and goes on."""
    record = player.record
    if evidence is None:
        taken = f"took all of its {len(player.inputs):,} inputs" if player.inputs else "started"
        return Verdict(reproduced=False, words=f"the guest {taken}, and goes on")
    crash = evidence.crash
    same = crash.kind == record.kind and _alike(record, crash.words)
    first = next((one.first for one in player.inputs if one.seq > player.acked), 0)
    ended = Verdict(same, "", crash, first, player.given if player.given > player.acked else 0)
    words = f"the same end {ended.at}" if same else f"another end {ended.at}"
    return replace(ended, words=f"{words}: {crash.words}")


def _alike(record: Record, words: str) -> bool:
    """A guest's own panic is the same to the letter; what we say of one has numbers of this one time."""
    if record.panic and not record.start.fresh:
        return words == record.words
    return plain_words(words) == plain_words(record.words)


def fatal(player: Player, verdict: Verdict) -> Input | None:
    """The one input at which the guest ended, where it is known."""
    if verdict.crash is None or verdict.first != verdict.last:
        return None
    return next((one for one in player.inputs if one.seq == verdict.last), None)
