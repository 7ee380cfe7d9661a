"""What counts as matching the exchange's book, and that nothing wrong can pass for it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.truth import RowTruth, StateTruth, Verdict
from ringbuf.atomics import at
from ringbuf.jit import compiled, kernel
from tests.data import data_file
from tests.naive import lobster as naive
from workers.feeds.itch import ItchFeed, ItchOptions
from workers.feeds.lobster import LobsterFeed, LobsterOptions
from workers.feeds.lobster_book import read_book
from workers.kernels import bookview, orderbook
from workers.kernels.feed_counters import FEED_COUNTERS
from workers.kernels.orderbook import BOOK
from workers.records import EVENT, LEVEL, TOP, Book, Event, Flag, Side, empty

AAPL = "lobster/AAPL_2012-06-21_34200000"
EXAMPLES = 60 if compiled() else 15
NOTHING = np.zeros(0, TOP)


def read_feed(feed_class, **options):
    """All events of a feed."""
    options_class = LobsterOptions if feed_class is LobsterFeed else ItchOptions
    counters, target, parts = empty(FEED_COUNTERS, 1), empty(EVENT, 1 << 14), []
    feed = feed_class(options_class(**options), counters.ctypes.data)
    feed.open()
    while not feed.finished:
        parts.append(target[: feed.fill(target.ctypes.data, len(target))].copy())
    feed.close()
    return np.concatenate(parts)


@kernel
def answer(book, events, first, count, target):
    """Apply events and write the LEVEL and TOP records that a book stage would; how many."""
    written = 0
    for number in range(first, first + count):
        event = at(events + 64 * number, EVENT)
        orderbook.apply(book, event)
        header = at(book, BOOK)
        for change in range(int(header.changes)):
            level = at(target + 64 * written, LEVEL)
            level.cause, level.kind = event.sequence, Book.LEVEL
            level.instrument, level.side = event.instrument, header.side[change]
            level.price, level.quantity = header.price[change], header.quantity[change]
            written += 1
        if header.top_moved:
            top = at(target + 64 * written, TOP)
            top.cause, top.kind, top.instrument = event.sequence, Book.TOP, event.instrument
            top.bid = bookview.best(book, event.instrument, Side.BID)
            top.ask = bookview.best(book, event.instrument, Side.ASK)
            top.bid_quantity = bookview.best_quantity(book, event.instrument, Side.BID)
            top.ask_quantity = bookview.best_quantity(book, event.instrument, Side.ASK)
            written += 1
    return written


def compare(truth, events, chunk=10_000):
    """Run events through the order book of the pipeline and give both to a truth, in chunks."""
    limits = orderbook.Limits(orders=100_000, levels=50_000, instruments=2)
    block = empty(np.dtype("i8"), -(-orderbook.bytes_needed(limits) // 8))
    orderbook.create(block.ctypes.data, limits)
    log = empty(EVENT, len(events))
    log[:] = events
    log["sequence"] = 10 + np.arange(len(log))
    for first in range(0, len(log), chunk):
        count = min(chunk, len(log) - first)
        target = empty(TOP, 3 * count)
        written = answer(block.ctypes.data, log.ctypes.data, first, count, target.ctypes.data)
        truth.feed(log[first : first + count], target[:written])
    return truth.result()


def played(truth, events):
    """The same with the naive book."""
    events, records, _ = naive.through_book(events)
    truth.feed(events, records)
    return truth.result()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("lobster")


def write_files(folder, messages, rows, levels=None):
    """A message file and its order book file."""
    name = folder / f"SIM_2020-01-02_0_1_message_{levels or len(rows[0]) // 4}.csv"
    book = folder / f"SIM_2020-01-02_0_1_orderbook_{len(rows[0]) // 4}.csv"
    name.write_text("\n".join(messages))
    book.write_text("\n".join(",".join(map(str, row)) for row in rows))
    return name, book


def verdict_of(folder, messages, rows, book_rows=None):
    """Replay with what `rows` can teach; compare with `book_rows`, which are `rows` if None."""
    name, book = write_files(folder, messages, rows)
    events = read_feed(LobsterFeed, path=str(name), orderbook=str(book))
    return played(RowTruth(np.array(book_rows or rows)), events)


def cut(messages, rows, levels):
    """The files of fewer levels: rows that touch them, as the exchange cuts its own."""
    kept_messages, kept_rows, before = [], [], rows[0]
    for message, row in zip(messages, rows, strict=True):
        _, kind, _, _, price, direction = message.split(",")
        column = 4 * (levels - 1) + (2 if direction == "1" else 0)
        worst = [(before[column], before[column + 1]), (row[column], row[column + 1])]
        seen = any(
            not size or int(price) * int(direction) >= at * int(direction) for at, size in worst
        )
        if kind in "567" or seen:
            kept_messages.append(message)
            kept_rows.append(row[: 4 * levels])
        before = row
    return kept_messages, kept_rows


def sample():
    """Messages and rows of the ten-level sample."""
    messages = data_file(f"{AAPL}_57600000_message_10.csv").read_text().split()
    return messages, read_book(data_file(f"{AAPL}_57600000_orderbook_10.csv")).tolist()


def test_ten_levels_of_aapl_match_in_every_row():
    book = data_file(f"{AAPL}_57600000_orderbook_10.csv")
    messages = data_file(f"{AAPL}_57600000_message_10.csv")
    events = read_feed(LobsterFeed, path=str(messages), orderbook=str(book))
    verdict = compare(RowTruth(read_book(book)), events, chunk=77)
    assert verdict[:3] == (998, 998, 318)
    assert verdict.holds
    assert verdict.line("lobster", "AAPL") == "lobster AAPL matched 998 of 998, undecidable 318"
    assert verdict.notes["hidden executions"] == 61


@pytest.mark.parametrize("levels", [1, 2, 3, 5, 9])
def test_fewer_levels_of_aapl_match_in_every_row(folder, levels):
    messages, rows = cut(*sample(), levels)
    verdict = verdict_of(folder, messages, rows)
    assert (verdict.matched, verdict.total) == (len(rows) - 1, len(rows) - 1)
    assert verdict.undecidable > 0


def test_without_the_order_book_file_the_sample_does_not_match():
    messages = data_file(f"{AAPL}_57600000_message_10.csv")
    truth = RowTruth(read_book(data_file(f"{AAPL}_57600000_orderbook_10.csv")))
    verdict = compare(truth, read_feed(LobsterFeed, path=str(messages)))
    assert not verdict.holds
    assert verdict.first_fault.startswith("row 2: bid level ")


@pytest.mark.compiled
@pytest.mark.skipif(not compiled(), reason="92,000 messages take long in plain Python")
def test_the_first_hour_of_aapl_as_itch_shows_every_state():
    truth = StateTruth(read_book(data_file(f"{AAPL}_57600000_orderbook_1.csv.gz")), instrument=1)
    name = "itch/AAPL_20120621_0930_1030_from_lobster50.itch50.gz"
    events = read_feed(ItchFeed, path=str(data_file(name)))
    verdict = compare(truth, events)
    assert verdict[:3] == (23_440, 23_440, 0)
    middle = int(np.nonzero(events["kind"] == Event.EXECUTE)[0][1_000])
    truth = StateTruth(read_book(data_file(f"{AAPL}_57600000_orderbook_1.csv.gz")), instrument=1)
    assert not compare(truth, np.delete(events, middle)).holds


@pytest.mark.compiled
@pytest.mark.skipif(not compiled(), reason="92,000 messages take long in plain Python")
def test_the_first_hour_of_aapl_at_fifty_levels_shows_every_state_that_can_be_known():
    book = data_file(f"{AAPL}_57600000_orderbook_1.csv.gz")
    messages = data_file(f"{AAPL}_37800000_message_50.csv.gz")
    events = read_feed(LobsterFeed, path=str(messages), orderbook=str(book))
    verdict = compare(StateTruth(read_book(book)), events)
    assert verdict[:3] == (23_422, 23_422, 18)


@pytest.mark.parametrize("levels", [1, 2, 5])
@pytest.mark.parametrize("resting", [0, 6, 60])
@pytest.mark.parametrize("seed", range(3 if compiled() else 1))
def test_any_market_matches_and_only_new_levels_are_undecidable(folder, levels, resting, seed):
    market = naive.simulate(seed, levels, 200, resting)
    verdict = verdict_of(folder, market.messages, market.rows)
    assert verdict.matched == verdict.total == len(market.rows) - 1, verdict
    assert verdict.undecidable == sum(map(bool, market.emptied[1:]))


def test_no_event_on_an_unknown_order_is_left_over(folder):
    market = naive.simulate(5, 3, 400)
    name, book = write_files(folder, market.messages, market.rows)
    events = read_feed(LobsterFeed, path=str(name), orderbook=str(book))
    assert naive.through_book(events)[2].refused == 0
    assert naive.through_book(read_feed(LobsterFeed, path=str(name)))[2].refused > 0


MARKETS = {(seed, levels): naive.simulate(seed, levels, 80) for seed in (1, 2) for levels in (1, 4)}


@given(st.sampled_from(sorted(MARKETS)), st.data())
@settings(max_examples=EXAMPLES, deadline=None)
def test_a_wrong_number_in_the_truth_never_passes(folder, chosen, data):
    market, levels = MARKETS[chosen], chosen[1]
    row = data.draw(st.integers(1, len(market.rows) - 1), "row")
    column = data.draw(st.integers(0, 4 * levels - 1), "column")
    bids = column % 4 > 1
    last = column // 4 == levels - 1
    if last and market.emptied[row] == (1 if bids else -1):
        return  # this one cannot be known
    rows = [list(values) for values in market.rows]
    rows[row][column] += data.draw(st.sampled_from((-1, 1, 100)), "change")
    verdict = verdict_of(folder, market.messages, rows)
    assert verdict.matched < verdict.total


@given(st.sampled_from(sorted(MARKETS)), st.data())
@settings(max_examples=EXAMPLES, deadline=None)
def test_a_wrong_submission_never_passes(folder, chosen, data):
    market = MARKETS[chosen]
    places = [n for n, line in enumerate(market.messages) if n and line.split(",")[1] == "1"]
    place = data.draw(st.sampled_from(places), "place")
    fields = market.messages[place].split(",")
    change = data.draw(st.sampled_from(("size", "price", "side", "lost", "garbled")), "change")
    if change in ("size", "price"):
        field = 3 if change == "size" else 4
        fields[field] = str(int(fields[field]) + 1)
    elif change == "side":
        fields[5] = str(-int(fields[5]))
    messages = list(market.messages)
    messages[place] = "?,1,7" if change == "garbled" else ",".join(fields)
    if change == "lost":
        del messages[place]
    verdict = verdict_of(folder, messages, market.rows)
    assert verdict.matched < verdict.total


def test_a_level_that_comes_into_sight_must_lie_behind_those_that_were(folder):
    market = MARKETS[1, 4]
    row = next(n for n, emptied in enumerate(market.emptied) if n and emptied)
    first = 4 * 3 + (2 if market.emptied[row] == 1 else 0)
    rows = [list(values) for values in market.rows]
    rows[row][first] = rows[row][first - 4]
    verdict = verdict_of(folder, market.messages, rows)
    assert verdict.matched < verdict.total


ROWS = [[102, 9, 100, 7], [102, 9, 100, 8], [102, 9, 100, 8]]
LINES = ["1,1,7,5,100,1", "1,1,8,1,100,1", "1,5,0,1,101,1"]


def own_events(folder):
    name, book = write_files(folder, LINES, ROWS)
    return read_feed(LobsterFeed, path=str(name), orderbook=str(book))


def test_a_feed_that_copies_the_truth_is_caught(folder):
    events = own_events(folder)
    copied = empty(EVENT, 1)
    copied[0] = events[-1]
    copied["kind"], copied["flags"], copied["order"] = Event.ADD, Flag.INFERRED, -1
    copied["price"], copied["quantity"], copied["side"] = 100, 50, Side.BID
    wanted = np.array([*ROWS[:2], [102, 9, 100, 58]])
    verdict = played(RowTruth(wanted), np.insert(events, len(events) - 1, copied))
    assert verdict[:2] == (1, 2)
    assert verdict.notes["inferred changes in sight"] == 1
    assert verdict.first_fault == "row 3: bid 100 was changed by 50 without a message"


def test_rows_that_cannot_be_read_or_have_no_message_do_not_match(folder):
    events = own_events(folder)
    verdict = played(RowTruth(np.array([*ROWS, [102, 9, 100, 9]])), events)
    assert (verdict.matched, verdict.total) == (2, 3)
    assert verdict.notes["rows without a message"] == 1
    _, book = write_files(folder, LINES, [*ROWS[:2], [102, 9, "?", 8]])
    verdict = played(RowTruth(read_book(book)), events)
    assert (verdict.matched, verdict.total) == (1, 2)
    assert verdict.notes["unreadable rows"] == 1
    verdict = played(RowTruth(np.array(ROWS[:2])), events)
    assert verdict[:2] == (1, 1)
    assert verdict.notes["messages without a row"] == 1


def test_nothing_compared_is_no_match():
    assert not Verdict(0, 0, 0, {}).holds
    assert not RowTruth(np.array(ROWS[:1])).result().holds
    assert not StateTruth(np.array(ROWS)).result().holds


def states_of(states, inferred=()):
    """Events and TOP records of a made-up run of (ask, quantity, bid, quantity)."""
    events, records = empty(EVENT, len(states)), empty(TOP, len(states))
    events["sequence"] = records["cause"] = 2 * np.arange(len(states)) + 1
    events["kind"], records["kind"] = Event.TRADE, Book.TOP
    for name, column in zip(
        ("ask", "ask_quantity", "bid", "bid_quantity"), np.array(states).T, strict=True
    ):
        records[name] = column
    guess = empty(EVENT, len(inferred))
    for event, (place, side, price) in zip(guess, inferred, strict=True):
        event["sequence"], event["kind"], event["flags"] = 2 * place, Event.DELETE, Flag.INFERRED
        event["side"], event["price"] = side, price
    events = np.concatenate([events, guess])
    return events[np.argsort(events["sequence"])], records


TRUTH = [(1_000 + n % 7, 10 + n, 900 + n % 5, 20 + n) for n in range(60)]


def judge(states, inferred=(), truth=TRUTH):
    comparison = StateTruth(np.array(truth))
    events, records = states_of(states, inferred)
    comparison.feed(events, NOTHING)
    comparison.feed(events[:0], records)
    return comparison.result()


def test_a_file_may_go_on_after_our_last_state_and_repeat_its_rows():
    assert judge(TRUTH[:40], truth=[row for row in TRUTH for _ in range(3)])[:3] == (40, 40, 0)
    one_sided = [(5, 1, 0, 0), *TRUTH[:40]]
    assert judge(one_sided)[:3] == (40, 40, 0)


def test_an_empty_side_of_the_file_is_an_empty_side_of_ours():
    ours, theirs = [*TRUTH[:5], (0, 0, 900, 4)], [*TRUTH[:5], (9999999999, 0, 900, 4)]
    assert judge(ours, truth=theirs)[:3] == (6, 6, 0)


@given(st.integers(1, 50), st.sampled_from(("missing", "more", "wrong")))
@settings(max_examples=EXAMPLES, deadline=None)
def test_one_wrong_state_costs_one(place, change):
    states = list(TRUTH)
    if change == "missing":
        del states[place]
    elif change == "more":
        states.insert(place, (1, 1, 1, 1))
    else:
        states[place] = (1, 1, 1, 1)
    verdict = judge(states)
    assert verdict.total - verdict.matched == 1
    assert verdict.total == len(TRUTH) + (change == "more")


def test_states_that_never_agree_again_all_count():
    verdict = judge([*TRUTH[:20], *((5, n, 4, n) for n in range(1, 31))])
    assert verdict[:3] == (20, 50, 0)
    verdict = judge([(5, 1, 4, 1)] * 9)
    assert (verdict.matched, verdict.total) == (0, 1)


def test_what_rests_on_a_presumed_order_is_set_apart():
    states = [(1_000, 5, 900, n) for n in range(1, 11)]
    states += [(1_000, 5, 890, n) for n in range(1, 6)] + [(899, 1, 890, n) for n in range(1, 11)]
    gone = [(3, Side.BID, 899)]  # matters while the best bid is 890 and no ask has passed it
    equal = judge(states, gone, states)
    assert equal[:3] == (20, 20, 5)
    assert equal.notes["undecidable, yet equal"] == 5
    other = [*states[:10], (1_000, 5, 899, 3), *states[15:]]
    assert judge(states, gone, other)[:3] == (20, 20, 5)
    assert not judge(states, (), other).holds
    wrong = [*states[:5], (7, 7, 7, 7), *states[6:]]
    assert judge(states, gone, wrong)[:3] == (19, 20, 5)
