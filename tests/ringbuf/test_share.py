import os
import signal
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringbuf import memory, ring
from ringbuf.memory import FOLDER, HEADER, SegmentError
from ringbuf.record import offset, slot_record
from ringbuf.share import Observer, RingReader, RingWriter, begin_after, create_ring, observe
from tests.ringbuf.segments import dying, in_child

TRADE = slot_record([("kind", "i4"), ("price", "i8"), ("quantity", "i8")])
QUOTE = slot_record([("kind", "i4"), ("bid", "i8"), ("ask", "i8")])
LAYOUTS = {"trade": (1, TRADE), "quote": (2, QUOTE)}
CAPACITY = 128


@pytest.fixture
def book(pipeline):
    create_ring(pipeline, "book", LAYOUTS, CAPACITY, ["risk", "publisher"]).close()
    return pipeline, "book"


def trades(first, count):
    records = np.zeros(count, TRADE)
    records["kind"] = 1
    records["price"] = first + np.arange(count)
    records["quantity"] = 3 * records["price"]
    return records


def quotes(first, count):
    records = np.zeros(count, QUOTE)
    records["kind"], records["bid"] = 2, first + np.arange(count)
    return records


def drain(*readers):
    for reader in readers:
        while len(taken := reader.take(TRADE, CAPACITY)):
            reader.release(int(taken["sequence"][-1]))


def readers_of(book):
    return [RingReader(*book, LAYOUTS, name) for name in ("risk", "publisher")]


def test_what_is_pushed_is_taken_by_every_reader_in_place(book):
    writer = RingWriter(*book, LAYOUTS)
    assert writer.push(trades(1, 5), born=77) == 5
    for reader in readers_of(book):
        taken = reader.take(TRADE, 10)
        assert taken["price"].tolist() == [1, 2, 3, 4, 5]
        assert taken["sequence"].tolist() == [1, 2, 3, 4, 5]
        assert np.shares_memory(taken, reader.segment.bytes)
        assert len(reader.take(TRADE, 2)) == 2
        reader.release(3)
        assert reader.take(TRADE, 10)["price"].tolist() == [4, 5]


def test_the_writer_waits_for_the_slowest_of_its_named_readers(book):
    writer = RingWriter(*book, LAYOUTS)
    fast, slow = readers_of(book)
    assert writer.push(trades(1, CAPACITY + 50)) == CAPACITY
    drain(fast)
    assert writer.push(trades(1, 1)) == 0
    slow.release(40)
    assert writer.push(trades(1, 50)) == 40


def test_a_reader_that_has_not_come_yet_is_waited_for(book):
    writer = RingWriter(*book, LAYOUTS)
    (risk, _) = readers_of(book)
    assert writer.push(trades(1, CAPACITY)) == CAPACITY
    drain(risk)
    assert writer.push(trades(1, 1)) == 0


def test_take_stops_at_the_rings_end_and_goes_on_at_its_start(book):
    writer = RingWriter(*book, LAYOUTS)
    risk, publisher = readers_of(book)
    writer.push(trades(1, 100))
    drain(risk, publisher)
    writer.push(trades(101, 100))
    assert risk.take(TRADE, 1000)["price"].tolist() == list(range(101, 128))
    risk.release(127)
    assert risk.take(TRADE, 1000)["price"].tolist() == list(range(128, 201))


def test_the_end_comes_after_everything_was_read(book):
    writer = RingWriter(*book, LAYOUTS)
    risk, publisher = readers_of(book)
    writer.push(trades(1, 3))
    onlooker = observe(*book)
    assert not risk.ended
    assert not onlooker.closed
    writer.close()
    assert onlooker.closed
    assert not risk.ended
    drain(risk)
    assert risk.ended
    assert not publisher.ended


def test_a_writer_that_comes_back_goes_on_where_the_last_one_died(book):
    def write_and_die():
        writer = RingWriter(*book, LAYOUTS)
        writer.push(trades(1, 10))
        for sequence in (11, 12):  # published, yet not noted
            ring.claim(writer.view, sequence)
            ring.publish(writer.view, sequence, 0, 0)
        ring.claim(writer.view, 13)
        os.kill(os.getpid(), signal.SIGKILL)

    assert dying(write_and_die) == -signal.SIGKILL
    risk, _ = readers_of(book)
    assert len(risk.take(TRADE, 100)) == 12
    writer = RingWriter(*book, LAYOUTS)
    assert writer.written == 12
    writer.push(trades(13, 1))
    assert risk.take(TRADE, 100)["price"][-1] == 13


