"""Every command of the command line, found by walking click's tree."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

import click

from edgeagent.cli.main import cli


def walk(
    command: click.Command = cli, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """(words after edgeagent, command), groups before what is in them."""
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from walk(found, (*path, name))


COMMANDS = dict(walk())


def understood(line: str) -> None:
    """Parse a line that a person would copy; nothing is run. click.UsageError or ValueError when it can't be."""
    program, *words = shlex.split(re.split(r" [>|&<]|\s#", line)[0])
    assert program == "edgeagent", line
    command, context = cli, None
    while words:
        try:
            context = command.make_context(command.name or program, [*words], parent=context)
        except click.exceptions.Exit:
            return  # --help, --version
        if not isinstance(command, click.Group):
            return
        _, words, _ = command.make_parser(context).parse_args([*words])
        if words:
            found = command.get_command(context, words[0])
            if found is None:
                raise click.UsageError(f"no command {words[0]}")
            command, words = found, words[1:]
    if context is not None and not isinstance(command, click.Group):
        command.make_context(command.name or program, [], parent=context)
