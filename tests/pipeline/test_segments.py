"""`corelane segments ls` and `rm`: what lives is known by its locks, and is left alone."""

import os
import signal
import time

import numpy as np
import pytest

from pipeline import console, launch, plan, segments
from pipeline.config import load
from ringbuf import memory
from ringbuf.memory import HEADER, OWNER, WRITER, SegmentError
from ringbuf.panel import Panel
from ringbuf.record import offset
from ringbuf.share import RingReader
from tests.pipeline.running import LIMIT_S, corelane
from tests.ringbuf.segments import in_child
from tuning import topology
from workers.records import EVENTS_RING


@pytest.fixture
def made(place):
    """The memory of a pipeline that nobody has started yet."""
    planned = plan.make(load(place.write()), topology.read())
    launch.create(planned).close()
    yield place.name
    for name in memory.names(place.name):
        path = memory.FOLDER / name
        path.rmdir() if path.is_dir() else path.unlink()


def listed(pipeline: str, capsys) -> dict[str, str]:
    """What is listed of a pipeline: part -> its line."""
    console.out.width = 400
    segments.list_segments()
    lines = capsys.readouterr().out.splitlines()
    return {line.split()[1]: line for line in lines if line.split()[:1] == [pipeline]}


def test_segments_are_listed_with_who_holds_them(place, made, capsys):
    dead = listed(made, capsys)
    parts = {"book", "depth", "events", "instruments", "panel.book", "panel.ingest", "run"}
    assert set(dead) == parts
    # The creator held each panel while it set the clocks.
    assert all(line.split()[-1] == "dead" and "alive" not in line for line in dead.values())
    assert all(" 4 KiB " in line for line in dead.values())
    assert all(f" {os.getpid()} " in line for line in dead.values())
    boss = memory.attach(made, launch.RUN, launch.RUN, writable=True)
    boss.hold(OWNER, "supervisor")
    reader = RingReader(made, "events", EVENTS_RING, "book")
    panel = Panel(made, "book", own=True)
    living = listed(made, capsys)
    assert all(line.split()[-2:] == ["in", "use"] for line in living.values())
    told = {part: line.partition("  supervisor ")[2] or line for part, line in living.items()}
    assert told["run"].startswith(f"{os.getpid()} (")
    assert told["run"].split(")")[1].split()[0] == "alive"
    assert f"book {os.getpid()} (" in told["events"]
    assert f"writer {os.getpid()} (" in told["panel.book"]
    assert "alive" not in told["panel.ingest"]
    for part in (boss, reader, panel):
        part.close()
    again = listed(made, capsys)
    assert all(line.split()[-1] == "dead" and "alive" not in line for line in again.values())


def test_a_holder_that_was_killed_is_shown_dead_whoever_has_its_id_now(made, capsys):
    def work(ready):
        held = Panel(made, "book", own=True)
        os.write(ready, b"!")
        time.sleep(LIMIT_S)
        held.close()

    listen, ready = os.pipe()
    with in_child(lambda: work(ready)) as child:
        os.read(listen, 1)
        line = listed(made, capsys)["panel.book"]
    assert f"writer {child} (" in line
    assert " alive " in line
    path = memory.FOLDER / memory.full_name(made, "panel.book")
    place = offset(HEADER, "holders") + WRITER * HEADER["holders"].base.itemsize
    with path.open("r+b") as file:  # as if our own process had got its id
        file.seek(place)
        file.write(np.array(os.getpid(), "i8").tobytes())
    line = listed(made, capsys)["panel.book"]
    assert f"writer {os.getpid()} (" in line
    assert " alive " not in line
    assert line.split()[-1] == "dead"
    assert launch.clear_dead(made) == 7
    for end in (listen, ready):
        os.close(end)


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("boot", b"another", "is left from an earlier boot"),
        ("version", 1, "has layout version 1, this program reads"),
        ("layout", 5, "has a damaged description"),
    ],
)
def test_what_cannot_be_read_is_listed_with_the_reason_and_can_be_removed(
    made, capsys, field, value, reason
):
    with (memory.FOLDER / memory.full_name(made, "depth")).open("r+b") as file:
        file.seek(offset(HEADER, field))
        file.write(np.array(value, HEADER[field]).tobytes())
    (memory.FOLDER / memory.full_name(made, "odd")).write_bytes(b"no segment")
    lines = listed(made, capsys)
    assert reason in lines["depth"]
    assert "is no segment of ours; remove it" in lines["odd"]
    assert segments.remove(made).startswith(f"removed 8 segments of {made}")
    assert memory.names(made) == []


def test_only_the_dead_are_removed(place, made):
    other = f"{made}x"
    held = memory.create(other, "part", "test", 64, "{}")
    held.hold(WRITER, "writer")
    half = memory.FOLDER / f"corelane-draft.{os.getpid()}.1.part"  # not our start time
    half.touch()
    try:
        with pytest.raises(SegmentError, match=f"pipeline '{other}' is running already"):
            segments.remove(other)
        refused = corelane("segments", "rm", other, code=2)
        assert "is running already" in refused.err
        told = segments.remove(made)
        assert told.startswith(f"removed 7 segments of {made}")
        assert not half.exists()  # swept by this call, or by another pipeline's start
        assert memory.names(made) == []
        assert memory.names(other) == [held.name]
        held.close()
        assert segments.remove(other) == f"removed 1 segments of {other}"
    finally:
        half.unlink(missing_ok=True)
        memory.unlink(held.name)


def test_all_the_dead_at_once(made, monkeypatch):
    """Told which pipelines there are: others run on this machine."""
    living = f"{made}x"
    held = memory.create(living, "part", "test", 64, "{}")
    held.hold(WRITER, "writer")
    monkeypatch.setattr(segments, "pipelines", lambda: [made, living])
    try:
        first, second, *_ = segments.remove_all()
    finally:
        held.close()
        memory.unlink(held.name)
    assert first.startswith(f"removed 7 segments of {made}")
    assert second.startswith(f"left alone: pipeline '{living}' is running already")
    monkeypatch.setattr(segments, "pipelines", list)
    assert segments.remove_all() == ["nothing to remove"]


def test_a_folder_in_the_way_is_one_clear_error(made):
    (memory.FOLDER / memory.full_name(made, "zzz")).mkdir()
    ran = corelane("segments", "rm", made, code=2)
    assert "zzz: cannot be removed (Is a directory); look at /dev/shm/" in ran.err


@pytest.mark.parametrize("words", [(), ("x", "--all"), ("x", "--config", "y")])
def test_rm_is_told_what_in_one_way(words):
    ran = corelane("segments", "rm", *words, code=2)
    assert "give the name of a pipeline, or --config FILE, or --all" in ran.err


def test_segments_of_a_killed_supervisor_are_dead_and_go(place, capsys):
    running = place.start(place.write(ingest={"rate": 500.0}))
    running.until_received("book", 5)
    assert segments.is_alive(place.name)
    running.process.send_signal(signal.SIGKILL)
    running.process.communicate()
    limit = time.monotonic() + LIMIT_S
    while segments.is_alive(place.name):  # its stages die with it
        assert time.monotonic() < limit
        time.sleep(0.01)
    lines = listed(place.name, capsys)
    assert all(line.split()[-1] == "dead" for line in lines.values())
    assert "supervisor" in lines["run"]
    assert "writer" in lines["events"]
    assert segments.remove(place.name).startswith(f"removed 7 segments of {place.name}")
