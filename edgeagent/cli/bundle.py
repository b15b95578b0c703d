"""`edgeagent bundle`: what an update delivers: images, their contract, their author's signature."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from edgeagent import __version__
from edgeagent.errors import ConfigError, ImageError
from edgeagent.host.disk import DiskFiles
from edgeagent.image import inspection
from edgeagent.image.targets import TARGETS
from edgeagent.quantities import show_duration, show_size
from edgeagent.seal.keys import VerifyKey
from edgeagent.update import bundle as bundles
from edgeagent.update import contract as contracts
from edgeagent.update import key_files, suit
from edgeagent.update.authors import Author, AuthorSigner
from edgeagent.update.bundle import Content, Opened
from edgeagent.update.commands import NotForThisDeviceError
from edgeagent.update.contract import Contract
from edgeagent.update.suit import Envelope

from .inputs import read_file
from .words import examples

_FILES = DiskFiles()
_path = click.Path(path_type=Path, dir_okay=False)
_bundle = click.argument("file", type=_path)
_json = click.option("--json", "as_json", is_flag=True, help="One JSON object instead of tables.")


def _envelope(path: Path) -> Envelope:
    return suit.parse(read_file(path, suit.MAX_ENVELOPE))


@click.group(
    epilog=examples(
        "edgeagent bundle build home.toml --key author.pem --out home-7.suit",
        "edgeagent bundle inspect home-7.suit",
    )
)
def bundle() -> None:
    """Build, sign and check what an update delivers."""


@bundle.command(epilog=examples("edgeagent bundle build home.toml --key author.pem --out home-7.suit"))
@click.argument("contract", type=_path)
@click.option(
    "--images",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("build/images"),
    show_default=True,
    help="Folder of images, ARCH/APP.elf.",
)
@click.option(
    "--arch", multiple=True, type=click.Choice(list(TARGETS)), help="Only these.  [default: all there]"
)
@click.option(
    "--key", "private", type=_path, multiple=True, required=True, help="An author's private key; repeat it."
)
@click.option("--out", type=_path, required=True, help="The bundle to write.")
def build(contract: Path, images: Path, arch: tuple[str, ...], private: tuple[Path, ...], out: Path) -> None:
    """Build and sign a bundle.

    CONTRACT says what the image is, needs and must hold (docs/fleet-manager.md); every image must declare what it says.
    """
    terms = contracts.parse_toml(
        read_file(contract, contracts.MAX_CONTRACT).decode("utf-8", "replace"), str(contract)
    )
    found = {one: images / one / f"{terms.app.name}.elf" for one in arch or TARGETS}
    there = {one: path for one, path in found.items() if arch or path.exists()}
    if not there:
        raise ConfigError(f"there is no image of {terms.app.name}", where=str(images), remedy="See --images.")
    loaded = {one: _image(path, one, terms) for one, path in there.items()}
    signers = [AuthorSigner(key_files.read(_FILES, one)) for one in private]
    data = bundles.build(terms, loaded, signers)
    _FILES.replace(out, data, 0o644)
    click.echo(f"{out}: {terms.app.name} {terms.app.version} as bundle {terms.app.sequence}, {len(data):,} bytes, "
               f"for {', '.join(loaded)}")  # fmt: skip


def _image(path: Path, arch: str, terms: Contract) -> bytes:
    data = read_file(path, inspection.MAX_IMAGE)
    try:
        info = inspection.inspect(data)
    except ImageError as error:
        raise ImageError(error.what, where=str(path), remedy=error.remedy) from error
    if info.arch != arch:
        raise ImageError(f"the image is for {info.arch}", where=str(path))
    terms.check(info.declaration, terms.app.agent, str(path))
    return data


@bundle.command(epilog=examples("edgeagent bundle sign home-7.suit --key second.pem"))
@_bundle
@click.option("--key", "private", type=_path, required=True, help="An author's private key.")
def sign(file: Path, private: Path) -> None:
    """Add a signature."""
    signer = AuthorSigner(key_files.read(_FILES, private))
    signed = bundles.sign(_envelope(file), signer)
    _FILES.replace(file, suit.encode(signed), 0o644)
    click.echo(f"{file}: signed by {signer.kid.hex()}; signatures: {len(signed.signatures)}")


@bundle.command(
    epilog=examples(
        "edgeagent bundle verify home-7.suit --author author.pem.pub --arch aarch64 --board raspberry-pi-4"
    )
)
@_bundle
@click.option("--author", type=_path, multiple=True, required=True, help="An author's public key; repeat it.")
@click.option("--arch", type=click.Choice(list(TARGETS)), help="For boards of this architecture.")
@click.option("--board", default="", help="For boards of this profile.")
@_json
def verify(file: Path, author: tuple[Path, ...], arch: str | None, board: str, as_json: bool) -> int:
    """Check a bundle as a board would.

    Signature, contract, and every image that such a board could get.

    Exit code 1: it isn't for that board. 5: it mustn't be trusted.
    """
    envelope = _envelope(file)
    opened = bundles.open_bundle(envelope, [Author(key_files.read_public(_FILES, one)) for one in author])
    terms = contracts.decode(bundles.content_of(envelope, opened.contract))
    images = _images(opened, [arch] if arch else list(TARGETS), board or next(iter(terms.app.boards), ""))
    for one, content in images.items():
        info = inspection.inspect(bundles.content_of(envelope, content))
        terms.check(info.declaration, __version__, f"{file} {content.uri}")
        if info.arch != one:
            raise ImageError(f"the image is for {info.arch}", where=f"{file} {content.uri}")
    if as_json:
        click.echo(json.dumps(_said(opened, terms, images)))
    elif images:
        click.echo(f"{file}: signed by {opened.author.kid.hex()}, whole, for {', '.join(images)}")
    else:
        click.echo(f"{file}: not for {' '.join(one for one in (arch, board) if one)}")
    return 0 if images else 1


def _images(opened: Opened, archs: Iterable[str], board: str) -> dict[str, Content]:
    found = {}
    for arch in archs:
        with contextlib.suppress(NotForThisDeviceError):
            found[arch] = opened.image(bundles.device(arch, board, ""))
    return found


def _said(opened: Opened, terms: Contract, images: dict[str, Content]) -> dict[str, Any]:
    return {
        "sequence": opened.sequence,
        "author": opened.author.kid.hex(),
        "app": asdict(terms.app),
        "health": asdict(terms.health),
        "probes": len(terms.probes),
        "images": {arch: {"bytes": one.size, "sha256": one.digest.hex()} for arch, one in images.items()},
    }


@bundle.command(epilog=examples("edgeagent bundle inspect home-7.suit"))
@_bundle
@_json
def inspect(file: Path, as_json: bool) -> None:
    """Show what a bundle says. Trusts nothing.

    Signatures aren't checked, `edgeagent bundle verify` does.
    """
    envelope = _envelope(file)
    opened = Opened(suit.read_manifest(envelope), _NOBODY)
    terms = contracts.decode(bundles.content_of(envelope, opened.contract))
    images = _images(opened, TARGETS, next(iter(terms.app.boards), ""))
    kids = [suit.signer_of(one).hex() for one in envelope.signatures]
    if as_json:
        click.echo(json.dumps({**_said(opened, terms, images), "author": kids, "verified": False}))
        return
    app, health = terms.app, terms.health
    table = Table(box=None, show_header=False, padding=(0, 1, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    bounds = f"rejects at most {health.rejects} % more; summaries {health.least} to {health.most} %"
    rows = [
        ("bundle", f"{app.sequence}: {app.name} {app.version}, state {app.state}"),
        ("needs", f"agent {app.agent} or later, {show_size(app.memory)} of guest RAM"),
        ("boards", ", ".join(app.boards) or "all"),
        ("health", f"{show_duration(health.window)}; {bounds}"),
        ("probes", str(len(terms.probes))),
        *(
            (f"image {arch}", f"{one.size:,} bytes, SHA-256 {one.digest.hex()}")
            for arch, one in images.items()
        ),
        ("signed by", f"{', '.join(kids)} (not checked)"),
    ]
    for name, value in rows:
        table.add_row(name, value)
    Console().print(table)


_NOBODY = Author(VerifyKey(bytes(32)))
