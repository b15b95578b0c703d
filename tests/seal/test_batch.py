"""Batches: what goes in comes out, small; whatever is changed, too large or somebody else's is refused."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeagent.errors import LocalProtocolError, RemoteProtocolError
from edgeagent.seal import batch, cose
from edgeagent.seal.batch import Batch, inflate, open_batch, pack, seal_batch, unpack
from edgeagent.seal.keys import OpeningKey, SigningKey, agree_with, lookup
from edgeagent.wire import cbor, messages
from edgeagent.wire.frame import FrameType
from tests.seal.given import OPENER, SIGNER, TOPIC, Item, entropy, head, items, report, sealed, summary


def opened(data: bytes, topic: str = TOPIC) -> Batch:
    return open_batch(data, agree=agree_with([OPENER]), key_of=lookup([SIGNER.public]), topic=topic)


@settings(max_examples=80)
@given(items())
def test_round_trip(said):
    found = unpack(pack(head(), said))
    assert found.items == tuple(messages.parse(item.type, item.body) for item in said)
    assert (found.first_out, found.last_out) == (found.items[0].out, found.items[-1].out)
    assert found.head == head()


@pytest.mark.parametrize("cipher", sorted(batch.CIPHERS))
def test_sealed_round_trip(cipher):
    said = [summary(1), report(2, r1=3), summary(3, "home/b")]
    others = [OpeningKey.from_seed(b"2" * 32).public, OPENER.public]
    data = seal_batch(
        head(7),
        said,
        signer=SIGNER,
        recipients=others,
        topic=TOPIC,
        entropy=entropy(),
        cipher=batch.CIPHERS[cipher],
    )
    found = opened(data)
    assert found.head == head(7)
    assert [item.out for item in found.items] == [1, 2, 3]


def test_every_flipped_bit_is_refused():
    data = sealed()
    for bit in range(0, len(data) * 8, 3):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(RemoteProtocolError):
            opened(bytes(changed))


def test_another_boards_topic_is_refused():
    with pytest.raises(RemoteProtocolError):
        opened(sealed(), topic="edgeagent/1/cellar/batch")


def test_another_signer_is_refused():
    with pytest.raises(cose.UnknownKeyError):
        opened(sealed(signer=SigningKey.from_seed(b"x" * 32)))


@settings(max_examples=300)
@given(st.binary(max_size=200))
def test_signed_nonsense_is_refused(data):
    for content in (data, zlib.compress(data)):
        with pytest.raises(RemoteProtocolError):
            unpack(content)


scalars = st.one_of(
    st.integers(-(2**70), 2**70),
    st.none(),
    st.booleans(),
    st.binary(max_size=3),
    st.text(max_size=3),
    st.floats(),
)


@settings(max_examples=300)
@given(st.data())
def test_signed_content_of_another_form_is_refused_or_read(data):
    """A board whose key was stolen can't make the collector fail in any other way."""
    content = cbor.loads(
        zlib.decompress(pack(head(), [summary(1), summary(2), report(3)])), limit=1 << 20, what="it"
    )
    node = content
    while True:
        at = data.draw(st.integers(0, len(node) - 1))
        if isinstance(node[at], list) and node[at] and data.draw(st.integers(0, 3)):
            node = node[at]
        else:
            node[at] = data.draw(st.one_of(scalars, st.lists(scalars, max_size=3)))
            break
    try:
        found = unpack(zlib.compress(cbor.dumps(content)))
    except RemoteProtocolError:
        return
    assert all(
        0 <= number < 2**63
        for item in found.items
        for number in (item.out, item.seq, item.start, item.length)
    )


def test_bomb_is_refused_without_being_unpacked():
    bomb = zlib.compress(bytes(200 << 20), 9)
    assert len(bomb) < batch.MAX_SEALED
    with pytest.raises(RemoteProtocolError, match="larger than 4194304 bytes"):
        unpack(bomb)


def test_huge_numbers_are_refused_before_they_are_added_up():
    content = cbor.loads(zlib.decompress(pack(head(), [summary(1), summary(2)])), limit=1 << 20, what="it")
    for column in (*content[9][2][1:], *content[9][3]):
        kept, column[0] = column[0], 1 << 300
        with pytest.raises(RemoteProtocolError, match="huge"):
            unpack(zlib.compress(cbor.dumps(content)))
        column[0] = kept
    unpack(zlib.compress(cbor.dumps(content)))


def test_the_widest_row_fits():
    extreme = 2**128 - 1
    numbers = [[0, -extreme], [18, extreme], [18, -extreme], [0, extreme], [18, extreme], [127, extreme]]
    row = [1, 1, "s", "f", "", 0, 1, 2**63 - 1, *numbers, [[0, 1]], 0, 0, 0]
    item = Item(FrameType.SUMMARY, cbor.dumps(row))
    content = pack(head(), [item])
    assert unpack(content).items == (messages.parse(item.type, item.body),)


@pytest.mark.parametrize("data", [zlib.compress(b"x")[:-1], zlib.compress(b"x") + b"y", b"", b"x\x9c"])
def test_damaged_compression(data):
    with pytest.raises(RemoteProtocolError, match="damaged"):
        inflate(data)


def test_newer_version_says_what_to_do():
    with pytest.raises(RemoteProtocolError, match=r"version 2.*Update the collector"):
        unpack(zlib.compress(cbor.dumps([2, "future"])))


def test_limits():
    with pytest.raises(LocalProtocolError, match="0 items"):
        pack(head(), [])
    with pytest.raises(LocalProtocolError, match="above the limit"):
        pack(head(), [Item(FrameType.SUMMARY, bytes(2 << 20))])


def test_outputs_must_be_those_named():
    content = cbor.loads(zlib.decompress(pack(head(), [summary(1), summary(2)])), limit=1 << 20, what="it")
    content[8] = 3
    with pytest.raises(RemoteProtocolError, match="aren't those"):
        unpack(zlib.compress(cbor.dumps(content)))


def test_a_minute_of_fifty_sensors_is_small():
    """The issue's aim: 3,000 payloads of 130 bytes with four fields leave as a fiftieth of their bytes, or less."""
    fields = {"temperature": 2150, "humidity": 4520, "linkquality": 12000, "voltage": 301500}
    said, out = [], 0
    for sensor in range(50):
        for place, (field, base) in enumerate(fields.items()):
            out += 1
            values = [
                f"{(base + sensor * 7 + (second * second * (place + 3) + sensor * second) % 37) / 100:.2f}"
                for second in range(60)
            ]
            said.append(summary(out, f"zigbee2mqtt/room_sensor_{sensor:03}", field, unit="", values=values))
    size = len(
        seal_batch(head(), said, signer=SIGNER, recipients=[OPENER.public], topic=TOPIC, entropy=entropy())
    )
    assert size * 50 < 3000 * 130
