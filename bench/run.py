"""`make bench`: all figures in one run, with machine and versions; a figure stands only where nothing was lost.

python bench/run.py [--quick] [--json FILE] [--only NAME]...
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import density
import edge
import guest_start
import hostile
import latency
import nodered
import probe_time
import reduction
from machine import machine

Found = dict[str, Any]
RATES = (5000, 10_000, 12_500, 15_000, 20_000, 25_000)
WINDOW_S, QUICK_S = 20, 5
"""One window is one load: at 3,000/s each device says as much in it as at 1 Hz in a minute."""
STARTED = (
    ("x86_64", "tcg"),
    ("x86_64", "kvm"),
    ("aarch64", "tcg"),
    ("riscv64", "tcg"),
    ("mips64el", "tcg"),
)
TARGETS = {"agent": 25, "guest": 15}
"""CPU microseconds per reading."""
COMPARED_AT = 3000
"""Readings/s at which Node-RED and edgeagent stand side by side; Node-RED alone fills a core at ten thousand."""


def say(words: str = "") -> None:
    print(words, flush=True)


def proven(found: Found) -> bool:
    """Say what is wrong instead of a figure."""
    for line in found.get("wrong", []):
        say(f"    no figure: {line}")
    return bool(found["complete"])


def cpu_line(found: Found) -> str:
    parts = []
    for who, us in found["cpu_us"].items():
        target = TARGETS.get(who)
        parts.append(f"{who} {us:.1f}" + (f" (target {target})" if target else ""))
    return ", ".join(parts)


def throughput(window: int) -> Found:
    """Rates are raised until one isn't sustained."""
    results: Found = {}
    for qos in (0, 1):
        say(
            f"\nreadings from {edge.DEVICES} MQTT devices, JSON of 165 B with topic, QoS {qos}, journal on, sealed"
        )
        for rate in RATES:
            found = edge.mqtt(qos, rate, window)
            results[f"qos{qos} {rate}/s"] = found
            verdict = "sustained" if found["sustained"] else f"not sustained (lag {found['lag_s']} s)"
            say(f"  {rate:>6}/s: {verdict}; reached {found['rate']}/s, lag {found['lag_s']} s")
            if proven(found):
                say(f"    CPU us per reading: {cpu_line(found)}")
            if not found["sustained"]:
                break
        memory_lines(found)
    return results


def over_coap(window: int) -> Found:
    """See coap_generator.py for what devices do."""
    say(f"\nreadings from {edge.COAP_DEVICES} CoAP devices, confirmable POSTs, one under way each")
    found = edge.coap(window)
    say(
        f"  {found['rate']}/s; {found['busy']} answers 5.03, {found['resent']} sent again, lag {found['lag_s']} s"
    )
    if proven(found):
        say(f"    CPU us per reading: {cpu_line(found)}")
    return found


def memory_lines(found: Found) -> None:
    for who, kib in found["memory_kib"].items():
        say(
            f"    {who}: RSS {kib['idle']['rss'] / 1024:.1f} -> {kib['loaded']['rss'] / 1024:.1f} MiB, "
            f"PSS {kib['idle']['pss'] / 1024:.1f} -> {kib['loaded']['pss'] / 1024:.1f} MiB"
        )


def beside_node_red(window: int) -> Found:
    """CPU per reading, the same generator, broker, rate and windows; ratios in one run."""
    say(f"\nNode-RED {nodered.VERSION} beside edgeagent at {COMPARED_AT}/s")
    if not nodered.available():
        say("  npm is absent: left out")
        return {}
    results: Found = {}
    for qos in (0, 1):
        red = nodered.measure(qos, COMPARED_AT, window, edge.LATENESS_MS)
        ours = edge.mqtt(qos, COMPARED_AT, window)
        results |= {f"node-red qos{qos}": red, f"edgeagent qos{qos}": ours}
        if not red["complete"]:
            say(f"  QoS {qos}: no figure: Node-RED lost {red['lost']} of {red['sent']}")
        if proven(ours) and red["complete"]:
            theirs, agent = red["cpu_us"]["node-red"], ours["cpu_us"]["agent"]
            both = agent + ours["cpu_us"]["guest"]
            say(
                f"  QoS {qos}: CPU us per reading: node-red {theirs:.1f}, agent {agent:.1f}, agent and guest {both:.1f}"
            )
            say(
                f"    node-red / agent = {theirs / agent:.2f}; node-red / (agent and guest) = {theirs / both:.2f}"
            )
            say(
                f"    RSS: node-red {red['rss_kib']['idle'] / 1024:.0f} -> {red['rss_kib']['loaded'] / 1024:.0f} MiB, "
                f"agent {ours['memory_kib']['agent']['loaded']['rss'] / 1024:.0f} MiB, "
                f"guest PSS {ours['memory_kib']['guest']['loaded']['pss'] / 1024:.0f} MiB"
            )
    return results


