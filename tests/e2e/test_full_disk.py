"""The disk of the state folder fills up, or becomes read-only, while readings come: a tmpfs that the test mounts.

docs/hub-owner.md: nothing new is taken, status says so, and it goes on by itself when there is room.
"""

import os
import subprocess
import time
from pathlib import Path

import pytest

from edgeagent.sim.broker import Broker
from edgeagent.sim.chain import EDGEAGENT, Chain
from tests.e2e.given import Devices, collected, degraded, now, status_until, taken

UNIT = {"topics": ["home/+"], "window": "2s", "lateness": "1s", "accelerator": "tcg"}
SENSORS = 10
SIZE = 16 << 20

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 and os.environ.get("CI") != "true", reason="only root may mount a tmpfs"
)


@pytest.fixture
def devices():
    with Broker() as broker, Devices(broker.port) as home:
        home.broker = broker
        yield home


@pytest.fixture
def chain(tmp_path, devices, images):
    """Prepared, its state folder there and empty; whatever was mounted on it goes afterwards."""
    one = Chain(tmp_path, devices.broker.url, images, unit=UNIT)
    (tmp_path / "state").mkdir()
    one.prepare()
    yield one
    one.close()
    while os.path.ismount(tmp_path / "state"):
        run("umount", "--lazy", tmp_path / "state")


def run(*words):
    subprocess.run(words, check=True)


@pytest.fixture
def disk(chain):
    """The state folder is a small disk of its own, a tmpfs."""
    run("mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=700", "edgeagent-test", chain.folder / "state")
    return chain


def fill(chain):
    """Take all of the disk's space."""
    with (chain.folder / "state/filler").open("wb") as file:
        try:
            while True:
                file.write(bytes(1 << 16))
                file.flush()
        except OSError:
            pass


def empty(chain):
    (chain.folder / "state/filler").unlink()


def speak(devices, rounds, pad=""):
    for _ in range(rounds):
        for sensor in range(SENSORS):
            devices.say(f"home/{sensor}", now(), pad=pad)
        time.sleep(0.1)
    devices.delivered()


def start(chain):
    for name in {"collector", "agent"} - chain._running.keys():
        chain.start(name)
    chain.wait_ready()


def test_a_disk_that_fills_up_in_mid_run(disk, devices):
    chain = disk
    start(chain)
    speak(devices, 10)
    status_until(chain, taken(10 * SENSORS), "all taken")
    fill(chain)
    # The last page of a file still takes some bytes.
    speak(devices, 20, pad="x" * 1000)
    status = status_until(chain, degraded("No space left on device"), "status says so")
    lines = [line for line in status["degraded"] if "No space" in line]
    assert len(lines) == 1
    assert "\n" not in lines[0]
    assert "nothing new is taken" in lines[0]
    speak(devices, 5)
    status_until(chain, lambda s: s["sources"][0]["state"] == "paused", "the sources wait")
    empty(chain)
    found = collected(chain, devices)
    assert not found.reasons
    status_until(chain, lambda s: not s["degraded"], "all is well")


def test_a_disk_that_becomes_read_only_in_mid_run(chain, devices):
    """As flash does that wears out: ext4 finds an error and refuses to write from there on."""
    state, image = chain.folder / "state", chain.folder / "disk"
    with image.open("wb") as file:
        file.truncate(SIZE)
    run("mkfs.ext4", "-q", "-O", "^has_journal", image)
    run("mount", "-o", "loop,errors=remount-ro", image, state)
    device = subprocess.run(
        ["findmnt", "-n", "-o", "SOURCE", state], check=True, capture_output=True, text=True
    ).stdout.strip()
    start(chain)
    speak(devices, 10)
    status_until(chain, taken(10 * SENSORS), "all taken")
    Path("/sys/fs/ext4", Path(device).name, "trigger_fs_error").write_text("1")
    speak(devices, 5)
    status = status_until(chain, degraded("Read-only file system"), "status says so")
    assert len([line for line in status["degraded"] if "Read-only" in line]) == 1
    chain.stop("agent", kill=True)
    run("umount", state)
    run("mount", "-o", "loop", image, state)
    chain.start("agent")
    found = collected(chain, devices)
    assert not found.reasons


def refused(chain, words):
    """A start that must end with one clear line and exit code 3."""
    done = subprocess.run(
        [*EDGEAGENT, "run", "--config", chain.config], capture_output=True, text=True, check=False, timeout=60
    )
    line = done.stderr.strip().splitlines()[-1]
    assert (done.returncode, "Traceback" in done.stderr) == (3, False), done.stderr
    assert line.startswith("edgeagent: ")
    assert words in line
    assert str(chain.folder / "state") in line
    return line


def test_a_first_start_on_a_full_disk(disk):
    fill(disk)
    assert "Make room" in refused(disk, "No space left on device")


def test_killed_and_started_on_a_full_disk_it_sends_what_is_there_and_goes_on(disk, devices):
    """It must start: what the collector acknowledges makes room."""
    start(disk)
    speak(devices, 10)
    fill(disk)
    speak(devices, 10, pad="x" * 1000)
    status_until(disk, degraded("No space left on device"), "status says so")
    disk.stop("agent", kill=True)
    disk.start("agent")
    status_until(disk, degraded("No space left on device"), "status says so again")
    empty(disk)
    found = collected(disk, devices)
    assert not found.reasons
    status_until(disk, lambda s: not s["degraded"], "all is well")


def test_a_start_on_a_read_only_disk(disk, devices):
    start(disk)
    speak(devices, 10)
    disk.stop("agent", kill=True)
    run("mount", "-o", "remount,ro", disk.folder / "state")
    assert "mount it writable" in refused(disk, "Read-only file system")
    run("mount", "-o", "remount,rw", disk.folder / "state")
    disk.start("agent")
    collected(disk, devices)
