"""A real agent as a process: bad input is one line and an exit code, status and metrics tell the truth, an orderly end.

What it does with readings is tested end to end in tests/e2e.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.request

import pytest

from edgeagent.control.client import ControlClient
from edgeagent.errors import UnreachableError
from edgeagent.sim.broker import Broker, free_port
from edgeagent.sim.chain import EDGEAGENT, Chain


@pytest.fixture(scope="module")
def images(guest_image):
    guest_image("aggregate", "aarch64")
    return guest_image("aggregate").path.parents[1]


@pytest.fixture(scope="module")
def broker():
    with Broker() as running:
        yield running


@pytest.fixture
def chain(tmp_path, broker, images):
    """Prepared, nothing started."""
    one = Chain(tmp_path, broker.url, images, unit={"accelerator": "tcg"})
    one.prepare()
    yield one
    one.close()


def run(chain, *words, timeout=60):
    return subprocess.run(
        [*EDGEAGENT, "run", "--config", str(chain.config), *words],
        capture_output=True, text=True, timeout=timeout, check=False,
    )  # fmt: skip


def edit(chain, old, new):
    text = chain.config.read_text()
    assert old in text
    chain.config.write_text(text.replace(old, new, 1))


def last_line(done):
    return done.stderr.strip().splitlines()[-1]


def test_check_reads_the_configuration_and_changes_nothing(chain):
    done = run(chain, "--check")
    assert (done.returncode, done.stderr) == (0, "")
    assert not (chain.folder / "state").exists()


def missing_key(chain):
    (chain.folder / "board-keys/signing.pem").unlink()


def open_key(chain):
    (chain.folder / "board-keys/signing.pem").chmod(0o644)


def missing_recipient(chain):
    (chain.folder / "collector.pem").unlink()


def foreign_image(chain):
    edit(chain, "[[unit]]", f'[[unit]]\nimage = "{chain.folder}/image.elf"')
    shutil.copy(chain.images / "aarch64/aggregate.elf", chain.folder / "image.elf")


def truncated_image(chain):
    foreign_image(chain)
    (chain.folder / "image.elf").write_bytes((chain.images / "x86_64/aggregate.elf").read_bytes()[:20_000])


def absent_image(chain):
    edit(chain, "[[unit]]", '[[unit]]\nimage = "/nowhere/image.elf"')


def unknown_setting(chain):
    edit(chain, "[[unit]]", "[[unit]]\nwindows_size = 3")


def readonly_state(chain):
    edit(chain, f'state = "{chain.folder}/state"', 'state = "/proc/edgeagent"')


BAD = [
    (missing_key, 3, ["board-keys/signing.pem: the key is missing", "edgeagent keys init"]),
    (open_key, 3, ["others than its owner", "chmod 600"]),
    (missing_recipient, 2, ["collector.pem: the public key file is missing"]),
    (foreign_image, 6, ["image.elf: the image is for aarch64", "Give unit home the image for"]),
    (truncated_image, 6, ["image.elf:"]),
    (absent_image, 6, ["/nowhere/image.elf: the image of unit home can't be read", "edgeagent image build"]),
    (unknown_setting, 2, ["agent.toml:", "unknown setting windows_size", "Did you mean windows"]),
    (readonly_state, 3, ["/proc/edgeagent", "board.state"]),
]


@pytest.mark.parametrize(("spoil", "code", "words"), BAD, ids=lambda one: getattr(one, "__name__", ""))
def test_bad_input_is_one_clear_line(chain, spoil, code, words):
    spoil(chain)
    done = run(chain)
    assert done.returncode == code, done.stderr
    line = last_line(done)
    assert line.startswith("edgeagent: ")
    assert all(word in line for word in words), line
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("spoil", "code", "words"), BAD[:-1], ids=lambda one: getattr(one, "__name__", ""))
def test_check_tells_before_a_start_would(chain, spoil, code, words):
    spoil(chain)
    done = run(chain, "--check")
    assert (done.returncode, done.stdout) == (code, "")
    assert all(word in last_line(done) for word in words), done.stderr


def test_a_taken_port_is_named(chain):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
        chain.config.write_text(chain.config.read_text() + f'\n[coap]\nhost = "127.0.0.1"\nport = {port}\n')
        done = run(chain)
    assert done.returncode == 3
    assert "the UDP port is taken" in last_line(done)


def test_a_second_agent_is_kept_out(chain):
    chain.start("agent")
    chain.wait_ready()
    done = run(chain)
    assert done.returncode == 3
    assert "another agent" in last_line(done)
    assert chain.status()["units"][0]["guest"]["state"] == "running"


def wait(chain, reached, seconds=30):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            status = chain.status()
        except UnreachableError:
            status = None
        if status and reached(status):
            return status
        time.sleep(0.05)
    raise AssertionError(status and status["degraded"])


def test_an_unreachable_broker_degrades_and_heals(tmp_path, images):
    port = free_port()
    chain = Chain(tmp_path, f"mqtt://127.0.0.1:{port}", images, unit={"accelerator": "tcg"})
    chain.prepare()
    try:
        chain.start("agent")
        status = wait(chain, lambda s: len(s["degraded"]) == 2)
        assert any("mqtt: " in line and str(port) in line for line in status["degraded"])
        assert (
            subprocess.run(
                [*EDGEAGENT, "status", "--runtime", str(chain.runtime)], capture_output=True, check=False
            ).returncode
            == 1
        )
        with Broker(port=port):
            wait(chain, lambda s: not s["degraded"])
    finally:
        chain.close()


def test_status_logs_and_metrics(chain):
    port, file = free_port(), chain.folder / "agent.prom"
    chain.config.write_text(chain.config.read_text() + f'\n[metrics]\nport = {port}\nfile = "{file}"\n')
    chain.start("agent")
    chain.wait_ready()
    told = subprocess.run(
        [*EDGEAGENT, "status", "--runtime", str(chain.runtime), "--json"], capture_output=True, check=True
    )
    assert json.loads(told.stdout)["units"][0]["guest"]["accelerator"] == "tcg"
    shown = subprocess.run(
        [*EDGEAGENT, "status", "--runtime", str(chain.runtime)],
        capture_output=True, check=True, text=True, env={**os.environ, "COLUMNS": "160"},
    ).stdout  # fmt: skip
    assert "running" in shown
    assert "\x1b" not in shown  # no colours but on a terminal
    logs = subprocess.run(
        [*EDGEAGENT, "logs", "--runtime", str(chain.runtime)], capture_output=True, check=True, text=True
    ).stdout
    assert "guest.home: running" in logs
    text = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10).read().decode()
    assert 'edgeagent_guest_running{accelerator="tcg",unit="home"}' in text
    assert "edgeagent_readings_total" in file.read_text()
    mode = (chain.runtime / "agent.sock").stat().st_mode & 0o777
    assert mode == 0o600
    with ControlClient(chain.runtime) as agent, pytest.raises(Exception, match="unknown verb"):
        agent.ask("format-disk")


def test_a_unit_that_left_the_configuration_is_told_of(chain):
    (chain.folder / "state/units/cellar").mkdir(parents=True)
    chain.start("agent")
    chain.wait_ready()
    assert "unit cellar isn't configured any more" in chain.log("agent")


def test_sigterm_ends_it_in_order_and_leaves_no_vmm(chain):
    chain.start("agent")
    pid = chain.wait_ready()["units"][0]["guest"]["pid"]
    agent = chain.pid("agent")
    os.kill(agent, signal.SIGTERM)
    chain.stop("agent")
    assert not os.path.exists(f"/proc/{pid}")
    assert not (chain.runtime / "agent.sock").exists()
    assert "Traceback" not in chain.log("agent")


def test_no_agent_is_said(tmp_path):
    done = subprocess.run(
        [*EDGEAGENT, "status", "--runtime", str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 4
    assert "no agent answers" in done.stderr
