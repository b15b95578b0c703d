"""The control socket: answers, refusals, and who may ask for what."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgeagent.control import server as serving
from edgeagent.control.access import Peer, may
from edgeagent.control.client import ControlClient
from edgeagent.control.server import ControlServer, Verb
from edgeagent.errors import ConfigError, EdgeAgentError, EnvironmentFaultError, UnreachableError

NOBODY = 65534


@pytest.mark.parametrize(
    ("uid", "own", "changes", "allowed"),
    [
        (0, 1000, True, True),
        (1000, 1000, True, True),
        (1001, 1000, True, False),
        (1001, 1000, False, True),
        (1000, 0, True, False),
    ],
)
def test_who_may_what(uid: int, own: int, changes: bool, allowed: bool) -> None:
    assert may(Peer(1, uid), own, changes=changes) is allowed


async def echo(request: dict[str, Any]) -> dict[str, Any]:
    return request


async def refuse(_: dict[str, Any]) -> dict[str, Any]:
    raise ConfigError("no such unit", where="cellar", remedy="Known: home.")


async def break_down(_: dict[str, Any]) -> dict[str, Any]:
    raise RuntimeError("a defect")


async def sleep(_: dict[str, Any]) -> dict[str, Any]:
    await asyncio.Event().wait()
    raise AssertionError


VERBS = {
    "echo": Verb(echo),
    "set": Verb(echo, changes=True),
    "refuse": Verb(refuse),
    "break": Verb(break_down),
    "sleep": Verb(sleep),
}


def serve(folder: Path, ask: Callable[[], None], group: str = "") -> None:
    """Run what asks, in a thread of its own, while the server runs."""

    async def main() -> None:
        server = ControlServer(folder, VERBS, group)
        await server.start()
        try:
            await asyncio.to_thread(ask)
        finally:
            await server.stop()

    asyncio.run(main())


def test_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "ANSWER_S", 0.05)

    def ask() -> None:
        with ControlClient(tmp_path) as agent:
            assert agent.ask("echo", units=["home"]) == {"units": ["home"]}
            with pytest.raises(EdgeAgentError, match=r"^cellar: no such unit\. Known: home\.$") as refused:
                agent.ask("refuse")
            assert refused.value.exit_code == ConfigError.exit_code
            for verb, words in (
                ("format-disk", "unknown verb; known: echo, set"),
                ("break", "internal error"),
                ("sleep", "no answer within"),
            ):
                with pytest.raises(EdgeAgentError, match=words):
                    agent.ask(verb)
            assert agent.ask("echo") == {}

    serve(tmp_path, ask)
    with pytest.raises(UnreachableError, match="no agent answers"):
        ControlClient(tmp_path)


def test_what_changes_something_is_written_down(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    def ask() -> None:
        with ControlClient(tmp_path) as agent:
            agent.ask("echo")
            agent.ask("set", units=["home"])

    serve(tmp_path, ask)
    (line,) = caplog.messages
    assert line == f"set units=['home']: allowed, by user {os.geteuid()}, process {os.getpid()}"


ASK = """
import json, sys
from pathlib import Path
from edgeagent.control.client import ControlClient
said = []
for verb in ("echo", "set"):
    try:
        with ControlClient(Path(sys.argv[1])) as agent:
            said.append(agent.ask(verb, word="x"))
    except Exception as error:
        said.append([str(error), error.exit_code])
print(json.dumps(said))
"""


def as_nobody(folder: Path, *groups: str) -> list[Any]:
    """What another user is told, who is in those groups."""
    words = [f"--groups={','.join(groups)}"] if groups else ["--clear-groups"]
    prefix = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", *words]
    done = subprocess.run(
        [*prefix, sys.executable, "-c", ASK, str(folder)], capture_output=True, text=True, check=True
    )
    said: list[Any] = json.loads(done.stdout)
    return said


def test_another_user(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    if os.geteuid():
        pytest.skip("only root can be another user")
    caplog.set_level(logging.INFO)
    # pytest's folders are for their owner only; what is tested are the last two steps.
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    run = tmp_path / "run"

    def without() -> None:
        for words, code in as_nobody(run):
            assert "no agent answers: Permission denied" in words
            assert code == UnreachableError.exit_code

    serve(run, without)

    def inside() -> None:
        looked, (words, code) = as_nobody(run, "daemon")
        assert looked == {"word": "x"}
        assert f"user {NOBODY} may look, but not set" in words
        assert code == EnvironmentFaultError.exit_code
        assert all("Permission denied" in words for words, _ in as_nobody(run))

    serve(run, inside, "daemon")
    (line,) = caplog.messages
    assert line.startswith(f"set word=x: refused, by user {NOBODY}, process ")


def test_a_group_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"^board\.group: the control socket can't be given to group nowhere"
    ):
        serve(tmp_path, lambda: None, "nowhere")


def test_only_one_agent_and_no_strangers_file(tmp_path: Path) -> None:
    def ask() -> None:
        with pytest.raises(EnvironmentFaultError, match="another agent is running"):
            serve(tmp_path, lambda: None)

    serve(tmp_path, ask)
    path = tmp_path / "agent.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    serve(tmp_path, lambda: None)  # a dead agent's socket is no obstacle
    path.write_text("mine")
    with pytest.raises(EnvironmentFaultError, match="no socket"):
        serve(tmp_path, lambda: None)
    assert path.read_text() == "mine"


@pytest.mark.parametrize("line", [b"no json\n", b"[1]\n", b'{"verb": {}}\n', b"x" * 5000 + b"\n", b"\xff\n"])
def test_nonsense(tmp_path: Path, line: bytes) -> None:
    def ask() -> None:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(10)
            client.connect(str(tmp_path / "agent.sock"))
            client.sendall(line)
            said = client.recv(1000)
            assert not said or "error" in json.loads(said)
        with ControlClient(tmp_path) as agent:
            assert agent.ask("echo") == {}

    serve(tmp_path, ask)
