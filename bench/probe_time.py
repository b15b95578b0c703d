"""How long `edgeagent probe` takes, start of the interpreter included."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from typing import Any

TIMES = 3


def measure() -> dict[str, Any]:
    """Median seconds of wall time: everything measured anew, and with the calibration remembered."""
    with tempfile.TemporaryDirectory(prefix="edgeagent-bench-") as state:
        fresh = [_run("--state", state, "--fresh") for _ in range(TIMES)]
        cached = [_run("--state", state) for _ in range(TIMES)]
    return {
        "complete": True,
        "fresh_s": round(sorted(fresh)[TIMES // 2], 2),
        "cached_s": round(sorted(cached)[TIMES // 2], 2),
    }


def _run(*options: str) -> float:
    began = time.monotonic()
    command = (sys.executable, "-m", "edgeagent", "probe", "--json", *options)
    subprocess.run(command, check=False, stdout=subprocess.DEVNULL)
    return time.monotonic() - began
