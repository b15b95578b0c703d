"""Crashes go from the event loop to the disk without anybody waiting for them."""

from __future__ import annotations

import asyncio
import errno
import logging
import threading
from dataclasses import replace

import pytest

from edgeagent.agent.writer import WriterThread
from edgeagent.crash.keeper import MAX_WAITING, Keeper
from edgeagent.crash.store import CrashStore
from tests.crash.given import draft, record
from tests.crash.test_store import FOLDER, at, store


async def kept(keeper: Keeper, of: CrashStore, count: int) -> None:
    """Run the keeper until so many crashes are in the folder."""
    running = asyncio.create_task(keeper.run())
    try:
        while sum(one.times for one in of.found().records) < count:
            await asyncio.sleep(0.01)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def test_they_are_written_in_order_and_elsewhere(caplog: pytest.LogCaptureFixture) -> None:
    of, threads = store(), set()

    def reader(seq: int):
        threads.add(threading.current_thread().name)
        return draft().input_after(seq)

    async def main() -> None:
        writer = WriterThread()
        keeper = Keeper(of, writer)
        for one in (draft(at(1)), draft(at(2)), draft(at(1))):
            keeper.keep(replace(one, input_after=reader))
        await kept(keeper, of, 3)
        writer.close()

    with caplog.at_level(logging.INFO):
        asyncio.run(main())
    assert [(one.words, one.times) for one in of.found().records] == [("w 0x1", 2), ("w 0x2", 1)]
    assert len(threads) == 1
    assert threading.main_thread().name not in threads
    assert "crash 2 of unit home is kept: edgeagent crash show 2" in caplog.text
    assert "crash 1 of unit home came again, 2 times so far" in caplog.text


def test_a_storm_is_cut_off(caplog: pytest.LogCaptureFixture) -> None:
    of = store()

    async def main() -> None:
        writer = WriterThread()
        keeper = Keeper(of, writer)
        for seq in range(MAX_WAITING + 3):
            keeper.keep(draft(at(seq)))
        await kept(keeper, of, MAX_WAITING)
        writer.close()

    asyncio.run(main())
    assert len(of.found().records) == MAX_WAITING
    assert caplog.text.count("isn't kept: too many at once") == 3


def test_a_full_disk_is_told_and_the_next_one_is_kept(caplog: pytest.LogCaptureFixture) -> None:
    of = store()
    of._files.fail_at(0, errno.ENOSPC, until=2)

    async def main() -> None:
        writer = WriterThread()
        keeper = Keeper(of, writer)
        keeper.keep(draft(record()))
        keeper.keep(draft(at(2)))
        keeper.keep(draft(at(3)))
        await kept(keeper, of, 1)
        writer.close()

    asyncio.run(main())
    assert "a crash of unit home isn't kept: [Errno 28]" in caplog.text
    assert of.found().records
    assert FOLDER in of._files.folders
