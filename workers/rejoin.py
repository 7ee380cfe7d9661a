"""Having ingest go on after a crash where some of its sources are live: they cannot be read again.

The log itself is what is known. From it come the numbers of the instruments, where each source was
and what of it is in the log already. A source that can be asked from a number on (`rejoin`) is
asked from its last POSITION in the log; files are read from their start; and whatever either gives
that is in the log already is left out, counted as `repeated`. Of a source that can do neither, the
books are stale until it has shown them anew. What ingest itself was about to say when it died
(workers/almanac.py) it says again, as far as the log lacks it.
"""

import time
from collections.abc import Callable, Iterator

import numpy as np

from ringbuf.journal import JournalReader
from ringbuf.share import RingWriter
from workers.ingest import FATES, Ingest
from workers.records import EVENT, Doubt, Event, Mark, empty
from workers.relearned import Relearned, is_ours

CHUNK = 65_536  # events looked at in one go
WAIT_S = 0.0005  # for the journal to come so far
MADE_UP = (Event.STALE, Event.FRESH, Event.CLEAR, Event.POSITION)  # no message gave them


def rejoin(stage: Ingest, log: JournalReader, beat: Callable[[], None] = lambda: None) -> int:
    """Open a stage that is joined to its rings and have it go on behind the log's last event.

    Returns how many events the log had.
    """
    writer: RingWriter = stage.links.writers["events"]
    shown = writer.written
    while shown and log.last < shown:
        beat()
        time.sleep(WAIT_S)
    if not shown:
        for counters in stage.links.panel.counters.values():
            counters.reshape(1).view(np.uint8)[:] = 0
        stage.open()
        return 0
    given = _given(stage, log, shown, beat)
    for number, feed in enumerate(stage.feeds):
        position = given.positions.get(number)
        if hasattr(feed, "rejoin") and given.found[number]:
            codes = _codes(stage, number, given.announced[number])
            doubt = given.doubts.get(number, 0)
            if position is not None and all(codes):
                feed.rejoin(int(position["order"]), int(position["other"]), 0, codes, doubt)
            else:
                session = 0 if position is None else int(position["other"])
                feed.rejoin(1, session, 0, (), doubt)
                given.counts[number] = given.given[number]
    stage.open()
    _know(stage)
    given.ours.teach(stage)
    for number, feed in enumerate(stage.feeds):
        if feed.live and not hasattr(feed, "rejoin"):
            _doubt(stage, number, writer)
        else:
            stage.source(number).repeats = given.counts[number]
    _count(stage, writer.written, given)
    return shown


class _Given:
    """What the log has of each source."""

    def __init__(self, sources: int, instruments: int, first: int) -> None:
        self.ours = Relearned(instruments, first)
        self.found = [0] * sources  # all events
        self.given = [0] * sources  # that its messages gave
        self.counts = [0] * sources  # that its messages gave, since its last position
        self.positions: dict[int, np.void] = {}
        self.met: list[set[int]] = [set() for _ in range(sources)]  # instruments announced
        self.announced: list[set[int]] = [set() for _ in range(sources)]  # before the position
        self.doubts: dict[int, int] = {}  # of the last STALE event, where no FRESH came after it


def _given(stage: Ingest, log: JournalReader, shown: int, beat: Callable[[], None]) -> _Given:
    given = _Given(len(stage.feeds), stage.options.instruments, log.first)
    for events in _chunks(log, shown, beat):
        given.ours.note(events)
        theirs = events[~is_ours(events)]
        for number in range(len(stage.feeds)):
            mine = theirs[theirs["source"] == number]
            if len(mine):
                _note(given, number, mine)
    return given


def _chunks(log: JournalReader, shown: int, beat: Callable[[], None]) -> Iterator[np.ndarray]:
    sequence = log.first
    while sequence <= shown:
        events = log.read(sequence, min(CHUNK, shown - sequence + 1))
        sequence += len(events)
        beat()
        yield events


