"""Databases for the collector's tests: SQLite files, and a private PostgreSQL cluster in a temporary folder."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

POSTGRES_USER = "nobody"
"""PostgreSQL refuses to run as root."""
_count = itertools.count()


def _programs() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return found[-1].parent if found else None


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The folder of a running cluster's socket."""
    programs = _programs()
    if programs is None:
        assert os.environ.get("CI") != "true", "PostgreSQL isn't installed: apt-get install postgresql"
        pytest.skip("PostgreSQL isn't installed")
    folder = tempfile.mkdtemp(prefix="edgeagent-postgres-", dir="/tmp")
    user = POSTGRES_USER if os.geteuid() == 0 else None
    if user:
        shutil.chown(folder, user)

    def run(*command: str | Path) -> None:
        done = subprocess.run(command, cwd=folder, user=user, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    data = f"{folder}/data"
    options = f"-c listen_addresses= -c unix_socket_directories={folder} -c fsync=off"
    try:
        run(programs / "initdb", "--auth=trust", "--username=edge", "--encoding=UTF8", "--no-sync", data)
        run(programs / "pg_ctl", "start", "--wait", "-D", data, "-l", f"{folder}/log", "-o", options)
        try:
            yield folder
        finally:
            run(programs / "pg_ctl", "stop", "--wait", "--mode=immediate", "-D", data)
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def postgres_url(postgres: str) -> str:
    """Of a new, empty database."""
    name = f"test_{next(_count)}"
    with psycopg.connect(host=postgres, user="edge", dbname="postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return f"postgresql://edge@/{name}?host={postgres}"


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """Of a file that doesn't exist yet."""
    return f"sqlite:///{tmp_path}/collector.db"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """Each kind of database in turn."""
    return request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url")
