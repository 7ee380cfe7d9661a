"""`corelane verify feed`: recorded captures through the real pipeline, and what is said of them."""

import gzip
import json

import pytest

from tests.data import data_file
from tests.pipeline.running import corelane
from workers.feeds.synthetic import SyntheticOptions, write_file

# Format, sample, and what has to be said of it: the checks that the venue itself makes possible.
CAPTURES = [
    ("kraken", "crypto/cryptofeed__KRAKEN.ws.50.0.gz", ["checksums of the venue: 4,269 of 4,269"]),
    ("okx", "crypto/cryptofeed__OKX.ws.1.0.gz", ["checksums of the venue: 290 of 290"]),
    (
        "binance",
        "crypto/binance_usdm__btcusdt_20240808.gz",
        ["best prices as the venue's: 6,545 of 6,545"],
    ),
    (
        "binance",
        "crypto/binance_spot__btcusdt_20240808.gz",
        ["best prices as the venue's: 3,449 of 3,449"],
    ),
    ("coinbase", "crypto/cryptofeed__COINBASE.ws.28.0.gz", ["messages read: 9,946 of 9,946"]),
    ("bitstamp", "crypto/bitstamp_l3__2015-05-01.log.xz", ["messages read: 56,000 of 56,000"]),
    (
        "dbn",
        "dbn/esh4-glbx-mdp3-20231225.mbo.dbn.zst",
        ["events that the books can take: 59,449 of 59,449", "undecidable 15"],
    ),
    (
        "itch",
        "itch/AAPL_20120621_0930_1030_from_lobster50.itch50.gz",
        ["92080 messages: A 44336 D 41005", "books uncrossed: 23,449 of 23,449"],
    ),
    (
        "moldudp64",
        "pcap/Nasdaq_Nasdaq.Equities.TotalView.Itch.v5.0__Multiple.Packets.pcap",
        ["messages read: 39 of 39"],
    ),
    (
        "lobster",
        "lobster/AAPL_2012-06-21_34200000_57600000_message_10.csv",
        ["messages read: 999 of 999"],
    ),
]


@pytest.mark.parametrize(("kind", "sample", "told"), CAPTURES)
def test_every_capture_passes_all_that_can_be_checked(kind, sample, told):
    path = data_file(sample)
    said = corelane("verify", "feed", kind, str(path)).out
    for line in told:
        assert line in said
    assert ", 0 failed, " in said.splitlines()[-1]


def test_a_sample_of_types_is_counted_and_its_crossed_book_told():
    """Its orders are of no market: the bid that comes 39th is above the ask before it."""
    path = data_file("itch/ex20101224_lenfixed.itch50.gz")
    ended = corelane("verify", "feed", "itch", str(path), code=1)
    assert "A 4997 D 1745 E 198 F 3 H 3 P 5000 R 3 S 6 U 12 X 45" in ended.out
    assert "messages read: 12,012 of 12,012" in ended.out
    assert "instrument 1 after event 39: bid 53833 above ask 53500" in ended.err


def test_what_is_wrong_is_told_and_ends_with_one(tmp_path):
    """A level that is changed on the way: the venue's checksums no longer agree."""
    path = data_file("crypto/cryptofeed__KRAKEN.ws.50.0.gz")
    lines = gzip.decompress(path.read_bytes()).decode().splitlines()
    number, line = next((n, line) for n, line in enumerate(lines) if '"c":' in line)
    time, _, message = line.partition(": ")
    pair = json.loads(message)[-1]
    update = json.loads(message)
    (side,) = {"a", "b"} & {*update[1]}
    update[1][side][0][1] = "1.23456789" if update[1][side][0][1] != "1.23456789" else "2.00000000"
    lines[number] = f"{time}: {json.dumps(update, separators=(',', ':'))}"
    (tmp_path / "KRAKEN.ws.1").write_text("\n".join(lines))
    ended = corelane("verify", "feed", "kraken", str(tmp_path / "KRAKEN.ws.1"), code=1)
    assert "checksums of the venue: 4,269 of 4,269" not in ended.out
    assert " 0 failed" not in ended.out.splitlines()[-1]
    assert f"stale at the end: 1 ({pair}" in ended.err


def test_several_files_are_each_told_of(tmp_path):
    names = []
    for seed in (1, 2):
        write_file(SyntheticOptions(messages=500, symbols=3, seed=seed), tmp_path / f"{seed}.itch")
        names.append(str(tmp_path / f"{seed}.itch"))
    (tmp_path / "none.itch").write_bytes(b"nothing of the kind" * 50)
    said = corelane("verify", "feed", "itch", *names, str(tmp_path / "none.itch"), code=1)
    lines = [line for line in said.out.splitlines() if "checks done" in line]
    assert [line.split()[1] for line in lines] == ["1.itch:", "2.itch:", "none.itch:"]
    assert [" 0 failed" in line for line in lines] == [True, True, False]


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["nonsense", "x"], 2, "'nonsense' is no format; use one of binance, bitstamp, coinbase"),
        (["itch", "no-such-file"], 1, "no-such-file: cannot be opened (No such file or directory)"),
        (["journal", "x"], 2, "'journal' is no format"),
    ],
)
def test_mistakes_are_told_in_one_line(words, code, told):
    ended = corelane("verify", "feed", *words, code=code)
    assert told in ended.err
    assert len(ended.err.strip().splitlines()) == 1