def _note(given: _Given, number: int, events: np.ndarray) -> None:
    given.found[number] += len(events)
    given.given[number] += _of_messages(events)
    kinds = events["kind"]
    doubts = events[(kinds == Event.STALE) | (kinds == Event.FRESH)]
    if len(doubts):
        given.doubts[number] = int(doubts[-1]["flags"]) * int(doubts[-1]["kind"] == Event.STALE)
    places = np.flatnonzero(kinds == Event.POSITION)
    named = kinds == Event.DIRECTORY
    if len(places):
        before = events["instrument"][: places[-1]][named[: places[-1]]]
        given.announced[number] = given.met[number] | {*before.tolist()}
        given.positions[number] = events[places[-1]].copy()
        given.counts[number] = 0
        given.met[number] |= {*events["instrument"][named].tolist()}
        events = events[places[-1] + 1 :]
    else:
        given.met[number] |= {*events["instrument"][named].tolist()}
    given.counts[number] += _of_messages(events)


def _of_messages(events: np.ndarray) -> int:
    """How many events messages gave, and not the feed or ingest by themselves."""
    ours = (events["kind"] == Event.STATUS) & (events["flags"] & Mark.BARRED != 0)
    return int(np.count_nonzero(~np.isin(events["kind"], MADE_UP) & ~ours))


def _instruments(stage: Ingest, number: int) -> list[tuple[int, np.void]]:
    """The rows of a source's instruments, with their numbers."""
    rows = stage.links.boards["instruments"].all()
    return [(n, row) for n, row in enumerate(rows) if row["symbol"] and row["source"] == number]


def _codes(stage: Ingest, number: int, announced: set[int]) -> list[int]:
    """The source's own codes of instruments; 0: not known, as only shared memory keeps them."""
    return [int(row["code"]) for n, row in _instruments(stage, number) if n in announced]


def _know(stage: Ingest) -> None:
    """Give instruments the numbers that they have."""
    for number in range(len(stage.feeds)):
        for instrument, row in _instruments(stage, number):
            stage.numbers[number, 0, row["symbol"].decode()] = instrument
            if row["code"] and hasattr(stage.feeds[number], "rejoin"):
                stage.know(number, int(row["code"]), instrument)


def _doubt(stage: Ingest, number: int, writer: RingWriter) -> None:
    """Say in the log that the books of a source are stale."""
    numbers = [instrument for instrument, _ in _instruments(stage, number)]
    events = empty(EVENT, len(numbers))
    events["instrument"], events["kind"] = numbers, Event.STALE
    events["flags"], events["source"] = Doubt.RESTART, number
    events["time_ns"] = events["arrived_ns"] = time.time_ns()
    sent = 0
    while sent < len(events):
        sent += writer.push(events[sent:])
    tally = stage.links.panel.counters["ingest"]
    tally["added"] += len(events)


def _count(stage: Ingest, written: int, given: _Given) -> None:
    """Make the counters tell of everything that is in the log, and balance again."""
    counters = stage.links.panel.counters
    tally = counters["ingest"]
    if not tally["published"]:  # the panel is new: the host was away
        tally["added"] += given.ours.count
    tally["published"] = written
    tally["received"] = sum(int(tally[name]) for name in FATES) - int(tally["added"])
    blocks = [counters[f"feed{number}"] for number in range(len(stage.feeds))]
    staged = [int(stage.source(number).count) for number in range(len(blocks))]
    fed = sum(int(block["events"]) for block in blocks) - sum(staged)
    if fed < tally["received"]:  # the panel is new too: the host was away
        for block, found in zip(blocks, given.found, strict=True):
            block["events"] += found
        fed += sum(given.found)
    tally["abandoned"] = fed - int(tally["received"])
    for block in blocks:
        told = sum(int(block[name]) for name in ("events", "ignored", "bad_values"))
        block["further"] = told - int(block["messages"]) - int(block["announced"])
