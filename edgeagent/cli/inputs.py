"""Files that a person names."""

from __future__ import annotations

from pathlib import Path

from edgeagent.errors import ConfigError
from edgeagent.host.disk import DiskFiles


def read_file(path: Path, limit: int) -> bytes:
    """The whole file. ConfigError with one line when it can't be read or has more than limit bytes."""
    try:
        return DiskFiles().read(path, limit)
    except OSError as error:
        raise ConfigError(f"the file can't be read: {error.strerror or error}", where=str(path)) from error
