"""`edgeagent boards`: what is known of boards."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from itertools import zip_longest
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem
from rich.console import Console, Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from edgeagent.boards import library
from edgeagent.boards.here import this_machine
from edgeagent.boards.profile import SECTIONS, Profile
from edgeagent.errors import EdgeAgentError
from edgeagent.quantities import show_size

from .words import examples

COLOURS = {"yes": "green", "slow": "yellow", "partial": "yellow", "no": "red", "unknown": "dim"}


def _names(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """For the shell: names of profiles with their titles; nothing where they can't be read."""
    try:
        known = library.profiles()
    except EdgeAgentError:
        return []
    return [
        CompletionItem(name, help=profile.board.title)
        for name, profile in known.items()
        if name.startswith(incomplete)
    ]


@click.group(
    invoke_without_command=True,
    epilog=examples("edgeagent boards", "edgeagent boards show raspberry-pi-4", "edgeagent boards --json"),
)
@click.option("--json", "as_json", is_flag=True, help="A JSON array instead of a table.")
@click.pass_context
def boards(ctx: click.Context, as_json: bool) -> None:
    """List the boards that are known, and what KVM verdict to expect on each.

    The one this machine is has a star.
    """
    if ctx.invoked_subcommand is not None:
        return
    known, here = library.profiles(), _here()
    if as_json:
        click.echo(json.dumps([_plain(one, here) for one in known.values()], indent=2, ensure_ascii=False))
    else:
        Console(highlight=False).print(listed(known.values(), here))


@boards.command(epilog=examples("edgeagent boards show rock-5b --json"))
@click.argument("name", shell_complete=_names)
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of text.")
def show(name: str, as_json: bool) -> None:
    """Show all that is known of a board.

    How it is recognised, what KVM verdict to expect and what makes it differ, how it is flashed.
    """
    profile, here = library.named(name), _here()
    if as_json:
        click.echo(json.dumps(_plain(profile, here), indent=2, ensure_ascii=False))
    else:
        Console(highlight=False).print(shown(profile, here))


@boards.command(epilog=examples("edgeagent boards check boards/raspberry-pi-4.toml"))
@click.argument(
    "files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path, dir_okay=False)
)
def check(files: tuple[Path, ...]) -> None:
    """Check profiles, NAME.toml each. A profile in /etc/edgeagent/boards is used on this board.

    Exit code 2: one is wrong, and the line says where and what to do.
    """
    for path in files:
        profile = library.read(path)
        click.echo(f"{path}: good; {profile.name}, {profile.board.title}")


def _here() -> str:
    match = library.recognise(this_machine())
    return match.profile.name if match else ""


def _plain(profile: Profile, here: str) -> dict[str, Any]:
    """The profile's tables as in its file, sizes in bytes."""
    tables = {section: asdict(getattr(profile, section)) for section in SECTIONS}
    return {"name": profile.name, "here": profile.name == here, **tables}


def listed(profiles: Iterable[Profile], here: str) -> Table:
    """A row for each board; three columns, so that it fits 80 columns."""
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("board", no_wrap=True)
    table.add_column("KVM", no_wrap=True)
    table.add_column("what it is", overflow="fold")
    for one in profiles:
        mark = " *" if one.name == here else ""
        table.add_row(
            Text(one.name + mark, style="bold" if mark else ""), _verdict(one), Text(one.board.title)
        )
    return table


def _verdict(profile: Profile) -> Text:
    verdict = profile.kvm.verdict
    return Text("depends" if verdict == "unknown" else verdict, style=COLOURS[verdict])


def shown(profile: Profile, here: str) -> Group:
    """All of one board."""
    board, kvm, guests, flash = profile.board, profile.kvm, profile.guests, profile.flash
    facts = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column(overflow="fold")
    facts.add_row("architecture", f"{board.arch}, {board.endianness}-endian")
    for title, line in zip_longest(("recognised by",), _marks(profile), fillvalue=""):
        facts.add_row(title, Text(line))
    reason = "" if kvm.verdict == "unknown" else f" ({kvm.reason})"
    facts.add_row("KVM", Text.assemble(_verdict(profile), reason))
    facts.add_row("trap", Text(_flowing(kvm.trap) or "none known"))
    facts.add_row(
        "guests get",
        Text(
            f"{profile.defaults['board']['memory_budget']} of the memory together; each {show_size(guests.memory)}, "
            f"{guests.cpu}% of a core; accelerator {guests.accelerator}"
        ),
    )
    facts.add_row("flashing", Text(f"{flash.method}: {_flowing(flash.how)}"))
    facts.add_row("image", Text(flash.image or "none"))
    facts.add_row("boot partition", Text(flash.boot_partition or "none that takes settings"))
    facts.add_row("two roots", Text("possible" if flash.ab_root else "not foreseen"))
    for title, line in zip_longest(("from",) if board.sources else (), board.sources, fillvalue=""):
        facts.add_row(title, Text(line))
    this = "  (this machine)" if profile.name == here else ""
    return Group(
        Text.assemble((profile.name, "bold"), f"  {board.title}{this}"), Padding(facts, (0, 0, 0, 2))
    )


def _marks(profile: Profile) -> Iterator[str]:
    marks = profile.recognise
    yield from (f"device tree {name}" for name in marks.compatible)
    for one in marks.dmi:
        yield "DMI " + ", ".join(f"{key} {text}" for key, text in one.items())
    yield from (f"CPU {pattern}" for pattern in marks.cpu)
    if marks.firmware:
        yield "UEFI firmware"
    if profile.fallback:
        yield "its architecture, where nothing else fits"


def _flowing(text: str) -> str:
    return " ".join(text.split())
