"""`corelane journal ls`, `tail` and `export`: what they say of journals, and what they refuse."""

import json
import os
import signal
import threading

import duckdb
import numpy as np
import pytest

from pipeline import journal_cli, journal_export, runs
from pipeline.config import ConfigError, parse
from pipeline.journal_tail import tail
from pipeline.journal_verify import check
from pipeline.journals import Announced, listing
from pipeline.tailing import Options, show
from ringbuf import snapshot
from ringbuf.journal import Journal, JournalReader
from tests.pipeline.desks import open_desk
from tests.pipeline.logs import (
    BYTES,
    SYMBOLS,
    answers,
    corelane,
    events,
    risks,
    whole_run,
    write,
)
from tests.pipeline.running import corelane as another
from tests.pipeline.running import portfolios, rows
from workers.archive import restored
from workers.instruments import INSTRUMENT
from workers.records import EVENTS_RING
from workers.records import Book as Kind


@pytest.fixture
def folder(tmp_path):
    return whole_run(tmp_path / "journal")


def test_every_command_takes_the_folder_first():
    for command in journal_cli.journal.commands.values():
        assert command.params[0].name == "folder"


def test_what_there_is_is_listed(folder):
    found = listing(folder)
    assert (found.pipeline, found.run_id) == ("kept", "run-1")
    spans = {log.ring: (log.first, log.last, log.records, log.segments) for log in found.rings}
    assert spans == {
        "events": (1, 250, 250, 3),
        "book": (1, 420, 420, 5),
        "risk": (1, 150, 150, 2),
    }
    assert [log.ring for log in found.rings] == ["events", "book", "risk"]
    log = found.rings[0]
    assert (log.bytes, log.durable) == (3 * BYTES, 250)
    assert (log.begins, log.ends) == ("", "2023-11-14T22:13:20.000000250Z")
    chain = JournalReader(folder / "events").chain_at(250) & (1 << 64) - 1
    assert log.digest == f"{chain:016x}"
    assert listing(folder) == found
    assert as_json_of(folder)["rings"][2]["last"] == 150
    shown = corelane("journal", "ls", folder).output
    for text in ("events", "250", log.digest, "2023-11-14T22:13:20.000", "run-1"):
        assert text in shown, text


def as_json_of(folder) -> dict:
    return json.loads(corelane("journal", "ls", folder, "--json").output)


def test_equal_logs_have_equal_digests(tmp_path):
    write(tmp_path / "a", "events", events(250))
    write(tmp_path / "b", "events", events(130))
    write(tmp_path / "b", "events", events(250)[130:])
    write(tmp_path / "c", "events", events(251)[1:])
    digests = [listing(tmp_path / name).rings[0].digest for name in "abc"]
    assert digests[0] == digests[1] != digests[2]


def test_an_empty_journal_is_listed(tmp_path):
    write(tmp_path, "events", events(0))
    log = listing(tmp_path).rings[0]
    assert (log.first, log.last, log.records, log.begins, log.ends) == (1, 0, 0, "", "")
    assert corelane("journal", "ls", tmp_path).exit_code == 0
    assert corelane("journal", "tail", tmp_path, "events").output == ""
    out = corelane("journal", "export", tmp_path, "events", tmp_path / "none.parquet").output
    assert "0 of the records" in out
    assert table(tmp_path / "none.parquet") == []


def test_what_is_not_on_the_disk_for_sure_is_not_called_durable(tmp_path):
    write(tmp_path, "events", events(250), synced=230)
    log = listing(tmp_path).rings[0]
    assert (log.last, log.durable) == (250, 230)


def test_snapshots_are_listed_with_what_is_wrong_with_them(folder):
    blocks = {"some": np.arange(9000, dtype="i8").view(np.uint8)}
    path = snapshot.save(folder / "snapshots", {"events": 200, "book": 396}, "shape", blocks)
    snapshot.save(folder / "snapshots", {"events": 250, "book": 420}, "shape", blocks)
    path.write_bytes(b"\xff" + path.read_bytes()[1:])
    bad, good = listing(folder).snapshots
    assert (good.positions, good.fault) == ({"events": 250, "book": 420}, "")
    assert good.bytes > 0
    assert path.name in bad.fault
    assert path.name in corelane("journal", "ls", folder).output


def test_a_tail_looks_like_that_of_a_ring(tmp_path, capsys):
    made = {"events": events(60), "book": answers(100), "risk": risks(70)}
    with open_desk() as desk:
        for ring, some in made.items():
            desk.push(ring, some)
            write(tmp_path, ring, some)
        for ring in made:
            for options in (Options(last=20), Options(last=7, as_json=True)):
                show(desk.name, ring, Options(**{**vars(options), "follow": False}))
                there = capsys.readouterr()
                tail(tmp_path, ring, Options(**{**vars(options), "follow": False}))
                assert capsys.readouterr() == there
                assert len(there.out.splitlines()) >= 7


