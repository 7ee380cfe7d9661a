"""What is written as TOML reads back equal, and holds only what is not the default."""

from datetime import UTC, datetime, timedelta, timezone

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import STAGES, Config, Placement, Rings, Supervision, load, parse
from pipeline.toml import write_config
from workers.book import BookOptions
from workers.enriched import BarOptions, ConsolidatedOptions, MeasureOptions
from workers.feeds.itch import ItchOptions
from workers.feeds.lobster import LobsterOptions
from workers.feeds.synthetic import SyntheticOptions
from workers.ingest import IngestOptions
from workers.live_options import OptionPosition
from workers.publish import PublisherOptions
from workers.risk_options import CsvScenarios, Portfolio, Position, RiskOptions, SyntheticScenarios
from workers.sinks.json_lines import JsonLinesOptions
from workers.sinks.parquet_file import ParquetOptions

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
POSITIVE = st.floats(0.001, 1e6)
COUNT = st.integers(1, 1 << 20)
SIZE = st.integers(7, 20).map(lambda power: 1 << power)
OPTIONAL_DATE = st.none() | st.dates().map(str)

LENGTHS = st.sampled_from(["strict", "by-type"])
FEEDS = st.one_of(
    st.builds(ItchOptions, path=TEXT, date=OPTIONAL_DATE, lengths=LENGTHS),
    st.builds(LobsterOptions, path=TEXT, orderbook=st.none() | TEXT),
    st.builds(SyntheticOptions, messages=st.integers(10_000, 10**6), symbols=st.integers(1, 9)),
)
INGEST = st.builds(
    IngestOptions,
    symbols=st.lists(TEXT, max_size=3),
    instruments=COUNT,
    rate=st.none() | POSITIVE,
    quantity_limit=COUNT,
)
POSITIONS = st.dictionaries(
    TEXT,
    st.builds(Position, quantity=st.integers(-1000, 1000), price=st.floats(-1e6, 1e6)),
    min_size=1,
    max_size=3,
)
HELD_OPTIONS = st.lists(
    st.builds(
        OptionPosition,
        underlying=TEXT,
        type=st.sampled_from(["call", "put"]),
        strike=POSITIVE,
        volatility=st.floats(0.01, 5.0),
        quantity=st.integers(1, 1000),
        price=POSITIVE,
        expires=st.datetimes(
            datetime(2000, 1, 1),
            datetime(2100, 1, 1),
            timezones=st.sampled_from([UTC, timezone(timedelta(hours=-5))]),
        ),
    ),
    max_size=2,
)


def book_of(portfolio: Portfolio) -> Portfolio:
    """One more portfolio, below a given one."""
    return Portfolio(name="a book", parent=portfolio.name, positions=portfolio.positions)


RISK = st.builds(
    RiskOptions,
    portfolios=st.lists(
        st.builds(
            Portfolio,
            name=TEXT,
            positions=POSITIONS,
            options=HELD_OPTIONS,
            accounting=st.sampled_from(["average", "fifo"]),
            lots=st.sampled_from([1, 64, 4096]),
        ),
        max_size=3,
        unique_by=lambda p: p.name,
    ).map(lambda found: [*found, *(book_of(portfolio) for portfolio in found[:1])]),
    scenarios=st.builds(CsvScenarios, path=TEXT)
    | st.builds(SyntheticScenarios, days=st.integers(100, 2000), seed=COUNT),
    conflate_ms=st.sampled_from([0, 1, 250]),
    check_s=st.sampled_from([None, 0.5]),
)
SINKS = st.lists(
    st.builds(ParquetOptions, path=TEXT, rows_per_file=COUNT, seconds_per_file=POSITIVE)
    | st.builds(JsonLinesOptions, path=TEXT, kinds=st.just(["top"])),
    max_size=2,
)
PLACEMENT = st.builds(
    Placement,
    core=st.none() | st.integers(0, 63),
    wait=st.sampled_from(["auto", "spin", "yield", "backoff"]),
    restart=st.sampled_from(["auto", "never"]),
)
VOLUME = BarOptions(volume=1000)
VENUES = st.sampled_from([["feed0:BTCUSDT"], ["feed0:A", "feed0:B.C"]])
CONFIGS = st.builds(
    Config,
    name=st.from_regex(r"[a-z0-9][a-z0-9_-]{0,31}", fullmatch=True),
    feeds=st.lists(FEEDS, min_size=1, max_size=3),
    ingest=INGEST,
    book=st.builds(
        BookOptions,
        orders=COUNT,
        levels=COUNT,
        index=st.sampled_from(["sorted", "tree", "ladder", "auto"]),
        ladder_ticks=st.sampled_from([64, 1024, 32768]),
        publish_levels=st.booleans(),
        snapshot_s=st.sampled_from([None, 0.5, 60.0]),
        measures=st.none() | st.builds(MeasureOptions, sample_ms=st.sampled_from([1, 1000])),
        bars=st.sampled_from([[], [BarOptions(seconds=60.0)], [BarOptions(trades=5), VOLUME]]),
    ),
    consolidated=st.dictionaries(
        st.sampled_from(["BTC", "BTC/USD"]),
        st.builds(ConsolidatedOptions, venues=VENUES, price_decimals=st.integers(0, 17)),
        max_size=1,
    ),
    risk=RISK,
    publisher=st.builds(PublisherOptions, sinks=SINKS, flush_s=POSITIVE),
    rings=st.builds(Rings, events=SIZE, book=SIZE, risk=SIZE),
    stages=st.dictionaries(st.sampled_from(STAGES), PLACEMENT),
    processes=st.sampled_from([[], [["ingest", "book"]], [[*STAGES]], [["book"], ["risk"]]]),
    supervision=st.builds(Supervision, hang_s=POSITIVE, restarts=st.integers(0, 9)),
)


@given(config=CONFIGS)
def test_what_is_written_reads_back_equal(config, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "round-trip.toml"
    write_config(config, path, "a comment\nof two lines")
    assert load(path) == config


def test_only_what_is_not_the_default_is_written(tmp_path):
    feed = SyntheticOptions(messages=5000, symbols=2)
    path = tmp_path / "plain.toml"
    write_config(Config(name="plain", feeds=[feed]), path, "try me")
    text = path.read_text()
    assert text.startswith('# try me\nname = "plain"\n')
    assert "[rings]" not in text
    assert "supervision" not in text
    changed = Config(name="plain", feeds=[feed], rings=Rings(book=128))
    write_config(changed, path)
    assert "[rings]\nbook = 128\n" in path.read_text()
    assert msgspec.structs.replace(parse(path.read_text()), rings=Rings()) == load(path).__class__(
        name="plain", feeds=[feed]
    )
