"""Every refusal names the path and the mend, and starts nothing."""

import re

import pytest
from click.testing import CliRunner

from pipeline.cli import main
from pipeline.config import STAGES, Config, ConfigError, load, parse
from ringbuf import memory
from tests.pipeline.running import corelane, lines

GOOD = """
name = "good"
[[feeds]]
kind = "synthetic"
messages = 1000
symbols = 3
"""
POSITION = "[risk.portfolios.positions.ABC]\nquantity = 1\nprice = 1.0"
OPTION = (
    "[[risk.portfolios]]\nname = 'p'\n[[risk.portfolios.options]]\nunderlying = 'ABC'\n"
    "type = 'call'\nstrike = 5.0\nexpires = 2030-01-01T21:00:00Z\nvolatility = 0.2\n"
    "quantity = 1\nprice = 0.5"
)
OPTION_AT = "risk.portfolios[0].options[0]"
PORTFOLIO = f'[[risk.portfolios]]\nname = "p"\n{POSITION}'

# What is added to (or put instead of) GOOD; where the problem is; what else the line must say.
WRONG = [
    ("name", None, "is not TOML"),
    ("symbols = 4", None, "is not TOML"),
    ("name = 'twice'", "feeds[0].name", "unknown key; known: date"),
    ("[ingets]\nrate = 5.0", "ingets", "did you mean 'ingest'"),
    ("messges = 5", "feeds[0].messges", "did you mean 'messages'"),
    ("symbols_ = ['A']", "feeds[0].symbols_", "did you mean 'symbols'"),
    ("[ingest]\nrat = 5.0", "ingest.rat", "did you mean 'rate'"),
    ("[ingest]\nrate = 0", "ingest.rate", "is not above 0"),
    ("[ingest]\nrate = -5.0", "ingest.rate", "is not above 0"),
    ("[ingest]\nrate = nan", "ingest.rate", "is not above 0"),
    ("[ingest]\nspeed = 0.0", "ingest.speed", "is not above 0"),
    ("[ingest]\nspeed = inf", "ingest.speed", "give 0 to"),
    ("[ingest]\nrate = 5.0\nspeed = 1.0", "ingest", "give one of them"),
    ("[ingest]\nrate = 'fast'", "ingest.rate", "expected a number, found 'fast'"),
    ("[ingest]\nrate = true", "ingest.rate", "expected a number"),
    ("[ingest]\nsymbols = 'ABC'", "ingest.symbols", "expected a list"),
    ("[ingest]\nsymbols = ['ABC', 5]", "ingest.symbols[1]", "expected text in quotes, found 5"),
    ("[ingest]\ninstruments = 0", "ingest.instruments", "give 1 to"),
    ("[ingest]\ninstruments = 100_000_000", "ingest.instruments", "give 1 to"),
    ("[ingest]\nquantity_limit = 0", "ingest.quantity_limit", "is not above 0"),
    ("[ingest]\nprice_limit = 9223372036854775808", "ingest.price_limit", "give a smaller number"),
    ("[book]\norders = 0", "book.orders", "give 1 to"),
    ("[book]\norders = 1.5", "book.orders", "expected a whole number, found 1.5"),
    ("[book]\nlevels = 9_000_000_000", "book.levels", "give 1 to"),
    ("[book]\npublish_levels = 1", "book.publish_levels", "expected true or false"),
    ("[book]\npublish_level = true", "book.publish_level", "did you mean 'publish_levels'"),
    ("[book]\nsnapshot_s = 0", "book", "snapshot_s = 0.0: give 0.001 to 86400"),
    ("[book]\nindex = 'ladders'", "book.index", "did you mean 'ladder'"),
    ("[book]\nindex = 1", "book.index", "known: auto, ladder, sorted, tree"),
    ("[book]\nladder_ticks = 1000", "book.ladder_ticks", "use 1024"),
    ("[book]\nladder_ticks = 0", "book.ladder_ticks", "use 64"),
    ("[book]\nladder_ticks = 100_000", "book.ladder_ticks", "use 32768"),
    ("[book]\nladder_ticks = '1024'", "book.ladder_ticks", "expected a whole number"),
    ("[rings]\nevents = 1000", "rings.events", "use 1024"),
    ("[rings]\nbook = 64", "rings.book", "use 128"),
    ("[rings]\nrisk = 0", "rings.risk", "use 128"),
    ("[rings]\nevents = 8589934592", "rings.events", "use 4294967296"),
    ("[rings]\nevent = 1024", "rings.event", "did you mean 'events'"),
    ("[rings]\nevents = '1024'", "rings.events", "expected a whole number"),
    ("[stages.bok]\ncore = 0", "stages.bok", "did you mean 'book'"),
    ("[stages.book]\nkore = 0", "stages.book.kore", "did you mean 'core'"),
    ("[stages.book]\ncore = '0'", "stages.book.core", "expected a whole number, found '0'"),
    ("[stages.book]\nwait = 'spun'", "stages.book.wait", "did you mean 'spin'"),
    ("[book.measures]\ndecoy = 0.9", "book.measures.decoy", "did you mean 'decay'?"),
    ("[book.measures]\nsample_ms = 7", "book.measures", "does not divide a day; use 1000"),
    ("[[book.bars]]\n", "book.bars[0]", "cut by nothing; give one of seconds, trades and volume"),
    ("[[book.bars]]\ntrades = 5\n[[book.bars]]\ntrades = 5", "book.bars[1]", "leave it out"),
    ("[consolidated.X]\nvenues = ['BTC']", "consolidated[...]", "write 'feed0:SYMBOL' for the"),
    ("[consolidated.X]\nvenues = ['feed7:B']", "consolidated.X.venues", "there are 1 [[feeds]]"),
    ("[stages.book]\nrestart = 'always'", "stages.book.restart", "known: auto, never, on-failure"),
    ("[stages.book]\nrestart = 'on-failure'", "stages.book.restart", "use 'never'"),
    ("[stages]\nbook = 1", "stages.book", "expected a table, found 1"),
    ("[supervision]\nhang_s = 0", "supervision.hang_s", "is not above 0"),
    ("[supervision]\nrestarts = -1", "supervision.restarts", "give 0 to"),
    ("[supervision]\nhangs = 5.0", "supervision.hangs", "did you mean 'hang_s'"),
    ("[day]\nroll = '9:00'", "day", "'9:00' is no time of day; give HH:MM"),
    ("[day]\nzone = 'Mars'", "day", "there is no time zone 'Mars'"),
    ("[day]\nrol = '09:00'", "day.rol", "did you mean 'roll'"),
    ("[day]\nend = 'night'", "day.end", "known: roll, venue"),
    ("[reference]\npth = 'x.csv'", "reference.pth", "did you mean 'path'"),
    ("[reference]\npath = 'no.csv'", "reference.path", "no.csv: cannot be read: No such file"),
    ("[journal]\npath = 'j'\nkeep_days = 0", "journal.keep_days", "is not above 0"),
    ("[journal]\npath = 'j'\narchive = 'a'", "journal.archive", "or with journal.keep_days"),
    ("[risk]\nportfolio = []", "risk.portfolio", "did you mean 'portfolios'"),
    ("[risk]\ncheck_s = 0.0", "risk.check_s", "0.0 is not above 0; give more"),
    ("[risk]\nconflate_ms = -1", "risk", "conflate_ms = -1: give 1 to 86400000, or leave it out"),
    ("[risk]\nconflate_ms = 86_400_001", "risk", "conflate_ms = 86400001: give 1 to 86400000"),
    ("[risk]\nconflate_ms = 2.5", "risk.conflate_ms", "expected a whole number, found 2.5"),
    ("[risk]\nconflate_ms = '5'", "risk.conflate_ms", "expected a whole number, found '5'"),
    ("[risk]\nconflate = 5", "risk.conflate", "did you mean 'conflate_ms'"),
    ("[risk]\nconvention = 'best'", "risk.convention", "known: k-th worst, split atom"),
    ("[risk.scenarios]\nkind = 'cvs'", "risk.scenarios.kind", "did you mean 'csv'"),
    ("[risk.scenarios]\nkind = 'csv'", "risk.scenarios.path", "is missing; give text in quotes"),
    ("[risk.scenarios]\nkind = 'synthetic'\ndays = 5", "risk.scenarios.days", "give 100 to"),
    ("[risk.scenarios]\npath = 'x.csv'", "risk.scenarios.kind", "is missing; known: csv"),
    ("[[risk.portfolios]]\nname = 'p'", "risk.portfolios[0].positions", "give one"),
    (
        "[[risk.portfolios]]\nname = 'p'\npositions = {}",
        "risk.portfolios[0].positions",
        "give one",
    ),
    (PORTFOLIO.replace('"p"', '""'), "risk.portfolios[0].name", "give 1 to 32 bytes"),
    (PORTFOLIO.replace('"p"', f'"{"é" * 17}"'), "risk.portfolios[0].name", "give 1 to 32 bytes"),
    (
        f'[[risk.portfolios]]\nname = "p"\nparent = "q"\n{POSITION}',
        "risk.portfolios[0].parent",
        "no portfolio 'q'",
    ),
    (f"{PORTFOLIO}\n{PORTFOLIO}", "risk.portfolios", "'p' stands there twice"),
    (f"{PORTFOLIO}\npirce = 2.0", "risk.portfolios[0].positions.ABC.pirce", "mean 'price'"),
    (PORTFOLIO.replace("1.0", "nan"), "risk.portfolios[0].positions.ABC", "is no amount"),
    (PORTFOLIO.replace("1.0", "1e300"), "risk.portfolios[0].positions.ABC", "is no amount"),
    (PORTFOLIO.replace("1.0", "'1.0'"), "risk.portfolios[0].positions.ABC.price", "a number"),
    (PORTFOLIO.replace("= 1\n", "= 0.5\n"), "risk.portfolios[0].positions.ABC.quantity", "whole"),
    (f"{OPTION}\nexpiry = 0.5", f"{OPTION_AT}.expiry", "did you mean 'expires'"),
    (OPTION.replace("'call'", "'cal'"), f"{OPTION_AT}.type", "did you mean 'call'"),
    (OPTION.replace("00Z", "00"), f"{OPTION_AT}.expires", "has no offset; give one, as 2030-01"),
    (OPTION.replace("T21:00:00Z", ""), f"{OPTION_AT}.expires", "expected a date and time"),
    (
        OPTION.replace("2030-01-01T21:00:00Z", "'2030-01-01T21:00:00Z'"),
        f"{OPTION_AT}.expires",
        "expected a date and time, as 2026-12-18T21:00:00Z without quotes",
    ),
    (OPTION.replace("strike = 5.0\n", ""), f"{OPTION_AT}.strike", "is missing; give a number"),
    (OPTION.replace("= 0.2", "= nan"), f"{OPTION_AT}.volatility", "nan is out of range; give 0"),
    (OPTION.replace("= 1\n", "= 1.5\n"), f"{OPTION_AT}.quantity", "expected a whole number"),
    (f"{OPTION}\nmultiplier = 0", f"{OPTION_AT}.multiplier", "0.0 is out of range"),
    (
        f"{OPTION}\n[risk.portfolios.limits]\nvega = 0",
        "risk.portfolios[0].limits.vega",
        "0.0 is no",
    ),
    (
        f"{OPTION}\n[risk.portfolios.limits]\ngama = 1",
        "risk.portfolios[0].limits.gama",
        "mean 'gamma'",
    ),
    ("[publisher]\nflush_s = 0", "publisher.flush_s", "is not above 0"),
    ("[[publisher.sinks]]\npath = 'x'", "publisher.sinks[0].kind", "known: jsonl, parquet"),
    ("[[publisher.sinks]]\nkind = 'parquet'", "publisher.sinks[0].path", "is missing"),
    ("[[publisher.sinks]]\nkind = 'parket'", "publisher.sinks[0].kind", "mean 'parquet'"),
    ("[[publisher.sinks]]\nkind = ['parquet']", "publisher.sinks[0].kind", "no such kind"),
    ("[[publisher.sinks]]\nkind = 'jsonl'\npath = ''", "publisher.sinks[0]", "name a file"),
    (
        "[[publisher.sinks]]\nkind = 'parquet'\npath = 'x'\nkind_s = []",
        "publisher.sinks[0].kind_s",
        "did you mean 'kinds'",
    ),
    (
        "[[publisher.sinks]]\nkind = 'parquet'\npath = 'x'\nkinds = ['tops']",
        "publisher.sinks[0]",
        "choose from top",
    ),
    (
        "[[publisher.sinks]]\nkind = 'parquet'\npath = 'x'\nrows_per_file = 0",
        "publisher.sinks[0]",
        "must be above 0",
    ),
]
# Whole configurations.
ALONE = [
    ("", "name", "is missing; give text in quotes"),
    ('name = "x"', "feeds", "is missing; give a list"),
    ('name = "x"\nfeeds = []', "feeds", "give 1 to 16"),
    ('name = "x"\nfeeds = "ABC"', "feeds", "expected a list"),
    ('name = "x"\n[feeds]\nkind = "itch"', "feeds", "expected a list"),
    ('nam = "x"\n[[feeds]]\nkind = "synthetic"', "nam", "did you mean 'name'"),
    (GOOD.replace('"good"', "5"), "name", "expected text in quotes, found 5"),
    (GOOD.replace("good", "Good"), "name", "use up to 32 of a-z, 0-9, - and _"),
    (GOOD.replace("good", "a.b"), "name", "use up to 32"),
    (GOOD.replace("good", "../x"), "name", "use up to 32"),
    (GOOD.replace("good", "a" * 33), "name", "use up to 32"),
    (GOOD.replace("good", ""), "name", "use up to 32"),
    (GOOD.replace("synthetic", "itsch"), "feeds[0].kind", "did you mean 'itch'"),
    (GOOD.replace('"synthetic"', "5"), "feeds[0].kind", "history, itch, journal, kraken"),
    (GOOD.replace('kind = "synthetic"', ""), "feeds[0].kind", "is missing; known: binance"),
    ('name = "x"\n[[feeds]]\nkind = "itch"', "feeds[0].path", "is missing; give text"),
    (GOOD.replace("= 3", "= 0"), "feeds[0]", "give 1 to"),
    (GOOD.replace("= 1000", "= 1"), "feeds[0]", "give at least that many"),
    (GOOD + "date = '21.6.2012'", "feeds[0]", "write it as 2012-06-21"),
    (GOOD + "date = 2012-06-21", "feeds[0].date", "expected text in quotes"),
    (GOOD + "seed = -1", "feeds[0]", "give 0 to"),
    ('processes = ["ingest"]' + GOOD, "processes[0]", "expected a list"),
    ('processes = [["ingest", "bok"]]' + GOOD, "processes", "did you mean 'book'"),
    ('processes = [["book"], ["book"]]' + GOOD, "processes", "name it once"),
]
CASES = [(GOOD + text, path, said) for text, path, said in WRONG] + ALONE


