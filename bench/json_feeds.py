"""Exchanges' JSON to events, messages a second, beside what Python programs do with the same.

The messages of captures lie in memory: those of the samples in the folder that CORELANE_DATA
names, and made-up ones of two venues. Ours reads them as the feeds do and writes EVENT records;
beside it msgspec alone makes plain objects of each message, and the json of Python with a Decimal
for each price and quantity what most programs have of it. All see the same messages.
"""

import json
import os
import random
import time
from decimal import Decimal, InvalidOperation
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from bench.harness import (
    Actor,
    Bench,
    BenchError,
    Metrics,
    Options,
    Result,
    Variant,
    actors,
    cores,
    run_rounds,
)
from workers.feeds.lines import Capture, Message
from workers.feeds.outbox import Outbox
from workers.feeds.venue_options import VenueOptions
from workers.feeds.venues import (
    VENUES,
    BinanceOptions,
    BitstampOptions,
    CoinbaseOptions,
    KrakenOptions,
    OkxOptions,
)
from workers.ingest import STAGED
from workers.kernels.feed_counters import FEED_COUNTERS
from workers.records import EVENT, empty

MESSAGES, MESSAGES_SHORT = 50_000, 300
ROUNDS = 5
OURS, DECODED, PLAIN = "events", "msgspec alone", "json and Decimal"
SAMPLES: dict[str, tuple[type[VenueOptions], str]] = {
    "Binance spot": (BinanceOptions, "binance_spot__btcusdt_20240808.gz"),
    "Binance futures": (BinanceOptions, "binance_usdm__btcusdt_20240808.gz"),
    "Bitstamp": (BitstampOptions, "bitstamp_l3__2015-05-01.log.xz"),
    "Coinbase": (CoinbaseOptions, "cryptofeed__COINBASE.ws.28.0.gz"),
    "Kraken": (KrakenOptions, "cryptofeed__KRAKEN.ws.50.0.gz"),
    "OKX": (OkxOptions, "cryptofeed__OKX.ws.1.0.gz"),
}
MADE_UP: dict[str, type[VenueOptions]] = {
    "Binance, made up": BinanceOptions,
    "Kraken, made up": KrakenOptions,
}


def dumps(value: object) -> bytes:
    """JSON without blanks, as venues send it."""
    return json.dumps(value, separators=(",", ":")).encode()


def binance(count: int) -> list[bytes]:
    """A snapshot, and updates of one to six levels that follow it."""
    draw = random.Random(1)

    def some(most: int) -> list[list[str]]:
        prices = (f"{draw.uniform(61_000, 62_000):.2f}000000" for _ in range(draw.randint(1, most)))
        return [[price, f"{draw.choice((0, draw.random())):.8f}"] for price in prices]

    book = {"bids": [["61500.25", "1.0"]], "asks": [["61500.75", "1.0"]]}
    texts = [dumps({"stream": "btcusdt@snapshot", "data": {"lastUpdateId": 0} | book})]
    for number in range(1, count):
        data = {"e": "depthUpdate", "E": 1_700_000_000_000 + number, "s": "BTCUSDT", "U": number,
                "u": number, "b": some(3), "a": some(3)}  # fmt: skip
        texts.append(dumps({"stream": "btcusdt@depth@100ms", "data": data}))
    return texts


def kraken(count: int) -> list[bytes]:
    """A snapshot, and updates of one level with its checksum."""
    draw = random.Random(1)
    book = {name: [["61500.25000", "1.00000000", "1700000000.0"]] for name in ("as", "bs")}
    texts = [dumps([1, book, "book-1000", "XBT/USD"])]
    for number in range(1, count):
        price = f"{draw.randint(6_100_000, 6_200_000) / 100:.5f}"
        level = [price, f"{draw.choice((0, draw.random())):.8f}", f"17000000{number % 90 + 10}.5"]
        side = {draw.choice("ab"): [level], "c": str(draw.getrandbits(32))}
        texts.append(dumps([1, side, "book-1000", "XBT/USD"]))
    return texts


MAKERS = {"Binance, made up": binance, "Kraken, made up": kraken}


