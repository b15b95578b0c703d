"""`edgeagent replay`: recorded time series as MQTT and CoAP messages."""

from __future__ import annotations

import gzip
import itertools
import lzma
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

import click

from edgeagent.errors import ConfigError, DamagedError
from edgeagent.host.clock import SystemClock
from edgeagent.sim.message import Via
from edgeagent.sim.recorded import FORMS, Playing, recorded
from edgeagent.sim.table import MAX_LINE, Layout, Row, filled, rows, template_labels
from edgeagent.sim.truth import Truth

from .durations import at_least
from .quantiles import per_mille
from .sending import send
from .words import examples

HORIZON_MS = 3_600_000
"""How far behind the newest event a window of the truth is still open."""

ROOMS = (
    "edgeagent replay run1.csv --columns EID,AbsT,RelT,node,T,RH,L1,L2,occ,act,door,win --time AbsT --time-unit ms "
    "--fields T,RH --topic 'room/{node}' --broker mqtt://127.0.0.1 --speed max"
)
AIR = (
    "edgeagent replay AirQualityUCI.csv --delimiter ';' --decimal , --missing -200 --time Date,Time "
    "--time-unit '%d/%m/%Y %H.%M.%S' --topic air/1 --coap coap://127.0.0.1 --payload senml-cbor"
)

OPENERS: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".xz": lzma.open}


def speed(text: str) -> float:
    """A click type: max (read as 0) or a number above 0."""
    if text == "max":
        return 0
    try:
        number = float(text)
    except ValueError:
        number = 0
    if not 0 < number < float("inf"):
        raise click.BadParameter(f"{text!r} is neither max nor a number above 0")
    return number


def names(text: str) -> tuple[str, ...]:
    """A click type: names with commas between them."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


@contextmanager
def lines_of(path: Path) -> Iterator[Iterator[str]]:
    """The lines of a file, unpacked if it ends in .gz or .xz; - is standard input."""
    with ExitStack() as stack:
        try:
            opener = OPENERS.get(path.suffix, open)
            file: IO[str] = (
                sys.stdin
                if str(path) == "-"
                else stack.enter_context(opener(path, "rt", encoding="utf-8-sig"))
            )
        except OSError as error:
            raise ConfigError(f"cannot be read: {error.strerror}", where=str(path)) from None
        yield iter(lambda: file.readline(MAX_LINE + 1), "")


def all_rows(paths: tuple[Path, ...], layout: Layout) -> Iterator[Row]:
    """Rows of all files, one after the other."""
    for path in paths:
        try:
            with lines_of(path) as lines:
                yield from rows(lines, layout, str(path))
        except (OSError, EOFError, UnicodeDecodeError, lzma.LZMAError) as error:
            raise DamagedError(f"cannot be read to its end: {error}", where=str(path)) from None


@click.command(epilog=examples(ROOMS, AIR))
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--broker", metavar="URL", help="mqtt:// or mqtts:// address of the broker.")
@click.option(
    "--coap", metavar="URL", help="coap:// address; with --broker each source takes one of the two ways."
)
@click.option(
    "--topic", required=True, help="Topic or CoAP path; {COLUMN} stands for what the row has there."
)
@click.option("--time", required=True, type=names, metavar="COLUMN[,COLUMN]", help="Where the event time is.")
@click.option(
    "--time-unit",
    default="iso",
    show_default=True,
    help="ms, s, iso, or a format such as '%d/%m/%Y %H:%M:%S'.",
)
@click.option(
    "--columns", type=names, default="", help="Names of the columns, if the files' first line has none."
)
@click.option("--fields", type=names, default="", help="Columns to send; default: all but time and topic.")
@click.option(
    "--missing", multiple=True, metavar="TEXT", help="Stands for no value, such as -200; may be repeated."
)
@click.option("--delimiter", metavar="TEXT", default=",", show_default=True, help="Between columns.")
@click.option(
    "--decimal", type=click.Choice([".", ","]), default=".", show_default=True, help="Decimal mark."
)
@click.option(
    "--payload",
    "form",
    type=click.Choice([*FORMS]),
    default="json",
    show_default=True,
    help="What rows are sent as.",
)
@click.option(
    "--speed", type=speed, default="1", show_default=True, help="Recorded seconds per second, or max."
)
@click.option("--from-now", is_flag=True, help="Move times, so that the first row is of now.")
@click.option("--limit", metavar="COUNT", type=click.IntRange(1), help="Most rows to play.")
@click.option(
    "--qos", type=click.Choice(["0", "1"]), default="1", show_default=True, help="MQTT quality of service."
)
@click.option(
    "--truth",
    "truth_path",
    type=click.Path(path_type=Path),
    help="Write what the windows must be (JSON lines).",
)
@click.option("--window", type=at_least("1ms"), default="60s", show_default=True, help="Window of the truth.")
@click.option(
    "--quantiles",
    metavar="LIST",
    type=per_mille,
    default="0.5,0.95",
    show_default=True,
    help="Quantiles of the truth.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def replay(
    files: tuple[Path, ...],
    broker: str | None,
    coap: str | None,
    topic: str,
    time: tuple[str, ...],
    time_unit: str,
    columns: tuple[str, ...],
    fields: tuple[str, ...],
    missing: tuple[str, ...],
    delimiter: str,
    decimal: str,
    form: str,
    speed: float,
    from_now: bool,
    limit: int | None,
    qos: str,
    truth_path: Path | None,
    window: int,
    quantiles: tuple[int, ...],
    as_json: bool,
) -> None:
    """Play time series from CSV FILES (.gz and .xz too, - for standard input) into a broker or CoAP server.

    Each row is one message with all its fields and its time. Rows are read as they are sent, so files may be of any
    size. A row that can't be read ends the replay and is named.
    """
    vias = tuple(via for via, url in ((Via.MQTT, broker), (Via.COAP, coap)) if url)
    if not vias:
        raise ConfigError("there is nowhere to send to", remedy="Give --broker or --coap.")
    if len(delimiter) != 1:
        raise ConfigError(f"{delimiter!r} is no single character", where="--delimiter")
    layout = Layout(
        time, time_unit, columns, fields, template_labels(topic), frozenset(missing), delimiter, decimal
    )
    source = itertools.islice(all_rows(files, layout), limit)
    first = next(source, None)
    if first is None:
        raise DamagedError("there are no rows", where=", ".join(map(str, files)))
    filled(topic, first.labels)  # a topic that can't be is told before anybody is spoken to
    now = SystemClock().now_ms()
    playing = Playing(topic, speed, form, vias, now - first.time if from_now else 0)
    send(
        recorded(itertools.chain([first], source), playing, now),
        name="replay",
        broker=broker,
        coap=coap,
        qos=int(qos),
        truth=Truth(window, quantiles),
        truth_path=truth_path,
        horizon=window + HORIZON_MS,
        as_json=as_json,
    )
