"""Core: whether the board's memory is enough for the guests of its units. Sizes are bytes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from edgeagent.config.readers import Amount
from edgeagent.errors import ConfigError
from edgeagent.quantities import show_size
from edgeagent.vmm.bounds import need

DEFAULT_PERCENT = 50
"""Of the board's memory, where neither configuration nor board profile says it: the other half is the system's."""


@dataclass(frozen=True, slots=True)
class Need:
    """Of a unit: so many machines at once, spare ones included, with so much guest RAM each."""

    unit: str
    memory: int
    machines: int = 1

    @property
    def total(self) -> int:
        """With what the VMMs need."""
        return self.machines * need(self.memory)

    def __str__(self) -> str:
        times = f"{self.machines} x " if self.machines != 1 else ""
        return f"{self.unit} {times}{show_size(need(self.memory))}"


@dataclass(frozen=True, slots=True)
class Budget:
    """For all guests; why: where it comes from."""

    size: int
    why: str

    def fits(self, needs: Iterable[Need]) -> bool:
        """Whether all of these may run at once."""
        return sum(one.total for one in needs) <= self.size

    def check(self, needs: Sequence[Need]) -> None:
        """ConfigError with the sum where they don't fit."""
        if not self.fits(needs):
            total = sum(one.total for one in needs)
            raise ConfigError(
                f"the guests need {show_size(total)} of memory ({', '.join(map(str, needs))}), "
                f"and the board has {show_size(self.size)} for them ({self.why})",
                remedy="Lower the memory of units, leave one out, or raise board.memory_budget.",
            )


def budget(amount: Amount, board: int) -> Budget:
    """From board.memory_budget and the memory of the board."""
    if amount.bytes:
        return Budget(amount.bytes, "board.memory_budget")
    percent = amount.percent or DEFAULT_PERCENT
    return Budget(board * percent // 100, f"{percent}% of {show_size(board)}")
