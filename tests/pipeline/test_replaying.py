"""`corelane replay`: what comes out of a kept log again, and how it is told from what came then."""

import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest

from pipeline.journals import listing
from pipeline.past import RUN_FILE
from pipeline.replaying import Choice, Pace, replay
from ringbuf.journal import Journal, JournalError, JournalReader
from ringbuf.journal_files import path_of
from tests.pipeline.desks import records
from tests.pipeline.logs import BYTES, IN_SEGMENT, RINGS, corelane, whole_run
from tests.pipeline.running import COMMAND, Place, portfolios, spawn

OPTIONS = {"segment_mb": 1, "snapshot_s": 0.2}


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """The journals of one run, for reading only."""
    place = Place(tmp_path_factory.mktemp("run"))
    folder = place.folder / "journal"
    try:
        config = place.write(
            risk=portfolios(),
            ingest={"rate": 10_000},
            journal={"path": str(folder), **OPTIONS, "snapshots": 50},
        )
        place.run(config)
    finally:
        place.close()
    return folder


@pytest.fixture
def copy(run, tmp_path) -> Path:
    """The same journals, to be changed."""
    return Path(shutil.copytree(run, tmp_path / "journal"))


def digests(folder: Path) -> dict[str, str]:
    return {log.ring: log.digest for log in listing(folder).rings if log.ring != "events"}


def given(replayed) -> dict[str, str]:
    """The digests of what a replay gave."""
    return {ring.ring: f"{ring.chain & (1 << 64) - 1:016x}" for ring in replayed.rings}


def test_the_same_comes_out_again(run):
    ran = corelane("replay", run)
    assert ran.exit_code == 0, ran.output
    last = listing(run).rings[0].last
    assert f"events 1 to {last:,}: {last:,} replayed in " in ran.output
    for ring, digest in digests(run).items():
        (line,) = [line for line in ran.output.splitlines() if line.startswith(f"{ring}: ")]
        assert f"digest {digest}, the same as in the run" in line


def test_a_replay_begins_at_a_snapshot(run):
    last = listing(run).rings[0].last
    whole = given(replay(Choice(run)))
    begun = [item.positions["events"] for item in listing(run).snapshots]
    assert len(begun) > 2
    for first in (2, begun[0] + 1, begun[1], begun[1] + 57, last):
        found = replay(Choice(run, first=first))
        assert found.same
        before = max((position for position in begun if position < first), default=0)
        assert (found.first, found.last) == (before + 1, last)
        assert given(found) == whole
        assert sum(ring.records for ring in found.rings) == sum(
            log.last - state
            for log, state in zip(listing(run).rings[1:], positions(run, before), strict=True)
        )


def positions(run: Path, event: int) -> list[int]:
    """How far book and risk were at a snapshot."""
    for item in listing(run).snapshots:
        if item.positions["events"] == event:
            return [item.positions["book"], item.positions["risk"]]
    return [0, 0]


def test_a_part_comes_out_the_same(run):
    for last in (1, 777, 9_999):
        found = replay(Choice(run, last=last))
        assert (found.events, found.last, found.same) == (last, last, True)
        for ring in found.rings:
            log = JournalReader(run / ring.ring)
            assert ring.compared == ring.records
            assert ring.chain == log.chain_at(ring.last)
            if ring.last < log.last and ring.ring == "book":
                assert log.read(ring.last + 1, 1)["cause"][0] > last


def test_uncompiled_kernels_give_the_same(run):
    words = ["replay", str(run), "--to", "3000"]
    compiled = corelane(*words).output.splitlines()[1:]
    process = spawn([*COMMAND, *words], NUMBA_DISABLE_JIT="1")
    out, err = process.communicate(timeout=400)
    assert (process.returncode, err) == (0, "")
    assert out.splitlines()[1:] == compiled


def test_a_log_as_a_feed_gives_the_same(run, place):
    """The whole pipeline once more, all stages in one process, its source being the log."""
    again = place.folder / "journal"
    stages = ["ingest", "book", "risk", "journal", "snapshot"]
    place.run(
        place.write(
            feeds=[{"kind": "journal", "path": str(run)}],
            risk=portfolios(),
            processes=[stages],
            journal={"path": str(again), **OPTIONS},
        )
    )
    assert digests(again) == digests(run)


def test_other_options_show_where_they_differ_first(run, place):
    config = place.write(risk=portfolios(), book={"publish_levels": True})
    ran = corelane("replay", run, "--config", config)
    assert ran.exit_code == 1
    log = JournalReader(run / "book")
    found = replay(Choice(run, config=config))
    book, risk = found.rings
    place_, then = book.differs_at, log.read(book.differs_at, 1)
    assert f"book: {book.records:,} records, digest {given(found)['book']}, differs" in ran.output
    assert f"differs from the run at record {place_:,}" in ran.output
    assert f"  then: {then[0]}" in ran.output
    assert book.shown[1].tobytes() == then.tobytes()
    assert book.shown[0].tobytes() != then.tobytes()
    assert book.records > log.last
    assert risk.differs_at, "each answers a record that has another number now"


def test_one_changed_event_is_seen_in_what_answers_it(run, tmp_path):
    folder = tmp_path / "journal"
    shutil.copytree(run, folder, ignore=shutil.ignore_patterns("events"))
    log = JournalReader(run / "events")
    events = log.read(1, log.last)
    (adds,) = np.nonzero(events["kind"][:5_000] == 1)
    events["quantity"][adds[-1]] += 1
    new = Journal(folder / "events", "events", RINGS["events"])
    new.append_records(events)
    new.close()
    found = replay(Choice(folder))
    assert not found.same
    book = found.rings[0]
    answered = JournalReader(run / "book").read(book.differs_at, 1)["cause"][0]
    assert answered > adds[-1]
    assert replay(Choice(folder, last=int(adds[-1]))).same


