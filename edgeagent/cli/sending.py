"""What `simulate` and `replay` have in common: outboxes, the truth's file, progress, an orderly stop."""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.live import Live
from rich.text import Text

from edgeagent.errors import ConfigError
from edgeagent.host.clock import SystemClock
from edgeagent.quantities import show_duration, show_size
from edgeagent.sim.address import address
from edgeagent.sim.coap_outbox import CoapOutbox
from edgeagent.sim.message import Message, Via
from edgeagent.sim.mqtt_outbox import MqttOutbox
from edgeagent.sim.player import Outbox, Progress, play
from edgeagent.sim.truth import Truth
from edgeagent.sim.truth_file import end_lines, window_line

SHOW_S = 0.25
"""Between two looks at the progress."""


@contextmanager
def stop_on_signals() -> Iterator[threading.Event]:
    """Set by SIGINT and SIGTERM; a second signal ends the program at once."""
    stop = threading.Event()
    before: dict[int, Any] = {}

    def handle(number: int, _frame: object) -> None:
        stop.set()
        signal.signal(number, before[number])

    for wanted in (signal.SIGINT, signal.SIGTERM):
        before[wanted] = signal.signal(wanted, handle)
    try:
        yield stop
    finally:
        for number, old in before.items():
            signal.signal(number, old)


def _shown(progress: Progress, began: float) -> Text:
    passed = max(time.monotonic() - began, 0.001)
    return Text(
        f"{passed:.1f} s  {progress.messages:,} readings  {progress.messages / passed:,.1f}/s  "
        f"{progress.values:,} values  {show_size(progress.bytes)}  {progress.behind:,} ms behind",
        no_wrap=True,
        overflow="ellipsis",
    )


def send(
    messages: Iterable[Message],
    *,
    name: str,
    broker: str | None,
    coap: str | None,
    qos: int,
    truth: Truth,
    truth_path: Path | None,
    horizon: int,
    as_json: bool,
) -> None:
    """Send all messages, write the truth, print what was sent. horizon: ms of event time that windows stay open."""
    progress = Progress()
    with ExitStack() as stack:
        stop = stack.enter_context(stop_on_signals())
        outboxes: dict[Via, Outbox] = {}
        # What is wrong here is told before anybody is spoken to.
        mqtt_at = address(broker, "mqtt", "mqtts") if broker else None
        coap_at = address(coap, "coap") if coap else None
        try:
            file = stack.enter_context(truth_path.open("w", encoding="utf-8")) if truth_path else None
        except OSError as error:
            raise ConfigError(f"cannot be written: {error.strerror}", where=str(truth_path)) from None
        if mqtt_at:
            outboxes[Via.MQTT] = stack.enter_context(MqttOutbox(mqtt_at, name=name, qos=qos))
        if coap_at:
            outboxes[Via.COAP] = stack.enter_context(CoapOutbox(coap_at))
        closed = looked = 0

        def sent(message: Message) -> None:
            nonlocal closed, looked
            truth.add(message)
            newest = max((value.time or 0 for value in message.values), default=0)
            if newest > looked + truth.length:
                looked = newest
                for window in truth.closed(newest - horizon):
                    closed += 1
                    if file:
                        print(window_line(window), file=file)

        began = time.monotonic()
        console = Console(stderr=True)
        if console.is_terminal:
            stack.enter_context(
                Live(
                    get_renderable=lambda: _shown(progress, began),
                    console=console,
                    refresh_per_second=1 / SHOW_S,
                )
            )
        play(messages, outboxes, clock=SystemClock(), stop=stop, sent=sent, progress=progress)
        for window in truth.closed():
            closed += 1
            if file:
                print(window_line(window), file=file)
        if file:
            print(*end_lines(truth), sep="\n", file=file)
        took = time.monotonic() - began
    _report(
        progress, truth, closed, {via.value: box.acknowledged for via, box in outboxes.items()}, took, as_json
    )


def _report(
    progress: Progress, truth: Truth, windows: int, acknowledged: dict[str, int], took: float, as_json: bool
) -> None:
    facts = {
        "readings": progress.messages,
        "values": progress.values,
        "bytes": progress.bytes,
        "seconds": round(took, 3),
        "behind_ms": progress.behind,
        "acknowledged": acknowledged,
        "faults": truth.faults,
        "windows": windows,
        "window_ms": truth.length,
    }
    if as_json:
        json.dump(facts, sys.stdout)
        click.echo()
        return
    click.echo(
        f"{progress.messages} readings with {progress.values} values ({show_size(progress.bytes)}) in {took:.1f} s, "
        f"{progress.messages / max(took, 0.001):.0f}/s; {sum(truth.faults.values())} unreadable on purpose; "
        f"{windows} windows of {show_duration(truth.length)}; at most {progress.behind} ms behind"
    )
