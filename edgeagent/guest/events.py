"""What a session tells its owner."""

from __future__ import annotations

from dataclasses import dataclass

from edgeagent.wire.messages import Ready, Report, Summary


@dataclass(frozen=True, slots=True)
class ReadyEvent:
    """The guest took hello. Input follows, or a checkpoint of the same app and state version."""

    ready: Ready


@dataclass(frozen=True, slots=True)
class RunningEvent:
    """The guest takes input after seq; its next output is out + 1."""

    seq: int
    out: int


@dataclass(frozen=True, slots=True)
class OutputEvent:
    """A summary or report; type and body are the frame's, as the guest sent them. Its number is the next one."""

    message: Summary | Report
    type: int
    body: bytes


@dataclass(frozen=True, slots=True)
class AckEvent:
    """Input through seq is processed, and everything through out was said."""

    seq: int
    out: int


@dataclass(frozen=True, slots=True)
class RejectEvent:
    """The payload of reading seq contributed nothing; offset is in bytes."""

    seq: int
    reason: int
    offset: int


@dataclass(frozen=True, slots=True)
class LogEvent:
    """A line of the guest's log. dropped: lines before it that were too many."""

    level: int
    text: str
    dropped: int


@dataclass(frozen=True, slots=True)
class CheckpointDone:
    """The guest's whole state after input seq and output out."""

    ident: int
    seq: int
    out: int
    state: bytes


@dataclass(frozen=True, slots=True)
class EchoEvent:
    """Body of a reading that came back (app echo)."""

    body: bytes


@dataclass(frozen=True, slots=True)
class SpunEvent:
    """A calibration loop came to its end."""

    iterations: int


@dataclass(frozen=True, slots=True)
class RefusedEvent:
    """The guest can't take hello or the state; the session is dead. needed and available: bytes, or 0."""

    reason: str
    needed: int
    available: int


@dataclass(frozen=True, slots=True)
class ThrottledEvent:
    """The guest says too much and is read more slowly; told once of a guest."""

    words: str


@dataclass(frozen=True, slots=True)
class ContractBreach:
    """The guest said what the protocol doesn't allow; the session is dead."""

    words: str


@dataclass(frozen=True, slots=True)
class HungEvent:
    """The guest didn't answer in time; the session is dead."""

    words: str


Event = (
    ReadyEvent
    | RunningEvent
    | OutputEvent
    | AckEvent
    | RejectEvent
    | LogEvent
    | CheckpointDone
    | EchoEvent
    | SpunEvent
    | RefusedEvent
    | ThrottledEvent
    | ContractBreach
    | HungEvent
)
