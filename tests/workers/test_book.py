"""The book stage says exactly what the obvious books would: trades, levels, tops, statuses."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from ringbuf.jit import compiled
from tests.naive.orderbook import Message
from tests.naive.pipeline import NaiveBook, must_be_alike
from tests.workers.joined import joint, turn_until_finished
from workers.answers import SHOW_EVERY
from workers.book import Book, BookOptions, outputs_max
from workers.depth import LEVELS
from workers.enriched import BarOptions, ConsolidatedOptions, MeasureOptions
from workers.keeper import KEEPER, PLAIN_MAX
from workers.kernels.orderbook import Outcome
from workers.records import EVENT, Event, Flag, Mark, Side, State, empty
from workers.records import Book as Kind

INSTRUMENTS = 3
OPTIONS = BookOptions(orders=12, levels=8, publish_levels=True)
EVERYTHING = BookOptions(
    orders=12,
    levels=8,
    publish_levels=True,
    measures=MeasureOptions(sample_ms=3_600_000),
    bars=[BarOptions(seconds=3600), BarOptions(trades=2), BarOptions(volume=6)],
    snapshot_s=3600.0,
)
GROUPS = {
    "one": ConsolidatedOptions(venues=["feed0:S0", "feed0:S1"], price_decimals=2, lot_decimals=3),
    "two": ConsolidatedOptions(venues=["feed0:S2"], price_decimals=1, lot_decimals=0),
}
EXAMPLES = 100 if compiled() else 25

IDS = st.integers(1, 9)
MESSAGES = st.builds(
    Message,
    kind=st.sampled_from([*Event, Event.ADD, Event.ADD, Event.EXECUTE, Event.REPLACE]).map(int),
    instrument=st.sampled_from([0, 0, 0, 1, 2, -1, INSTRUMENTS]),
    order=IDS,
    other=IDS,
    side=st.sampled_from([0, 1, 0, 1, 2]),
    price=st.integers(98, 104),
    quantity=st.sampled_from([1, 2, 5, 100, 0]),
)
FLAGS = st.sampled_from([0, 0, 1, 2, 3, Flag.PART, Flag.PART | Flag.UNPRINTED, Mark.BARRED])
STREAMS = st.lists(st.tuples(MESSAGES, FLAGS), max_size=60)
INDEXES = st.sampled_from(["sorted", "tree", "ladder", "auto"])
QUARTERS = st.sampled_from([0, 0, 1, 2, 5, 30, -1, -6, 100, -97])  # of an hour, to the next event
ANNOUNCED = [(Message(Event.DIRECTORY, n, n, 0, 2, 0, 1), 0) for n in range(INSTRUMENTS)]
VENUES_COUNTED = ("venues_announced", "venues_unscaled")
COUNTED = (
    *(outcome.name.lower() for outcome in Outcome),
    *("checks_passed", "checks_failed", "stale", "fresh", "partial", "crossed", "crossed_early"),
    "snapshots",
)


def events_of(stream) -> np.ndarray:
    """Messages with flags as events."""
    events = empty(EVENT, len(stream))
    for number, (event, (message, flags)) in enumerate(zip(events, stream, strict=True)):
        for name, value in message._asdict().items():
            event[name] = value
        event["flags"], event["time_ns"] = flags, 1000 + number
    return events


def events_of_venues(stream, quarters) -> np.ndarray:
    """Messages as events hours apart, and announcements with one of three symbols."""
    events = events_of(stream)
    events["time_ns"] += np.cumsum([0, *quarters])[: len(events)] * 900_000_000_000 + 10**15
    for event in events[events["kind"] == Event.DIRECTORY]:
        words = np.frombuffer(f"S{event['order'] % 3}".encode().ljust(24), "i8")
        event["order"], event["other"], event["price"] = words
    return events


def book_of(at, events: np.ndarray, options=OPTIONS, groups=None) -> tuple[Book, np.ndarray]:
    """A stage that has folded in some events, and what it published."""
    stage = Book(options, INSTRUMENTS, at.links, groups)
    stage.open()
    parts = []
    for place in range(0, len(events), 64):
        assert at.sources["events"].push(events[place : place + 64]) == len(events[place:][:64])
        stage.turn(0)
        parts.append(at.took("book"))
    at.sources["events"].close()
    parts.append(turn_until_finished(stage, at, "book")["book"])
    return stage, np.concatenate(parts)


@settings(max_examples=EXAMPLES, deadline=None)
@given(stream=STREAMS, index=INDEXES)
def test_the_stage_says_what_the_obvious_books_say(stream, index):
    naive, events = NaiveBook(OPTIONS, INSTRUMENTS), events_of(stream)
    for number, event in enumerate(events, 1):
        event["sequence"] = number  # as the ring will say
        naive.take(event)
    with joint(Book, rows=INSTRUMENTS) as at:
        stage, records = book_of(at, events, replace(OPTIONS, index=index))
        assert records.tobytes() == b"".join(naive.records)
        assert records["index"].max(initial=0) < PLAIN_MAX
        counters = at.counters("book")
        assert {name: counters[name] for name in COUNTED} == {n: naive.counts[n] for n in COUNTED}
        assert counters["received"] == len(stream)
        assert at.balanced()
        check_depth(at, naive)
        stage.close()
        assert at.targets["book"].ended


@settings(max_examples=EXAMPLES, deadline=None)
@given(data=st.data(), stream=STREAMS, index=INDEXES)
def test_with_all_switched_on_too(data, stream, index):
    naive = NaiveBook(EVERYTHING, INSTRUMENTS, GROUPS)
    stream = [*ANNOUNCED, *stream]
    pauses = st.lists(QUARTERS, min_size=len(stream) - 1, max_size=len(stream) - 1)
    events = events_of_venues(stream, data.draw(pauses, "quarters of an hour"))
    for number, event in enumerate(events, 1):
        event["sequence"] = number
        naive.take(event)
    with joint(Book, rows=INSTRUMENTS) as at:
        _, records = book_of(at, events, replace(EVERYTHING, index=index), GROUPS)
        must_be_alike(records.tobytes(), b"".join(naive.records))
        beside = records[records["kind"] != Kind.DEPTH]
        assert beside["index"].max(initial=0) < outputs_max(EVERYTHING, len(GROUPS))
        assert at.balanced()
        counters = at.counters("book")
        counted = {name: counters[name] for name in (*COUNTED, *VENUES_COUNTED)}
        assert counted == {name: naive.counts[name] for name in counted}
        set_back = sum(measures.set_back for measures in naive.measures)
        assert counters["measures_set_back"] == set_back
        check_depth(at, naive)
        check_consolidated_depth(at, naive)


def check_consolidated_depth(at, naive: NaiveBook) -> None:
    """The board of the groups shows the naive books of all venues that count, together."""
    rows = at.links.boards["consolidated"].all()
    assert [name.decode() for name in rows["name"] if name] == list(GROUPS)
    for number, row in enumerate(rows[: len(GROUPS)]):
        for side, name in ((Side.BID, "bid"), (Side.ASK, "ask")):
            levels = naive.venues.levels(number, naive.books, side)[:LEVELS]
            levels += [(0, 0, 0)] * (LEVELS - len(levels))
            shown = [row[f"{name}_{what}"].tolist() for what in ("price", "quantity", "venues")]
            assert list(zip(*shown, strict=True)) == levels
        venues = [*naive.venues.names[number].values()]
        assert row["venues"].tolist() == venues + [-1] * (15 - len(venues))


def check_depth(at, naive: NaiveBook) -> None:
    """The depth board shows the naive books."""
    for instrument, row in enumerate(at.links.boards["depth"].all()):
        for side, name in ((Side.BID, "bid"), (Side.ASK, "ask")):
            levels = naive.books.depth(instrument, side)[:LEVELS]
            levels = [(price, sum(q for _, q in queue)) for price, queue in levels]
            levels += [(0, 0)] * (LEVELS - len(levels))
            prices, quantities = row[f"{name}_price"].tolist(), row[f"{name}_quantity"].tolist()
            assert list(zip(prices, quantities, strict=True)) == levels
        if row["cause"]:
            assert int(row["state"]) == naive.states[instrument]
        assert (row["traded_price"], row["traded_quantity"]) == naive.traded[instrument]
        assert row["volume"] == naive.volumes[instrument]


def test_tops_only_where_levels_are_not_asked_for():
    stream = [(Message(Event.ADD, 0, n, 0, n % 2, 100 + n % 2, 5), 0) for n in range(1, 9)]
    with joint(Book, rows=INSTRUMENTS) as at:
        _, records = book_of(at, events_of(stream), BookOptions(orders=12, levels=8))
        assert set(records["kind"]) == {Kind.TOP}
        assert at.counters("book")["levels"] == 0


def test_a_full_ring_behind_holds_the_stage_back():
    stream = [(Message(Event.ADD, 0, n, 0, 0, 100, 1), 0) for n in range(1, 201)]
    with joint(Book, rows=INSTRUMENTS, capacity=128) as at:
        stage = Book(BookOptions(orders=300, levels=8, publish_levels=True), INSTRUMENTS, at.links)
        stage.open()
        events = events_of(stream)
        assert at.sources["events"].push(events) == 128
        taken = stage.turn(0)
        assert taken == (128 - PLAIN_MAX) // 2 + 1  # a level and a top each
        assert stage.turn(0) == 0
        assert at.counters("book")["full"] == 2
        records = [at.took("book")]
        assert at.sources["events"].push(events[128:]) == taken
        at.sources["events"].push(events[128 + taken :])
        while not stage.finished and sum(map(len, records)) < 2 * (128 + taken):
            stage.turn(0)
            records.append(at.took("book"))
        whole = np.concatenate(records)
        assert whole["sequence"].tolist() == list(range(1, len(whole) + 1))
        assert whole["bid_quantity"][whole["kind"] == Kind.TOP].tolist() == list(
            range(1, 129 + taken)
        )


def test_a_halt_is_told_and_stays_on_every_record_that_follows():
    halted, trading = int(State.HALTED), int(State.TRADING)
    stream = [
        (Message(Event.STATUS, 1), trading),
        (Message(Event.ADD, 1, 1, 0, 0, 100, 5), 0),
        (Message(Event.STATUS, 1), halted),
        (Message(Event.ADD, 1, 2, 0, 0, 101, 5), 0),
        (Message(Event.ADD, 0, 2, 0, 0, 101, 5), 0),
    ]
    with joint(Book, rows=INSTRUMENTS) as at:
        _, records = book_of(at, events_of(stream), BookOptions(orders=12, levels=8))
        assert records["kind"].tolist() == [Kind.STATUS, Kind.TOP, Kind.STATUS, Kind.TOP, Kind.TOP]
        assert records["state"].tolist() == [trading, trading, halted, halted, 0]
        assert int(at.links.boards["depth"].row(1)[0]["state"]) == halted


def test_latency_is_noted_for_every_event():
    stream = [(Message(Event.ADD, 0, n, 0, 0, 100, 1), 0) for n in range(1, 11)]
    with joint(Book, rows=INSTRUMENTS) as at:
        book_of(at, events_of(stream))
        assert at.links.panel.summary("hop").as_dict()["count"] == 10
        assert at.links.panel.summary("age").as_dict()["count"] == 10


def one_order_comes_and_goes(times: int) -> np.ndarray:
    """Events that leave one order at 100 after each odd one."""
    coming = (Message(Event.ADD, 0, 1, 0, Side.BID, 100, 5), 0)
    going = (Message(Event.DELETE, 0, 1), 0)
    return events_of([going if number % 2 else coming for number in range(times)])


def test_under_a_backlog_depth_rows_wait_until_it_is_taken_or_has_lasted():
    most = outputs_max(OPTIONS, 0) | 1  # a turn takes no fewer: as many may go out
    with joint(Book, rows=INSTRUMENTS) as at:
        stage = Book(OPTIONS, INSTRUMENTS, at.links)
        stage.open()
        keeper = stage.notes[: KEEPER.itemsize].view(KEEPER)[0]

        def turn_with(before: int) -> list[int]:
            """Take a turn of a backlog that has lasted for so many events; the best bids shown."""
            keeper["unshown"] = before
            assert stage._turn(stage.keeper, stage.reader, stage.writer, most, 0) == most
            return at.content("depth")["bid_price"][:, 0].tolist()

        at.sources["events"].push(one_order_comes_and_goes(most))
        assert turn_with(0) == [0, 0, 0]
        assert keeper["unshown"] == most
        assert stage.turn(0) == 0
        assert at.content("depth")["bid_price"][:, 0].tolist() == [100, 0, 0]
        at.sources["events"].push(one_order_comes_and_goes(most + 1)[1:])
        assert turn_with(SHOW_EVERY - most - 1) == [100, 0, 0]
        at.sources["events"].push(one_order_comes_and_goes(most + 1)[1:])
        assert turn_with(SHOW_EVERY - most) == [0, 0, 0]
        assert keeper["unshown"] == 0
        stage.close()
