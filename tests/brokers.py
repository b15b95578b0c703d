"""Real Mosquittos for tests: ``mosquitto_broker(...)`` starts one, and all are gone at the end of the test."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from edgeagent.errors import EnvironmentFaultError
from edgeagent.sim.broker import Broker, find_mosquitto
from tests.certificates import Certificates

StartBroker = Callable[..., Broker]


@pytest.fixture
def mosquitto_broker() -> Iterator[StartBroker]:
    """Factory: mosquitto_broker(["max_inflight_messages 20"]) -> a running Broker (edgeagent/sim/broker.py)."""
    try:
        find_mosquitto()
    except EnvironmentFaultError as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(error))
    with ExitStack() as stack:

        def start(lines: Sequence[str] = (), **options: object) -> Broker:
            return stack.enter_context(Broker(lines, **options))

        yield start


def password_file(folder: Path, user: str, password: str) -> list[str]:
    """Configuration lines for Broker(anonymous=False)."""
    path = folder / "passwords"
    path.write_text(f"{user}:{password}\n")
    subprocess.run(["mosquitto_passwd", "-U", str(path)], check=True)
    return [f"password_file {path}"]


def tls_lines(certificates: Certificates, *, require_client: bool = False) -> list[str]:
    """Configuration lines that make the broker's listener speak TLS."""
    return [
        f"cafile {certificates.ca}",
        f"certfile {certificates.server}",
        f"keyfile {certificates.server_key}",
        f"require_certificate {'true' if require_client else 'false'}",
    ]