def test_a_crash_leaves_less_to_compare_with(copy):
    log = Journal(copy / "book", "book", RINGS["book"], 1 << 20)
    end = log.written
    log.cut(end - 100)
    log.close()
    book, risk = (found := replay(Choice(copy))).rings
    assert found.same
    assert (book.records, book.compared) == (end, end - 100)
    assert f"as far as its journal goes ({end - 100:,})" in book.verdict
    assert risk.verdict == "the same as in the run"
    shutil.rmtree(copy / "book")
    assert replay(Choice(copy)).rings[0].chain == book.chain


def test_a_log_without_its_beginning_needs_a_snapshot(copy):
    log = JournalReader(copy / "events")
    last = log.last
    kept = log.read(1, last)
    shutil.rmtree(copy / "events")
    small = Journal(copy / "events", "events", RINGS["events"], BYTES)
    small.append_records(kept)
    small.close()
    path_of(copy / "events", 1).unlink()
    begun = [item.positions["events"] for item in listing(copy).snapshots]
    first = next(position for position in begun if position >= IN_SEGMENT) + 1
    assert first <= last
    assert replay(Choice(copy, first=first)).same
    gone = f"begins with event {IN_SEGMENT + 1}, and there is no snapshot"
    with pytest.raises(JournalError, match=gone):
        replay(Choice(copy))
    shutil.rmtree(copy / "snapshots")
    with pytest.raises(JournalError, match="no snapshot"):
        replay(Choice(copy, first=last))


def test_answers_that_are_not_kept_are_not_compared(copy):
    """Each ring keeps as much as it may: of one the beginning is gone, of the other it is not."""
    log = JournalReader(copy / "book")
    end = log.last
    kept = log.read(1, end)
    shutil.rmtree(copy / "book")
    small = Journal(copy / "book", "book", RINGS["book"], BYTES)
    small.append_records(kept)
    small.close()
    path_of(copy / "book", 1).unlink()
    book, _ = (found := replay(Choice(copy))).rings
    assert found.same
    assert (book.records, book.compared) == (end, end - IN_SEGMENT)


def test_damage_is_told(copy):
    path = path_of(copy / "events", 1)
    content = bytearray(path.read_bytes())
    content[9_000] ^= 8
    path.write_bytes(content)
    ran = corelane("replay", copy)
    assert ran.exit_code == 2
    assert f"journal {path}: record 77, at byte 8960, is damaged" in ran.output


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["{none}"], "is no journal of a pipeline"),
        (["{run}", "--from", "30000"], "30,000"),
        (["{run}", "--from", "9", "--to", "8"], "--to"),
        (["{run}", "--to", "30000"], "30,000"),
    ],
)
def test_what_makes_no_sense_is_refused(run, tmp_path, words, reason):
    ran = corelane("replay", *(word.format(run=run, none=tmp_path / "none") for word in words))
    assert (ran.exit_code, reason in ran.output) == (2, True), ran.output


def test_a_run_record_of_another_format_is_refused(copy):
    text = (copy / RUN_FILE).read_text()
    (copy / RUN_FILE).write_text(text.replace('"format": 1', '"format": 2'))
    ran = corelane("replay", copy)
    assert (ran.exit_code, "has format 2" in ran.output) == (2, True)
    (copy / RUN_FILE).write_text(text[:40])
    ran = corelane("replay", copy)
    assert (ran.exit_code, "is damaged" in ran.output) == (2, True)


def test_a_pace_loses_nothing_and_is_never_early():
    events = records("event", 400)
    events["time_ns"] = 10**18 + np.arange(400) * 1_000_000  # 0.4 s
    events["order"] = np.arange(400)
    pace, began, seen = Pace(4.0), time.monotonic(), []
    for start in (0, 150):
        for part in pace.slices(events[start : 150 if start == 0 else 400]):
            due = (part["time_ns"][-1] - 10**18) / 1e9 / 4
            assert time.monotonic() - began >= due
            seen += part["order"].tolist()
    assert seen == list(range(400))


def test_no_pace_is_one_slice():
    events = records("event", 10)
    assert [len(part) for part in Pace(0.0).slices(events)] == [10]


def test_a_replay_leaves_the_journals_as_they_are(run):
    def stamps() -> dict[str, tuple]:
        found = {path: path.stat() for path in run.rglob("*") if path.is_file()}
        return {str(path): (stat.st_mtime_ns, stat.st_size) for path, stat in found.items()}

    before = stamps()
    assert corelane("replay", run).exit_code == 0
    assert stamps() == before
    assert os.listdir(run) == os.listdir(run)


def test_journals_of_stages_that_were_not_are_no_matter(tmp_path):
    """Made up, so that what the stages give is not what is there."""
    folder = whole_run(tmp_path)
    text = (folder / RUN_FILE).read_text()
    config = '{"name": "kept", "ingest": {}, "book": {}, "risk": {}, "rings": {}}'
    start = text.index('"config": ') + len('"config": ')
    (folder / RUN_FILE).write_text(text[:start] + config + "}")
    found = replay(Choice(folder))
    assert [ring.ring for ring in found.rings] == ["book"]
    assert not found.same
