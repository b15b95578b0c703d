from __future__ import annotations

import pytest

from edgeagent.config.readers import Amount
from edgeagent.errors import ConfigError
from edgeagent.guest.admission import Budget, Need, budget
from edgeagent.vmm.bounds import OVERHEAD, need

MIB = 1 << 20


def test_a_machine_needs_more_than_its_guest() -> None:
    assert need(12 * MIB) == 12 * MIB + OVERHEAD
    assert Need("a", 12 * MIB, 3).total == 3 * need(12 * MIB)


@pytest.mark.parametrize(
    ("amount", "size"),
    [
        (Amount(), 512 * MIB),
        (Amount(percent=25), 256 * MIB),
        (Amount(bytes=100 * MIB), 100 * MIB),
    ],
)
def test_budget(amount: Amount, size: int) -> None:
    assert budget(amount, 1024 * MIB).size == size


def test_what_does_not_fit_is_refused_with_the_sum() -> None:
    needs = [Need("home", 12 * MIB), Need("garden", 16 * MIB, 3)]
    total = sum(one.total for one in needs)
    Budget(total, "board.memory_budget").check(needs)
    assert Budget(total, "").fits(needs)
    with pytest.raises(ConfigError) as caught:
        budget(Amount(percent=10), 1024 * MIB).check(needs)
    assert str(caught.value) == (
        "the guests need 156 MiB of memory (home 36.0 MiB, garden 3 x 40.0 MiB), and the board has 102 MiB for them "
        "(10% of 1.0 GiB). Lower the memory of units, leave one out, or raise board.memory_budget."
    )
