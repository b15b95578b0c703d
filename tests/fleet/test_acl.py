"""The ACL at a real Mosquitto, over TLS with a certificate for each: a board has its own topics, and nothing else."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest

from edgeagent.errors import UnreachableError
from edgeagent.fleet import topics
from edgeagent.uplink.link import FAILURE, Broker, Link, Lost, Message, Published, Will
from tests.brokers import tls_lines
from tests.certificates import _certificate, _pem

WAIT_S = 20.0


class Fleet:
    """A broker that knows everybody by the common name of a certificate."""

    def __init__(self, folder: Path, start):
        self.folder = folder
        ca_name, self.ca_key, ca = _certificate("fleet CA", None)
        self.ca_name = ca_name
        (folder / "ca.pem").write_bytes(_pem(ca))
        self.certify("localhost")
        (folder / "acl").write_text(topics.acl())

        class Paths:
            ca = folder / "ca.pem"
            server = folder / "localhost.pem"
            server_key = folder / "localhost.key"

        lines = [*tls_lines(Paths, require_client=True), "use_identity_as_username true"]
        self.broker = start([*lines, f"acl_file {folder / 'acl'}"], anonymous=False)

    def certify(self, name):
        _, key, certificate = _certificate(name, (self.ca_name, self.ca_key))
        (self.folder / f"{name}.pem").write_bytes(_pem(certificate))
        (self.folder / f"{name}.key").write_bytes(_pem(key))

    @contextlib.asynccontextmanager
    async def link(self, name, filters=(), will=None):
        if not (self.folder / f"{name}.pem").exists():
            self.certify(name)
        broker = Broker(
            f"mqtts://localhost:{self.broker.port}",
            f"test-{name}",
            ca=self.folder / "ca.pem",
            certificate=self.folder / f"{name}.pem",
            key=self.folder / f"{name}.key",
            will=will,
        )
        link = await Link.connect(broker, filters)
        try:
            yield link
        finally:
            await link.close()


@pytest.fixture
def fleet(tmp_path, mosquitto_broker):
    return Fleet(tmp_path, mosquitto_broker)


async def publish(link, topic, data=b"x"):
    """Whether the broker took it."""
    mid = link.publish(topic, data)
    async with asyncio.timeout(WAIT_S):
        while True:
            match await link.event():
                case Published(mid=done, code=code) if done == mid:
                    return code < FAILURE
                case Lost():
                    return False


async def hears(link, mark):
    """Topics heard up to the mark."""
    heard = []
    async with asyncio.timeout(WAIT_S):
        while True:
            match await link.event():
                case Message(topic=topic, payload=data) as message:
                    link.acknowledge(message)
                    if data == mark:
                        return heard
                    heard.append(topic)


OWN_WRITES = ("reported", "alive", "command/c1/state", "fetch/request", "batch")
OWN_READS = ("desired", "command/c1", "fetch/answer", "ack")


def test_a_board_writes_its_own_topics_only(fleet):
    async def work():
        async with fleet.link("cellar") as cellar:
            for one in OWN_WRITES:
                assert await publish(cellar, f"edgeagent/1/cellar/{one}"), one
        refused = [f"edgeagent/1/cellar/{one}" for one in OWN_READS]
        refused += [f"edgeagent/1/attic/{one}" for one in (*OWN_WRITES, *OWN_READS)]
        for one in (*refused, "elsewhere"):
            async with fleet.link("cellar") as cellar:
                assert not await publish(cellar, one), one

    asyncio.run(work())


def test_a_board_reads_its_own_topics_only(fleet):
    async def work():
        async with (
            fleet.link("cellar", topics.of_board("cellar")) as cellar,
            fleet.link("controller") as boss,
        ):
            # Mosquitto takes any subscription, and sends what the ACL allows.
            with contextlib.suppress(UnreachableError):
                async with fleet.link(
                    "attic", [*topics.of_board("cellar"), "#", "edgeagent/1/attic/desired"]
                ) as attic:
                    assert await publish(boss, "edgeagent/1/cellar/desired")
                    assert await publish(boss, "edgeagent/1/cellar/command/c1")
                    assert await publish(boss, "edgeagent/1/attic/desired", b"mark")
                    assert await publish(boss, "edgeagent/1/cellar/desired", b"mark")
                    assert await hears(attic, b"mark") == []
                    wanted = ["edgeagent/1/cellar/desired", "edgeagent/1/cellar/command/c1"]
                    assert await hears(cellar, b"mark") == wanted
                    return
            pytest.fail("the broker refused the subscription, so nothing was tried")

    asyncio.run(work())


@pytest.mark.parametrize("name", ["controller", "repository", "collector"])
def test_each_role_has_its_part(fleet, name):
    owners = {
        "desired": "controller", "command/c1": "controller", "fetch/answer": "repository", "ack": "collector",
    } | dict.fromkeys(("reported", "alive", "batch"), "cellar")  # fmt: skip

    async def work():
        for one, owner in owners.items():
            async with fleet.link(name) as link:
                assert await publish(link, f"edgeagent/1/cellar/{one}") == (name == owner), one

    asyncio.run(work())


def test_a_board_that_is_gone_is_told_of(fleet):
    async def work():
        where = topics.topic("cellar", topics.ALIVE)
        board = fleet.link("cellar", will=Will(where, b"gone"))
        async with fleet.link("controller", [topics.ALL_ALIVE]) as boss, board as cellar:
            cellar._client.socket().shutdown(2)
            assert await hears(boss, b"gone") == []

    asyncio.run(work())


def test_without_a_certificate_nobody_comes_in(fleet):
    async def work():
        with pytest.raises(UnreachableError):
            await Link.connect(
                Broker(f"mqtts://localhost:{fleet.broker.port}", "nobody", ca=fleet.folder / "ca.pem"), ()
            )

    asyncio.run(work())


def test_names_of_roles_are_theirs_to_choose():
    text = topics.acl({"controller": "boss"})
    assert "user boss\ntopic read edgeagent/1/+/reported" in text
    assert "user controller" not in text
