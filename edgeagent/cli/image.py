"""`edgeagent image`: build guest images, and say what one is before it runs."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import click
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from edgeagent.errors import ConfigError, EdgeAgentError, ImageError
from edgeagent.host.disk import DiskFiles
from edgeagent.image import boot, inspection
from edgeagent.image import build as building
from edgeagent.image.boot import Boot
from edgeagent.image.build import ImageFile
from edgeagent.image.inspection import ImageInfo
from edgeagent.image.targets import TARGETS

from .progress import working
from .words import examples

ALL = "all"
BUILDERS = 2
"""Images compiled at once."""


@click.group(
    epilog=examples(
        "edgeagent image build --arch x86_64", "edgeagent image inspect build/images/x86_64/echo.elf"
    )
)
def image() -> None:
    """Build and inspect guest images."""


@image.command(epilog=examples("edgeagent image build --arch aarch64 --app aggregate"))
@click.option(
    "--arch", type=click.Choice([*TARGETS, ALL]), default=ALL, show_default=True, help="What to build for."
)
@click.option("--app", default=ALL, show_default=True, metavar="NAME", help="The unikernel to build.")
@click.option(
    "--source",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    default=building.SOURCE,
    help="The guest sources. Default: firmware-images of this checkout.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=building.OUT,
    show_default=True,
    help="Images go to OUT/ARCH/APP.elf.",
)
@click.option("--json", "as_json", is_flag=True, help="A JSON array instead of a table.")
@click.option("--quiet", "-q", is_flag=True, help="Print nothing but errors.")
def build(arch: str, app: str, source: Path, out: Path, as_json: bool, quiet: bool) -> None:
    """Compile images with clang and ld.lld."""
    wanted = [
        (one_arch, one_app)
        for one_arch in (TARGETS if arch == ALL else [arch])
        for one_app in (building.useful(source) if app == ALL else [app])
    ]
    if not wanted:
        raise ConfigError(
            "there are no apps", where=str(source / "app"), remedy="Give the guest sources with --source."
        )
    built: list[ImageFile] = []
    with working("compiling") as say, ThreadPoolExecutor(BUILDERS) as pool:
        for file in pool.map(lambda what: building.build(source, out, *what), wanted):
            built.append(file)
            say(f"compiling: {len(built)} of {len(wanted)} done, {file.path} the last")
    if quiet:
        return
    if as_json:
        click.echo(json.dumps([{"path": str(file.path), **_plain(file.info)} for file in built], indent=2))
    else:
        Console().print(_built(built))


@image.command(
    epilog=examples("edgeagent image inspect build/images/x86_64/aggregate.elf --json"),
)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of tables.")
def inspect(file: Path, as_json: bool) -> int:
    """Say what an image is before it runs.

    A guest of ours: architecture, size (its attack surface), digest, what it declares. Anybody's unikernel: how it
    is booted (`edgeagent vm run`), or why nothing here can boot it.

    Exit code 1: its build id doesn't match its bytes. 6: nothing here can run it.
    """
    data = read_image(file)
    with about(file):
        found = boot.identify(data)
        info = inspection.inspect(data) if inspection.is_ours(data) else None
    plain = {"boot": plain_boot(found), **(_plain(info) if info else foreign(found, data))}
    if as_json:
        click.echo(json.dumps(plain, indent=2))
    elif info:
        Console().print(_inspected(file, info, found))
    else:
        Console().print(_foreign(file, found, plain))
    return 0 if info is None or info.build_id_verified else 1


@contextmanager
def about(file: Path) -> Iterator[None]:
    """Faults that don't say where are this file's."""
    try:
        yield
    except EdgeAgentError as error:
        if error.where:
            raise
        raise type(error)(error.what, where=str(file), remedy=error.remedy) from error


def read_image(file: Path) -> bytes:
    """The bytes of an image of anybody's. ImageError when it can't be read."""
    try:
        return DiskFiles().read(file, boot.MAX_IMAGE)
    except OSError as error:
        reason = (
            "too large for an image" if error.errno == errno.EFBIG else (error.strerror or str(error)).lower()
        )
        raise ImageError(reason, where=str(file)) from error


def plain_boot(found: Boot) -> dict[str, object]:
    """For JSON."""
    return {"words": boot.WORDS[found.protocol], **dataclasses.asdict(found)}


def foreign(found: Boot, data: bytes) -> dict[str, object]:
    """What is known of an image that isn't ours."""
    return {"arch": found.arch, "size": len(data), "digest": hashlib.sha256(data).hexdigest()}