def orders(folder, *words: str) -> list[int]:
    out = corelane("journal", "tail", folder, "events", "--json", *words).output
    return [json.loads(line)["order_id"] for line in out.splitlines()]


def test_a_tail_ends_with_the_last_wanted_records(folder):
    assert orders(folder, "--last", "3") == [248, 249, 250]
    assert orders(folder, "--last", "0") == []
    assert len(orders(folder, "--last", "1000")) == 250
    assert orders(folder, "--last", "2", "--symbol", "MSFT") == [247, 249]
    assert orders(folder, "--last", "2", "--where", "order_id<50") == [48, 49]
    assert len(orders(folder, "--kind", "directory")) == len(SYMBOLS)
    out = corelane("journal", "tail", folder, "book", "--kind", "top", "--last", "2").output
    tops = [str(n + 1) for n in range(420) if n % len(Kind) == 0]
    assert [line.split()[0] for line in out.splitlines()] == ["sequence", *tops[-2:]]


def test_a_tail_that_follows_ends_with_the_pipeline(folder, capsys):
    """No process of it lives, so what is there is all that comes."""
    tail(folder, "events", Options(last=2, as_json=True, follow=True))
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_what_the_numbers_mean_is_known_by_a_snapshot_where_the_log_is_cut(folder):
    rows = np.zeros(8, INSTRUMENT)
    for number, (symbol, scale) in enumerate(SYMBOLS):
        rows[number]["symbol"], rows[number]["price_scale"] = symbol.encode(), scale
    blocks = {"instruments": rows.view(np.uint8)}
    snapshot.save(folder / "snapshots", {"events": 150}, "shape", blocks)
    log = Journal(folder / "events", "events", EVENTS_RING, BYTES)
    assert log.retain(150, 0) == 1
    log.close()
    names = Announced(folder)
    assert names[1] == ("MSFT", 100)
    assert names[7] == ("#7", 1)
    assert list(names.all()) == [symbol for symbol, _ in SYMBOLS]


def table(path, what: str = "*") -> list[tuple]:
    with duckdb.connect(":memory:") as database:
        return database.execute(f"SELECT {what} FROM '{path}'").fetchall()


def test_events_are_exported_as_people_read_them(folder, tmp_path):
    path = tmp_path / "events.parquet"
    out = corelane("journal", "export", folder, "events", path).output
    assert f"{path}: 250 of the records 1 to 250, {path.stat().st_size:,} bytes" in out
    assert table(path, "sequence") == [(place,) for place in range(1, 251)]
    columns = "symbol, kind, side, price, quantity, order_id, epoch_ns(time)"
    assert table(path, columns)[3:5] == [
        ("AAPL", "add", "bid", 585.33, 7, 4, 1_700_000_000 * 10**9 + 4),
        ("MSFT", "add", "bid", 58533.0, 7, 5, 1_700_000_000 * 10**9 + 5),
    ]


def test_a_part_is_exported_in_slices_as_well(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(journal_export, "READ", 7)
    monkeypatch.setattr(journal_export, "SLICE", 10)
    path = tmp_path / "part.parquet"
    words = ("--kind", "trade", "--symbol", "AAPL", "--from", "50", "--to", "400")
    assert corelane("journal", "export", folder, "book", path, *words).exit_code == 0
    wanted = [n + 1 for n in range(49, 400) if n % len(Kind) == 2 and n % 2 == 0]  # AAPL
    assert table(path, "sequence") == [(sequence,) for sequence in wanted]
    assert set(table(path, "symbol, price")) == {("AAPL", 585.33)}
    assert sorted(os.listdir(tmp_path)) == ["journal", path.name]


def test_a_file_is_replaced_only_when_told(folder, tmp_path):
    path = tmp_path / "file.parquet"
    path.write_text("mine")
    ran = corelane("journal", "export", folder, "risk", path)
    assert (ran.exit_code, path.read_text()) == (2, "mine")
    assert "--force" in ran.output
    assert corelane("journal", "export", folder, "risk", path, "--force").exit_code == 0
    assert len(table(path)) == 150


def test_a_failed_export_leaves_nothing(folder, tmp_path):
    content = bytearray((folder / "events" / f"{101:020d}.log").read_bytes())
    content[5000] ^= 1
    (folder / "events" / f"{101:020d}.log").write_bytes(content)
    ran = corelane("journal", "export", folder, "events", tmp_path / "file.parquet")
    assert ran.exit_code == 2
    assert "record 115, at byte 4992, is damaged" in ran.output
    assert os.listdir(tmp_path) == ["journal"]
    words = ("--to", "114")
    assert not corelane("journal", "export", folder, "events", tmp_path / "f", *words).exit_code


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["ls", "{none}"], "is no journal of a pipeline"),
        (["verify", "{none}"], "name the folder that journal.path names"),
        (["ls", "{folder}/events"], "name the folder that journal.path names"),
        (["verify", "{folder}", "--ring", "evnts"], "did you mean 'events'"),
        (["tail", "{folder}", "evnts"], "there is events, book, risk"),
        (["tail", "{folder}", "events", "--last", "-1"], "--last"),
        (["tail", "{folder}", "book", "--kind", "tops"], "did you mean 'top'"),
        (["tail", "{folder}", "book", "--symbol", "MSFX"], "did you mean 'MSFT'"),
        (["export", "{folder}", "book", "{none}"], "name it with --kind (top, level,"),
        (["export", "{folder}", "risk", "{none}", "--from", "151"], "it has 1 to 150"),
        (["export", "{folder}", "risk", "{none}", "--to", "151"], "it has 1 to 150"),
        (["export", "{folder}", "risk", "{none}", "--from", "9", "--to", "8"], "9 to 8"),
        (["export", "{folder}", "risk", "/proc/none/file.parquet"], "/proc/none/file.parquet: "),
    ],
)
def test_what_makes_no_sense_is_refused(folder, tmp_path, words, reason):
    places = {"folder": folder, "none": tmp_path / "none"}
    ran = corelane("journal", *(word.format(**places) for word in words))
    assert (ran.exit_code, reason in ran.output) == (2, True), ran.output
    assert len(ran.output.strip().splitlines()) == 1


