"""`fleet acl` and `fleet serve`, as commands."""

from __future__ import annotations

import signal
import subprocess
import sys

from edgeagent.fleet import topics

EDGEAGENT = [sys.executable, "-m", "edgeagent", "fleet"]


def run(*words):
    return subprocess.run([*EDGEAGENT, *words], check=False, capture_output=True, text=True, timeout=60)


def test_acl():
    assert run("acl").stdout == topics.acl()
    assert "user boss\n" in run("acl", "--controller", "boss").stdout
    refused = run("acl", "--controller", "a b")
    assert (refused.returncode, len(refused.stderr.splitlines())) == (2, 1)


def test_serve_refuses_what_is_no_repository(tmp_path):
    refused = run("serve", str(tmp_path))
    assert refused.returncode == 3
    assert "no metadata and targets" in refused.stderr


def test_serve_ends_in_order(tmp_path, mosquitto_broker):
    for one in ("metadata", "targets"):
        (tmp_path / one).mkdir()
    words = ["serve", str(tmp_path), "--broker", mosquitto_broker().url]
    with subprocess.Popen([*EDGEAGENT, *words], stderr=subprocess.PIPE, text=True) as serving:
        assert "connected" in serving.stderr.readline()
        serving.send_signal(signal.SIGTERM)
        assert serving.wait(30) == 0