def test_a_reader_that_comes_back_reads_on_from_what_it_released(book):
    writer = RingWriter(*book, LAYOUTS)
    writer.push(trades(1, 20))

    def read_and_die():
        risk, _ = readers_of(book)
        risk.take(TRADE, 100)
        risk.release(7)
        os.kill(os.getpid(), signal.SIGKILL)

    assert dying(read_and_die) == -signal.SIGKILL
    risk, _ = readers_of(book)
    assert risk.take(TRADE, 100)["price"].tolist() == list(range(8, 21))


def test_roles_are_held_once_and_given_up(book):
    writer, (risk, publisher) = RingWriter(*book, LAYOUTS), readers_of(book)
    with pytest.raises(SegmentError, match="is its writer already"):
        RingWriter(*book, LAYOUTS)
    with pytest.raises(SegmentError, match="is its reader 'risk' already"):
        RingReader(*book, LAYOUTS, "risk")
    for holder in (writer, risk, publisher):
        holder.close()
    RingWriter(*book, LAYOUTS).close()
    for reader in readers_of(book):
        reader.close()


@pytest.mark.parametrize("name", ["nobody", ""])
def test_a_reader_that_is_not_named_is_refused(book, name):
    with pytest.raises(SegmentError, match=f"has no reader '{name}'; it has publisher, risk"):
        RingReader(*book, LAYOUTS, name)


@pytest.mark.parametrize("capacity", [0, -128, 64, 129, 192])
def test_a_capacity_that_will_not_do_is_refused(pipeline, capacity):
    with pytest.raises(SegmentError, match=f"capacity {capacity} is not a power of two from 128"):
        create_ring(pipeline, "book", LAYOUTS, capacity, [])


@pytest.mark.parametrize("names", [["a", "a"], [""], ["x" * 33]])
def test_readers_need_names_of_their_own(pipeline, names):
    with pytest.raises(SegmentError, match="need different names of 1 to 24 bytes"):
        create_ring(pipeline, "book", LAYOUTS, CAPACITY, names)


def test_more_readers_than_there_are_lines_are_refused(pipeline):
    names = [f"reader{number}" for number in range(17)]
    with pytest.raises(SegmentError, match="17 readers, at most 16"):
        create_ring(pipeline, "book", LAYOUTS, CAPACITY, names)
    create_ring(pipeline, "book", LAYOUTS, CAPACITY, names[:16])


def test_records_of_another_layout_are_refused(book):
    with pytest.raises(SegmentError, match="another layout"):
        RingWriter(*book, {"trade": (1, TRADE)})


