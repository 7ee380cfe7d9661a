"""What the disk knows of a pipeline: put in order, cut, and given back to new memory."""

import json

import numpy as np
import pytest

from pipeline import launch, past, plan
from pipeline.config import ConfigError, load
from ringbuf import memory, snapshot
from ringbuf.board import Board
from ringbuf.journal import Journal, JournalError
from ringbuf.memory import HEADER
from ringbuf.record import offset
from ringbuf.ring import claim, lines
from ringbuf.share import Observer, RingWriter, begin_after
from tests.pipeline.running import portfolios
from tests.workers.deaths import log_of
from tuning import topology
from workers.feeds.synthetic import SyntheticOptions, symbols
from workers.instruments import Names

DAY = {"kind": "synthetic", "messages": 500, "symbols": 5, "seed": 3}
FEED = SyntheticOptions(messages=500, symbols=5, seed=3)
SIZES = {"events": 256, "book": 256, "risk": 128}
RINGS = ("events", "book", "risk")
WHOSE = "journal.path: {} is the journal of pipeline 'another', this is {!r}; choose another folder"


class Kept:
    """A pipeline with journals of a whole day, of which none is written yet."""

    def __init__(self, place) -> None:
        self.folder = place.folder / "kept"
        path = place.write(
            feeds=[DAY], risk=portfolios(DAY), rings=SIZES, ingest={"instruments": 16},
            book={"orders": 2048, "levels": 1024},
            journal={"path": str(self.folder), "segment_mb": 1},
        )  # fmt: skip
        self.config = load(path)
        self.plan = plan.make(self.config, topology.read())
        self.records = {"events": log_of(FEED)}
        self.replica = past.replica(self.config, self.plan)
        for name, parts in self.replica.take(self.records["events"]).items():
            self.records[name] = np.concatenate(parts)

    def write(self, **counts: int) -> None:
        """Have the journals hold the first so many records, or all."""
        with past.journals(self.plan) as logs:
            for name, log in logs.items():
                log.append_records(self.records[name][: counts.get(name)])

    def ends(self) -> dict[str, int]:
        with past.journals(self.plan) as logs:
            return {name: log.written for name, log in logs.items()}

    def content(self, name: str) -> bytes:
        reader = past.JournalReader(self.folder / name, plan.LAYOUTS[name])
        return reader.read(1, 1 << 20).tobytes()

    def save(self, events: int) -> None:
        """A snapshot as of an event."""
        replica = past.replica(self.config, self.plan)
        replica.take(self.records["events"][:events])
        folder, shape = self.folder / past.SNAPSHOTS, past.shape(self.config)
        snapshot.save(folder, replica.positions, shape, replica.blocks())

    def saved(self) -> list[int]:
        listed = snapshot.listed(self.folder / past.SNAPSHOTS)
        return [item.positions["events"] for item in listed]


@pytest.fixture
def kept(place):
    made = Kept(place)
    assert all(len(made.records[name]) > SIZES[name] for name in RINGS)
    yield made
    launch.remove(place.name)


@pytest.mark.parametrize("events", [0, 1, 7, 250, 10**6])
def test_answers_to_what_is_not_in_the_log_are_cut(kept, events):
    kept.write(events=events)
    events = min(events, len(kept.records["events"]))
    book = int((kept.records["book"]["cause"] <= events).sum())
    risk = int((kept.records["risk"]["cause"] <= book).sum())
    assert risk > 0 or events < 100
    for _ in range(2):  # and once more changes nothing
        with past.journals(kept.plan) as logs:
            assert past.trim(logs, kept.folder) == {"events": events, "book": book, "risk": risk}
        for name, end in (("events", events), ("book", book), ("risk", risk)):
            assert kept.content(name) == kept.records[name][:end].tobytes()


def test_a_log_that_lost_nothing_is_left_alone(kept):
    kept.write(book=200, risk=10)
    with past.journals(kept.plan) as logs:
        assert past.trim(logs, kept.folder)["book"] == 200


class Rings:
    """The rings of a dead run."""

    def __init__(self, kept: Kept) -> None:
        launch.create(kept.plan).close()
        self.kept, self.writers = kept, {}

    def hold(self, name: str, first: int, last: int) -> None:
        """Have a ring hold some records; the next is half written."""
        pipeline = self.kept.plan.pipeline
        segment = memory.attach(pipeline, name, "ring", writable=True)
        begin_after(segment, first - 1)
        writer = RingWriter(pipeline, name, plan.LAYOUTS[name])
        writer.line["gate"] = 1 << 60  # nobody is waited for
        records = self.kept.records[name][first - 1 : last]
        assert writer.push(np.ascontiguousarray(records)) == len(records)
        claim(writer.view, last + 1)
        writer.segment.close()
        segment.close()


def test_what_dead_rings_hold_beyond_the_journals_is_written_down(kept):
    kept.write(events=100, book=150, risk=0)
    rings = Rings(kept)
    rings.hold("events", 91, 200)
    rings.hold("book", 100, 151)
    rings.hold("risk", 1, 30)
    with past.journals(kept.plan) as logs:
        assert past.salvage(kept.plan, logs) == 100 + 1 + 30
        assert past.salvage(kept.plan, logs) == 0
    assert kept.ends() == {"events": 200, "book": 151, "risk": 30}
    for name, end in kept.ends().items():
        assert kept.content(name) == kept.records[name][:end].tobytes()


