"""Exchanges' messages with damage: `python -m tests.workers.json_fuzz [millions] [seed]`.

Real messages of the captures, some with bytes changed, cut, doubled or put in, some left out or
repeated. Whatever comes: no error, all counters balance, events are of announced instruments, and
a book that is not in doubt has the price that each SET of it left.
"""

import itertools
import random
import sys
import time

from tests.data import data_file
from tests.naive.levels import Books
from tests.workers.exchanges import Desk, balanced
from workers.feeds.lines import Capture
from workers.feeds.venues import (
    BinanceOptions,
    BitstampOptions,
    CoinbaseOptions,
    KrakenOptions,
    OkxOptions,
)
from workers.records import Event

SOURCES = {
    "binance_spot__btcusdt_20240808.gz": BinanceOptions,
    "binance_usdm__btcusdt_20240808.gz": BinanceOptions,
    "cryptofeed__KRAKEN.ws.50.0.gz": KrakenOptions,
    "cryptofeed__OKX.ws.1.0.gz": OkxOptions,
    "cryptofeed__COINBASE.ws.28.0.gz": CoinbaseOptions,
    "bitstamp_l3__2015-05-01.log.xz": BitstampOptions,
}
PIECES = [b'"', b"[", b"]", b"{", b"}", b",", b":", b"-", b"e9", b".", b"0", b"9" * 20, b"null",
          b"\\u0030", b"\xff", b" ", b"true", b"1e400", b'"x"', b"[[", b"]]"]  # fmt: skip
KINDS = {int(kind) for kind in Event}
LONG = 20_000  # bytes of a message that is damaged seldom


def messages_of(name: str, count: int) -> list:
    """The first messages of a capture."""
    capture, found = Capture(str(data_file(f"crypto/{name}"))), []
    while not capture.finished and len(found) < count:
        found += capture.batch()
    capture.close()
    return found[:count]


def damaged(text: bytes, draw: random.Random) -> bytes:
    """A message with a few bytes changed."""
    for _ in range(draw.randint(1, 3)):
        place = draw.randrange(len(text) + 1)
        end = place + draw.choice((0, 0, 1, 1, 2, 5, 50))
        piece = draw.choice((*PIECES, b"", bytes([draw.randrange(256)]), text[place : place + 9]))
        text = text[:place] + piece + text[end:]
    return text


def play(name: str, messages: list, draw: random.Random, share: float) -> int:
    """One pass over messages with so many of them damaged; how many were read."""
    desk, known, read = Desk(SOURCES[name](path="-")), set(), 0
    desk.books = Books()
    for arrived, whole, origin in messages:
        text, kind = whole, draw.random()
        if text and kind < share and (len(text) < LONG or draw.random() < 0.1):
            text = damaged(text, draw)
        elif kind > 1 - share / 10:
            continue
        for _ in range(2 if kind > 1 - share / 5 else 1):
            desk.venue.take((arrived, text, origin))
            read += 1
        if desk.box.count > 256:
            check(desk, known)
    desk.venue.end()
    check(desk, known)
    return read


def check(desk: Desk, known: set[int]) -> None:
    """Events make sense, and the counters balance."""
    for event in desk.collect().tolist():
        kind, code = event[7], event[6]
        assert kind in KINDS
        if kind == Event.DIRECTORY:
            assert code not in known
            known.add(code)
        assert code in known, event
        if kind in (Event.ADD, Event.MODIFY, Event.TRADE):
            assert event[4] > 0, event
            assert event[5] > 0, event
        if kind == Event.SET:
            assert event[4] > 0, event
            assert event[5] >= 0, event
    assert balanced(desk.counters[0])


def main() -> None:
    """A campaign of so many millions of messages."""
    millions = float(sys.argv[1]) if len(sys.argv) > 1 else 5.0
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else time.time_ns() & 0xFFFF
    sources = {name: messages_of(name, 20_000) for name in SOURCES}
    read, begun = 0, time.monotonic()
    for turn in itertools.count():
        for name, messages in sources.items():
            draw = random.Random(f"{seed} {turn} {name}")
            read += play(name, messages, draw, draw.choice((0.01, 0.1, 0.5)))
            if read >= millions * 1e6:
                passed = time.monotonic() - begun
                print(f"seed {seed}: {read:,} messages, nothing found, {passed:.0f} s")
                return
        print(f"seed {seed}, turn {turn}: {read:,} messages", flush=True)


if __name__ == "__main__":
    main()
