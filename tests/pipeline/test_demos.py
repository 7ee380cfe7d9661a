"""The demo on made-up and real days: it runs, sums up, and touches nobody else's files."""

import subprocess

import pytest

from pipeline import demos
from pipeline.config import ConfigError, load
from pipeline.demos import Choice
from pipeline.peek import first_prices
from ringbuf import memory
from tests.data import data_file
from tests.pipeline.running import ROOT, corelane, read_report, rows
from workers.feeds.itch import ItchOptions
from workers.feeds.synthetic import SyntheticOptions, opening_prices, symbols

SUMMED_UP = (
    "messages/s",
    "ingest → book",
    "end to end, risk records",
    "best prices",
    "VaR 99 %",
    "ES 97.5 %",
    "every record accounted for; 0 events refused by the book",
    "(Parquet)",
    "look at it:",
)


def demo(place, *words, code: int = 0):
    """`corelane demo` under a name of the test's own, in its folder."""
    ran = corelane("demo", "--name", place.name, "--folder", place.folder, *words, code=code)
    assert (place.processes(), memory.names(place.name)) == ([], []) or code
    return ran


def check(ran, folder) -> None:
    """The summary says what it should, and the query that it shows works."""
    for text in SUMMED_UP:
        assert text in ran.out, text
    report = read_report(folder / "report.json")
    assert report.balanced
    assert {stage.life for stage in report.stages} == {"finished"}
    assert len(rows(folder / "history", "risk")) == report.rings[2].written > 0


def test_a_made_up_day(place):
    words = ["--messages", "50000", "--symbols", "20"]
    ran = demo(place, *words)
    check(ran, place.folder)
    report = read_report(place.folder / "report.json")
    assert report.stage("ingest").counters["feed0"]["messages"] == 50_000
    assert [portfolio.name for portfolio in report.portfolios] == ["long", "hedged"]
    assert all(portfolio.unvalued == 0 for portfolio in report.portfolios)
    query = ran.out.split("look at it:\n")[1].strip()
    shown = subprocess.run(query, shell=True, cwd=ROOT, capture_output=True, text=True, check=True)
    assert symbols(SyntheticOptions(messages=50_000, symbols=20))[0] in shown.stdout
    config = load(place.folder / "demo.toml")
    assert config.name == place.name
    again = demo(place, *words)  # clears its own history and writes it anew
    check(again, place.folder)


def test_a_folder_of_lobster_files(place):
    folder = data_file("lobster")
    ran = demo(place, "--lobster", folder)
    check(ran, place.folder)
    assert "AAPL" in ran.out


def test_an_itch_file(place):
    file = data_file("itch/AAPL_20120621_0930_1030_from_lobster50.itch50.gz")
    ran = demo(place, "--itch", file)
    check(ran, place.folder)
    report = read_report(place.folder / "report.json")
    assert report.stage("ingest").counters["feed0"]["messages"] == 92_080


def test_a_folder_without_lobster_files(place):
    ran = demo(place, "--lobster", place.folder, code=2)
    assert f"{place.folder}: no LOBSTER message files" in ran.err


def test_a_history_that_is_not_the_demo_s_is_kept(place):
    mine = place.folder / "history" / "precious.parquet"
    mine.parent.mkdir()
    mine.write_text("mine")
    choice = Choice(50_000, 20, 7, None, None, place.folder, place.name)
    with pytest.raises(ConfigError, match="is no history of a demo; name another --folder"):
        demos.run(choice)
    assert mine.read_text() == "mine"


def test_a_second_demo_leaves_the_first_one_s_history_alone(place):
    demo(place, "--messages", "20000", "--symbols", "5")
    before = {path: path.stat().st_mtime_ns for path in place.folder.rglob("*")}
    segment = memory.create(place.name, "held", "test", 64, "{}")
    try:
        segment.hold(memory.OWNER, "another demo")
        second = demo(place, "--messages", "20000", code=2)
        assert f"pipeline {place.name!r} is running already" in second.err
        assert {path: path.stat().st_mtime_ns for path in place.folder.rglob("*")} == before
    finally:
        segment.close()
        memory.unlink(segment.name)


def test_first_prices_are_those_of_the_first_orders(place):
    day = SyntheticOptions(messages=20_000, symbols=6, seed=5)
    prices = first_prices(day, 4)
    assert len(prices) == 4
    opening = dict(zip(symbols(day), opening_prices(day), strict=True))
    for symbol, price in prices.items():
        assert price == pytest.approx(opening[symbol] / 10_000, rel=0.05)


def test_first_prices_of_an_itch_file():
    file = data_file("itch/AAPL_20120621_0930_1030_from_lobster50.itch50.gz")
    prices = first_prices(ItchOptions(path=str(file)), 12)
    assert list(prices) == ["AAPL"]
    assert 550 < prices["AAPL"] < 620
