"""`edgeagent-tuf-client`: the board's TUF client by itself, with the options of the public conformance suite."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from edgeagent.errors import ConfigError, EdgeAgentError
from edgeagent.host.disk import DiskFiles
from edgeagent.update import client
from edgeagent.update.client import Places


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--metadata-dir", required=True, type=click.Path(path_type=Path), help="What is trusted.")
@click.option("--metadata-url", default="", help="The repository's metadata: a URL or folder.")
@click.option("--target-name", default="", help="Path of the target to download.")
@click.option("--target-base-url", default="", help="The repository's targets.")
@click.option("--target-dir", type=click.Path(path_type=Path), help="Where verified targets go.")
@click.pass_context
def tuf_client(context: click.Context, /, **options: Any) -> None:
    """Keep TUF metadata up to date and download verified targets.

    Exit code 0: done. 1: not done; the reason is on standard error.
    """
    context.obj = options


@tuf_client.command()
@click.argument("root", type=click.Path(path_type=Path))
@click.pass_obj
def init(options: dict[str, Any], root: Path) -> None:
    """Begin to trust the root of this file."""
    client.trust(DiskFiles().read(root, client.MAX_ROOT), options["metadata_dir"])


def _places(options: dict[str, Any], *needed: str) -> Places:
    for name in ("metadata_url", *needed):
        if not options[name]:
            raise ConfigError(f"--{name.replace('_', '-')} is missing")
    return Places(
        options["metadata_dir"], options["metadata_url"], options["target_dir"], options["target_base_url"]
    )


@tuf_client.command()
@click.pass_obj
def refresh(options: dict[str, Any]) -> None:
    """Bring the metadata up to date."""
    client.refresh(_places(options))


@tuf_client.command()
@click.pass_obj
def download(options: dict[str, Any]) -> None:
    """Download a target, unless it is there."""
    client.download(_places(options, "target_name", "target_base_url", "target_dir"), options["target_name"])


def main(arguments: list[str] | None = None) -> int:
    """Entry point; the suite knows the exit codes 0 and 1 only."""
    run: Callable[[], Any] = functools.partial(tuf_client.main, arguments, standalone_mode=False)
    try:
        run()
    except (EdgeAgentError, click.ClickException, OSError) as error:
        words = error.format_message() if isinstance(error, click.ClickException) else str(error)
        click.echo(f"edgeagent-tuf-client: {words}", err=True)
        return 1
    return 0