def _foreign(file: Path, found: Boot, plain: dict[str, object]) -> Group:
    facts = _facts()
    rows = [
        ("boots as", f"{found.protocol}: {boot.WORDS[found.protocol]}"),
        ("machine", found.arch),
        ("attack surface", f"{plain['size']:,} bytes"),
    ]
    if found.start is not None and found.end is not None:
        entry = "" if found.entry is None else f", entry {found.entry:#x}"
        rows.append(("in memory", f"{found.end - found.start:,} bytes at {found.start:#x}{entry}"))
    if found.devices:
        rows.append(("devices", ", ".join(f"{one.name} ({one.kind})" for one in found.devices)))
    rows += [("note", remark) for remark in found.remarks]
    rows += [("sha256", str(plain["digest"])), ("", "no guest of ours: it declares nothing")]
    for name, value in rows:
        facts.add_row(name, value)
    return Group(Text(str(file), style="bold"), facts)


def _facts() -> Table:
    # So that a digest is one word in 80 columns.
    facts = Table(box=None, show_header=False, padding=(0, 1, 0, 0))
    facts.add_column(style="bold", no_wrap=True)
    facts.add_column(overflow="fold")
    return facts


def _plain(info: ImageInfo) -> dict[str, object]:
    plain = dataclasses.asdict(info)
    plain["sections"] = [{"name": name, "size": size} for name, size in info.sections]
    plain["log_ring"] = {"address": info.log_ring[0], "size": info.log_ring[1]}
    return plain


def _built(built: list[ImageFile]) -> Table:
    table = Table(box=None, header_style="bold")
    for title in ("image", "size", "in memory", "build id"):
        table.add_column(title, justify="right" if title in ("size", "in memory") else "left", no_wrap=True)
    for file in built:
        info = file.info
        table.add_row(str(file.path), f"{info.size:,}", f"{info.loaded:,}", info.build_id[:16])
    return table


_MATCH = Text("matches the file", "green")
_MISMATCH = Text("doesn't match the file: it was changed after it was built", "red")


def _inspected(file: Path, info: ImageInfo, found: Boot) -> Group:
    facts = _facts()
    said = info.declaration
    for name, value in (
        ("app", f"{said.app} {said.version} (state {said.state_version}, ABI {said.abi})"),
        ("architecture", info.arch),
        ("boots as", f"{found.protocol}: {boot.WORDS[found.protocol]}"),
        ("attack surface", f"{info.size:,} bytes, channels: {', '.join(said.channels)}"),
        ("in memory", f"{info.loaded:,} bytes, entry {info.entry:#x}"),
        ("log ring", f"{info.log_ring[1]:,} bytes at {info.log_ring[0]:#x}"),
        ("symbols", "stripped" if info.stripped else "present"),
        ("sha256", info.digest),
        ("build id", info.build_id),
        ("", _MATCH if info.build_id_verified else _MISMATCH),
    ):
        facts.add_row(name, value)
    sections = Table(box=None, header_style="bold")
    sections.add_column("section")
    sections.add_column("bytes", justify="right")
    for name, size in info.sections:
        sections.add_row(name, f"{size:,}")
    return Group(Text(str(file), style="bold"), facts, Text(), sections)
