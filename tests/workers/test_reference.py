"""Reference data: what is right is read exactly, what is wrong is told by entry and key."""

import csv as csv_
import io
from contextlib import suppress
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.reference import (
    LARGEST,
    Reference,
    ReferenceDataError,
    load,
    parse_csv,
    parse_toml,
    units,
)

ENTRY = '[[instruments]]\nsymbol = "A"\n'
SPAN = 'phases = [{from = "09:30", to = "16:00", state = "continuous"}]\n'


def test_both_formats_say_the_same(tmp_path):
    toml, csv = tmp_path / "i.toml", tmp_path / "i.csv"
    toml.write_text(
        ENTRY + 'venue = 0\ntick = 0.01\nlot = "100"\nprice = 7\nzone = "Europe/Zurich"\n' + SPAN
        + '[[instruments]]\nsymbol = "B"\nvenue = "itch"\nzone = "UTC"\n'
    )  # fmt: skip
    csv.write_text(
        "symbol,venue,tick,lot,price,zone,phases\n"
        "A,0,0.01,100,7,Europe/Zurich,09:30-16:00 continuous\n\n"
        " B , itch,,,,UTC,\n"
    )
    assert load(toml).entries == load(csv).entries
    assert load(csv).entries[0].tick == Decimal("0.01")
    assert load(csv).venues == {0, "itch"}


def test_the_nearest_venue_counts():
    text = "symbol,venue,tick\nA,,1\nA,itch,2\nA,1,3\nB,itch,4\n"
    found = parse_csv(text, "i.csv")
    ticks = [found.find(number, kind, "A").tick for number, kind in
             ((0, "dbn"), (0, "itch"), (1, "itch"))]  # fmt: skip
    assert ticks == [1, 2, 3]
    assert found.find(0, "dbn", "B") is None
    assert found.find(0, "dbn", "C") is None
    assert Reference().find(0, "dbn", "A") is None


WRONG_TOML = [
    ("[[instruments]]", "instruments[0]: Object missing required field `symbol`"),
    (ENTRY + "tik = 1", "instruments[0] (A): tik: unknown key; did you mean 'tick'?"),
    (ENTRY + "tick = true", "instruments[0] (A): tick: expected"),
    (ENTRY + "tick = 'x'", "instruments[0] (A): tick: invalid decimal"),
    (ENTRY + "tick = 0", "tick = 0: give more than 0"),
    (ENTRY + "lot = -1", "lot = -1: give more than 0"),
    (ENTRY + "price = nan", "price = NaN: give more than 0"),
    (ENTRY + "price = 1e999999999", "of at most 18 digits"),
    (ENTRY + "tick = 1e-30", "of at most 18 digits"),
    (ENTRY + "zone = 'Mars'", "there is no time zone 'Mars'"),
    (ENTRY + "venue = 1.5", "instruments[0] (A): venue: expected"),
    (ENTRY + SPAN.replace("09:30", "9:30"), "phases[0]: '9:30' is no time of day"),
    (ENTRY + SPAN.replace("continuous", "open"), "phases[0].state: invalid enum value 'open'"),
    (ENTRY + SPAN.replace("from", "frm"), "phases[0]: object contains unknown field `frm`"),
    (ENTRY + ENTRY, "instruments[1] (A): stands there twice"),
    ("[[instruments]]\nsymbol = ''", "symbol = '': give 1 to 24 characters"),
    (f"[[instruments]]\nsymbol = '{'x' * 25}'", "give 1 to 24 characters"),
    ("[[instruments]]\nsymbol = 'é'", "give printable ASCII"),
    ("instruments = 3", "instruments: is no list of tables"),
    ("[[instrument]]", "instrument: unknown key"),
    ("[[instruments]", "is not TOML"),
    ("x = " + "[" * 100_000, "is not TOML"),
]
WRONG_CSV = [
    ("", "line 1: has no column symbol"),
    ("symbol,tik\nA,1", "line 1: tik: unknown key; did you mean 'tick'?"),
    ("symbol,tick\nA", "line 2: has 1 cells, the first line 2"),
    ("symbol,symbol\nA,A", "line 1: has a column twice"),
    ('symbol\n"A', "line 2: is not CSV"),
    ("symbol,tick\nA,1\n,2", "line 3: Object missing required field `symbol`"),
    ("symbol,tick\nA,0x1", "line 2 (A): tick: invalid decimal"),
    ("symbol,phases\nA,09:30 continuous", "line 2 (A): phases[0]: '' is no time of day"),
    ("symbol,phases\nA,09:30-16:00 x", "phases[0].state: invalid enum value 'x'"),
    ("symbol\nA\nA", "line 3 (A): stands there twice"),
]


@pytest.mark.parametrize(("text", "says"), WRONG_TOML)
def test_what_is_wrong_in_toml(text, says):
    with pytest.raises(ReferenceDataError) as refused:
        parse_toml(text, "i.toml")
    assert says in str(refused.value)
    assert all(line.startswith("i.toml: ") for line in str(refused.value).splitlines())


@pytest.mark.parametrize(("text", "says"), WRONG_CSV)
def test_what_is_wrong_in_csv(text, says):
    with pytest.raises(ReferenceDataError) as refused:
        parse_csv(text, "i.csv")
    assert says in str(refused.value)


def test_everything_that_is_wrong_is_told_at_once():
    with pytest.raises(ReferenceDataError) as refused:
        parse_csv("symbol,tick\nA,0\nB,1\nC,x\n", "i.csv")
    assert len(refused.value.problems) == 2


def test_files_that_are_none(tmp_path):
    (tmp_path / "i.yaml").write_text("")
    (tmp_path / "i.toml").write_bytes(b"\xff\xfe")
    for name, says in (("none.toml", "cannot be read"), ("i.yaml", "neither .toml nor .csv"),
                       ("i.toml", "not text in UTF-8")):  # fmt: skip
        with pytest.raises(ReferenceDataError, match=says):
            load(tmp_path / name)


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text):
    for parse in (parse_csv, parse_toml):
        with suppress(ReferenceDataError):
            assert isinstance(parse(text, "i"), Reference)


CELL = st.sampled_from(["", "A", "B", "0", "0.5", "1e5", "-1", "09:00-10:00 closed", "UTC", "x;y"])


@given(st.lists(st.lists(CELL, min_size=7, max_size=7), max_size=4))
def test_any_row_is_taken_as_it_stands_or_refused(rows):
    text = io.StringIO()
    columns = ["symbol", "venue", "tick", "lot", "price", "zone", "phases"]
    csv_.writer(text).writerows([columns, *rows])
    try:
        found = parse_csv(text.getvalue(), "i.csv")
    except ReferenceDataError:
        return
    said = [row for row in rows if any(row)]
    assert [entry.symbol for entry in found.entries] == [row[0] for row in said]
    for entry, row in zip(found.entries, said, strict=True):
        assert entry.tick == (Decimal(row[2]) if row[2] else None)


@given(st.integers(1, 10**9), st.integers(0, 9), st.sampled_from([1, 100, 10**4, 10**9]))
def test_units_are_exact_or_none(digits, places, scale):
    value = Decimal(digits).scaleb(-places)
    whole, rest = divmod(digits * scale, 10**places)
    assert units(value, scale) == (None if rest or whole > LARGEST else whole)
    assert units(None, scale) == 0


def test_more_units_than_an_event_holds_are_none():
    assert units(Decimal(10**17), 10) is None
