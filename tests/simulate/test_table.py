import cbor2
import pytest

from edgeagent.errors import ConfigError, DamagedError
from edgeagent.sim.message import Via
from edgeagent.sim.recorded import Playing, recorded
from edgeagent.sim.table import MAX_LINE, Layout, filled, rows, template_labels

ROOM = Layout(("t",), "ms", ("id", "t", "node", "T", "RH"), ("T", "RH"), ("node",))


def read(text, layout):
    return [
        (row.line, row.time, dict(row.labels), {k: str(v) for k, v in row.numbers.items()})
        for row in rows(text.splitlines(keepends=True), layout, "f.csv")
    ]


@pytest.mark.parametrize(
    ("text", "layout", "expected"),
    [
        (
            "1, 1458748404944, 2, 21.80, 48.164\n\n2, 1458748405048, 3, 21.41, 46\n",
            ROOM,
            [
                (1, 1458748404944, {"node": "2"}, {"T": "21.80", "RH": "48.164"}),
                (3, 1458748405048, {"node": "3"}, {"T": "21.41", "RH": "46"}),
            ],
        ),
        (
            "Date;Time;CO;T;;\n10/03/2004;18.00.00;2,6;-200;;\n",
            Layout(
                ("Date", "Time"),
                "%d/%m/%Y %H.%M.%S",
                missing=frozenset({"-200"}),
                delimiter=";",
                decimal=",",
            ),
            [(2, 1078941600000, {}, {"CO": "2.6"})],
        ),
        (
            '"date","a b"\n"2015-02-02 14:19:00",1e-3\n2015-02-02T16:19:00.25+02:00,\n',
            Layout(("date",)),
            [(2, 1422886740000, {}, {"a b": "0.001"}), (3, 1422886740250, {}, {})],
        ),
        ("t,v\n1.5,1\n", Layout(("t",), "s"), [(2, 1500, {}, {"v": "1"})]),
    ],
)
def test_rows(text, layout, expected):
    assert read(text, layout) == expected


@pytest.mark.parametrize(
    ("text", "layout", "error", "words"),
    [
        ("1,x,2,1,1\n", ROOM, DamagedError, "f.csv:1: 'x' is no time in ms"),
        ("1,5,2,1,1\n1,5,2,a,1\n", ROOM, DamagedError, "f.csv:2: column T: 'a' is no number. If it"),
        ("1,5,2,nan,1\n", ROOM, DamagedError, "f.csv:1: column T: 'nan' is no number"),
        ("1,5\n", ROOM, DamagedError, "f.csv:1: nothing in column node"),
        ("a,b\n1,2\n", Layout(("t",)), ConfigError, "f.csv: there is no column t. Columns: a, b."),
        ("t,v\n31/31/2020,1\n", Layout(("t",), "%d/%m/%Y"), DamagedError, "f.csv:2: '31/31/2020' is no time"),
        ('t,v\n1,"x"y\n', Layout(("t",), "s"), DamagedError, "f.csv:2: no line of a table"),
        ("t,v\n1," + "x" * MAX_LINE, Layout(("t",), "s"), DamagedError, "f.csv:2: longer than"),
    ],
)
def test_what_is_wrong_is_named(text, layout, error, words):
    with pytest.raises(error) as caught:
        read(text, layout)
    assert words in str(caught.value)


def test_topics_name_columns():
    assert template_labels("room/{node}/{kind}/{node}") == ("node", "kind")
    assert filled("room/{node}/x", {"node": "a b"}) == "room/a b/x"


TEXT = "1,1000,2,21.80,48\n2,3000,3,,\n3,4000,3,1,\n"


def said(**changed):
    playing = Playing(**({"topic": "room/{node}", "speed": 2, "form": "json", "vias": (Via.MQTT,)} | changed))
    return list(recorded(rows(TEXT.splitlines(), ROOM, "f"), playing, 50_000))


def test_rows_become_messages():
    first, second = said()
    assert (first.due, second.due) == (50_000, 51_500)
    assert (first.topic, second.topic) == ("room/2", "room/3")
    assert first.payload == b'{"ts":1000,"T":21.80,"RH":48}'
    assert [(v.field, str(v.number), v.time) for v in first.values] == [
        ("T", "21.80", 1000),
        ("RH", "48", 1000),
    ]


def test_other_forms_of_payload():
    assert said(form="senml-json")[0].payload == b'[{"bt":1.000,"n":"T","v":21.80},{"n":"RH","v":48}]'
    records = cbor2.loads(said(form="senml-cbor")[0].payload)
    assert [{k: str(v) for k, v in record.items()} for record in records] == [
        {-3: "1.000", 0: "T", 2: "21.80"},
        {0: "RH", 2: "48"},
    ]


def test_max_speed_and_moved_times():
    moved = said(speed=0, shift=9000)
    assert {m.due for m in moved} == {0}
    assert [v.time for m in moved for v in m.values] == [10_000, 10_000, 13_000]
    assert b'"ts":10000' in moved[0].payload


def test_each_source_keeps_to_one_way():
    both = said(vias=(Via.MQTT, Via.COAP), topic="{node}")
    assert {(m.topic, m.via) for m in both} == {
        (m.topic, m.via) for m in said(vias=(Via.MQTT, Via.COAP), topic="{node}")
    }
