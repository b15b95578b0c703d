"""Shell: what a fleet's repository offers, verified by python-tuf before anything of it is kept."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from edgeagent.errors import (
    ConfigError,
    DamagedError,
    EdgeAgentError,
    EnvironmentFaultError,
    UnreachableError,
)

from .fetch import Fetcher, repository_url
from .tuf_library import FetcherInterface, Updater, UpdaterConfig, exceptions

MAX_ROOTS = 64
"""Versions of root in one refresh."""
MAX_DELEGATIONS = 32
MAX_ROOT = 64 << 10
MAX_TIMESTAMP = 16 << 10
MAX_SNAPSHOT = 1 << 20
MAX_TARGETS = 4 << 20
"""Bytes of each kind of metadata."""
ROOT_FILE = "root.json"

logging.getLogger("tuf").setLevel(logging.ERROR)


@dataclass(frozen=True, slots=True)
class Places:
    """Where a client keeps what it trusts, and where it asks. Folders are made when they are missing."""

    metadata: Path
    metadata_url: str
    targets: Path | None = None
    targets_url: str = ""


def trust(root: bytes, folder: Path) -> None:
    """Begin with this root. ConfigError when something is trusted already: that changes through the repository only."""
    if (folder / ROOT_FILE).exists():
        raise ConfigError("a root is trusted here already", where=str(folder / ROOT_FILE))
    try:
        Updater(str(_made(folder)), "file:///", bootstrap=root)
    except (exceptions.RepositoryError, ValueError, RecursionError) as error:
        raise DamagedError(f"this is no root that can be trusted: {error}") from error


def refresh(places: Places, fetcher: FetcherInterface | None = None) -> None:
    """Bring the metadata up to date. DamagedError for what mustn't be trusted; else Unreachable or EnvironmentFault."""
    with _blamed(places):
        _updater(places, fetcher).refresh()


def download(places: Places, name: str, fetcher: FetcherInterface | None = None) -> Path:
    """Refresh, then bring a target unless the same one is there already; its file."""
    with _blamed(places):
        updater = _updater(places, fetcher)
        updater.refresh()
        target = updater.get_targetinfo(name)
        if target is None:
            raise ConfigError("the repository has no such target", where=name)
        return Path(updater.find_cached_target(target) or updater.download_target(target))


def _updater(places: Places, fetcher: FetcherInterface | None) -> Updater:
    config = UpdaterConfig(
        max_root_rotations=MAX_ROOTS,
        max_delegations=MAX_DELEGATIONS,
        root_max_length=MAX_ROOT,
        timestamp_max_length=MAX_TIMESTAMP,
        snapshot_max_length=MAX_SNAPSHOT,
        targets_max_length=MAX_TARGETS,
    )
    return Updater(
        str(places.metadata),
        repository_url(places.metadata_url),
        str(_made(places.targets)) if places.targets else None,
        repository_url(places.targets_url) if places.targets_url else None,
        fetcher or Fetcher(),
        config,
        bootstrap=None,
    )


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def _blamed(places: Places) -> Iterator[None]:
    """python-tuf's errors become ours, by whose fault they are."""
    where = places.metadata_url
    try:
        yield
    except EdgeAgentError:
        raise
    except exceptions.ExpiredMetadataError as error:
        raise DamagedError(
            f"the metadata is too old: {error}",
            where=where,
            remedy="Publish anew (`edgeagent repo publish`); somebody may be holding newer metadata back.",
        ) from error
    except exceptions.DownloadLengthMismatchError as error:
        raise DamagedError(f"more was sent than was signed for: {error}", where=where) from error
    except exceptions.DownloadError as error:
        raise UnreachableError(f"the repository can't be read: {error}", where=where) from error
    except exceptions.RepositoryError as error:
        raise DamagedError(f"the repository mustn't be trusted: {error}", where=where) from error
    except FileNotFoundError as error:
        raise ConfigError(
            "no root is trusted here yet",
            where=str(error.filename or places.metadata),
            remedy="Begin with `init`.",
        ) from error
    except OSError as error:
        raise EnvironmentFaultError(
            f"what was verified can't be kept: {error.strerror or error}", where=str(error.filename or "")
        ) from error
