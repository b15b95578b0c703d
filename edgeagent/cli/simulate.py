"""`edgeagent simulate`: a home of sensors that speak to a real broker and a real CoAP server."""

from __future__ import annotations

from pathlib import Path

import click

from edgeagent.host.clock import SystemClock
from edgeagent.sim.home import MAX_SENSORS, Plan, messages
from edgeagent.sim.truth import Truth

from .durations import at_least
from .durations import duration as ms
from .numbers import Number
from .quantiles import per_mille
from .sending import send
from .words import examples

SLACK_MS = 5000
"""How far behind the newest event a window is still open, beyond what the plan explains."""

EXAMPLE = "edgeagent simulate --broker mqtt://127.0.0.1 --sensors 200 --for 30s --window 10s --truth t.jsonl"


@click.command(epilog=examples(EXAMPLE))
@click.option("--broker", required=True, metavar="URL", help="mqtt:// or mqtts:// address of the broker.")
@click.option("--coap", metavar="URL", help="coap:// address; a tenth of the sensors speak CoAP then.")
@click.option(
    "--sensors",
    metavar="COUNT",
    type=click.IntRange(1, MAX_SENSORS),
    default=20,
    show_default=True,
    help="How many.",
)
@click.option("--for", "duration", type=at_least("1ms"), default="30s", show_default=True, help="How long.")
@click.option(
    "--rate",
    metavar="NUMBER",
    type=Number(0.001, 100_000),
    help="Readings/s of all together; default: one each.",
)
@click.option(
    "--seed", metavar="NUMBER", type=int, default=0, show_default=True, help="Equal seeds say equal things."
)
@click.option("--disorder", type=ms, default="1s", show_default=True, help="Longest hold-up of a reading.")
@click.option(
    "--faulty",
    metavar="SHARE",
    type=Number(0, 1),
    default=0.005,
    show_default=True,
    help="Share of bad payloads.",
)
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
def simulate(
    broker: str,
    coap: str | None,
    sensors: int,
    duration: int,
    rate: float | None,
    seed: int,
    disorder: int,
    faulty: float,
    qos: str,
    truth_path: Path | None,
    window: int,
    quantiles: tuple[int, ...],
    as_json: bool,
) -> None:
    """Play a home of simulated sensors, and write down what their windows must be.

    The sensors are like those of real homes: zigbee2mqtt, Tasmota, Shelly and ESPHome payloads, SenML in JSON and CBOR,
    nested values, numbers in texts, readings out of order, and now and then a payload that nobody can read.
    """
    plan = Plan(sensors, rate or sensors, duration, seed, coap is not None, disorder, faulty=faulty)
    send(
        messages(plan, SystemClock().now_ms()),
        name=f"simulate-{seed}",
        broker=broker,
        coap=coap,
        qos=int(qos),
        truth=Truth(window, quantiles),
        truth_path=truth_path,
        horizon=window + plan.oldest + SLACK_MS,
        as_json=as_json,
    )
