"""Which machine and which versions a figure belongs to."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from pathlib import Path

PROGRAMS = {
    "mosquitto": ("mosquitto", "-h"),
    "qemu": ("qemu-system-x86_64", "--version"),
    "node": ("node", "--version"),
}


def machine() -> dict[str, str]:
    """Facts by name, as text."""
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    memory = re.search(r"MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text())
    return {
        "cpu": model[1] if model else platform.machine(),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{int(memory[1]) >> 20} GiB" if memory else "unknown",
        "load": " ".join(f"{one:.2f}" for one in os.getloadavg()),
        "kernel": platform.release(),
        "python": platform.python_version(),
        **{name: _version(*command) for name, command in PROGRAMS.items()},
    }


def _version(program: str, option: str) -> str:
    path = shutil.which(program) or shutil.which(program, path="/usr/sbin")
    if not path:
        return "absent"
    said = subprocess.run([path, option], capture_output=True, text=True, check=False)
    found = re.search(r"\d+\.\d+[\w.]*", said.stdout + said.stderr)
    return found[0] if found else "unknown"
