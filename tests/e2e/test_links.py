"""Other ways to the broker: MQTT 3.1.1, QoS 0, and TLS with passwords and client certificates for source and uplink."""

import subprocess
import time

import pytest

from edgeagent.sim.broker import Broker
from edgeagent.sim.chain import EDGEAGENT, Chain
from tests.brokers import password_file, tls_lines
from tests.e2e.given import Devices, collected, now

UNIT = {"topics": ["home/#"], "window": "1s", "lateness": "1s", "accelerator": "tcg"}
SEAL = {"batch_interval": "200ms"}
SENSORS = 5


def speak(devices, rounds):
    for _ in range(rounds):
        for sensor in range(SENSORS):
            devices.say(f"home/{sensor}", now())
        time.sleep(0.1)
    devices.delivered()


@pytest.mark.parametrize(("version", "qos"), [(4, 1), (5, 0)])
def test_versions_and_qualities(tmp_path, images, version, qos):
    sections = {"mqtt": {"version": version, "qos": qos}, "seal": SEAL}
    with (
        Broker() as broker,
        Devices(broker.port, qos=qos) as devices,
        Chain(tmp_path, broker.url, images, unit=UNIT, sections=sections) as chain,
    ):
        speak(devices, 20)
        if qos:
            # What is sent while the agent is dead waits at the broker.
            chain.stop("agent", kill=True)
            speak(devices, 5)
            chain.start("agent")
            chain.wait_ready()
        else:
            # An orderly end loses nothing that has arrived.
            chain.stop("agent")
            chain.start("agent")
            chain.wait_ready()
        speak(devices, 5)
        found = collected(chain, devices)
    assert not found.reasons


def test_tls_passwords_and_client_certificates(tmp_path, images, certificates):
    lines = [*tls_lines(certificates, require_client=True), *password_file(tmp_path, "board", "s3cret pass")]
    password = tmp_path / "password"
    password.write_text("s3cret pass\n")
    access = {
        "user": "board",
        "password_file": str(password),
        "ca": str(certificates.ca),
        "certificate": str(certificates.client),
        "key": str(certificates.client_key),
    }
    with Broker(lines, anonymous=False) as broker:
        url = f"mqtts://localhost:{broker.port}"
        devices = Devices(broker.port, "localhost")
        devices.client.tls_set(certificates.ca, certificates.client, certificates.client_key)
        devices.client.username_pw_set("board", "s3cret pass")
        chain = Chain(
            tmp_path / "chain",
            url,
            images,
            unit=UNIT,
            sections={"mqtt": access, "uplink": access, "seal": SEAL},
        )
        chain.folder.mkdir()
        chain.prepare()
        words = [
            *EDGEAGENT, "collect", "--database", f"sqlite:///{chain.database}", "--broker", url, "--keys",
            chain.folder / "collector-keys", "--user", "board", "--password-file", password,
            "--ca", certificates.ca, "--certificate", certificates.client, "--key", certificates.client_key,
        ]  # fmt: skip
        with (
            devices,
            (tmp_path / "log").open("wb") as log,
            subprocess.Popen(words, stdout=log, stderr=log) as collect,
        ):
            try:
                chain.start("agent")
                chain.wait_ready()
                speak(devices, 20)
                found = collected(chain, devices)
                assert not found.reasons
                # Nobody hears a secret: neither the status nor the log has it.
                assert "s3cret" not in str(chain.status())
            finally:
                chain.close()
                collect.terminate()
        assert "s3cret" not in chain.log("agent")