def latencies(window: int) -> Found:
    """See latency.py for what is measured."""
    say("\nlatency at 1,000/s, QoS 1, group interval 250 ms")
    found = latency.measure(1000, window)
    if proven(found):
        say(f"  published -> durable in the log, acknowledged: {found['reading_to_durable_ms']} ms")
        say(
            f"  window may close -> summary in the database: {found['window_to_database_ms']} ms (batches of 1 s)"
        )
    return found


def starts(_window: int) -> Found:
    """Of every architecture, cold and from a pool, under the accelerators of this machine."""
    say(
        "\nguest `aggregate` to its first byte, median ms (targets: cold 100, pooled 10, MIPS 25; image 64 KiB)"
    )
    results = {}
    for arch, accelerator in STARTED:
        if accelerator == "kvm" and not Path("/dev/kvm").exists():
            continue
        for how in ("cold", "pooled"):
            found = guest_start.measure(arch, accelerator, 10, pooled=how == "pooled")
            results[f"{arch} {accelerator} {how}"] = found
            say(
                f"  {arch:<9} {accelerator} {how:<6}: least {found['least_ms']} ms, median {found['median_ms']} ms, "
                f"CPU {found['cpu_ms']} ms; image {found['image_bytes'] / 1024:.1f} KiB"
            )
    return results


def densities(_window: int) -> Found:
    """Guests of this board's architecture, side by side."""
    say("\nmemory and idle CPU of each of several guests (targets: 20 MiB PSS with ten, 0.1 %)")
    results = {}
    for count in density.COUNTS:
        found = density.measure("x86_64", "tcg", count)
        results[f"{count} guests"] = found
        say(f"  {count:>3}: PSS {found['pss_mib']} MiB, CPU {found['idle_cpu_percent']} % of a core")
    return results


def probes(_window: int) -> Found:
    """`edgeagent probe` as a person runs it."""
    say("\n`edgeagent probe`, seconds")
    found = probe_time.measure()
    say(f"  fresh, with calibration: {found['fresh_s']}; with what was measured before: {found['cached_s']}")
    return found


def reductions(window: int) -> Found:
    """At least two full windows of a minute."""
    say("\nbytes in against bytes out: 1 Hz sensors, windows of a minute (target: at least 50 times fewer)")
    found = reduction.measure(200, 125 if window >= WINDOW_S else 65)
    if proven(found):
        say(f"  {found['bytes_in']} B in, {found['bytes_out']} B out: {found['ratio']} times fewer")
    return found


def beside_hostile(window: int) -> Found:
    """See hostile.py for what is measured."""
    say("\nan honest guest beside a hostile one: a reading every 5 ms, there and back, p50 / p99 ms")
    found = hostile.measure(window)
    usual = statistics.median(one["without"]["p99"] for one in found["guest"])
    say(f"  median p99 of the runs without one: {usual:.1f} ms (target: at most doubled)")
    for one in found["guest"]:
        without, beside = one["without"], one["beside"]
        figures = f"{without['p50']} / {without['p99']} without, {beside['p50']} / {beside['p99']} beside it"
        say(f"  {one['app']:>8}: {figures}")
    if proven(found):
        say(
            "  through the chain at 1,000/s: published -> durable; window may close -> database, p50 / p99 ms"
        )
        for app, one in found["chain"].items():
            durable, closed = one["reading_to_durable_ms"], one["window_to_database_ms"]
            say(
                f"  {app or 'none':>8}: {durable['p50']} / {durable['p99']}; {closed['p50']} / {closed['p99']}"
            )
    return found


BENCHES: dict[str, Callable[[int], Found]] = {
    "start": starts,
    "density": densities,
    "probe": probes,
    "throughput": throughput,
    "coap": over_coap,
    "latency": latencies,
    "hostile": beside_hostile,
    "reduction": reductions,
    "node-red": beside_node_red,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", type=Path, help="write all that was measured")
    parser.add_argument("--only", action="append", choices=[*BENCHES], help="one bench; may be repeated")
    parser.add_argument("--quick", action="store_true", help="a window of 5 s instead of 20 s")
    arguments = parser.parse_args()
    facts = machine()
    say("; ".join(f"{name} {value}" for name, value in facts.items()))
    results: Found = {"machine": facts}
    for name in arguments.only or BENCHES:
        results[name] = BENCHES[name](QUICK_S if arguments.quick else WINDOW_S)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1))
    return 0 if all(_complete(one) for one in results.values()) else 1


def _complete(found: Found) -> bool:
    inner = [one for one in found.values() if isinstance(one, dict) and "complete" in one]
    return all(one["complete"] for one in (found, *inner) if "complete" in one)


if __name__ == "__main__":
    sys.exit(main())
