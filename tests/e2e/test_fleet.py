"""A real agent does what its fleet signed, once, through kills of the agent and restarts of the broker."""

from __future__ import annotations

import asyncio
import contextlib
import time

import pytest

from edgeagent.fleet import payloads, topics
from edgeagent.fleet.payloads import Alive, Command, CommandState, Desired, DesiredUnit, Reported, State
from edgeagent.seal.keys import SigningKey
from edgeagent.sim.chain import BOARD, Chain
from edgeagent.uplink import link as mqtt

KEY = SigningKey.from_seed(bytes([7]) * 32)
DESIRED = topics.topic(BOARD, topics.DESIRED)
KINDS = {topics.REPORTED: Reported, topics.ALIVE: Alive, topics.COMMAND_STATE: CommandState}
WAIT_S = 60.0
FILTERS = [topics.ALL_REPORTED, topics.ALL_ALIVE, topics.ALL_COMMAND_STATES]


@pytest.fixture
def broker(mosquitto_broker):
    return mosquitto_broker()


@pytest.fixture
def images(guest_image):
    return guest_image("aggregate").path.parents[1]


def now():
    return time.time_ns() // 1_000_000


class Boss:
    """A requester: publishes what is signed, retained, and hears what the board says."""

    def __init__(self, link):
        self._link = link

    @classmethod
    @contextlib.asynccontextmanager
    async def at(cls, url):
        link = await mqtt.Link.connect(mqtt.Broker(url, "boss"), FILTERS)
        try:
            yield cls(link)
        finally:
            await link.close()

    def ask(self, name, kind, unit="home", deadline_s=60, key=KEY):
        topic = topics.command(BOARD, name)
        one = Command(id=name, kind=kind, unit=unit, issued=now(), deadline=now() + deadline_s * 1000)
        self._link.publish(topic, payloads.sign(one, key, topic), retain=True)

    def want(self, version, sequence=1):
        unit = DesiredUnit(name="home", target="heating/home.suit", sequence=sequence)
        one = Desired(
            version=version, operation="spring", issued=now(), deadline=now() + 60_000, units=(unit,)
        )
        self._link.publish(DESIRED, payloads.sign(one, KEY, DESIRED), retain=True)

    def clear(self, name):
        self._link.publish(topics.command(BOARD, name), b"", retain=True)

    async def until(self, kind, fits):
        """The first payload of a kind that fits; an empty one is None."""
        async with asyncio.timeout(WAIT_S):
            while True:
                match await self._link.event():
                    case mqtt.Message(topic=topic, payload=data) as message:
                        self._link.acknowledge(message)
                        if (said := topics.parse(topic)) and said.kind == kind:
                            found = payloads.decode(KINDS[kind], data) if data else None
                            if fits(found):
                                return found
                    case mqtt.Lost(words):
                        pytest.fail(words)

    async def end_of(self, name):
        return await self.until(
            topics.COMMAND_STATE,
            lambda one: one is not None and one.id == name and one.state in payloads.FINAL,
        )


def chain_at(tmp_path, broker, images):
    (tmp_path / "fleet.pem").write_bytes(KEY.public.pem())
    fleet = {"keys": [str(tmp_path / "fleet.pem")], "tags": ["attic"]}
    return Chain(tmp_path, broker.url, images, sections={"fleet": fleet})


def test_what_a_fleet_may_ask(tmp_path, broker, images):
    async def work():
        async with Boss.at(broker.url) as boss:
            said = await boss.until(topics.REPORTED, lambda one: one.units[0].state == "running")
            assert (said.tags, said.desired, said.units[0].name) == (("attic",), 0, "home")
            assert len(said.units[0].digest) == 32
            before = chain.status()["units"][0]["guest"]["pid"]
            boss.ask("stranger", "stop", key=SigningKey.from_seed(bytes([8]) * 32))
            boss.ask("again", "restart")
            assert (await boss.end_of("again")).state is State.SUCCESSFUL
            assert chain.status()["units"][0]["guest"]["pid"] != before
            boss.ask("back", "rollback")
            assert (await boss.end_of("back")).reason == "unsupported"
            boss.ask("who", "restart", unit="cellar")
            assert (await boss.end_of("who")).reason == "unknown-unit"
            boss.ask("late", "restart", deadline_s=0)
            assert (await boss.end_of("late")).state is State.TIMED_OUT
            boss.want(3)
            said = await boss.until(
                topics.REPORTED, lambda one: one.desired == 3 and one.state in payloads.FINAL
            )
            assert (said.operation, said.state, said.reason) == ("spring", State.REJECTED, "unsupported")
            boss.ask("off", "stop")
            assert (await boss.end_of("off")).state is State.SUCCESSFUL
            assert (await boss.until(topics.REPORTED, lambda one: True)).units[0].state == "stopped"
            boss.clear("off")
            assert await boss.until(topics.COMMAND_STATE, lambda one: one is None) is None
        assert chain.status()["fleet"]["refused"] == 1

    with chain_at(tmp_path, broker, images) as chain:
        asyncio.run(work())


def test_a_command_survives_kills_and_a_second_copy_does_nothing(tmp_path, broker, images):
    async def work():
        async with Boss.at(broker.url) as boss:
            await boss.until(topics.ALIVE, lambda one: one.online)
            boss.ask("off", "stop")
            await boss.until(topics.COMMAND_STATE, lambda one: one.id == "off")
            chain.stop("agent", kill=True)
            gone = await boss.until(topics.ALIVE, lambda one: not one.online)
            assert gone.time == 0
            chain.start("agent")
            assert (await boss.end_of("off")).state is State.SUCCESSFUL
            boss.ask("on", "start")
            assert (await boss.end_of("on")).state is State.SUCCESSFUL
        broker.stop()
        broker.start()
        async with Boss.at(broker.url) as boss:
            # The broker has all of it still, and hands it to the board once more.
            await boss.until(topics.ALIVE, lambda one: one.online)
            boss.ask("look", "refresh", unit="")
            assert (await boss.end_of("look")).state is State.SUCCESSFUL
            said = await boss.until(topics.REPORTED, lambda one: True)
            assert said.units[0].state == "running"
            chain.stop("agent")
            # A goodbye of its own: the will isn't published after one.
            assert (await boss.until(topics.ALIVE, lambda one: not one.online)).time

    with chain_at(tmp_path, broker, images) as chain:
        asyncio.run(work())
