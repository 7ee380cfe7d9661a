"""Live sources in whole pipelines: kills, losses and lies of the outside, and what the log says."""

import random
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from ringbuf.journal import JournalReader
from ringbuf.panel import Life
from tests.naive import mold
from tests.pipeline.running import Place, is_so
from tests.senders import Play, Sender, free_ports
from tests.workers.live_mold import plan
from tests.workers.local_exchange import Exchange, lose
from tests.workers.test_websocket import KrakenBooks, kraken_capture
from workers.feeds.feed import FEED_COUNTERS
from workers.feeds.itch import ItchOptions
from workers.feeds.registry import build
from workers.feeds.synthetic import SyntheticOptions, write_file
from workers.records import EVENT, EVENTS_RING, Doubt, Event, empty

DAY = SyntheticOptions(messages=6_000, symbols=6, seed=11)
DATE = "1970-01-01"
PLAIN = ["time_ns", "order", "other", "price", "quantity", "instrument", "kind", "side", "flags"]


@pytest.fixture
def place(tmp_path):
    made = Place(tmp_path)
    yield made
    made.close()


@pytest.fixture
def sender():
    made = Sender()
    yield made
    made.close()


def day(folder: Path) -> tuple[list[bytes], np.ndarray]:
    """The messages of a made-up session, and the events that they are."""
    path = folder / "day.itch"
    write_file(DAY, path)
    data, messages, position = path.read_bytes(), [], 0
    while position < len(data):
        size = int.from_bytes(data[position : position + 2], "big")
        messages.append(data[position + 2 : position + 2 + size])
        position += 2 + size
    counters = empty(FEED_COUNTERS, 1)
    feed = build(ItchOptions(path=str(path), date=DATE), counters.ctypes.data)
    feed.open()
    parts = []
    while not feed.finished:
        block = empty(EVENT, 2048)
        parts.append(block[: feed.fill(block.ctypes.data, 2048)].copy())
    events = np.concatenate(parts)
    named = events["kind"] != Event.SYSTEM
    events["instrument"][named] -= 1  # locate codes count from 1, in order of announcement
    events["instrument"][~named] = -1
    return messages, events


def logged(place: Place) -> np.ndarray:
    """The events of the journal."""
    log = JournalReader(place.folder / "journal" / "events", EVENTS_RING)
    return log.read(1, log.last)


def mold_feed(lines, sender: Sender, **options) -> dict:
    return {
        "kind": "moldudp64",
        "lines": [f"{host}:{port}" for host, port in lines],
        "request": f"127.0.0.1:{sender.server_port}",
        "date": DATE,
        **options,
    }


def listening(running) -> None:
    def happened() -> bool:
        panel = running.panel("ingest")
        life = panel.life
        panel.close()
        return life is Life.RUNNING

    running.until(happened, "ingest listens")


def endings(count: int, messages: list[bytes]) -> list:
    """The end of a session, said over and over: whoever was away hears it too."""
    last = mold.packet(len(messages) + 1, mold.END)
    return [(line, last, 0.05) for _ in range(count) for line in (0, 1)]


def test_kills_of_ingest_cost_no_message_and_double_none(place, sender):
    messages, events = day(place.folder)
    lines = [("127.0.0.1", port) for port in free_ports(2)]
    packets, _ = plan(messages, seed=3, loss=0.05, twice=0.1, swap=4, pause=0.0015, ending=False)
    config = place.write(
        feeds=[mold_feed(lines, sender)],
        journal={"path": str(place.folder / "journal")},
        supervision={"restarts": 20},
    )
    running = place.start(config)
    listening(running)
    sender.play(Play(lines, packets + endings(60, messages), messages))
    draw = random.Random(5)
    for number in range(4):
        running.until_received("book", 1 + number * 900)
        time.sleep(draw.random() * 0.05)
        running.restart("ingest")
    ran = running.end()
    assert ran.code == 0, ran.err
    assert ran.report.balanced
    log = logged(place)
    mine = log[log["kind"] != Event.POSITION]
    assert not np.isin(mine["kind"], (Event.STALE, Event.CLEAR)).any()
    assert len(mine) == len(events)
    assert (mine[PLAIN] == events[PLAIN]).all()
    assert ran.stage("ingest").counters["feed0"]["lost"] == 0


def test_what_nobody_can_bring_leaves_every_book_stale_and_says_so(place, sender):
    messages, events = day(place.folder)
    lines = [("127.0.0.1", port) for port in free_ports(2)]
    packets, _ = plan(messages, seed=4, pause=0.0005, ending=False)
    gone = range(2_000, 2_050)
    packets = [each for each in packets if not carries(each[1], gone)]
    knows = range(1, 2_000)
    config = place.write(
        feeds=[mold_feed(lines, sender, tries=2, timeout_ms=5.0)],
        journal={"path": str(place.folder / "journal")},
    )
    running = place.start(config)
    listening(running)
    sender.play(Play(lines, packets + endings(20, messages), messages, knows=knows))
    ran = running.end()
    assert ran.code == 0, ran.err
    assert ran.report.balanced
    counters = ran.stage("ingest").counters["feed0"]
    assert counters["gaps"] >= 1
    assert counters["lost"] >= len(gone)
    log = logged(place)
    stale = log[log["kind"] == Event.STALE]
    assert set(stale["flags"]) == {Doubt.GAP}
    assert {*stale["instrument"].tolist()} == {*range(6)}
    mine = log[~np.isin(log["kind"], (Event.POSITION, Event.STALE))]
    assert len(mine) + counters["lost"] == len(events)
    assert ran.stage("book").counters["book"]["stale"] == 6


def test_a_wrong_book_is_found_by_its_checksum_and_asked_for_anew(place):
    """Updates that never come: the venue's checksum shows it in the book stage, ingest sees that
    on the depth board and has the feed subscribe anew; what is left of it is right again.
    """
    first, updates = kraken_capture(1_500)
    truth = KrakenBooks(first, updates)
    exchange = Exchange(updates, dict.fromkeys((300, 700), lose), truth.greet)
    pairs = list(truth.books)
    config = place.write(
        feeds=[{"kind": "kraken", "url": exchange.url, "symbols": pairs}],
        journal={"path": str(place.folder / "journal")},
    )
    running = place.start(config)

    def counted(stage: str, block: str, name: str) -> int:
        panel = running.panel(stage)
        count = int(panel.counters[block][name])
        panel.close()
        return count

    try:
        exchange.steady = lambda: (
            not is_so(lambda: counted("book", "book", "fresh") >= len(pairs) + resyncs())
        )

        def resyncs() -> int:
            return counted("ingest", "feed0", "resyncs")

        running.until(lambda: exchange.place == len(updates), "all is played")
        running.until(lambda: counted("book", "book", "checks_failed") > 0, "a checksum fails")
        running.until(
            lambda: counted("book", "book", "fresh") == counted("book", "book", "stale") > 10,
            "every book is whole again",
        )
        ran = running.end(signal.SIGINT)
    finally:
        exchange.close()
    assert ran.code == 0, ran.err
    assert ran.report.balanced
    counters = ran.stage("book").counters["book"]
    assert counters["checks_passed"] > 500
    assert counters["crossed"] == 0
    assert ran.stage("ingest").counters["feed0"]["resyncs"] >= 1


def carries(data: bytes, numbers: range) -> bool:
    """Whether a packet has any of these messages."""
    _, first, count, _ = mold.parse(data)
    return any(number in numbers for number in range(first, first + count))
