"""Shell: writes a board's evidence as a capture: a folder that `edgeagent probe --root` reads, for a bug report."""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Mapping
from pathlib import Path

from edgeagent.errors import ConfigError, EnvironmentFaultError

from .documents import Documents
from .evidence import Evidence
from .redact import redact, scrub
from .said import MEASURED, NODE, dump_measured, dump_node
from .system import CONFIG, CONFIG_PREFIX, config_path


def write(evidence: Evidence, folder: Path) -> int:
    """How many files were written. ConfigError when the folder holds something: nothing is ever overwritten."""
    claim(folder)
    files = capture(evidence, names())
    try:
        for path, raw in files.items():
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(raw)
    except OSError as error:
        raise EnvironmentFaultError(
            f"a capture can't be written: {error.strerror}", where=str(error.filename or folder)
        ) from error
    return len(files)


def claim(folder: Path) -> None:
    """Whether a capture may be written there, asked before anything is measured for it; ConfigError if not."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(
            "isn't an empty folder", where=str(folder), remedy="Give one that doesn't exist yet"
        )


def capture(evidence: Evidence, words: tuple[str, ...]) -> Mapping[str, bytes]:
    """The files of it, by path. words: names that must not be in it."""
    documents = evidence.system.documents
    found = dict(documents.files)
    used = config_path(documents, evidence.system.release)
    config = found.get(used or "")
    found = {
        path: raw for path, raw in found.items() if path != CONFIG and not path.startswith(CONFIG_PREFIX)
    }
    if config:
        found[CONFIG_PREFIX + (evidence.system.release or "running")] = config
    files = redact(Documents(found), words)
    if evidence.node:
        files[NODE] = dump_node(evidence.node)
    files[MEASURED] = scrub(dump_measured(evidence).decode(), words).encode()
    return files


def names() -> tuple[str, ...]:
    """Of this host and its user, longest first."""
    host = socket.gethostname()
    found = {host, host.partition(".")[0], host.partition(".")[2]}
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = ""
    if os.geteuid() != 0:
        found.add(user)
    return tuple(sorted((name for name in found if name), key=len, reverse=True))
