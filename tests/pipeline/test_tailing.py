"""What `corelane tail` prints, what it misses, when it ends; and that it disturbs nobody."""

import json
import signal
import threading

import pytest

from pipeline.selection import Selection
from pipeline.tailing import Options, Printer, TailRefused, backlog, show
from tests.pipeline.desks import CAPACITY, open_desk, records
from tests.pipeline.running import COMMAND, portfolios, spawn, tables
from workers.records import Event


@pytest.fixture
def desk():
    with open_desk() as desk:
        yield desk


def push(desk, count: int, first: int = 1, **values) -> None:
    """Events of alternating instruments; `order` is the sequence that each will have."""
    for sequence in range(first, first + count):
        fields = {"kind": Event.ADD, "instrument": sequence % 2, **values}
        desk.push("events", records("event", order=sequence, **fields))


def printed(desk, capsys, ring: str = "events", **options) -> list[dict]:
    """What a tail prints as JSON."""
    show(desk.name, ring, Options(as_json=True, **{"follow": False, **options}))
    out, err = capsys.readouterr()
    assert err == ""
    return [json.loads(line) for line in out.splitlines()]


def orders(rows: list[dict]) -> list[int]:
    return [row["order_id"] for row in rows]


def test_it_begins_with_the_last_records(desk, capsys):
    push(desk, 30)
    assert orders(printed(desk, capsys, last=3)) == [28, 29, 30]
    assert orders(printed(desk, capsys, last=3, count=2)) == [28, 29]
    assert orders(printed(desk, capsys, last=0)) == []
    assert len(printed(desk, capsys, last=1000)) == 30


def test_the_last_ones_are_the_last_wanted_ones(desk, capsys):
    push(desk, 30)
    assert orders(printed(desk, capsys, last=2, symbols=("MSFT",))) == [27, 29]
    assert orders(printed(desk, capsys, last=2, conditions=("order_id<5",))) == [3, 4]


def test_it_ends_when_the_ring_is_closed_and_drained(desk, capsys):
    push(desk, 5)
    desk.writers["events"].close()
    assert orders(printed(desk, capsys, follow=True, last=2)) == [4, 5]


def test_it_ends_when_the_pipeline_has_gone(desk, capsys):
    push(desk, 5)
    later = threading.Timer(0.3, desk.unlink)
    later.start()
    assert orders(printed(desk, capsys, follow=True, last=2)) == [4, 5]
    later.join()


def test_it_ends_when_enough_has_come(desk, capsys):
    push(desk, 2)
    later = threading.Timer(0.2, push, (desk, 5, 3))
    later.start()
    assert orders(printed(desk, capsys, follow=True, count=4)) == [1, 2, 3, 4]
    later.join()


def test_a_table_has_one_header_however_the_records_come(desk, capsys):
    push(desk, 2)
    later = threading.Timer(0.2, push, (desk, 2, 3))
    later.start()
    show(desk.name, "events", Options(count=4))
    later.join()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["sequence", "1", "2", "3", "4"]


def test_what_was_missed_is_told_where_it_was_missed(desk, capsys):
    push(desk, 1)
    observer, reading = desk.observer("events"), desk.reading()
    wanted = Selection(observer.layouts, reading)
    printer = Printer("events", wanted, reading, Options(as_json=True))
    assert printer.put(backlog(observer, wanted, 10), observer.missed)
    push(desk, 10 * CAPACITY, first=2)
    came = observer.poll()
    assert printer.put(came, observer.missed)
    out, err = capsys.readouterr()
    assert observer.missed > 0
    assert len(out.splitlines()) + observer.missed == 1 + 10 * CAPACITY
    assert err == f"missed {observer.missed:,} records\n"


def test_what_had_left_the_ring_before_the_start_was_not_missed(desk, capsys):
    push(desk, 3 * CAPACITY)
    rows = printed(desk, capsys, last=10 * CAPACITY)
    assert orders(rows) == list(range(2 * CAPACITY + 1, 3 * CAPACITY + 1))


@pytest.mark.parametrize(
    ("ring", "options", "reason"),
    [
        ("evnts", Options(), "has no ring 'evnts'; did you mean 'events'"),
        ("events", Options(last=-1), "--last"),
        ("events", Options(count=0), "--count"),
        ("book", Options(kind="tops"), "did you mean 'top'"),
    ],
)
def test_it_refuses_what_it_cannot_do(desk, ring, options, reason):
    with pytest.raises(TailRefused, match=reason):
        show(desk.name, ring, options)


def test_whoever_reads_it_may_stop_reading(desk):
    push(desk, CAPACITY)
    desk.writers["events"].close()
    command = " ".join([*COMMAND, "tail", "events", desk.name, "--json", "--last", "128"])
    shell = ["bash", "-o", "pipefail", "-c", f"{command} | head -n 1"]
    process = spawn(shell)
    out, err = process.communicate(timeout=200)
    assert (process.returncode, err) == (0, "")
    assert json.loads(out)["sequence"] == 1


def test_killed_and_stopped_tails_leave_the_result_as_it_is(place):
    day = {"kind": "synthetic", "messages": 60_000, "symbols": 8, "seed": 3}
    common = {"feeds": [day], "risk": portfolios(), "rings": {"events": 1024}}
    place.run(place.write("alone.toml", **common, publisher=place.history("alone")))
    slow = {**common, "ingest": {"rate": 8_000}, "publisher": place.history("watched")}
    running = place.start(place.write("watched.toml", **slow))
    running.until_received("publisher", 100)
    running.kill("ingest", signal.SIGSTOP)  # nothing ends before the tails have begun

    command = [*COMMAND, "tail", "--json", "--last", "40"]
    killed, stopped = (spawn([*command, ring, place.name]) for ring in ("book", "events"))
    for process in (killed, stopped):
        sequences = [json.loads(process.stdout.readline())["sequence"] for _ in range(20)]
        assert sequences == list(range(sequences[0], sequences[0] + 20))
    stopped.send_signal(signal.SIGSTOP)
    running.kill("ingest", signal.SIGCONT)
    assert all(killed.stdout.readline() for _ in range(40))
    killed.kill()
    assert running.process.poll() is None, "it was killed too late to prove anything"

    ran = running.end()
    stopped.send_signal(signal.SIGCONT)
    told = stopped.communicate(timeout=200)[1].splitlines()
    killed.communicate()
    assert stopped.returncode == 0
    assert told[-1].startswith("missed ")
    assert told[-1].endswith(" in all")
    assert ran.code == 0, ran.err
    assert ran.report.balanced
    assert tables(place.folder / "watched") == tables(place.folder / "alone")