def test_no_single_flipped_bit_of_a_header_leads_a_kernel_astray(book):
    path = FOLDER / memory.full_name(*book)
    good = path.read_bytes()[: HEADER.itemsize]
    harmless = {
        offset(HEADER, name) + place
        for name in ("created_ns", "pid", "start_time", "huge", "why", "holders")
        for place in range(HEADER[name].itemsize)
    }
    for bit in range(8 * len(good)):
        bad = bytearray(good)
        bad[bit // 8] ^= 1 << bit % 8
        if bit // 8 in harmless or np.frombuffer(bad, HEADER) == np.frombuffer(good, HEADER):
            continue
        with path.open("r+b") as file:
            file.write(bad)
        with pytest.raises(SegmentError):
            RingReader(*book, LAYOUTS, "risk")
    with path.open("r+b") as file:
        file.write(good)
    RingReader(*book, LAYOUTS, "risk").close()


def test_an_observer_sees_what_the_ring_still_holds_and_then_what_comes(book):
    writer, readers = RingWriter(*book, LAYOUTS), readers_of(book)
    for first in range(1, 300, 60):
        writer.push(trades(first, 60))
        drain(*readers)
    onlooker = observe(*book)
    assert onlooker.poll()["price"].tolist() == list(range(173, 301))
    assert len(onlooker.poll()) == 0
    writer.push(trades(301, 2))
    assert onlooker.poll(1)["price"].tolist() == [301]
    assert onlooker.poll()["price"].tolist() == [302]
    assert onlooker.missed == 0


def test_a_lapped_observer_counts_its_losses_and_rejoins_half_a_ring_behind(book):
    writer, readers = RingWriter(*book, LAYOUTS), readers_of(book)
    onlooker = observe(*book)
    for first in range(1, 1000, 100):
        writer.push(trades(first, 100))
        drain(*readers)
    seen = onlooker.poll()
    assert seen["price"][-1] == 1000
    assert len(seen) + onlooker.missed == 1000
    assert onlooker.missed == 1000 - CAPACITY // 2 - 1


def test_an_observer_needs_no_code_of_the_writers(book):
    onlooker = Observer(*book)
    assert onlooker.layouts == LAYOUTS
    writer = RingWriter(*book, LAYOUTS)
    writer.push(trades(1, 3))
    writer.push(quotes(4, 2))
    records = onlooker.poll()
    assert onlooker.select(records, "trade")["price"].tolist() == [1, 2, 3]
    assert onlooker.select(records, "quote")["bid"].tolist() == [4, 5]
    with pytest.raises(SegmentError, match="has no records 'order'; it has quote, trade"):
        onlooker.select(records, "order")


@given(
    looks=st.lists(
        st.lists(st.tuples(st.sampled_from(["trade", "quote"]), st.integers(0, 4)), max_size=40),
        max_size=6,
    )
)
def test_newest_gives_the_last_of_each_since_the_last_look(looks):
    pipeline = f"newest-{os.getpid()}"
    create_ring(pipeline, "book", LAYOUTS, CAPACITY, ["reader"]).close()
    try:
        writer, onlooker = RingWriter(pipeline, "book", LAYOUTS), observe(pipeline, "book")
        reader, sequence = RingReader(pipeline, "book", LAYOUTS, "reader"), 0
        for look in looks:
            wanted = {}
            for layout, key in look:
                sequence += 1
                records = trades(sequence, 1) if layout == "trade" else quotes(sequence, 1)
                records.view(TRADE)["quantity"] = key
                writer.push(records)
                if layout == "trade":
                    wanted[key] = sequence
            drain(reader)
            found = onlooker.newest("trade", "quantity")
            assert found.dtype == TRADE
            assert found["sequence"].tolist() == sorted(wanted.values())
            assert dict(zip(found["quantity"].tolist(), found["price"].tolist(), strict=True)) == (
                wanted
            )
        with pytest.raises(SegmentError, match="has no records 'order'"):
            onlooker.newest("order")
    finally:
        for name in memory.names(pipeline):
            memory.unlink(name)


def test_a_look_at_the_newest_that_came_too_late_says_what_it_missed(book):
    writer, readers, onlooker = RingWriter(*book, LAYOUTS), readers_of(book), observe(*book)
    for first in range(1, 300, 60):
        writer.push(trades(first, 60))
        drain(*readers)
    found = onlooker.newest("trade", "price")
    assert onlooker.missed == 300 - len(found) > 0
    assert found["price"].tolist() == list(range(301 - len(found), 301))


def test_latest_gives_the_newest_records(book):
    writer = RingWriter(*book, LAYOUTS)
    assert len(observe(*book).latest(10)) == 0
    with pytest.raises(SegmentError, match="has no records 'order'"):
        observe(*book).latest(10, "order")
    writer.push(trades(1, 30))
    writer.push(quotes(31, 10))
    onlooker = observe(*book)
    assert onlooker.latest(3)["sequence"].tolist() == [38, 39, 40]
    assert onlooker.latest(2, "trade")["price"].tolist() == [29, 30]
    assert onlooker.latest(1000, "quote")["bid"].tolist() == list(range(31, 41))
    assert len(onlooker.latest(0)) == 0
    assert observe(*book).latest(5, "quote").dtype == QUOTE


def test_a_layout_of_kind_any_selects_all(pipeline):
    create_ring(pipeline, "all", {"trade": (-1, TRADE)}, CAPACITY, [])
    writer = RingWriter(pipeline, "all", {"trade": (-1, TRADE)})
    writer.push(trades(1, 4))
    onlooker = observe(pipeline, "all")
    assert len(onlooker.select(onlooker.poll(), "trade")) == 4


def test_an_observer_may_come_and_go_and_is_waited_for_by_nobody(book):
    writer, readers = RingWriter(*book, LAYOUTS), readers_of(book)
    onlooker = observe(*book)
    for first in range(1, 1000, 100):
        assert writer.push(trades(first, 100)) == 100
        drain(*readers)
    onlooker.close()
    assert observe(*book).latest(1)["price"].tolist() == [1000]


def test_an_observer_of_a_busy_ring_sees_whole_records_and_counts_the_rest(pipeline):
    layouts = {"trade": (1, TRADE)}
    create_ring(pipeline, "busy", layouts, CAPACITY, []).close()

    def write_for_ever():
        writer = RingWriter(pipeline, "busy", layouts)
        first = 1
        while True:
            first += writer.push(trades(first, 50))

    onlooker = observe(pipeline, "busy")
    last, seen = 0, 0
    with in_child(write_for_ever):
        while seen < 20_000:
            records = onlooker.poll(64)
            assert (records["price"] == records["sequence"]).all()
            assert (records["quantity"] == 3 * records["price"]).all()
            assert (np.diff(records["sequence"]) == 1).all()
            if len(records):
                assert last < records["sequence"][0]
                last, seen = int(records["sequence"][-1]), seen + len(records)
        newest = observe(pipeline, "busy").latest(20)
        assert 0 < len(newest) <= 20
        assert (np.diff(newest["sequence"]) > 0).all()
    assert seen + onlooker.missed == last


def test_one_ring_two_threads(book):
    """Threads share a ring as processes do."""
    writer, readers = RingWriter(*book, LAYOUTS), readers_of(book)

    def write():
        first = 1
        while first <= 2000:
            first += writer.push(trades(first, min(30, 2001 - first)))
        writer.close()

    thread = threading.Thread(target=write)
    thread.start()
    seen = [[], []]
    while not all(reader.ended for reader in readers):
        for reader, prices in zip(readers, seen, strict=True):
            taken = reader.take(TRADE, 17)
            prices.extend(taken["price"].tolist())
            reader.release(len(prices))
    thread.join()
    assert seen == [list(range(1, 2001))] * 2


def test_the_same_array_may_be_pushed_again_with_other_contents(book):
    writer, (reader, _) = RingWriter(*book, LAYOUTS), readers_of(book)
    staging, other = trades(1, 1), trades(7, 2)
    writer.push(staging)
    staging["price"] = 2
    writer.push(staging)
    writer.push(other)
    staging["price"] = 3
    writer.push(staging)
    assert reader.take(TRADE, 9)["price"].tolist() == [1, 2, 7, 8, 3]


@pytest.mark.parametrize("wrong", [trades(1, 4)[::2], np.zeros(3, np.int64)])
def test_records_that_do_not_fit_are_refused(book, wrong):
    writer = RingWriter(*book, LAYOUTS)
    with pytest.raises(SegmentError, match="give records of 64 bytes that lie side by side"):
        writer.push(wrong)
    assert writer.push(trades(1, 1)) == 1


@pytest.mark.parametrize("begun", [1, CAPACITY - 1, CAPACITY, 10**12])
def test_a_new_ring_may_go_on_behind_any_record(pipeline, begun):
    segment = create_ring(pipeline, "later", LAYOUTS, CAPACITY, ["risk", "publisher"])
    begin_after(segment, begun)
    segment.close()
    writer = RingWriter(pipeline, "later", LAYOUTS)
    readers = [RingReader(pipeline, "later", LAYOUTS, name) for name in ("risk", "publisher")]
    assert writer.written == begun
    assert [len(reader.take(TRADE, 9)) for reader in readers] == [0, 0]
    assert writer.push(trades(1, CAPACITY + 9)) == CAPACITY  # both are waited for from there
    for reader in readers:
        taken = reader.take(TRADE, CAPACITY)
        assert taken["sequence"][0] == begun + 1
        assert taken["price"][0] == 1
    drain(*readers)
    onlooker = observe(pipeline, "later")
    assert onlooker.latest(2)["sequence"].tolist() == [begun + CAPACITY - 1, begun + CAPACITY]
    writer.close()
    assert all(reader.ended for reader in readers)