def test_records_of_another_version_are_refused(tmp_path):
    write(tmp_path, "events", events(10))
    other = Journal(tmp_path / "book", "book", {"top": EVENTS_RING["event"]}, BYTES)
    other.append_records(events(3))
    other.close()
    ran = corelane("journal", "tail", tmp_path, "book")
    assert ran.exit_code == 2
    assert "another layout than this program's" in ran.output
    assert corelane("journal", "ls", tmp_path).exit_code == 0, "how far it goes can be said"


def test_a_journal_that_is_being_written_is_followed(place):
    running = place.start(
        place.write(
            ingest={"rate": 300.0},  # a minute; it is stopped long before
            journal={"path": str(place.folder / "journal"), "segment_mb": 1},
        )
    )
    running.until_received("book", 200)
    seen = []

    def follow() -> None:
        ran = another(
            "journal", "tail", place.folder / "journal", "events", "--json", "--follow",
            "--last", "100000",
        )  # fmt: skip
        seen.extend(json.loads(line)["sequence"] for line in ran.out.splitlines())

    thread = threading.Thread(target=follow)
    thread.start()
    assert listing(place.folder / "journal").rings[0].last >= 200
    for ring in ("events", "book"):
        assert not check(place.folder / "journal", ring).damage
    runs.stop(place.name, False)
    assert running.end().code == 0
    thread.join()
    last = listing(place.folder / "journal").rings[0].last
    assert seen == list(range(1, last + 1))


def test_what_is_exported_is_what_the_history_has(place):
    journal = place.folder / "journal"
    kinds = ["top", "level", "trade", "status", "risk"]
    place.run(
        place.write(
            risk=portfolios(),
            book={"publish_levels": True},
            publisher=place.history(kinds=kinds),
            journal={"path": str(journal)},
        )
    )
    tables = {"top": "tops", "level": "levels", "trade": "trades", "status": "statuses"}
    for kind in kinds:
        path = place.folder / f"{kind}.parquet"
        ring = "risk" if kind == "risk" else "book"
        words = [] if kind == "risk" else ["--kind", kind]
        assert corelane("journal", "export", journal, ring, path, *words).exit_code == 0
        there = rows(place.folder / "history", tables.get(kind, kind))
        assert there == table(path)
        assert len(there) > 0 or kind == "status"


def test_the_archive_and_the_journal_are_the_whole_log(place):
    journal, kept = place.folder / "journal", place.folder / "archive"
    options = {"path": str(journal), "segment_mb": 1, "keep_mb": 1, "snapshot_s": 0.3}
    day = {"kind": "synthetic", "messages": 10_000_000, "symbols": 8, "seed": 3}
    running = place.start(
        place.write(feeds=[day], ingest={"rate": 20_000}, journal={**options, "archive": str(kept)})
    )
    running.until_received("book", 1)
    log = JournalReader(journal / "events")
    running.until(lambda: log.first > 1, "something has left the journal")
    assert running.end(signal.SIGINT).code == 0
    ((run, *others),) = [os.listdir(kept)]
    assert not others
    files = sorted((kept / run / "events").glob("*.parquet"))
    old = np.concatenate([part for path in files for part in restored(path)])
    assert len(old) >= log.first - 1
    new = log.read(log.first, log.last)
    both = np.concatenate([old[: log.first - 1], new])
    assert both["sequence"].tolist() == list(range(1, log.last + 1))
    write(place.folder / "again", "events", both)
    assert listing(place.folder / "again").rings[0].digest == listing(journal).rings[0].digest


def test_an_archive_needs_a_limit_to_what_is_kept():
    text = 'name = "a"\nfeeds = [{kind = "synthetic"}]\n[journal]\npath = "x"\narchive = "y"\n'
    with pytest.raises(ConfigError, match=r"journal\.archive: nothing ever leaves"):
        parse(text)
    parse(text + "keep_mb = 100\n")
