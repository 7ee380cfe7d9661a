"""A stage that died anywhere goes on so that nobody sees it was gone."""

import itertools
import mmap
import tempfile
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringbuf import files, memory, ring
from ringbuf.jit import compiled
from ringbuf.memory import SegmentError
from tests.workers import test_book, test_executions, test_live_options, test_matched, test_risk
from tests.workers.deaths import (
    NAME,
    Case,
    Death,
    Story,
    boards_of,
    counters_of,
    die,
    kill,
    numbered,
    past_of,
    push_all,
    slots_of,
    undisturbed,
    unwrite,
)
from tests.workers.joined import Joint, joint, turn_until_finished
from tests.workers.matches import events_of
from workers import live_options, recovery
from workers.book import Book
from workers.feeds.itch import ItchOptions
from workers.feeds.synthetic import SyntheticOptions, write_file
from workers.ingest import Ingest, IngestOptions
from workers.records import TOP, Event, Side
from workers.recovery import RecoveryError
from workers.risk import Risk

EXAMPLES = 60 if compiled() else 8
INSTRUMENTS = test_book.INSTRUMENTS


def book_case(stream) -> Case:
    inputs = numbered(test_book.events_of(stream))
    return Case(Book, lambda links: Book(test_book.OPTIONS, INSTRUMENTS, links), inputs,
                INSTRUMENTS)  # fmt: skip


def venues_case(drawn) -> Case:
    """A book with all switched on that it can say beside."""
    stream, quarters = [*test_book.ANNOUNCED, *drawn[0]], drawn[1]
    inputs = numbered(test_book.events_of_venues(stream, quarters[: len(stream) - 1]))

    def make(links) -> Book:
        return Book(test_book.EVERYTHING, INSTRUMENTS, links, test_book.GROUPS)

    return Case(Book, make, inputs, INSTRUMENTS)


def orders_case(seed: int) -> Case:
    """A book with orders of clients, some of which trade with many."""
    asked = [*test_matched.SWEEP, *test_matched.stream_of(seed, count=30)[1:]]
    if seed % 2:
        asked = test_matched.stream_of(seed, count=40)
    inputs = numbered(events_of(asked))

    def make(links) -> Book:
        return Book(test_matched.OPTIONS, INSTRUMENTS, links, risk=test_matched.RISK)

    return Case(Book, make, inputs, INSTRUMENTS)


def risk_case(stream) -> Case:
    inputs = numbered(test_risk.records_of(stream))
    inputs["cause"] = np.arange(1, len(inputs) + 1)
    symbols = test_risk.SYMBOLS
    return Case(Risk, lambda links: Risk(test_risk.OPTIONS, len(symbols), links), inputs,
                len(symbols), symbols)  # fmt: skip


def options_case(stream) -> Case:
    """Marks of what options are on, some of which expire on the way."""
    inputs = numbered(test_risk.records_of([each[:-1] for each in stream]))
    expires_ns = live_options.expires_ns(test_live_options.option())
    inputs["time_ns"] = expires_ns + (np.cumsum([pause for *_, pause in stream]) - 3) * 10**9
    inputs["cause"] = np.arange(1, len(inputs) + 1)
    symbols, options = test_risk.SYMBOLS, test_live_options.TREE
    return Case(Risk, lambda links: Risk(options, len(symbols), links), inputs,
                len(symbols), symbols)  # fmt: skip


def marks_case(stream) -> Case:
    """Marks that wait for the end of an interval, limits among what is to be told of them."""
    inputs = numbered(test_risk.records_of([each[:-1] for each in stream]))
    inputs["time_ns"] = np.cumsum([pause for *_, pause in stream]) * 500_000
    inputs["cause"] = np.arange(1, len(inputs) + 1)
    symbols = test_risk.SYMBOLS
    options = msgspec.structs.replace(test_risk.TREE, conflate_ms=1)
    rows = max(len(symbols), len(options.portfolios))
    return Case(Risk, lambda links: Risk(options, len(symbols), links), inputs, rows, symbols)


def trades_case(drawn) -> Case:
    """Executions that become positions, between marks that wait or do not."""
    stream, options = drawn
    inputs = test_executions.records_of(stream)
    inputs["cause"] = np.arange(1, len(inputs) + 1)
    symbols, rows = test_risk.SYMBOLS, len(options.portfolios)
    return Case(Risk, lambda links: Risk(options, len(symbols), links), inputs, rows, symbols)