def test_what_does_not_follow_the_journal_is_not_believed(kept):
    """The ring has gone on without the journal: what is between is nowhere."""
    kept.write(events=10, book=10, risk=10)
    rings = Rings(kept)
    rings.hold("events", 12, 200)  # nothing of 11
    rings.hold("book", 1, 10)  # nothing new
    path = memory.FOLDER / memory.full_name(kept.plan.pipeline, "risk")
    rings.hold("risk", 1, 40)
    with path.open("r+b") as file:  # of another boot
        file.seek(offset(HEADER, "boot"))
        file.write(b"another-boot")
    with past.journals(kept.plan) as logs:
        assert past.salvage(kept.plan, logs) == 0
    assert kept.ends() == {"events": 10, "book": 10, "risk": 10}


def test_without_memory_of_a_dead_run_there_is_nothing_to_save(kept):
    kept.write(events=5, book=0, risk=0)
    with past.journals(kept.plan) as logs:
        assert past.salvage(kept.plan, logs) == 0


@pytest.mark.parametrize("events", [0, 3, 400])
def test_new_memory_goes_on_where_the_journals_end(kept, events):
    kept.write(events=events)
    if events > 100:
        kept.save(100)  # the rest of the instruments comes from the log
    segment, cleared = launch.prepare(kept.config, kept.plan)
    run_id = segment.text["run_id"]
    segment.close()
    assert cleared == 0
    ends = kept.ends()
    name = kept.plan.pipeline
    for ring, end in ends.items():
        onlooker = Observer(name, ring)
        latest = onlooker.latest(SIZES[ring])
        expected = kept.records[ring][:end][-SIZES[ring] :]
        assert latest.tobytes() == expected.tobytes()
        writer, readers = lines(onlooker.segment.payload)
        assert writer["written"] == end
        positions = {int(line["position"]) for line in readers if line["name"]}
        assert positions == {end}
        onlooker.close()
    named = Names(Board(name, "instruments")).all()
    assert [*named] == (symbols(FEED) if events > 10 else symbols(FEED)[: max(events - 1, 0)])
    again, cleared = launch.prepare(kept.config, kept.plan)
    assert cleared > 5
    assert again.text["run_id"] == run_id == past.read_run(kept.folder).run_id
    again.close()


def test_a_run_is_known_by_its_folder(kept):
    before = past.new_run_id()
    run = past.claim(kept.config, kept.plan)
    assert run.run_id >= before[:15]
    assert run.pipeline == kept.plan.pipeline
    assert past.claim(kept.config, kept.plan) == run == past.read_run(kept.folder)
    assert run.config["risk"]["portfolios"][0]["name"] == "long"
    assert "journal" not in run.config


def test_the_journal_of_another_pipeline_is_refused(kept):
    past.claim(kept.config, kept.plan)
    path = kept.folder / past.RUN_FILE
    path.write_text(path.read_text().replace(kept.plan.pipeline, "another"))
    with pytest.raises(ConfigError) as refused:
        launch.prepare(kept.config, kept.plan)
    assert refused.value.problems == [WHOSE.format(kept.folder, kept.plan.pipeline)]
    assert memory.names(kept.plan.pipeline) == []


def test_a_folder_that_cannot_be_is_refused(kept):
    kept.folder.write_text("mine")
    with pytest.raises((ConfigError, JournalError), match="choose another"):
        launch.prepare(kept.config, kept.plan)
    assert memory.names(kept.plan.pipeline) == []
    assert kept.folder.read_text() == "mine"


@pytest.mark.parametrize(
    ("text", "said"),
    [("{", "is damaged"), ('{"format": 1}', "is damaged"), (None, "has format 99, this program")],
)
def test_a_run_file_that_says_something_else_is_refused(kept, text, said):
    run = past.claim(kept.config, kept.plan)
    told = {"format": 99, "pipeline": run.pipeline, "run_id": "x", "created": "", "config": {}}
    (kept.folder / past.RUN_FILE).write_text(json.dumps(told) if text is None else text)
    with pytest.raises(JournalError, match=said):
        past.claim(kept.config, kept.plan)


def test_snapshots_of_what_is_in_no_journal_any_more_go(kept):
    kept.write(events=120)
    for events in (50, 120, 121, 300):
        kept.save(events)
    with past.journals(kept.plan) as logs:
        past.rebuild(kept.config, kept.plan, logs)
    assert kept.saved() == [50, 120]
    assert past.forget_beyond(kept.plan, 50) == 1
    assert past.forget_beyond(kept.plan, 50) == 0
    assert kept.saved() == [50]


def test_the_newest_snapshot_that_gave_no_more_than_what_is_shown(kept):
    kept.write()
    given = {}
    for events in (50, 150, 300):
        kept.save(events)
        given[events] = int((kept.records["book"]["cause"] <= events).sum())

    def newest(shown: int) -> int | None:
        found = past.newest(kept.config, kept.plan, "book", shown)
        return found and found.positions["events"]

    assert newest(10**6) == newest(given[300]) == 300
    assert newest(given[300] - 1) == newest(given[150]) == 150
    assert newest(given[150] - 1) == 50
    assert newest(given[50] - 1) is None
    assert past.newest(kept.config, kept.plan).positions["events"] == 300
    book = past.past_of(kept.config, kept.plan, "book")
    assert book.newest(given[150], None).positions["book"] == given[150]
    assert book.newest(10**6, 149).positions["events"] == 50
    assert book.newest(10**6, 49) is None


def test_all_that_a_recovery_calls_is_there_to_be_loaded(kept):
    with past.journals(kept.plan) as logs:
        assert set(logs) == set(RINGS)
        with pytest.raises(JournalError, match="another process is writing"):
            Journal(kept.folder / "book", "book", plan.LAYOUTS["book"])
    past.rehearse(kept.plan)
    launch.warm(kept.config, kept.plan)
