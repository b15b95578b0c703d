"""`edgeagent completion`: the script that a shell reads to complete our commands."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from .words import examples


@click.command(
    epilog=examples(
        "edgeagent completion bash > /etc/bash_completion.d/edgeagent",
        "source <(edgeagent completion zsh)",
        "edgeagent completion fish > ~/.config/fish/completions/edgeagent.fish",
    )
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script for SHELL."""
    from .main import cli  # noqa: PLC0415 - main imports this file

    kind = get_completion_class(shell)
    if kind is None:
        raise click.ClickException(f"click knows no completion for {shell}")
    click.echo(kind(cli, {}, "edgeagent", "_EDGEAGENT_COMPLETE").source())
