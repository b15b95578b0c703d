"""A second implementation of the spool port: in memory, and it remembers what was asked of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


class MemorySpool:
    def __init__(self, batches: Iterable[tuple[int, bytes]] = ()) -> None:
        self.batches = dict(batches)
        self.acknowledged: list[int] = []

    def pending(self, after: int) -> Iterator[tuple[int, bytes]]:
        for number in sorted(self.batches):
            if number > after:
                yield number, self.batches[number]

    def acknowledge(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            self.acknowledged.append(number)
            del self.batches[number]


async def at_once(work: Callable[[], T]) -> T:
    """A Writer whose thread is this one."""
    return work()
