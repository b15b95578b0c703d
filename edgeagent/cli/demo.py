"""`edgeagent demo`: the whole chain on this machine, checked window by window."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import click
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from edgeagent.errors import EdgeAgentError
from edgeagent.quantities import show_size
from edgeagent.sim.compare import Difference, compare, compare_faults
from edgeagent.sim.stage import TOPICS, Stage
from edgeagent.sim.truth_file import Told, told

from .durations import duration as ms

QUANTILES = (500, 950)
SHOW_S = 0.5
PLAIN_S = 5.0
"""Between two lines where the output is no terminal."""
AFTER_S = 60.0
"""For the last windows to close and arrive, beyond window and lateness."""
SHOWN = 20
"""Differences that are printed."""
IMAGES = Path("build/images")


@click.command(epilog="Example: edgeagent demo --for 30s --sensors 200")
@click.option("--for", "duration", type=ms, default="30s", show_default=True, help="How long sensors send.")
@click.option("--sensors", type=click.IntRange(1, 10_000), default=100, show_default=True)
@click.option(
    "--rate", type=click.FloatRange(0.1, 20_000), help="Readings/s of all together; default: one each."
)
@click.option("--window", type=ms, default="5s", show_default=True, help="Length of a window.")
@click.option("--accel", type=click.Choice(["auto", "kvm", "tcg"]), default="auto", show_default=True)
@click.option("--seed", type=int, default=1, show_default=True)
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
    """Sensors, broker, agent, unikernel, sealed uplink, collector: all real, all here; then check every window.

    Exit code 0 only if every window in the collector's database is what the sensors sent.
    """
    console = Console()
    with ExitStack() as stack:
        folder = keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="edgeagent-demo-")))
        port = 20_000 + os.getpid() % 10_000
        series = sensors * 8
        stage = stack.enter_context(
            Stage(
                folder.absolute(),
                images.absolute(),
                unit=(
                    f"topics = [{', '.join(map(repr, TOPICS))}]",
                    f'window = "{window}ms"',
                    f'lateness = "{min(window, 3000)}ms"',
                    f'accelerator = "{accel}"',
                    f"series = {series}",
                    f"windows = {3 * series}",
                    f'memory = "{8 + 4 * series // 1000}MiB"',
                ),
                extra=("[coap]", 'host = "127.0.0.1"', f"port = {port}"),
            )
        )
        console.print("starting broker, collector, agent and guest ...")
        stage.start_collector()
        stage.start_agent()
        stage.wait_running()
        arguments = [
            *("--broker", stage.broker.url, "--coap", f"coap://127.0.0.1:{port}"),
            *("--sensors", str(sensors), "--for", f"{duration}ms", "--rate", str(rate or sensors)),
            *("--seed", str(seed), "--window", f"{window}ms", "--truth", str(folder / "truth.jsonl")),
        ]
        simulator = stage.start("simulator", "simulate", *arguments)
        screen = stack.enter_context(Screen(console, duration / 1000))
        _watch(stage, screen, lambda: simulator.poll() is not None, duration / 1000 + AFTER_S)
        if status := stage.processes.pop("simulator").wait():
            raise EdgeAgentError(f"the simulator failed ({status}): {stage.log('simulator')[-500:]}")
        last = _wait_for_the_end(stage, screen, window / 1000)
        with (folder / "truth.jsonl").open() as file:
            truth = told(file, str(folder / "truth.jsonl"))
        screen.show(last, 1.0)
        rows = stage.rows()
        differences = compare(truth.windows, truth.totals, rows, QUANTILES)
        words = compare_faults(truth.faults, stage.reasons())
        for name in ("agent", "collector"):
            if status := stage.stop(name):
                words.append(f"the {name} ended with status {status}")
    return _verdict(console, truth, len(rows), last, differences, words)


def _watch(stage: Stage, screen: Screen, over: Callable[[], bool], seconds: float) -> dict[str, Any]:
    began = time.monotonic()
    while True:
        finished = over()
        status = stage.status()
        screen.show(status, (time.monotonic() - began) / screen.seconds)
        if finished:
            return status
        if time.monotonic() - began > seconds:
            raise EdgeAgentError(f"the demo didn't get on within {seconds:.0f} s: see {stage.folder}")
        if "simulator" not in stage.processes or stage.processes["simulator"].poll() is None:
            stage.check()
        time.sleep(SHOW_S)


def _wait_for_the_end(stage: Stage, screen: Screen, window: float) -> dict[str, Any]:
    """Until no window is open any more, and the collector has everything."""
    quiet_from, last = time.monotonic(), 0

    def over() -> bool:
        nonlocal quiet_from, last
        summaries = stage.status()["units"][0]["summaries"]
        if summaries != last or not stage.settled():
            quiet_from, last = time.monotonic(), summaries
        return time.monotonic() - quiet_from > 2 * window + 4

    return _watch(stage, screen, over, 4 * window + AFTER_S)


@dataclass
class Screen:
    """Live tables on a terminal, a line now and then elsewhere."""

    console: Console
    seconds: float

    def __post_init__(self) -> None:
        self._live = Live(console=self.console, auto_refresh=False) if self.console.is_terminal else None
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

    def show(self, status: dict[str, Any], part: float) -> None:
        """Show a snapshot; part: how much of the sending is done, 0 to 1."""
        now, unit = time.monotonic(), status["units"][0]
        then, readings = self._before
        if now - then >= 1:
            self._rate = (unit["readings"] - readings) / (now - then)
            self._before = now, unit["readings"]
        if self._live:
            self._live.update(self._tables(status, min(part, 1.0)), refresh=True)
        elif now - self._shown >= PLAIN_S:
            self._shown = now
            self.console.print(
                f"{unit['readings']:>8} readings  {self._rate:7.0f}/s  {unit['summaries']:>6} summaries  "
                f"in {show_size(unit['bytes_in'])}  out {show_size(status['uplink']['bytes_sealed'])}  "
                f"{_reduction(status)}  guest {unit['guest']['state']} on {unit['guest']['accelerator']}",
                soft_wrap=True,
            )

    def _tables(self, status: dict[str, Any], part: float) -> Group:
        unit, uplink = status["units"][0], status["uplink"]
        guest = unit["guest"]
        table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
        rows = {
            "readings": f"{unit['readings']:,}  ({self._rate:,.0f}/s)",
            "not counted": ", ".join(f"{count} {word}" for word, count in unit["not_counted"].items()) or "0",
            "guest": f"{guest['state']}, {unit['image']['bytes']:,} bytes of image, started {guest['starts']} times",
            "accelerator": f"{guest['accelerator']}: {guest['why']}",
            "jail": "; ".join(guest["jail"]),
            "summaries": f"{unit['summaries']:,} in {uplink['stored']:,} sealed batches, "
            f"{uplink['acknowledged']:,} acknowledged by the collector",
            "bytes": f"{show_size(unit['bytes_in'])} in, {show_size(uplink['bytes_sealed'])} out: {_reduction(status)}",
            "agent": f"{show_size(status['memory_bytes'])} of memory",
        }
        for name, value in rows.items():
            table.add_row(Text(name, style="dim"), value)
        return Group(ProgressBar(total=1.0, completed=part, width=60), table)


def _reduction(status: dict[str, Any]) -> str:
    out = status["uplink"]["bytes_sealed"]
    return f"{status['units'][0]['bytes_in'] / out:.1f} times less" if out else "nothing out yet"


def _verdict(
    console: Console,
    truth: Told,
    rows: int,
    status: dict[str, Any],
    differences: list[Difference],
    words: list[str],
) -> int:
    guest = status["units"][0]["guest"]
    console.print()
    console.print(f"accelerator: {guest['accelerator']}: {guest['why']}", soft_wrap=True)
    console.print(
        f"sent:        {truth.payloads:,} readings with {truth.values:,} values, "
        f"{sum(truth.faults.values())} of them unreadable on purpose"
    )
    console.print(f"collected:   {rows:,} summaries; the truth has {len(truth.windows):,} windows and "
                  f"{len(truth.totals):,} series without times")  # fmt: skip
    console.print(
        f"bytes:       {show_size(status['units'][0]['bytes_in'])} in, "
        f"{show_size(status['uplink']['bytes_sealed'])} out: {_reduction(status)}"
    )
    for line in [*map(str, differences[:SHOWN]), *words]:
        console.print(f"  {line}", style="red", soft_wrap=True, markup=False)
    if differences or words:
        console.print(f"verdict:     {len(differences) + len(words)} differences", style="bold red")
        return 1
    console.print("verdict:     every window agrees", style="bold green")
    return 0