@pytest.mark.parametrize(("text", "path", "said"), CASES)
def test_what_is_wrong_is_refused_by_path_with_a_mend(tmp_path, text, path, said):
    file = tmp_path / "wrong.toml"
    file.write_text(text)
    result = CliRunner().invoke(main, ["run", str(file)])
    assert result.exit_code == 2
    assert result.stdout == ""
    told = lines(result.stderr)
    assert told[0].startswith(f"corelane: {file}: ")
    assert any(f"{file}: {path}: " in line for line in told) == (path is not None)
    assert said in result.stderr
    assert memory.names("good") == []


def test_no_two_problems_share_a_line():
    text = GOOD + "[rings]\nevents = 1\nbook = 5\n[book]\norders = 0\n[stages.bok]\n"
    with pytest.raises(ConfigError) as refused:
        parse(text, "f.toml")
    paths = [problem.split(":")[0] for problem in refused.value.problems]
    assert paths == ["rings.events", "rings.book", "stages.bok", "book.orders"]
    assert str(refused.value).splitlines() == [f"f.toml: {p}" for p in refused.value.problems]


def test_a_wrong_configuration_of_the_real_command(tmp_path):
    file = tmp_path / "wrong.toml"
    file.write_text(GOOD.replace("messages", "mesages") + "bok = 5\n")
    for command in (["run"], ["plan"], ["config", "check"], ["stage", "book", "--config"]):
        ran = corelane(*command, file, code=2)
        told = [line.removeprefix("corelane: ").split(": ")[:2] for line in lines(ran.err)]
        assert told == [[str(file), "feeds[0].mesages"], [str(file), "feeds[0].bok"]]
        assert ran.out == ""


