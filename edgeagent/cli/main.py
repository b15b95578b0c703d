"""The command `edgeagent`. Verbs are imported when they are used, so that each needs only its own libraries."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

import click
from click.shell_completion import CompletionItem

from edgeagent import __version__
from edgeagent.errors import EdgeAgentError, EnvironmentFaultError

from .words import examples

VERBS = {
    "run": ("edgeagent.cli.run", "Run the agent on this board."),
    "status": ("edgeagent.cli.status", "Show what a running agent does."),
    "logs": ("edgeagent.cli.logs", "Show the newest log lines of a running agent."),
    "ps": ("edgeagent.cli.ps", "List guests, and what they use."),
    "top": ("edgeagent.cli.top", "Watch guests and what they use."),
    "stop": ("edgeagent.cli.stop", "Stop the guests of units until they are started again."),
    "start": ("edgeagent.cli.start", "Start the guests of units that are stopped, idle or failed."),
    "restart": ("edgeagent.cli.restart", "End the guests of units in order, and start them anew."),
    "crash": ("edgeagent.cli.crash", "Look at guests that crashed, and play their input again."),
    "probe": ("edgeagent.cli.probe", "Can this board run unikernels under KVM, how fast, and if not, why?"),
    "boards": ("edgeagent.cli.boards", "List the boards that are known, and what is known of each."),
    "image": ("edgeagent.cli.image", "Build and inspect guest images."),
    "vm": ("edgeagent.cli.vm", "Run anybody's unikernel, with its console on the terminal."),
    "bundle": ("edgeagent.cli.bundle", "Build, sign and check what an update delivers."),
    "repo": ("edgeagent.cli.repo", "Keep the signed repository that boards take bundles from."),
    "fleet": ("edgeagent.cli.fleet", "Manage boards over MQTT."),
    "keys": ("edgeagent.cli.keys", "Make, show and rotate keys."),
    "collect": ("edgeagent.cli.collect", "Receive, verify and store batches (the cloud end)."),
    "simulate": ("edgeagent.cli.simulate", "Play a home of sensors over MQTT and CoAP."),
    "replay": ("edgeagent.cli.replay", "Play recorded time series (CSV) over MQTT and CoAP."),
    "demo": ("edgeagent.cli.demo", "Run the whole chain on this machine and check every window."),
    "completion": ("edgeagent.cli.completion", "Print the shell's completion script."),
}
"""Verb: module (which has a click command of the verb's name) and what it does."""


class _Lazy(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in VERBS:
            return None
        command: click.Command = getattr(importlib.import_module(VERBS[cmd_name][0]), cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """From the table, so that help imports no verb."""
        with formatter.section("Commands"):
            formatter.write_dl([(verb, words) for verb, (_, words) in VERBS.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """From the table too."""
        verbs = [CompletionItem(verb, help=words) for verb, (_, words) in VERBS.items()]
        options = click.Command.shell_complete(self, ctx, incomplete)
        return [*(verb for verb in verbs if verb.value.startswith(incomplete)), *options]


EXITS = """\b
Exit codes:
  0  done                               4  a peer doesn't answer
  1  done, and the answer is no         5  damaged data
  2  bad usage or configuration         6  an image can't be run
  3  the machine lacks something        7  a guest failed
  130  interrupted                      124  a time limit was reached
"""


@click.command(
    cls=_Lazy,
    epilog=examples("edgeagent probe", "edgeagent demo", more=EXITS),
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="edgeagent")
def cli() -> None:
    """Runs sensor-aggregation unikernels on small boards and forwards sealed summaries."""


def main(arguments: list[str] | None = None) -> Any:
    """Entry point: every EdgeAgentError is one line on standard error and an exit code."""
    try:
        code = cli.main(arguments, prog_name="edgeagent", standalone_mode=False)
    except EdgeAgentError as error:
        click.echo(f"edgeagent: {error}", err=True)
        sys.exit(error.exit_code)
    except click.ClickException as error:
        click.echo(f"edgeagent: {_line(error)}", err=True)
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("edgeagent: interrupted", err=True)
        sys.exit(130)
    except BrokenPipeError:
        # The reader of our output is gone (edgeagent ... | head); nothing is wrong.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        # Rooms tell what they were about; this is the last resort.
        where = f"{error.filename}: " if error.filename else ""
        click.echo(f"edgeagent: {where}{error.strerror or error}", err=True)
        sys.exit(EnvironmentFaultError.exit_code)
    sys.exit(code if isinstance(code, int) else 0)


def _line(error: click.ClickException) -> str:
    """A usage error as one line: what, in which command, and where to read on."""
    what = " ".join(error.format_message().split()).rstrip(".")
    context = error.ctx if isinstance(error, click.UsageError) else None
    if context is None:
        return what
    command = context.command_path
    where = command.removeprefix("edgeagent").strip()
    return f"{where}: {what}. See: {command} --help" if where else f"{what}. See: {command} --help"
