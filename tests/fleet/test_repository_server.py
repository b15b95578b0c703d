"""Parts of files over MQTT: nothing outside the two folders, bounded rates, and whole files through a real broker."""

from __future__ import annotations

import asyncio
import contextlib
import os

import pytest

from edgeagent.errors import EnvironmentFaultError
from edgeagent.fleet import payloads, repository_server, topics
from edgeagent.fleet.payloads import FetchAnswer, FetchRequest
from edgeagent.fleet.repository_server import BUSY, MISSING, REFUSED, Rates, RepositoryServer, Shelf
from edgeagent.uplink.link import Broker, Link, Message

REQUEST = topics.topic("cellar", topics.FETCH_REQUEST)


@pytest.fixture
def folder(tmp_path):
    repo = tmp_path / "repo"
    for one in ("metadata", "targets/heating", "staged"):
        (repo / one).mkdir(parents=True)
    (repo / "targets/heating/home.suit").write_bytes(bytes(range(256)) * 800)
    (repo / "metadata/timestamp.json").write_bytes(b"{}")
    (repo / "staged/root.json").write_bytes(b"secret")
    (tmp_path / "outside").write_bytes(b"secret")
    return repo


def ask(shelf, path, offset=0, length=payloads.MAX_CHUNK):
    return shelf.answer(FetchRequest(id=1, path=path, offset=offset, length=length))


def test_parts(folder):
    shelf = Shelf(folder)
    whole = (folder / "targets/heating/home.suit").read_bytes()
    found = ask(shelf, "targets/heating/home.suit", 1000, 50)
    assert (found.offset, found.size, found.data) == (1000, len(whole), whole[1000:1050])
    assert ask(shelf, "targets/heating/home.suit", len(whole)).data == b""
    assert ask(shelf, "metadata/timestamp.json").data == b"{}"


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("staged/root.json", REFUSED),
        ("outside", REFUSED),
        ("../outside", REFUSED),
        ("targets/../staged/root.json", REFUSED),
        ("targets/../../outside", REFUSED),
        ("/etc/passwd", REFUSED),
        ("targets/out", REFUSED),
        ("targets/up/outside", REFUSED),
        ("targets/heating", REFUSED),
        ("targets/pipe", REFUSED),
        ("metadata", REFUSED),
        ("targets/none", MISSING),
        ("targets/heating/home.suit/x", MISSING),
    ],
)
def test_nothing_else_is_read(folder, path, error):
    """The paths that payloads refuse are asked for too: the shelf doesn't rely on them."""
    (folder / "targets/out").symlink_to(folder.parent / "outside")
    (folder / "targets/up").symlink_to(folder.parent)
    os.mkfifo(folder / "targets/pipe")
    found = ask(Shelf(folder), path)
    assert (found.error, found.data) == (error, b"")


def test_a_folder_that_is_no_repository(tmp_path):
    with pytest.raises(EnvironmentFaultError, match="repo init"):
        Shelf(tmp_path)


def test_rates_are_for_each_board(monkeypatch):
    monkeypatch.setattr(repository_server, "MAX_BOARDS", 2)
    now = [0.0]
    rates = Rates(lambda: now[0])
    assert rates.take("a", repository_server.BURST)
    assert not rates.take("a", 1)
    assert rates.take("b", 1)
    now[0] = 1.0
    assert rates.take("a", repository_server.RATE)
    assert not rates.take("a", 1)
    # The one that asked longest ago is forgotten: its burst begins anew.
    assert rates.take("c", 1)
    assert rates.take("b", repository_server.BURST)


def test_garbage_gets_no_answer_and_haste_is_told(folder):
    server = RepositoryServer(Shelf(folder), Broker("mqtt://127.0.0.1", "x"), lambda: 0.0)
    data = payloads.encode(FetchRequest(id=7, path="metadata/timestamp.json", offset=0, length=48 << 10))
    assert server.answer(REQUEST, b"\xff") is None
    assert server.answer(topics.topic("cellar", topics.REPORTED), data) is None
    errors = {payloads.decode(FetchAnswer, server.answer(REQUEST, data)[1]).error for _ in range(30)}
    assert errors == {"", BUSY}


def test_a_whole_file_through_a_broker(folder, mosquitto_broker):
    where = mosquitto_broker().url
    wanted = (folder / "targets/heating/home.suit").read_bytes()

    async def work():
        serving = asyncio.create_task(RepositoryServer(Shelf(folder), Broker(where, "shelf")).run())
        link = await Link.connect(Broker(where, "board"), topics.of_board("cellar"))
        got, number = b"", 0
        try:
            while len(got) < len(wanted):
                number += 1
                one = FetchRequest(
                    id=number, path="targets/heating/home.suit", offset=len(got), length=payloads.MAX_CHUNK
                )
                link.publish(REQUEST, payloads.encode(one))
                with contextlib.suppress(TimeoutError):  # the server wasn't there yet: ask again
                    async with asyncio.timeout(5):
                        while not isinstance(message := await link.event(), Message):
                            pass
                    link.acknowledge(message)
                    answer = payloads.decode(FetchAnswer, message.payload)
                    if answer.id == number:
                        assert (answer.offset, answer.size, answer.error) == (len(got), len(wanted), "")
                        got += answer.data
        finally:
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)
            await link.close()
        assert got == wanted

    asyncio.run(work())
