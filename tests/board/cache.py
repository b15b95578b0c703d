"""The cache of what boards boot from: build/boards/NAME-RECIPE-PACKAGES, each folder whole or not there.

RECIPE is a hash of how it is built, PACKAGES one of Debian's index of packages, which has the version of each.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import click

from edgeagent.errors import EnvironmentFaultError

CACHE = Path(__file__).parents[2] / "build" / "boards"
MIRROR = os.environ.get("DEBIAN_MIRROR", "http://deb.debian.org/debian")
FETCH_S = 60.0
MAX_RELEASE = 1 << 20
DIGITS = 8
"""Of a hash, in a name."""

SUITES = {"trixie": ("trixie", "stable"), "bookworm": ("bookworm", "oldstable")}
"""Names under which a mirror has a release. One that is being synchronised may be whole under one of them only."""


@dataclass(frozen=True, slots=True)
class Index:
    """A release's index of packages for one architecture, as a mirror has it now."""

    suite: str
    sha256: str


def say(line: str) -> None:
    """Progress."""
    click.echo(f"boards: {line}", err=True)


def cached(
    name: str, recipe: bytes, found: Callable[[], Index], build: Callable[[Path, Index], None]
) -> Path:
    """The folder with this name and recipe, built if need be; of earlier ones nothing is kept.

    Without a mirror an earlier one of the same recipe is used. EnvironmentFaultError when there is neither.
    """
    start = f"{name}-{hashlib.sha256(recipe).hexdigest()[:DIGITS]}-"
    earlier = sorted(CACHE.glob(f"{name}-*"), key=lambda path: path.stat().st_mtime)
    try:
        index = found()
    except EnvironmentFaultError as error:
        if usable := [path for path in earlier if path.name.startswith(start)]:
            say(f"{name}: {error}; what was built earlier is used")
            return usable[-1]
        raise
    folder = CACHE / f"{start}{index.sha256[:DIGITS]}"
    if not folder.exists():
        with _alone(name):
            if not folder.exists():
                began = time.monotonic()
                with temporary() as new:
                    build(new, index)
                    new.rename(folder)
                say(f"{name}: built in {time.monotonic() - began:.0f} s")
                for old in earlier:
                    shutil.rmtree(old, ignore_errors=True)
    return folder


@contextmanager
def _alone(name: str) -> Iterator[None]:
    """Whoever else wants to build it waits."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f".{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def temporary() -> Iterator[Path]:
    """A folder in the cache's file system, gone afterwards unless it was renamed."""
    CACHE.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=".new-", dir=CACHE))
    try:
        yield folder
    finally:
        if folder.exists():
            shutil.rmtree(folder)


# ---- the mirror -------------------------------------------------------------------------------------------------


@cache
def index(release: str, debian: str) -> Index:
    """What the mirror has of a release for Debian's architecture; EnvironmentFaultError when it has no whole one.

    Who signed it isn't looked at here: mmdebstrap does.
    """
    path = f"main/binary-{debian}/Packages.xz"
    try:
        for suite in SUITES[release]:
            with _open(f"dists/{suite}/InRelease") as answer:
                listed = answer.read(MAX_RELEASE).decode("utf-8", "replace")
            codename = re.search(r"^Codename: (\S+)$", listed, re.MULTILINE)
            line = re.search(rf"^ ([0-9a-f]{{64}}) +(\d+) {re.escape(path)}$", listed, re.MULTILINE)
            if not codename or codename[1] != release or not line:
                continue
            with _open(f"dists/{suite}/{path}", method="HEAD") as answer:
                if answer.headers["Content-Length"] == line[2]:
                    return Index(suite, line[1])
    except OSError as error:
        raise EnvironmentFaultError(
            f"{MIRROR} can't be reached: {error}", remedy="Set DEBIAN_MIRROR to another"
        ) from error
    raise EnvironmentFaultError(
        f"{MIRROR} has no whole {release} for {debian}: it is being synchronised",
        remedy="Wait, or set DEBIAN_MIRROR to another",
    )


def _open(path: str, method: str = "GET"):
    return urllib.request.urlopen(urllib.request.Request(f"{MIRROR}/{path}", method=method), timeout=FETCH_S)
