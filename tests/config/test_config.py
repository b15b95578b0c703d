"""Bad configuration: one clear line each, with file, line, key and remedy. Good configuration: what it says."""

from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeagent.config import load, parse
from edgeagent.config.reference import reference
from edgeagent.errors import ConfigError
from edgeagent.quantities import duration_ms, show_duration, show_size, size_bytes

GOOD = """
[board]
name = "hub-1"

[mqtt]
url = "mqtt://127.0.0.1"

[[unit]]
name = "home"
topics = ["zigbee2mqtt/+"]
window = "60s"

[[unit]]
name = "attic"
topics = ["attic/#"]
deadband = 0.10

[seal]
recipients = ["owner.pem"]

[uplink]
url = "mqtts://cloud.example:8883"
collector_keys = ["/etc/collector.pem"]
"""


def read(text):
    return parse(text, name="agent.toml", folder=Path("/etc/edgeagent"))


def test_a_good_file():
    config = read(GOOD)
    assert [unit.name for unit in config.units] == ["home", "attic"]
    assert config.units[0].window == 60_000
    assert config.units[1].deadband == Decimal("0.1")
    assert config.seal.recipients == (Path("/etc/edgeagent/owner.pem"),)
    assert config.uplink.collector_keys == (Path("/etc/collector.pem"),)
    assert config.seal.keys == Path("/var/lib/edgeagent/keys")
    assert config.coap is None


BAD = [
    ('name = "hub-1"', "name = 3", "agent.toml:3 [board] name: 3 is no name"),
    (
        'window = "60s"',
        'windov = "60s"',
        "agent.toml:11 [unit] windov: unknown setting windov. Did you mean window",
    ),
    ('window = "60s"', 'window = "60"', "agent.toml:11 [unit] window: '60' is no duration"),
    ('window = "60s"', 'window = "0s"', "agent.toml:11 [unit] window: 0s is not within 1s to 1d"),
    (
        'window = "60s"',
        'lateness = "61s"',
        "agent.toml:11 [unit] lateness: lateness is longer than the window",
    ),
    ('name = "attic"', 'name = "home"', "agent.toml:14 [unit] name: a second unit has the name home"),
    ("deadband = 0.10", "deadband = -1", "agent.toml:16 [unit] deadband: deadband is negative"),
    ("deadband = 0.10", "memory = true", "agent.toml:16 [unit] memory: True is no size"),
    ("[seal]", "[sael]", "agent.toml:18 [sael]: unknown section [sael]. Did you mean seal"),
    ('recipients = ["owner.pem"]', "", "agent.toml:18 [seal]: recipients is missing"),
    (
        'recipients = ["owner.pem"]',
        "recipients = []",
        "agent.toml:19 [seal] recipients: [] is no array of at least 1",
    ),
    ("mqtts://cloud.example:8883", "mqtts://me:secret@cloud", "the address holds a user or password"),
    ("mqtts://cloud.example:8883", "http://cloud", "'http://cloud' is no address such as mqtt://HOST[:PORT]"),
    ('collector_keys = ["/etc/collector.pem"]', "", "[uplink] collector_keys: acknowledge is collector, but"),
    ('url = "mqtt://127.0.0.1"', "url = 1", "agent.toml:6 [mqtt] url: 1 is no address"),
    ("[mqtt]", "[mqtt", "agent.toml:5: no valid TOML"),
    ("deadband = 0.10", "deadband = " + "[" * 3000, "agent.toml: arrays or tables are nested too deeply"),
    ("deadband = 0.10", "deadband = " + "1" * 5000, "agent.toml: no valid TOML"),
    (
        'name = "attic"',
        'name = """\n[board]\nname = """',
        "agent.toml:14 [unit] name: '[board]\\nname = ' is no",
    ),
]


@pytest.mark.parametrize(("good", "bad", "message"), BAD)
def test_bad_settings_are_named(good, bad, message):
    assert good in GOOD
    with pytest.raises(ConfigError) as caught:
        read(GOOD.replace(good, bad, 1))
    line = str(caught.value)
    assert message in line
    assert "\n" not in line
    assert "secret" not in line


def test_nothing_to_listen_to():
    with pytest.raises(ConfigError, match=r"Add \[mqtt\] or \[coap\]"):
        read(GOOD.replace('[mqtt]\nurl = "mqtt://127.0.0.1"', ""))


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(ConfigError, match="No such file"):
        load(tmp_path / "absent.toml")
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"a = \xff")
    with pytest.raises(ConfigError, match="no UTF-8 at byte 4"):
        load(binary)
    huge = tmp_path / "huge.toml"
    huge.write_bytes(b"#" * ((1 << 20) + 1))
    with pytest.raises(ConfigError, match="longer than"):
        load(huge)


@given(st.integers(0, 10**10))
def test_durations_come_back(ms):
    assert duration_ms(show_duration(ms)) == ms


@pytest.mark.parametrize(
    ("text", "value"),
    [("64MiB", 64 << 20), ("1.5KiB", 1536), ("2 GB", 2 * 10**9), ("0B", 0), ("250ms", None)],
)
def test_sizes(text, value):
    if value is None:
        with pytest.raises(ConfigError):
            size_bytes(text)
    else:
        assert size_bytes(text) == value


@pytest.mark.parametrize("text", ["", "5", "s", "-5s", "5 parsecs", "1.0001ms", "9" * 20 + "s", "5S"])
def test_what_is_no_duration(text):
    with pytest.raises(ConfigError):
        duration_ms(text)


def test_sizes_for_people():
    assert [show_size(n) for n in (0, 1023, 1024, 150 << 10, 3 << 30)] == [
        "0 B",
        "1023 B",
        "1.0 KiB",
        "150 KiB",
        "3.0 GiB",
    ]


def test_the_reference_is_current():
    page = Path(__file__).parents[2] / "docs/configuration.md"
    assert page.read_text() == reference(), "python -m edgeagent.config.reference > docs/configuration.md"


def profile_of(name):
    if name == "nosuch":
        raise ConfigError("there is no board profile nosuch")
    return f"of-{name}", {"unit": {"memory": "24MiB", "accelerator": "tcg"}, "board": {"vm_user": "guest"}}


def test_a_board_profile_gives_what_the_file_leaves_unset():
    text = GOOD.replace('name = "attic"', 'name = "attic"\nmemory = "8MiB"')
    config = parse(text, name="agent.toml", folder=Path("/etc"), defaults=profile_of)
    assert [unit.memory >> 20 for unit in config.units] == [24, 8]
    assert [unit.accelerator for unit in config.units] == ["tcg", "tcg"]
    assert config.board.vm_user == "guest"
    given = config.from_profile
    assert given.profile == "of-auto"
    assert given.as_json() == {"board.vm_user": "guest", "unit.memory": "24MiB", "unit.accelerator": "tcg"}
    assert given.gave("unit", "home", "memory")
    assert not given.gave("unit", "attic", "memory")


def test_an_explicit_auto_wins():
    text = GOOD.replace('name = "attic"', 'name = "attic"\naccelerator = "auto"')
    config = parse(text, name="agent.toml", folder=Path("/etc"), defaults=profile_of)
    assert [unit.accelerator for unit in config.units] == ["tcg", "auto"]


def test_an_unknown_board_profile_is_named():
    text = GOOD.replace('name = "hub-1"', 'name = "hub-1"\nprofile = "nosuch"')
    with pytest.raises(
        ConfigError, match=r"agent.toml:4 \[board\] profile: there is no board profile nosuch"
    ):
        parse(text, name="agent.toml", folder=Path("/etc"), defaults=profile_of)
    assert read(text).board.profile == "nosuch"
