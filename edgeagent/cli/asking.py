"""What the commands about units share: how they name units, ask the agent, and wait for what comes of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import click
from click.shell_completion import CompletionItem

from edgeagent.config import load
from edgeagent.control.client import ControlClient
from edgeagent.errors import EdgeAgentError, GuestError, UnreachableError

from .progress import working
from .words import RUNTIME, RUNTIME_HELP

CONFIG = Path("/etc/edgeagent/agent.toml")
COMPLETE_S = 1.0
"""How long completion waits for the agent."""
POLL_S = 0.2
WAIT_S = 60.0
"""How long a command waits for what it asked for."""
BACK_S = 60.0
"""How long a command that follows the agent waits for it to come back."""
RETRY_S = 0.5

Row = dict[str, Any]
GOING = ("running", "idle")
"""States of a guest that is as it should be."""

runtime_option = click.option(
    "--runtime", type=click.Path(path_type=Path), default=RUNTIME, show_default=True, help=RUNTIME_HELP
)
no_wait_option = click.option("--no-wait", is_flag=True, help="Ask for it and don't wait until it is so.")


def unit_names(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Completion: the running agent's units, else those of the configuration."""
    names: list[str] = []
    with (
        suppress(EdgeAgentError),
        ControlClient(Path(ctx.params.get("runtime") or RUNTIME), COMPLETE_S) as agent,
    ):
        names = [row["unit"] for row in agent.ask("ps")["guests"]]
    if not names:
        with suppress(EdgeAgentError):
            names = [unit.name for unit in load(CONFIG).units]
    named = ctx.params.get("units") or ()
    return [
        CompletionItem(name)
        for name in dict.fromkeys(names)
        if name.startswith(incomplete) and name not in named
    ]


units_argument = click.argument(
    "units", nargs=-1, required=True, metavar="UNIT...", shell_complete=unit_names
)


def change(
    verb: str, runtime: Path, units: tuple[str, ...], reached: Callable[[Row, int], bool], *, wait: bool
) -> None:
    """Ask for a change, and wait until each guest of the units has reached it.

    reached: of a guest's row (agent/listing.py), and how often the guest had been started before. GuestError when a
    guest is started too often without getting there, EdgeAgentError when it takes too long.
    """
    with ControlClient(runtime) as agent:
        before = {row["name"]: row["starts"] for row in agent.ask(verb, units=list(units))["guests"]}
        if not wait:
            return
        deadline = time.monotonic() + WAIT_S
        with working(f"{verb} {', '.join(units)}") as say:
            while True:
                rows = [row for row in agent.ask("ps")["guests"] if row["unit"] in units]
                late = [row for row in rows if not reached(row, before.get(row["name"], 0))]
                for row in late:
                    if row["state"] == "failed" and row["starts"] > before.get(row["name"], 0):
                        raise GuestError(row["crash"] or "its guest failed", where=row["name"])
                if not late:
                    break
                say(f"{verb}: " + ", ".join(f"{row['name']} {row['state']}" for row in late))
                if time.monotonic() > deadline:
                    raise EdgeAgentError(
                        f"still {late[0]['state']} after {WAIT_S:g} s",
                        where=late[0]["name"],
                        remedy="It goes on; look at `edgeagent ps` and `edgeagent logs`.",
                    )
                time.sleep(POLL_S)
    for row in rows:
        click.echo(f"{row['name']}: {row['state']}")


class Follower:
    """Asks an agent again and again, also one that is restarted meanwhile; use as a context manager.

    tell: called with words when it is gone, and when it is back. UnreachableError when it isn't there at first, or
    stays away longer than BACK_S.
    """

    def __init__(self, runtime: Path, tell: Callable[[str], None]) -> None:
        self._runtime = runtime
        self._tell = tell
        self._agent: ControlClient | None = ControlClient(runtime)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._leave()

    def _leave(self) -> None:
        if self._agent is not None:
            self._agent.__exit__()
            self._agent = None

    def ask(self, verb: str, **arguments: Any) -> dict[str, Any]:
        """See ControlClient.ask."""
        deadline = 0.0
        while True:
            try:
                if self._agent is None:
                    self._agent = ControlClient(self._runtime)
                answer = self._agent.ask(verb, **arguments)
            except UnreachableError:
                self._leave()
                now = time.monotonic()
                if not deadline:
                    self._tell(f"the agent is gone; waiting {BACK_S:g} s for it to come back")
                    deadline = now + BACK_S
                elif now > deadline:
                    raise
                time.sleep(RETRY_S)
            else:
                if deadline:
                    self._tell("the agent is back")
                return answer
