"""Whether the board has the memory for the guests that a configuration asks for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from edgeagent.config.schema import Config, Unit
from edgeagent.guest.admission import Budget, Need, budget
from edgeagent.host.memory import board_memory


def needs(units: Iterable[Unit], guests: Mapping[str, int] | None = None) -> list[Need]:
    """Of these units, with their spare guests. guests: how many of a unit run, where it isn't one."""
    return [Need(one.name, one.memory, (guests or {}).get(one.name, 1) + one.spare) for one in units]


def admit(config: Config) -> Budget:
    """The budget for guests. ConfigError with the sum where the units' first guests don't fit into it."""
    found = budget(config.board.memory_budget, board_memory())
    given = config.from_profile
    if given.gave("board", "", "memory_budget"):
        found = replace(found, why=f"{found.why}, says the board profile {given.profile}")
    found.check(needs(config.units))
    return found
