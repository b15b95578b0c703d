"""Completion, asked by a real shell that has read our script."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from edgeagent.control.server import Verb
from tests.cli.commands import COMMANDS
from tests.control.given import serving
from tests.guests import need

ASK = """
source <(edgeagent completion bash)
COMP_WORDS=({words})
COMP_CWORD={at}
_edgeagent_completion edgeagent
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("edgeagent", "sta"), ["status", "start"]),
        (("edgeagent", "collect", "e"), ["enroll", "export"]),
        (("edgeagent", "status", "--ru"), ["--runtime"]),
        (("edgeagent", "image", "build", "--arch", "mips"), ["mips64el"]),
        (("edgeagent", "boards", "show", "turris"), ["turris-mox", "turris-omnia"]),
    ],
)
def test_bash(words, offered):
    need("bash")
    script = ASK.format(words=" ".join(words), at=len(words) - 1)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "--norc", "-c", script],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "PATH": path},
    )
    assert done.stdout.split() == offered, done.stderr


def test_units_of_the_running_agent(tmp_path):
    need("bash")

    async def ps(_):
        return {"guests": [{"unit": name} for name in ("home", "home", "hall", "garden")]}

    def offered(*words):
        script = ASK.format(words=" ".join(words), at=len(words) - 1)
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", "--norc", "-c", script], capture_output=True, text=True, check=False, timeout=60,
            env={**os.environ, "PATH": path},
        )  # fmt: skip
        assert not done.stderr
        return done.stdout.split()

    with serving(tmp_path, {"ps": Verb(ps)}):
        assert offered("edgeagent", "stop", "--runtime", str(tmp_path), "h") == ["home", "hall"]
        assert offered("edgeagent", "stop", "--runtime", str(tmp_path), "home", "h") == ["hall"]
        assert offered("edgeagent", "logs", "--runtime", str(tmp_path), "g") == ["garden"]
    assert offered("edgeagent", "stop", "--runtime", str(tmp_path), "h") == []


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_get_a_script(shell):
    done = subprocess.run(
        [sys.executable, "-m", "edgeagent", "completion", shell], capture_output=True, text=True, check=True
    )
    assert "_EDGEAGENT_COMPLETE" in done.stdout


@pytest.mark.parametrize("path", [one for one in COMMANDS if len(one) > 1], ids=" ".join)
def test_short_descriptions_arent_cut(path):
    assert not COMMANDS[path].get_short_help_str().endswith("...")
