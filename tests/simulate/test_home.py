import json
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import cbor2
import pytest

from edgeagent.sim.dice import Dice
from edgeagent.sim.faults import PAYLOADS, REASONS
from edgeagent.sim.home import Plan, kind_of, messages
from edgeagent.sim.kinds import KINDS, iso
from edgeagent.sim.message import Via, json_text
from edgeagent.wire.messages import Reason

START = 1_700_000_000_000
PLAN = Plan(sensors=100, rate=50, duration=60_000, seed=7, coap=True, faulty=0.01)


def test_dice_are_the_same_everywhere():
    dice = Dice("seed")
    dice._state = 1234567  # the published example of SplitMix64
    assert [dice._next() for _ in range(3)] == [6457827717110365317, 3203168211198807973, 9817491932198370423]
    assert {dice.choice("abc") for _ in range(50)} == set("abc")
    assert not any(dice.happens(0) for _ in range(50))
    assert all(dice.happens(1) for _ in range(50))


def test_the_same_seed_says_the_same():
    assert list(messages(PLAN, START)) == list(messages(PLAN, START))
    other = Plan(sensors=100, rate=50, duration=60_000, seed=8, coap=True, faulty=0.01)
    assert list(messages(PLAN, START)) != list(messages(other, START))


def test_messages_come_when_due_and_at_the_rate():
    said = list(messages(PLAN, START))
    assert [m.due for m in said] == sorted(m.due for m in said)
    assert len(said) == pytest.approx(50 * 60, rel=0.05)
    assert all(START <= m.due < START + PLAN.duration + PLAN.disorder for m in said)
    assert {m.via for m in said} == {Via.MQTT, Via.COAP}
    faulty = sum(bool(m.fault) for m in said)
    assert 0 < faulty < 100
    assert all(not m.values for m in said if m.fault)


def test_some_readings_come_behind_later_ones():
    newest: dict[str, int] = {}
    behind = 0
    for message in messages(replace(PLAN, rate=200), START):
        for value in message.values[-1:]:
            if value.time is not None:
                behind += value.time < newest.get(message.topic, 0)
                newest[message.topic] = max(value.time, newest.get(message.topic, 0))
                assert message.due - value.time <= PLAN.oldest
    assert behind


def test_a_hundred_sensors_have_every_kind_by_its_share():
    assert sum(kind.share for kind in KINDS) == 100
    found = Counter((kind.name, kind.via) for kind in map(kind_of, range(300, 400)))
    assert found == {(kind.name, kind.via): kind.share for kind in KINDS}


def test_without_coap_every_sensor_speaks_mqtt():
    plan = Plan(sensors=100, rate=100, duration=3000)
    assert {m.via for m in messages(plan, START)} == {Via.MQTT}


def senml(records):
    """Resolve (RFC 8428 section 4.6) with the standard's own words, apart from the simulator's code."""
    base: dict = {}
    for record in records:
        base.update({name: one for name, one in record.items() if name in {"bn", "bt", "bu"}})
        if "v" in record or "vb" in record:
            number = Decimal(record.get("v", record.get("vb")))
            time = (Decimal(base.get("bt", 0)) + Decimal(record.get("t", 0))) * 1000
            yield base.get("bn", "") + record["n"], record.get("u", base.get("bu", "")), number, int(time)


NAMES = {-2: "bn", -3: "bt", -4: "bu", 0: "n", 1: "u", 2: "v", 3: "vs", 4: "vb", 6: "t"}


def test_payloads_say_what_the_values_are():
    for message in messages(PLAN, START):
        if message.fault:
            continue
        values = {(v.field, v.unit, v.number, v.time) for v in message.values}
        if message.topic.startswith("senml/cbor"):
            records = [{NAMES[k]: v for k, v in record.items()} for record in cbor2.loads(message.payload)]
            assert set(senml(records)) == values
        elif message.topic.startswith("senml/json"):
            assert set(senml(json.loads(message.payload, parse_float=Decimal))) == values
        elif message.topic.startswith("esphome"):
            assert {("", "", Decimal(message.payload.decode()), None)} == values
        else:
            tree = json.loads(message.payload, parse_float=Decimal)
            for field, _, number, _ in values:
                node = tree
                for step in field.split("."):
                    node = node[int(step) if isinstance(node, list) else step]
                assert Decimal(node) == number
            assert message.values
            stamp = next(tree[name] for name in ("last_seen", "Time", "ts", "unixtime") if name in tree)
            assert {v.time for v in message.values} == {as_ms(stamp)}


def as_ms(stamp):
    if isinstance(stamp, str):
        parsed = datetime.fromisoformat(stamp)
        parsed = parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
        return round(parsed.timestamp() * 1000)
    return int(stamp if stamp > 10**11 else stamp * 1000)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({}, "2023-11-14T22:13:20.007Z"),
        ({"zone": "+02:00"}, "2023-11-15T00:13:20.007+02:00"),
        ({"digits": 0, "zone": ""}, "2023-11-14T22:13:20"),
    ],
)
def test_iso(arguments, text):
    assert iso(START + 7, **arguments) == text


def test_json_keeps_digits():
    tree = {"a": Decimal("21.50"), "b": [True, None, 'x"\\\n'], "c": {"d": Decimal("-0.00000001")}}
    text = json_text(tree)
    assert text == '{"a":21.50,"b":[true,null,"x\\"\\\\\\n"],"c":{"d":-0.00000001}}'
    assert json.loads(text, parse_float=Decimal) == tree
    with pytest.raises(TypeError):
        json_text({"a": 1.5})


def test_faults_are_classes_of_the_contracts_reasons():
    words = {reason.word for reason in Reason}
    assert set().union(*REASONS.values()) <= words
    assert {name for name, _ in PAYLOADS} == set(REASONS)
