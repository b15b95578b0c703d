"""`edgeagent demo`: the whole chain on this machine, checked window by window."""

from __future__ import annotations

import signal
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import click
from rich.console import Console, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from edgeagent.errors import ConfigError, EdgeAgentError, EnvironmentFaultError
from edgeagent.quantities import show_size
from edgeagent.sim.broker import Broker, free_port
from edgeagent.sim.chain import BOARD, EDGEAGENT, Chain
from edgeagent.sim.truth_file import Told, told
from edgeagent.sim.verdict import faults_of, wait_for_all

from .durations import at_least
from .numbers import Number
from .progress import working
from .words import examples

QUANTILES = (500, 950)
SERIES = 8
"""Of one sensor at most: numbers in its payload."""
LATENESS_MS = 3000
QUIET_S = 15.0
"""Longest silence before the last windows have come, beyond two windows."""
SHOW_S = 0.5
PLAIN_S = 5.0
"""Between two lines where the output is no terminal."""
BAR = 50
"""Columns of the progress."""
SHOWN = 20
"""Differences that are printed."""
IMAGES = Path("build/images")


@click.command(
    epilog=examples(
        "edgeagent demo --for 30s --sensors 200", "edgeagent demo --for 5m --window 60s --keep ./demo"
    )
)
@click.option(
    "--for", "duration", type=at_least("1ms"), default="30s", show_default=True, help="How long sensors send."
)
@click.option(
    "--sensors",
    metavar="COUNT",
    type=click.IntRange(1, 10_000),
    default=100,
    show_default=True,
    help="How many; a tenth of them speak CoAP.",
)
@click.option(
    "--rate",
    metavar="NUMBER",
    type=Number(0.1, 20_000),
    help="Readings/s of all together; default: one each.",
)
@click.option("--window", type=at_least("1s"), default="5s", show_default=True, help="Length of a window.")
@click.option(
    "--accel",
    type=click.Choice(["auto", "kvm", "tcg"]),
    default="auto",
    show_default=True,
    help="What runs the guest; auto: what the probe chooses.",
)
@click.option(
    "--seed", metavar="NUMBER", type=int, default=1, show_default=True, help="Equal seeds say equal things."
)
@click.option(
    "--images", type=click.Path(path_type=Path), default=IMAGES, show_default=True, help="Guest images."
)
@click.option(
    "--keep", type=click.Path(path_type=Path), help="Folder for everything, instead of a temporary one."
)
def demo(
    duration: int,
    sensors: int,
    rate: float | None,
    window: int,
    accel: str,
    seed: int,
    images: Path,
    keep: Path | None,
) -> int:
    """Run the whole chain here, for real, and check every window.

    A home of simulated sensors, a broker, the agent, a unikernel, the sealed uplink, a collector with its database.

    Exit code 0 only if every window in the collector's database is what the sensors sent.
    """
    console = Console()
    # Or the processes that it started would outlive it.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with ExitStack() as stack:
        if keep:
            _use(keep)
        folder = keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="edgeagent-demo-")))
        with working("starting broker, collector, agent and guest"):
            broker = stack.enter_context(Broker())
            port = free_port()
            chain = stack.enter_context(
                Chain(
                    folder.absolute(),
                    broker.url,
                    images.absolute(),
                    unit=_unit(sensors, window, accel),
                    sections={"coap": {"host": "127.0.0.1", "port": port}},
                )
            )
        truth = folder / "truth.jsonl"
        words = [
            *("--broker", broker.url, "--coap", f"coap://127.0.0.1:{port}", "--truth", str(truth)),
            *("--sensors", str(sensors), "--for", f"{duration}ms", "--rate", str(rate or sensors)),
            *("--seed", str(seed), "--window", f"{window}ms", "--json"),
        ]
        screen = stack.enter_context(Screen(console, duration / 1000))
        with (folder / "simulator.log").open("wb") as log:
            simulator = subprocess.Popen([*EDGEAGENT, "simulate", *words], stdout=log, stderr=log)
        stack.callback(simulator.kill)
        while simulator.poll() is None:
            chain.check_alive()
            screen.show(chain.status())
            time.sleep(SHOW_S)
        if simulator.returncode:
            said = (folder / "simulator.log").read_text(errors="replace")
            raise EdgeAgentError(f"the simulator failed: {said[-500:].strip()}")
        with truth.open(encoding="utf-8") as file:
            sent = told(file, str(truth))
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(wait_for_all, chain.database, BOARD, sent, 2 * window / 1000 + QUIET_S)
            while not waiting.done():
                screen.show(chain.status())
                time.sleep(SHOW_S)
        last = chain.status()
        screen.show(last)
        chain.close()
        faults = faults_of(chain.database, BOARD, sent, QUANTILES)
    return _verdict(console, sent, last, faults)