class Stream:
    """Messages in memory, and the three ways to read them."""

    def __init__(self, options: type[VenueOptions], messages: list[Message]) -> None:
        self.options, self.messages = options, messages
        self.counters = empty(FEED_COUNTERS, 1)
        self.staged = empty(EVENT, STAGED)
        self.decode = msgspec.json.Decoder(Any).decode
        texts = (text for _, text, _ in messages if text)
        self.texts = [text if text[:1] in b"{[" else text.partition(b" ")[2] for text in texts]

    def events(self) -> int:
        """To EVENT records, handed out as ingest takes them; how many."""
        self.counters["events"] = 0
        box = Outbox(self.counters.ctypes.data)
        take, target = VENUES[self.options](self.options(path="-"), box).take, self.staged
        for message in self.messages:
            take(message)
            while box.count >= STAGED:
                box.hand_out(target.ctypes.data, STAGED)
        while box.hand_out(target.ctypes.data, STAGED):
            pass
        return int(self.counters["events"][0])

    def decoded(self) -> int:
        """To plain objects by msgspec; how many messages."""
        decode = self.decode
        for text in self.texts:
            decode(text)
        return len(self.texts)

    def plain(self) -> int:
        """To plain objects by json, each number in quotes to a Decimal; how many of those."""
        return sum(decimals(json.loads(text)) for text in self.texts)


def decimals(value: Any) -> int:
    """Make a Decimal of each string in arrays that is a number; how many."""
    if isinstance(value, dict):
        return sum(decimals(part) for part in value.values())
    if not isinstance(value, list):
        return 0
    found = 0
    for part in value:
        if isinstance(part, str):
            try:
                found += Decimal(part) >= 0
            except InvalidOperation:
                continue
        else:
            found += decimals(part)
    return found


STREAMS: dict[str, Stream] = {}  # of the process that measures


def load(name: str, path: str, count: int) -> int:
    """Have messages ready in this process, with the kernels compiled; how many."""
    if path:
        capture, messages = Capture(path), []
        while not capture.finished and len(messages) < count:
            messages += capture.batch()
        capture.close()
        STREAMS[name] = Stream(SAMPLES[name][0], messages[:count])
    else:
        texts = MAKERS[name](count)
        STREAMS[name] = Stream(
            MADE_UP[name], [(10**18 + n, text, None) for n, text in enumerate(texts)]
        )
    if STREAMS[name].events() < len(STREAMS[name].messages) // 4:
        raise BenchError(f"{name}: hardly a message gave an event")
    return len(STREAMS[name].messages)


def measure(name: str, what: str) -> Metrics:
    """One pass; messages a second, and what came of them."""
    stream = STREAMS[name]
    work = {OURS: stream.events, DECODED: stream.decoded, PLAIN: stream.plain}[what]
    begun = time.perf_counter_ns()
    work()
    passed = time.perf_counter_ns() - begun
    return {"messages/s": len(stream.messages) * 1e9 / passed}


def variants(actor: Actor, options: Options) -> dict[str, Variant]:
    """Three a stream, by name."""
    folder = Path(os.environ.get("CORELANE_DATA", "")) / "crypto"
    paths = dict.fromkeys(MADE_UP, "")
    if os.environ.get("CORELANE_DATA") and not options.short:
        paths |= {name: str(folder / file) for name, (_, file) in SAMPLES.items()}
    found: dict[str, Variant] = {}
    for name, path in paths.items():
        actor.start(load, name, path, options.scaled(MESSAGES, MESSAGES_SHORT))
        actor.result()
        for what in (OURS, DECODED, PLAIN):
            found[f"{name}: {what}"] = partial(one, actor, name, what)
    return found


def one(actor: Actor, name: str, what: str) -> Metrics:
    """A pass in the process that measures."""
    actor.start(measure, name, what)
    return actor.result()


def run(options: Options) -> Result:
    """All streams in turns, in one pinned process."""
    result = Result("json_feeds", BENCH.what, "messages/s", "messages/s")
    (place,) = cores(1)
    with actors([place]) as (actor,):
        run_rounds(result, variants(actor, options), options.rounds_of(ROUNDS))
    for name in result.variants:
        if name.endswith(OURS):
            result.pairs[name] = name.removesuffix(OURS) + PLAIN
    return result


BENCH = Bench("json_feeds", "exchanges' JSON to events, beside msgspec and json with Decimal", run)
