"""The MQTT core against paho's encoder, against tables of good and bad packets, and against noise."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeagent.errors import LocalProtocolError, RemoteProtocolError
from edgeagent.ingest import mqtt_core, mqtt_packets
from edgeagent.ingest.mqtt_core import MqttReceiver, Phase
from edgeagent.ingest.mqtt_events import (
    DUP,
    RETAIN,
    Connected,
    Pong,
    Refused,
    Subscribed,
    Unsubscribed,
    Unusable,
)
from edgeagent.ingest.mqtt_packets import Connect, Subscription
from edgeagent.ingest.mqtt_properties import CONTENT_FORMATS, text, variable
from edgeagent.wire.messages import FORMAT_UNKNOWN, MAX_PAYLOAD, MAX_TOPIC
from tests.ingest.paho_encoder import PahoEncoder

CONNACK = {4: b"\x20\x02\x00\x00", 5: b"\x20\x03\x00\x00\x00"}
VERSIONS = (4, 5)


def opened(version=5, **options) -> MqttReceiver:
    core = MqttReceiver(Connect("board", version=version), **options)
    core.connect()
    assert core.receive(CONNACK[version]) == [Connected(False, 60, "", True, True)]
    return core


def publish(topic=b"t", payload=b"1", *, head=0x30, packet_id=0, properties=b"\0", version=5) -> bytes:
    body = text(topic) + (packet_id.to_bytes(2, "big") if head & 6 else b"")
    body += (properties if version == 5 else b"") + payload
    return bytes([head]) + variable(len(body)) + body


def fed(core: MqttReceiver, stream: bytes, cuts=()) -> list:
    """Events of a stream given in pieces, and the failure as the last one."""
    events = []
    for begin, end in zip((0, *cuts), (*cuts, len(stream)), strict=True):
        events += core.receive(stream[begin:end])
        if core.failure:
            return [*events, str(core.failure)]
    return events


names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0+#"), min_size=1, max_size=40)
messages = st.builds(
    dict,
    topic=names,
    payload=st.binary(max_size=300) | st.integers(0, 70_000).map(bytes),
    qos=st.sampled_from((0, 1)),
    packet_id=st.integers(1, 65_535),
    dup=st.booleans(),
    retain=st.booleans(),
    properties=st.fixed_dictionaries(
        {},
        optional={
            "ContentType": st.sampled_from([*(name.decode() for name in CONTENT_FORMATS), "image/png", ""]),
            "PayloadFormatIndicator": st.sampled_from((0, 1)),
            "MessageExpiryInterval": st.integers(0, 2**32 - 1),
            "ResponseTopic": names,
            "CorrelationData": st.binary(max_size=200),
            "UserProperty": st.tuples(names, names),
        },
    ),
)


@given(st.data(), st.sampled_from(VERSIONS), st.lists(messages, max_size=5))
def test_what_paho_encodes_is_what_we_read_however_it_is_cut(data, version, sent):
    encoder = PahoEncoder(version)
    for one in sent:
        if not one["qos"]:
            one.update(dup=False, packet_id=0)
    stream = b"".join(encoder.publish(**one) for one in sent)
    encoder.close()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    got = fed(opened(version), stream, cuts)
    assert got == [
        (
            one["topic"].encode(),
            one["payload"],
            CONTENT_FORMATS.get(one["properties"].get("ContentType", "").encode(), FORMAT_UNKNOWN)
            if version == 5
            else FORMAT_UNKNOWN,
            one["packet_id"],
            DUP * one["dup"] | RETAIN * one["retain"],
        )
        for one in sent
    ]


@pytest.mark.parametrize("version", VERSIONS)
def test_every_single_cut_gives_the_same_events(version):
    core = opened(version)
    core.subscribe([Subscription("a/#"), Subscription("b")])
    codes = b"\x01\x87" if version == 5 else b"\x01\x80"
    suback = b"\0\1" + (b"\0" if version == 5 else b"") + codes
    stream = b"".join(
        (
            b"\x90" + variable(len(suback)) + suback,
            publish(b"a/1", b"x" * 200, version=version),
            publish(b"a/2", b"", head=0x33, packet_id=7, version=version),
            b"\xd0\x00",
            publish(b"a/3", b"y" * 20_000, head=0x32, packet_id=8, version=version),
            publish(b"b", b"z", version=version),
        )
    )
    whole = fed(core, stream)
    assert len(whole) == 6
    assert whole[0].granted == (("a/#", 1),)
    assert [name for name, _ in whole[0].failed] == ["b"]
    assert whole[3] == Pong()
    for cut in [*range(1, 300), *range(len(stream) - 300, len(stream))]:
        core = opened(version)
        core.subscribe([Subscription("a/#"), Subscription("b")])
        assert fed(core, stream, [cut]) == whole
    core = opened(version)
    core.subscribe([Subscription("a/#"), Subscription("b")])
    assert fed(core, stream, range(1, len(stream))) == whole


BAD = {
    "unknown type": b"\x00\x00",
    "CONNECT from a broker": b"\x10\x00",
    "second CONNACK": CONNACK[5],
    "PUBACK": b"\x40\x02\x00\x01",
    "QoS 2": publish(head=0x34, packet_id=1),
    "QoS 3": publish(head=0x36, packet_id=1),
    "DUP with QoS 0": publish(head=0x38),
    "packet id 0": publish(head=0x32, packet_id=0),
    "topic beyond the packet": b"\x30\x04\x00\x09ab" + b"\0" * 50,
    "no topic": b"\x30\x00",
    "half a topic length": b"\x30\x01\x00",
    "QoS 1 without packet id": b"\x32\x03\x00\x01t" + b"\0" * 9,
    "v5 without properties": b"\x30\x03\x00\x01t",
    "properties beyond the packet": publish(properties=b"\x09\x03", payload=b""),
    "unknown property": publish(properties=b"\x02\x7f\x00"),
    "property twice": publish(properties=b"\x04\x01\x00\x01\x00"),
    "property cut": publish(properties=b"\x03\x02\x00\x00"),
    "topic alias": publish(properties=b"\x03\x23\x00\x01"),
    "property length of five bytes": publish(properties=b"\xff\xff\xff\xff\x01"),
    "packet length of five bytes": b"\x30\xff\xff\xff\xff\x01",
    "SUBACK unasked": b"\x90\x04\x00\x09\x00\x01",
    "SUBACK cut": b"\x90\x01\x00",
    "PINGRESP with a body": b"\xd0\x01\x00",
    "PINGRESP with flags": b"\xd1\x00",
    "huge SUBACK": b"\x90" + variable(300_000),
    "huge QoS 2": b"\x34" + variable(300_000),
    "huge with topic beyond it": b"\x30" + variable(300_000) + b"\xff\xff" + b"x" * 70_000,
    "DISCONNECT with rubbish": b"\xe0\x03\x00\x00\x00",
}


@pytest.mark.parametrize("name", [name for name in BAD if name != "huge with topic beyond it"])
def test_bad_packets_end_the_connection_and_keep_what_came_before(name):
    good = publish(b"fine", b"42")
    core = opened()
    events = fed(core, good + BAD[name])
    assert events[0] == (b"fine", b"42", FORMAT_UNKNOWN, 0, 0)
    assert len(events) == 2, "the fault wasn't seen"
    assert core.phase is Phase.CLOSED
    with pytest.raises(RemoteProtocolError) as raised:
        core.receive(b"")
    assert str(raised.value) == events[1]
    core = opened()
    assert fed(core, good + BAD[name], range(1, len(good + BAD[name]))) == events


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("packet", "phase"),
    [(b"\xd0\x00", Phase.CONNECTING), (publish(), Phase.CONNECTING), (b"\x90\x03\0\1\1", Phase.CONNECTING)],
)
def test_nothing_may_come_before_connack(version, packet, phase):
    core = MqttReceiver(Connect("board", version=version))
    core.connect()
    assert core.phase is phase
    assert core.receive(packet) == []
    assert core.failure is not None


def test_disconnect_is_for_version_5_only():
    assert "DISCONNECT" in fed(opened(4), b"\xe0\x00")[0]
    core = opened(5)
    [event] = core.receive(b"\xe0\x02\x8e\x00")
    assert event.code == 0x8E
    assert "client_id" in event.remedy
    assert core.receive(publish()) == [], "what comes after it is not ours"


@pytest.mark.parametrize(
    ("version", "packet", "words"),
    [
        (4, b"\x20\x02\x00\x04", "bad user name or password"),
        (4, b"\x20\x02\x00\x05", "not authorised"),
        (4, b"\x20\x02\x00\x01", "protocol version not supported"),
        (5, b"\x20\x03\x00\x86\x00", "bad user name or password"),
        (5, b"\x20\x09\x00\x87\x06\x1f\x00\x03why", "not authorised (why)"),
        (5, b"\x20\x02\x00\x01", "protocol version not supported"),
    ],
)
def test_refusals_say_why_and_what_to_do(version, packet, words):
    core = MqttReceiver(Connect("board", version=version))
    core.connect()
    [event] = core.receive(packet)
    assert isinstance(event, Refused)
    assert event.reason == words
    assert event.remedy
    assert core.phase is Phase.CLOSED


def test_connack_properties():
    core = MqttReceiver(Connect("", version=5))
    core.connect()
    body = b"\x01\x00" + b"\x0c" + b"\x13\x00\x0a" + b"\x12\x00\x02id" + b"\x28\x00" + b"\x2a\x00"
    assert core.receive(b"\x20" + variable(len(body)) + body) == [Connected(True, 10, "id", False, False)]


def test_a_session_that_was_to_be_forgotten_may_not_be_present():
    core = MqttReceiver(Connect("board", version=4, clean_start=True))
    core.connect()
    core.receive(b"\x20\x02\x01\x00")
    assert "session" in str(core.failure)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("step", [1 << 20, 65_536, 4099])
def test_a_message_too_large_is_skipped_and_reported_so_that_it_can_be_acknowledged(version, step):
    before, after = publish(b"a", version=version), publish(b"b", version=version)
    huge = publish(b"big", bytes(400_000), head=0x32, packet_id=9, version=version)
    stream = before + huge + after
    core = opened(version)
    events = []
    for at in range(0, len(stream), step):
        events += core.receive(stream[at : at + step])
        assert core.held < 300
    size = len(huge) - 4
    assert [events[0][0], events[1], events[2][0]] == [
        b"a",
        Unusable(b"big", f"packet of {size} bytes, more than 262144", 9),
        b"b",
    ]


def test_payload_and_topic_bounds_are_those_of_the_intake():
    core = opened(4)
    longest = publish(b"t" * MAX_TOPIC, bytes(MAX_PAYLOAD), version=4)
    [event] = core.receive(longest)
    assert (len(event[0]), len(event[1])) == (MAX_TOPIC, MAX_PAYLOAD)
    [event] = core.receive(publish(b"t", bytes(MAX_PAYLOAD + 1), version=4))
    assert event == Unusable(b"t", f"payload of {MAX_PAYLOAD + 1} bytes, more than {MAX_PAYLOAD}", 0)
    [event] = core.receive(publish(b"t" * (MAX_TOPIC + 1), b"1", head=0x32, packet_id=3, version=4))
    assert (len(event.topic), event.packet_id) == (MAX_TOPIC, 3)


@pytest.mark.parametrize("topic", [b"", b"a/#", b"a/+/b", b"a\0b", b"\xff"])
def test_a_topic_that_is_none_drops_the_message_and_not_the_connection(topic):
    core = opened()
    for _ in range(2):
        bad, good = core.receive(publish(topic, head=0x32, packet_id=5) + publish(b"fine"))
        assert (bad.topic, bad.packet_id) == (topic, 5)
        assert good[0] == b"fine"


def test_oversized_topic_of_a_skipped_packet_is_bounded_too():
    core = opened(4)
    assert fed(core, BAD["huge with topic beyond it"])[0] == Unusable(
        b"x" * MAX_TOPIC, "packet of 300000 bytes, more than 262144", 0
    )


def test_commands_need_their_phase():
    core = MqttReceiver(Connect("board"))
    for command in (core.ping, core.disconnect, lambda: core.subscribe([]), lambda: core.acknowledge([1])):
        with pytest.raises(LocalProtocolError):
            command()
    core.connect()
    with pytest.raises(LocalProtocolError):
        core.connect()


def test_commands_in_bytes():
    core = MqttReceiver(Connect("b", version=4, user="u", password=b"p", clean_start=True, keepalive=10))
    assert core.connect() == b"\x10\x13\0\4MQTT\4\xc2\0\x0a\0\1b\0\1u\0\1p"
    core.receive(CONNACK[4])
    assert core.subscribe([Subscription("a/+", 0)]) == b"\x82\x08\0\1\0\3a/+\0"
    assert core.acknowledge([1, 65_535]) == b"\x40\x02\0\1\x40\x02\xff\xff"
    assert core.ping() == b"\xc0\0"
    assert core.disconnect() == b"\xe0\0"
    five = MqttReceiver(Connect("b", session_expiry=1, receive_maximum=2, maximum_packet=3))
    assert five.connect() == b"\x10\x1b\0\4MQTT\5\0\0\x3c\x0d\x11\0\0\0\1\x21\0\2\x27\0\0\0\3\0\1b"
    five.receive(CONNACK[5])
    wanted = [Subscription("a"), Subscription("b", 0), Subscription("$share/g/c")]
    assert five.subscribe(wanted) == b"\x82\x18\0\1\0\0\1a\x11\0\1b\x10\0\x0a$share/g/c\1"
    assert five.subscribe(wanted[:2], retained=False) == b"\x82\x0b\0\2\0\0\1a\x21\0\1b\x20"


def test_many_filters_go_in_several_packets():
    core = opened()
    packets = core.subscribe([Subscription(f"s/{n}") for n in range(100)])
    assert packets.count(b"\x82") >= 2
    for ident, count in ((1, 64), (2, 36)):
        body = ident.to_bytes(2, "big") + b"\0" + b"\1" * count
        [event] = core.receive(b"\x90" + variable(len(body)) + body)
        assert isinstance(event, Subscribed)
        assert len(event.granted) == count


@pytest.mark.parametrize("version", VERSIONS)
def test_unsubscribing(version):
    core = opened(version)
    empty = b"\0" if version == 5 else b""
    assert core.unsubscribe(["a/#"]) == b"\xa2" + bytes([7 + len(empty)]) + b"\0\1" + empty + b"\0\3a/#"
    assert not core.settled
    assert core.receive(b"\xb0\x02\0\1" if version == 4 else b"\xb0\x04\0\1\0\0") == [Unsubscribed()]
    assert core.settled
    assert core.unsubscribe([]) == b""
    core.receive(b"\xb0\x02\0\1")
    assert "answers no UNSUBSCRIBE" in str(core.failure)


def test_a_password_without_a_user_is_our_mistake_in_311():
    with pytest.raises(LocalProtocolError):
        mqtt_packets.connect(Connect("b", version=4, password=b"p"))


def test_property_blocks_are_remembered_within_a_bound():
    core = opened()
    for n in range(mqtt_core.MAX_FORMATS * 2):
        block = b"\x16\x02" + n.to_bytes(4, "big") + b"\x03\x00\x0eapplication/js"
        assert core.receive(publish(properties=block + b""))[0][2] == FORMAT_UNKNOWN
    kind = b"\x03\x00\x10application/json"
    for _ in range(3):
        assert core.receive(publish(properties=bytes([len(kind)]) + kind))[0][2] == 50
    assert len(core._formats) <= mqtt_core.MAX_FORMATS


@pytest.mark.parametrize("version", VERSIONS)
def test_noise_raises_nothing_else_and_holds_nothing_more(version):
    chance = random.Random(version)
    good = b"".join(
        publish(b"s/%d" % n, b"x" * chance.randrange(400), head=0x32, packet_id=n + 1, version=version)
        for n in range(30)
    )
    good += b"\xd0\x00" + publish(properties=b"\x13\x03\x00\x10application/json", version=5)
    failures = 0
    for _ in range(3000):
        stream = bytearray(good)
        for _ in range(chance.randrange(1, 6)):
            at = chance.randrange(len(stream))
            match chance.randrange(3):
                case 0:
                    stream[at] = chance.randrange(256)
                case 1:
                    del stream[at : at + chance.randrange(1, 40)]
                case 2:
                    stream[at:at] = chance.randbytes(chance.randrange(1, 40))
        core = opened(version)
        cut = chance.randrange(len(stream))
        events = fed(core, bytes(stream), [cut])
        failures += core.failure is not None
        assert core.held <= mqtt_core.MAX_PACKET + mqtt_core.LONGEST_START
        assert all(
            len(event[0]) <= MAX_TOPIC and len(event[1]) <= MAX_PAYLOAD
            for event in events
            if type(event) is tuple
        )
        assert events == fed(opened(version), bytes(stream)), "a cut changed the events"
    assert failures > 1000, "the noise was none"


def test_a_slow_huge_packet_costs_no_more_than_its_bytes():
    core = opened(4)
    stream = publish(b"t", bytes(MAX_PAYLOAD), version=4)
    got = fed(core, stream, range(100, len(stream), 100))
    assert len(got) == 1