STREAMS = st.lists(st.tuples(test_book.MESSAGES, st.sampled_from([0, 1, 2, 3])), max_size=40)
CASES = st.one_of(
    STREAMS.map(book_case),
    st.tuples(STREAMS, st.lists(test_book.QUARTERS, min_size=42, max_size=42)).map(venues_case),
    st.integers(0, 1 << 32).map(orders_case),
    st.lists(test_risk.TOPS, max_size=40).map(risk_case),
    st.lists(test_risk.TIMED, max_size=40).map(marks_case),
    st.lists(test_risk.TIMED, max_size=40 if compiled() else 5).map(options_case),
    st.tuples(
        st.lists(test_executions.STEPS, max_size=40), st.sampled_from(test_executions.TRADING)
    ).map(trades_case),
)


@st.composite
def deaths(draw, story: Story) -> Death:
    """Any point at which a stage can die: what it let go of had been answered."""
    end = len(story.given) - 1
    took = draw(st.integers(0, end))
    released = draw(st.integers(0, took))
    visible = draw(st.integers(story.given[released], story.given[took]))
    waiting = draw(st.integers(0, end - took))
    logged = draw(st.integers(released, took + waiting))
    return Death(took, released, visible, draw(st.integers(0, visible)), waiting, logged)


class Killed(BaseException):
    """Stands for a kill in the middle of a recovery."""


def resume(case: Case, at: Joint, snapshots: Path, death: Death, *dies: int):
    """Join the rings again and go on; the journal is written to the end meanwhile.

    dies: after so many beats the recovery is killed, and another begins.
    """
    there = death.took + death.waiting
    with past_of(case, snapshots, death.logged) as (past, log):
        for beats in (*dies, None):
            at.links, left = at.join(), itertools.count(beats or 0, -1)
            stage = case.make(at.links)

            def beat(left=left, mortal=beats is not None) -> None:
                log.append_records(case.inputs[log.written : min(log.written + 2, there)])
                if mortal and next(left) == 0:
                    raise Killed

            try:
                done = recovery.resume(stage, NAME, past, beat)
                return stage, done, log.written
            except Killed:
                at.leave()
    raise AssertionError


@settings(max_examples=EXAMPLES)
@given(data=st.data(), case=CASES)
def test_nobody_sees_that_a_stage_was_gone(data, case):
    end = len(case.inputs)
    saved_at = data.draw(st.sets(st.integers(0, end), max_size=3), "snapshots")
    with tempfile.TemporaryDirectory() as folder, case.joint() as at:
        snapshots = Path(folder)
        story = undisturbed(case, snapshots, saved_at)
        death = data.draw(deaths(story), "death")
        die(case, at, death)
        segment = at.targets[case.target].segment
        slots = slots_of(segment, case.target)
        seen = slots[1 : death.visible + 1].copy()
        slots["cause"][1 : death.visible + 1] = -7  # must not be written once more
        dies = data.draw(st.lists(st.integers(0, 6), max_size=2), "dies again")
        spoilt = data.draw(st.sets(st.sampled_from(sorted(saved_at) or [-1])), "damaged") & saved_at
        for number in spoilt:
            spoil(snapshots / f"{number:020d}.snapshot")
        stage, (again, late), written = resume(case, at, snapshots, death, *dies)
        assert (slots["cause"][1 : death.visible + 1] == -7).all()
        slots[1 : death.visible + 1] = seen

        line = ring.lines(at.sources[case.source].segment.payload)[1][0]
        position = int(line["position"])
        shown = at.links.writers[case.target].written  # when the last recovery began
        good = [s for s in saved_at - spoilt if story.given[s] <= shown]
        begun = max(good, default=0)
        assert death.released <= position <= end
        assert again == position - begun if position > begun else again == 0
        assert story.given[position] == shown + late
        assert position <= max(written, begun)
        assert shown >= death.visible
        assert dies or shown == death.visible
        assert slots["sequence"].max() == story.given[position]

        push_all(at.sources[case.source], case.inputs[death.took + death.waiting :])
        at.sources[case.source].close()
        got = turn_until_finished(stage, at, case.target)[case.target]
        assert got.tobytes() == story.outputs.tobytes()
        assert counters_of(at) == story.counters
        assert at.balanced()
        for name, rows in boards_of(at).items():
            assert rows.tobytes() == story.boards[name].tobytes(), name


