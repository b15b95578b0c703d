"""CSV and SenML: read back by the standard's own rules they say what the rows say."""

from __future__ import annotations

import csv
import io
import json
import re

from hypothesis import given
from hypothesis import strategies as st

from edgeagent.collector.export import ABSOLUTE_FROM_S, COLUMNS, csv_lines, iso, senml_lines, senml_name
from edgeagent.collector.rows import summary_row
from edgeagent.wire import messages
from tests.seal.given import summary

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9\-:./_]*")


def row(out: int = 1, **changes):
    said = messages.parse(*summary(out, **changes))
    return {"board": "attic", "unit": "home", "epoch": 1, **summary_row(said)}


def resolved(pack: str) -> list[dict]:
    """RFC 8428, 4.6: names and times in full, base fields applied to what follows."""
    records, name, time = [], "", 0.0
    for record in json.loads(pack):
        name, time = record.get("bn", name), record.get("bt", time)
        found = {"n": name + record.get("n", ""), "t": time + record.get("t", 0), "v": record["v"]}
        assert NAME.fullmatch(found["n"])
        records.append(found | ({"u": record["u"]} if "u" in record else {}))
    return records


def test_csv():
    rows = [row(1), row(2, source='odd,"name"', field="x\ny")]
    found = list(csv.DictReader(io.StringIO("".join(csv_lines(rows)), newline="")))
    assert tuple(found[0]) == COLUMNS
    assert found[0]["start"] == "2023-11-14T22:14:00.000Z"
    assert (found[0]["sum"], found[0]["mean"], found[0]["quantiles"]) == ("62.25", "20.75", '["20.75", "21"]')
    assert (found[1]["source"], found[1]["field"]) == ('odd,"name"', "x\ny")


def test_senml():
    found = resolved("".join(senml_lines([row(1), row(2, unit="", source="b c:d")])))
    assert found[0] == {"n": "attic/home/home/a/temperature/mean", "t": 1_700_000_040, "v": 20.75, "u": "Cel"}
    assert found[5] == {"n": "attic/home/home/a/temperature/count", "t": 1_700_000_040, "v": 3, "u": "count"}
    assert found[6] == {"n": "attic/home/b:20c:3Ad/temperature/mean", "t": 1_700_000_040, "v": 20.75}
    assert len(found) == 12


def test_empty_and_too_early():
    assert json.loads("".join(senml_lines([]))) == []
    early = row(start=ABSOLUTE_FROM_S * 1000 - 1)
    assert json.loads("".join(senml_lines([early]))) == []
    assert len(resolved("".join(senml_lines([early, row()])))) == 6


@given(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
)
def test_names_stay_different(one, other):
    assert NAME.fullmatch("a" + senml_name(one))
    assert (senml_name(one) == senml_name(other)) == (one == other)


def test_times_beyond_the_calendar():
    assert iso(0) == "1970-01-01T00:00:00.000Z"
    assert iso(2**63 - 1) == str(2**63 - 1)
