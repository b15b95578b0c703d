"""A board's profile in a real agent: what it gives is used and shown, and what the configuration says wins."""

import subprocess

import pytest

from edgeagent.agent.admission import admit
from edgeagent.config import load
from edgeagent.errors import ConfigError
from edgeagent.sim.broker import Broker
from edgeagent.sim.chain import EDGEAGENT, Chain

SILICON_SAYS_NO = "visionfive-2"


@pytest.fixture
def chain(tmp_path, guest_image):
    images = guest_image("aggregate").path.parents[1]
    with Broker() as broker:
        one = Chain(tmp_path, broker.url, images, unit={"memory": "16MiB"})
        one.prepare()
        yield one
        one.close()


def use(chain, name):
    text = chain.config.read_text()
    assert "[board]\n" in text
    chain.config.write_text(text.replace("[board]\n", f'[board]\nprofile = "{name}"\n', 1))


def check(chain):
    words = [*EDGEAGENT, "run", "--config", str(chain.config), "--check"]
    return subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)


def test_check_names_the_profile(chain):
    assert "; board profile " in check(chain).stdout
    use(chain, SILICON_SAYS_NO)
    assert check(chain).stdout.endswith(f"; board profile {SILICON_SAYS_NO}\n")


def test_an_unknown_profile_is_one_line(chain):
    use(chain, "visionfive2")
    done = check(chain)
    assert done.returncode == 2
    assert done.stderr.endswith(
        "[board] profile: there is no board profile visionfive2. Did you mean visionfive-2?\n"
    )


def test_what_it_gives_is_used_and_shown(chain):
    use(chain, SILICON_SAYS_NO)
    chain.start("agent")
    found = chain.wait_ready()
    assert found["profile"]["name"] == SILICON_SAYS_NO
    assert found["profile"]["settings"]["unit.accelerator"] == "tcg"
    assert "unit.memory" not in found["profile"]["settings"]
    words = [*EDGEAGENT, "status", "--runtime", str(chain.runtime)]
    shown = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60).stdout
    assert f"{SILICON_SAYS_NO} gives board.memory_budget 50%, unit.accelerator tcg" in " ".join(shown.split())
    assert f"the board profile {SILICON_SAYS_NO} says so; guests are emulated" in " ".join(shown.split())


def test_a_refusal_names_the_profile_whose_budget_it_is(chain):
    config = load(chain.config, lambda _: ("tiny", {"board": {"memory_budget": "9MiB"}}))
    with pytest.raises(
        ConfigError, match=r"has 9.0 MiB for them \(board.memory_budget, says the board profile tiny\)"
    ):
        admit(config)