def spoil(path: Path) -> None:
    """Damage the state in a snapshot, not its description."""
    content = bytearray(path.read_bytes())
    content[mmap.PAGESIZE + 9] ^= 4
    path.write_bytes(content)


def test_a_snapshot_of_what_was_not_shown_yet_is_not_begun_with():
    """What it had given could not be published by one that goes on from there."""
    case = book_case(moves(30))
    with tempfile.TemporaryDirectory() as folder, case.joint() as at:
        story = undisturbed(case, Path(folder), {10, 20})
        shown = story.given[20] - 1
        death = Death(took=30, released=0, visible=shown, noted=0, logged=30)
        die(case, at, death)
        _, (again, late), _ = resume(case, at, Path(folder), death)
        assert (again, late) == (20, story.given[30] - shown)  # from the tenth on
        assert at.took("book").tobytes() == story.outputs.tobytes()


def moves(count: int) -> list:
    """Orders that come and go: each time a level and a top go out."""
    kinds = Event.ADD, Event.DELETE
    return [
        (test_book.Message(kinds[n % 2], n // 2 % 3, order=n // 2 % 9 + 1, side=Side.BID,
                           price=98 + n % 7, quantity=5), 0)
        for n in range(count)
    ]  # fmt: skip


@settings(max_examples=EXAMPLES // 4)
@given(data=st.data())
def test_a_full_ring_is_waited_for(data):
    """Rings that go round many times, and a reader that takes a little between two looks."""
    case = book_case(moves(600))
    saved_at = data.draw(st.sets(st.integers(0, 600), max_size=3), "snapshots")
    took, slow = data.draw(st.integers(100, 600), "took"), data.draw(st.integers(1, 9), "slow")
    with tempfile.TemporaryDirectory() as folder, case.joint(capacity=128) as at:
        snapshots = Path(folder)
        story = undisturbed(case, snapshots, saved_at)
        parts = live(case, at, took, slow)
        position = int(ring.lines(at.sources["events"].segment.payload)[1][0]["position"])
        read = int(ring.lines(at.targets["book"].segment.payload)[1][0]["position"])
        released = data.draw(st.integers(max(position - 64, 0), position), "released")
        least = max(story.given[released], read)
        visible = data.draw(st.integers(least, story.given[position]), "visible")
        noted = data.draw(st.integers(least, visible), "noted")
        kill(case, at, Death(position, released, visible, noted))
        at.links = at.join()
        stage = case.make(at.links)
        with past_of(case, snapshots, at.sources["events"].written) as (past, _):
            recovery.resume(stage, NAME, past, lambda: parts.append(some(at, slow)))
        while not stage.finished:
            feed(case, at, 600)
            stage.turn(0)
            parts.append(some(at, slow))
        while len(part := some(at, slow)):
            parts.append(part)
        assert np.concatenate(parts).tobytes() == story.outputs.tobytes()
        assert counters_of(at) == story.counters


def live(case: Case, at: Joint, took: int, slow: int) -> list[np.ndarray]:
    """Have a stage take at least so many inputs; what its slow reader got."""
    stage, parts, taken = case.make(at.links), [], 0
    stage.open()
    while taken < took:
        feed(case, at, took)
        taken += stage.turn(0)
        parts.append(some(at, slow))
    return parts


def feed(case: Case, at: Joint, end: int) -> None:
    """Push what there is room for; say at the end that no more will come."""
    writer = at.sources[case.source]
    writer.written += writer.push(np.ascontiguousarray(case.inputs[writer.written : end]))
    if writer.written == len(case.inputs):
        ring.close(writer.view)


def some(at: Joint, count: int) -> np.ndarray:
    """Copies of the next few records that a stage has published."""
    reader = at.targets["book"]
    records = reader.take(TOP, count).copy()
    if len(records):
        reader.release(int(records["sequence"][-1]))
    return records


DAY = SyntheticOptions(messages=600, symbols=5, seed=5)
OTHER = SyntheticOptions(messages=400, symbols=3, seed=6)


def log_of(stage: Ingest, at: Joint) -> np.ndarray:
    """All events of a source, arrival left out."""
    log = turn_until_finished(stage, at, "events")["events"]
    log["arrived_ns"] = 0
    return log


def ingest_of(at: Joint, *feeds, **options) -> Ingest:
    return Ingest(IngestOptions(**options), list(feeds) or [DAY, OTHER], at.links)


def whole_log() -> tuple[np.ndarray, dict, bytes]:
    """Events, counters and instruments of a source that nothing happens to."""
    with joint(Ingest, parts=2) as at:
        stage = ingest_of(at)
        stage.open()
        log = log_of(stage, at)
        return log, counters_of(at), at.content("instruments").tobytes()


def source_dies(at: Joint, visible: int, noted: int, *feeds) -> None:
    """Have a source publish so many whole events, and one that is half written."""
    stage = ingest_of(at, *feeds)
    stage.open()
    while stage.turn(0):
        pass
    at.leave()
    unwrite(at.targets["events"].segment, "events", visible)
    ring.lines(at.targets["events"].segment.payload)[0]["written"] = noted
    at.links = at.join()


@settings(max_examples=EXAMPLES // 3)
@given(visible=st.integers(0, 1000), short=st.integers(0, 100))
def test_a_source_goes_on_where_its_log_ends(visible, short):
    log, counters, instruments = whole_log()
    visible = min(visible, len(log))
    with joint(Ingest, parts=2) as at:
        source_dies(at, visible, max(visible - short, 0))
        stage = ingest_of(at)
        assert recovery.rerun(stage, NAME) == visible
        got = log_of(stage, at)
        assert got.tobytes() == log.tobytes()
        assert counters_of(at) == counters
        assert at.content("instruments").tobytes() == instruments
        assert at.balanced()


def test_a_source_waits_for_room_and_keeps_its_pace_again():
    """What comes next is due when it is due: nothing of it is sent early by the way back."""
    beats = []
    with joint(Ingest, parts=1) as at:
        source_dies(at, 100, 100, DAY)
        stage = ingest_of(at, DAY, rate=0.001)
        assert recovery.rerun(stage, NAME, lambda: beats.append(1)) == 100
        assert stage.turn(0) == 1  # the next is due in a quarter of an hour
        assert stage.turn(0) == 0
        assert len(at.took("events")) == 101
        assert beats


def test_a_source_whose_first_events_come_again_without_a_pace():
    with joint(Ingest, parts=1) as at:
        source_dies(at, 0, 0, DAY)
        stage = ingest_of(at, DAY, rate=0.001)
        assert recovery.rerun(stage, NAME) == 0
        assert stage.turn(0) == 1


def test_feeds_that_changed_are_refused(tmp_path):
    write_file(DAY, tmp_path / "day.itch")
    write_file(SyntheticOptions(messages=600, symbols=5, seed=8), tmp_path / "other.itch")
    feed = ItchOptions(path=str(tmp_path / "day.itch"))
    with joint(Ingest, parts=1) as at:
        source_dies(at, 500, 480, feed)
        (tmp_path / "other.itch").replace(tmp_path / "day.itch")
        with pytest.raises(RecoveryError) as refused:
            recovery.rerun(ingest_of(at, feed), NAME)
        assert str(refused.value) == (
            "the feeds do not give event 500 as the log has it: they have changed; give the files "
            "back as they were, or begin anew with another journal.path"
        )
        assert len(at.took("events")) == 500  # and nothing was added


def test_feeds_that_got_shorter_are_refused(tmp_path):
    write_file(DAY, tmp_path / "day.itch")
    feed = ItchOptions(path=str(tmp_path / "day.itch"))
    with joint(Ingest, parts=1) as at:
        source_dies(at, 500, 480, feed)
        write_file(SyntheticOptions(messages=100, symbols=5, seed=5), tmp_path / "day.itch")
        with pytest.raises(RecoveryError, match=r"the feeds give \d+ events, the log has 500 alr"):
            recovery.rerun(ingest_of(at, feed), NAME)
        assert len(at.took("events")) == 500


def test_what_is_aside_is_seen_by_nobody():
    with joint(Book) as at:
        pattern = recovery.pattern_of(Book, at.links)
        aside = recovery.set_aside(Book, NAME, pattern, {"events": 700, "book": 9}, {})
        assert memory.names(recovery.ASIDE) == []
        with pytest.raises(SegmentError, match="does not exist"):
            memory.attach(recovery.ASIDE, "book", "ring")
        assert aside.links.writers["book"].written == 9
        assert ring.next_unread(aside.links.readers["events"].view) == 701
        stage = Book(test_book.OPTIONS, 16, aside.links)
        recovery.rehearse({NAME: (stage_opened(stage), aside)})
        assert not files.is_aside()
        assert memory.names(recovery.ASIDE) == []


def stage_opened(stage):
    stage.open()
    return stage