def _use(folder: Path) -> None:
    """Of former demos it would have other windows in its database."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        used = any(folder.iterdir())
    except OSError as error:
        raise EnvironmentFaultError(
            f"the folder can't be used: {error.strerror}",
            where=str(folder),
            remedy="Give --keep another one.",
        ) from None
    if used:
        raise ConfigError("the folder isn't empty", where=str(folder), remedy="Give --keep a new one.")


def _unit(sensors: int, window: int, accel: str) -> dict[str, object]:
    """The unit's settings: room for all series of the home."""
    series = SERIES * sensors
    return {
        "accelerator": accel,
        "window": f"{window}ms",
        "lateness": f"{min(window, LATENESS_MS)}ms",
        "series": series,
        "windows": 3 * series,
        "memory": f"{8 + 4 * series // 1000}MiB",
    }


@dataclass
class Screen:
    """A live table on a terminal, a line now and then elsewhere."""

    console: Console
    seconds: float

    def __post_init__(self) -> None:
        self._live = Live(console=self.console, auto_refresh=False) if self.console.is_terminal else None
        self._began = time.monotonic()
        self._shown = float("-inf")
        self._before = (time.monotonic(), 0)
        self._rate = 0.0

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def show(self, status: dict[str, Any]) -> None:
        """Show a snapshot."""
        now, unit = time.monotonic(), status["units"][0]
        then, readings = self._before
        if now - then >= 1:
            self._rate = (unit["readings"] - readings) / (now - then)
            self._before = now, unit["readings"]
        if self._live:
            self._live.update(self._tables(status), refresh=True)
        elif now - self._shown >= PLAIN_S:
            self._shown = now
            self.console.print(
                f"{unit['readings']:>8} readings  {self._rate:7.0f}/s  {unit['summaries']:>6} summaries  "
                f"in {show_size(unit['bytes_in'])}  out {show_size(status['uplink']['bytes_sealed'])}  "
                f"{_reduction(status)}  guest {unit['guest']['state']} on {unit['guest']['accelerator']}",
                soft_wrap=True,
            )

    def _tables(self, status: dict[str, Any]) -> Table:
        passed = time.monotonic() - self._began
        unit, uplink = status["units"][0], status["uplink"]
        guest = unit["guest"]
        table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
        rows: dict[str, RenderableType] = {
            "sensors": ProgressBar(total=self.seconds, completed=min(passed, self.seconds), width=BAR)
            if passed < self.seconds
            else "have said all; waiting for the last windows",
            "readings": f"{unit['readings']:,}  ({self._rate:,.0f}/s)",
            "not counted": ", ".join(f"{count} {word}" for word, count in unit["not_counted"].items()) or "0",
            "guest": f"{guest['state']}, {unit['image']['bytes']:,} bytes of image, "
            + ("started once" if guest["starts"] == 1 else f"started {guest['starts']} times"),
            "accelerator": f"{guest['accelerator']}: {guest['why']}",
            "jail": "; ".join(guest["jail"]),
            "summaries": f"{unit['summaries']:,} in {uplink['stored']:,} sealed batches, "
            f"{uplink['acknowledged']:,} acknowledged by the collector",
            "bytes": f"{show_size(unit['bytes_in'])} in, {show_size(uplink['bytes_sealed'])} out: {_reduction(status)}",
            "agent": f"{show_size(status['memory_bytes'])} of memory",
        }
        for name, value in rows.items():
            table.add_row(Text(name, style="dim"), value)
        for line in status["degraded"]:
            table.add_row(Text("degraded", style="bold red"), Text(line))
        return table


def _reduction(status: dict[str, Any]) -> str:
    out = status["uplink"]["bytes_sealed"]
    return f"{status['units'][0]['bytes_in'] / out:.1f} times less" if out else "nothing out yet"


def _verdict(console: Console, sent: Told, status: dict[str, Any], faults: list[str]) -> int:
    unit, uplink = status["units"][0], status["uplink"]
    guest = unit["guest"]
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    unreadable = sum(sent.faults.values())
    rows = {
        "accelerator": f"{guest['accelerator']}: {guest['why']}",
        "sent": f"{sent.payloads:,} readings with {sent.values:,} values; {unreadable} unreadable on purpose",
        "collected": f"{unit['summaries']:,} summaries of {len(sent.windows):,} windows and {len(sent.totals):,} "
        "series that tell no time",
        "bytes": f"{show_size(unit['bytes_in'])} in, {show_size(uplink['bytes_sealed'])} out: {_reduction(status)}",
    }
    for name, value in rows.items():
        table.add_row(Text(name, style="dim"), value)
    console.print(table)
    for line in faults[:SHOWN]:
        console.print(line, style="red", soft_wrap=True, markup=False, highlight=False)
    if faults:
        console.print(
            f"{len(faults)} differences between what was sent and what was collected", style="bold red"
        )
        return 1
    console.print("every window agrees", style="bold green")
    return 0