def test_a_file_that_cannot_be_read(tmp_path):
    for path, said in (
        (tmp_path / "none.toml", "No such file"),
        (tmp_path, "Is a directory"),
    ):
        with pytest.raises(ConfigError, match=rf"{re.escape(str(path))}: cannot be read: {said}"):
            load(path)
    (tmp_path / "latin.toml").write_bytes(b"name = '\xe4'")
    with pytest.raises(ConfigError, match="is not text in UTF-8"):
        load(tmp_path / "latin.toml")


def test_the_smallest_configuration_has_all_defaults():
    config = parse(GOOD)
    assert config == Config(name="good", feeds=config.feeds)
    assert all(config.placement(stage).core is None for stage in STAGES)
    assert config.risk.portfolios == config.publisher.sinks == []


def test_a_whole_number_will_do_for_a_number():
    assert parse(GOOD + "[ingest]\nrate = 5").ingest.rate == 5.0


def test_reference_data_are_checked_with_the_configuration(tmp_path):
    table = tmp_path / "instruments.csv"
    path = tmp_path / "config.toml"
    path.write_text(f'{GOOD}[reference]\npath = "{table}"\n[day]\nroll = "17:00"\n')
    table.write_text("symbol,venue,tick\nA,synthetic,0.01\nB,0,x\nC,,\n")
    refused = corelane("config", "check", path, code=2)
    assert f"reference.path: {table}: line 3 (B): tick: invalid decimal" in refused.err
    table.write_text("symbol,venue,tick\nA,synthetic,0.01\nB,itch,1\nC,1,\n")
    refused = corelane("config", "check", path, code=2)
    assert "venue 'itch' is no feed of this configuration; known: 0, synthetic" in refused.err
    assert "venue 1 is no feed" in refused.err
    table.write_text("symbol,venue,tick\nA,synthetic,0.01\nB,0,1\n")
    assert "ok" in corelane("config", "check", path).out
    shown = corelane("plan", path).out
    assert f"reference: terms and phases of instruments as in {table}" in shown
    assert "day: a new one begins at 17:00 UTC" in shown
