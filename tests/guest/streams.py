"""Long streams as a home makes them, from a seed: Hypothesis finds the odd ones, these fill windows and tables."""

from __future__ import annotations

import random
from typing import Any

START = 1_700_000_000_000

SHAPES = (
    '{{"temperature":{0},"humidity":{1},"state":"ON"}}',
    '{{"Time":{2},"ENERGY":{{"Power":{0},"Factor":[{1},0.5]}},"n":"7"}}',
    '{{"last_seen":"2023-11-14T22:{3:02}:{4:02}","a":{0}, "b":true}}',
    '{{"a":{0},"b":{1},"a":{1}}}',
    "{0}",
    "ON",
    '{{"a":{0}',
)


def config(rng: random.Random) -> dict[str, Any]:
    """A configuration whose limits are sometimes met."""
    return {
        "window": rng.choice([1000, 5000, 10_000]),
        "lateness": rng.choice([0, 500, 1000]),
        "ahead": rng.choice([0, 0, 3000]),
        "series": rng.choice([3, 8, 64]),
        "windows": rng.choice([4, 16, 128]),
        "buckets": rng.choice([4, 8, 256]),
        "quantiles": [0, 100, 500, 950, 1000],
        "times": ["Time", "last_seen"],
        "fields": rng.choice([[], [], ["a*", "temperature", ""]]),
        "deadband": rng.choice([[0, 0], [-1, 5], [1, 1]]),
        "heartbeat": rng.choice([1, 3]),
    }


def number(rng: random.Random, spread: int) -> str:
    """A number as a sensor writes it; spread is in decades."""
    if spread == 0:
        return f"{20 + rng.randrange(60) / 10}"
    if rng.random() < 0.05:
        return rng.choice(["0", "-0.0", "1e39", "-1e-59", "123456789012345678901", "0.1000", "1e60"])
    return f"{rng.choice((1, 1, -1)) * 10 ** rng.uniform(-spread, spread):.{rng.randrange(1, 19)}g}"


def stream(seed: int, steps: int) -> tuple[dict[str, Any], list[tuple[int, Any]]]:
    """Configuration and (delay, (kind, topic, payload)) of each frame."""
    rng = random.Random(seed)
    now = START
    ticked = START
    spread = rng.choice([0, 0, 1, 3, 15])
    topics = [f"z/{i}" for i in range(rng.choice([1, 2, 6]))]
    shapes = rng.sample(SHAPES, rng.randrange(1, 4))
    jumps = rng.random() < 0.2
    found: list[tuple[int, Any]] = []
    while len(found) < steps:
        before = now
        now += rng.choice([0, 5, 50, 300, 900])
        if jumps and rng.random() < 0.03:
            now = max(START - 100_000, now + rng.choice([-400, -30_000, 20_000]))
        if now - ticked >= 1000 or rng.random() < 0.05:
            found.append((now - before, ("tick", None, None)))
            ticked = now
        elif rng.random() < 0.01:
            found.append((now - before, ("drain", None, None)))
        else:
            event = now + rng.choice([0, 0, 0, -700, -3000, 2000])
            seconds = (event - START) // 1000 + 800
            text = rng.choice(shapes).format(
                number(rng, spread), number(rng, spread), event, seconds // 60 % 60, seconds % 60
            )
            found.append((now - before, ("reading", rng.choice(topics), text.encode())))
    return config(rng), found
