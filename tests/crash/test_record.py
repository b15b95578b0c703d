"""Records and their parts, as bytes."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeagent.crash.case import Case, pack, unpack
from edgeagent.crash.inputs import NEVER_MS, inputs, newest_arrival, through
from edgeagent.crash.record import Left, Part, decode, encode, plain_words
from edgeagent.errors import DamagedError
from edgeagent.wire import messages
from tests.crash.given import IMAGE, TOPIC, frames, record

texts = st.text(max_size=20)
records = st.builds(
    record,
    unit=texts,
    number=st.integers(1, 1 << 40),
    words=texts,
    log=st.lists(texts, max_size=3).map(tuple),
    left=st.builds(Left, texts, st.none() | st.integers(-64, 255), texts, st.just(("a",)), texts),
    parts=st.dictionaries(
        st.sampled_from(["state", "input", "ring"]), st.builds(Part, st.integers(0, 9), texts)
    ),
)


@given(records)
def test_what_is_written_is_read(made):
    assert decode(encode(made), "x") == made


@given(records, st.integers(0), st.binary(max_size=3))
def test_no_bytes_raise_anything_but_damage(made, at, noise):
    data = bytearray(encode(made))
    at %= len(data)
    data[at : at + len(noise)] = noise
    try:
        decode(bytes(data), "here")
    except DamagedError as error:
        assert error.where == "here"  # noqa: PT017 - it need not be damage


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda tree: tree.update(schema=2), "another version than 1"),
        (lambda tree: tree.update(schema=True), "no crash record"),
        (lambda tree: tree.update(unit=3), "unit is wrong"),
        (lambda tree: tree.update(times=True), "times is wrong"),
        (lambda tree: tree.update(log=["a", 1]), "log is wrong"),
        (lambda tree: tree.update(more=1), "record is wrong"),
        (lambda tree: tree.pop("words"), "record is wrong"),
        (lambda tree: tree["start"].update(seq="3"), "seq is wrong"),
        (lambda tree: tree.update(parts={"../x": {"bytes": 1, "digest": ""}}), "parts ../x"),
    ],
)
def test_wrong_records(change, words):
    tree = json.loads(encode(record()))
    change(tree)
    with pytest.raises(DamagedError, match=words):
        decode(json.dumps(tree).encode(), "x")
    with pytest.raises(DamagedError):
        decode(b"[" * 100_000, "x")


def test_alike_is_without_the_numbers_of_one_time():
    assert plain_words("no ack of input 812 to 840") == plain_words("no ack of input 3 to 9")
    assert plain_words("exception 14 at 0x10a2") != plain_words("exception 14 at 0x10a3")


@given(st.integers(1, 50), st.integers(0, 60))
def test_input_is_cut_where_the_guests_knowledge_ended(last, wanted):
    data = b"".join(frames(1, last))
    found = list(inputs(through(data, wanted)))
    assert [one.seq for one in found] == list(range(1, min(last, wanted) + 1))
    assert b"".join(one.data for one in found) == b"".join(frames(1, min(last, wanted)))


def test_input_is_read_back():
    data = frames(1, 1)[0] + messages.tick(2, 2_500) + messages.drain(3, 2_600)
    reading, tick, drain = inputs(data)
    assert reading.reading is not None
    assert (reading.kind, reading.reading.topic, reading.reading.payload) == (
        "reading",
        b"home/room",
        b"21.5",
    )
    assert [(one.seq, one.time_ms, one.kind) for one in (tick, drain)] == [
        (2, 2_500, "tick"),
        (3, 2_600, "drain"),
    ]
    assert newest_arrival([reading, tick]) == 2_500
    skipped = messages.skip(4, 90)
    (skip,) = inputs(skipped)
    assert (skip.first, skip.seq, skip.kind, skip.data) == (4, 90, "skip", skipped)
    assert newest_arrival([reading, skip]) == 1_000
    assert through(data + skipped, 3) == data
    unset = messages.reading(4, 9, 0, 0, TOPIC, b"", messages.CLOCK_UNSET)
    assert newest_arrival([*inputs(unset), tick]) == NEVER_MS


@given(st.integers(0), st.binary(min_size=1, max_size=4))
def test_damaged_input(at, noise):
    data = b"".join(frames(1, 5))
    at %= len(data)
    bad = data[:at] + noise + data[at + len(noise) :]
    if bad == data:
        assert len(list(inputs(bad))) == 5
        return
    with pytest.raises(DamagedError):
        list(inputs(bad))


@pytest.mark.parametrize(
    "frame",
    [
        messages.ping(1),
        messages.encode(0x10, b"\x80"),
        messages.encode(0x10, bytes(20)),
        messages.encode(0x11, b""),
    ],
)
def test_frames_that_are_no_input(frame):
    with pytest.raises(DamagedError):
        list(inputs(frame))


def case() -> Case:
    parts = {"state": b"state", "input": b"".join(frames(11, 15))}
    described = {name: Part(len(data), _digest(data)) for name, data in parts.items()}
    image = replace(record().image, kept=True)
    return Case(record(number=7, parts=described, image=image), parts, IMAGE)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_export_and_back():
    assert unpack(pack(case()), "x") == case()
    without = replace(case(), record=replace(case().record, image=record().image), image=b"")
    assert unpack(pack(without), "x") == without


def tar(members: dict[str, bytes], kind: bytes = tarfile.REGTYPE) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as file:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size, info.type = len(data), kind
            file.addfile(info, io.BytesIO(data))
    return out.getvalue()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "no exported crash"),
        (b"x" * 1000, "no exported crash"),
        (tar({}), "it has no record.json"),
        (tar({"../record.json": b"{}"}), "nothing that an exported crash has"),
        (tar({"record.json": b""}, tarfile.SYMTYPE), "nothing that an exported crash has"),
        (tar({"record.json": b"{}"}), "no crash record"),
        (tar({"record.json": encode(case().record)}), "the state of crash 7 is damaged"),
        (
            tar({"record.json": encode(case().record), **case().parts, "image.elf": IMAGE[1:]}),
            "the image of crash 7 is damaged",
        ),
    ],
)
def test_bad_exports(data, words):
    with pytest.raises(DamagedError, match=words):
        unpack(data, "x")


def test_an_export_cut_short():
    whole = pack(case())
    refused = 0
    for size in range(len(whole)):
        try:
            # The end of a tar file is padding.
            assert unpack(whole[:size], "x") == case()
        except DamagedError:
            refused += 1
    assert refused > len(whole) * 0.8
