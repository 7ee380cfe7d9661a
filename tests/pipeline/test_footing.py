"""What was asked of the host and what was got, as `status` shows it of real pipelines."""

import msgspec
import pytest

from pipeline import launch, plan
from pipeline.config import ConfigError, load, parse
from pipeline.footing import (
    Footing,
    SegmentFooting,
    StageFooting,
    Wish,
    footing,
    page_text,
    warnings,
)
from ringbuf import memory, pages
from ringbuf.host import counter_fault
from ringbuf.jit import compiled
from ringbuf.pages import HUGE, SMALL
from tests.pipeline.running import WIDE, as_json, corelane
from tests.ringbuf.huge import hugetlbfs
from tuning import numa, topology

FEW = {"instruments": 64}
SMALL_BOOK = {"orders": 4096, "levels": 64}


def create(place, **memory_options):
    """The memory of a pipeline, made in this process; its plan."""
    config = load(place.write(ingest=FEW, book=SMALL_BOOK, memory=memory_options))
    planned = plan.make(config, topology.read())
    launch.create(planned).close()
    return planned


def test_memory_lies_where_its_stage_works(place):
    planned = create(place)
    assert numa.policy() == "default"
    found = footing(place.name)
    assert len(found.segments) == len(planned.segments) == 6
    by_name = {part.name: part for part in found.segments}
    for part in planned.segments:
        name = f"panel.{part.name}" if part.kind == "panel" else part.name
        shown = by_name[name]
        assert shown.pages == {SMALL: shown.bytes}
        assert shown.node_asked == planned.node_of(part)
        if not shown.nodes_why:
            assert shown.nodes == {shown.node_asked: shown.bytes // SMALL}
        assert (shown.huge_asked, shown.why, shown.astray) == (False, "", False)
    launch.remove(place.name)


def test_the_node_is_that_of_the_stage_that_writes(place):
    planned = create(place)
    nodes = {(part.kind, part.name): planned.node_of(part) for part in planned.segments}
    stages = {stage.name: stage.node for stage in planned.stages}
    assert nodes["ring", "events"] == nodes["board", "instruments"] == stages["ingest"]
    assert nodes["ring", "book"] == nodes["board", "depth"] == stages["book"]
    launch.remove(place.name)


def test_where_the_node_is_left_to_the_kernel(place):
    create(place, numa="off")
    assert {part.node_asked for part in footing(place.name).segments} == {None}
    launch.remove(place.name)


def test_a_policy_ends_when_memory_cannot_be_made(place):
    blocker = memory.create(place.name, "depth", "test", 64, "{}")
    with pytest.raises(memory.SegmentError):
        create(place, numa="bind", huge_pages=True)
    assert numa.policy() == "default"
    assert not pages.asked()
    memory.unlink(blocker.name)


def test_huge_pages_are_got_and_given_back(place, tmp_path):
    with hugetlbfs(tmp_path / "huge", count=24):
        free = pages.pool()[1]
        create(place, huge_pages=True)
        found = footing(place.name)
        assert all(part.pages == {HUGE: part.bytes} for part in found.segments), found
        assert all(part.huge_asked and not part.why for part in found.segments)
        assert not [line for line in found.warnings if "huge" in line]
        assert pages.pool()[1] == free - sum(part.bytes for part in found.segments) // HUGE
        launch.remove(place.name)
        assert pages.pool()[1] == free
        assert memory.names(place.name) == []


def test_huge_pages_that_are_not_there_are_warned_of(place, monkeypatch):
    monkeypatch.setattr(pages, "huge_folders", list)
    if pages.may_be_transparent():
        pytest.skip("here /dev/shm has transparent huge pages")
    create(place, huge_pages=True)
    found = footing(place.name)
    assert {tuple(part.pages) for part in found.segments} == {(SMALL,)}
    (warning,) = (line for line in found.warnings if "huge" in line)
    assert warning.startswith("huge pages: 6 of 6 segments have none: no hugetlbfs (mount -t")
    need = sum(pages.round_up(part.bytes, HUGE) // HUGE for part in found.segments)
    total, free = pages.pool()
    assert warning.endswith(f"vm.nr_hugepages={max(total + need - free, total)}")
    launch.remove(place.name)


def test_status_shows_what_each_process_got(place):
    config = place.write(
        ingest={"rate": 500.0},
        memory={"lock": True, "numa": "bind"},
        processes=[["ingest"], ["book"]],
    )
    running = place.start(config)
    running.until_received("book", 5)
    report = as_json(corelane("status", place.name, "--json"))
    shown = corelane("status", place.name).out
    found = msgspec.convert(report["footing"], Footing, strict=False)
    planned = plan.make(load(config), topology.read())
    ran = running.end(2)
    assert ran.code == 0, ran.err
    trusted = compiled() and not counter_fault()
    for stage in found.stages:
        got = {wish.got for wish in stage.wishes}
        assert f"core {planned.stage(stage.name).core}" in got
        assert "timer slack 1 ns" in got
        assert ("cycle counter" in got) == trusted
        assert stage.clock == ("tsc" if trusted else "system")
        lock = next(wish for wish in stage.wishes if wish.asked == "all memory, now and later")
        if not lock.why:
            assert stage.locked_bytes > 10_000_000
            assert lock.got.endswith("and all that comes")
            assert lock.got in shown
        node = next(wish for wish in stage.wishes if wish.asked.startswith("bind "))
        assert node.why or node.got == f"bind {planned.stage(stage.name).node}"
    assert [stage.name for stage in found.stages] == ["ingest", "book"]
    for word in ("memory", "processes", "timer slack 1 ns", "4 KiB", "panel.book"):
        assert word in shown, word


def test_a_clock_that_cannot_be_trusted_is_warned_of(place, monkeypatch):
    monkeypatch.setitem(WIDE, "CORELANE_CLOCK", "system")
    monkeypatch.setitem(WIDE, "NUMBA_DISABLE_JIT", "1")  # nothing to compile for this clock
    ran = place.run(place.write(feeds=[{"kind": "synthetic", "messages": 50, "symbols": 2}]))
    told = (
        "warning: ingest, book: cycle counter was asked, clock_gettime was got: "
        "CORELANE_CLOCK=system is set"
    )
    assert ran.err.count(told) == 1
    assert ran.out.count(told) == 1
    assert ran.report is not None
    assert {stage.clock for stage in ran.report.footing.stages} == {"system"}


def test_what_was_not_got_is_warned_of_once():
    refused = Wish("bind 7", "default", "EINVAL: no such node")
    granted = Wish("core 1", "core 1", "")
    stages = [StageFooting(name, 0, "tsc", [granted, refused]) for name in ("ingest", "book")]
    astray = SegmentFooting("events", 4096, False, {SMALL: 4096}, "", 1, {0: 1})
    at_home = SegmentFooting("book", 4096, False, {SMALL: 4096}, "", 1, {1: 1})
    assert warnings([astray, at_home], stages) == [
        "numa: events was to lie on node 1, and lies on 0",
        "ingest, book: bind 7 was asked, default was got: EINVAL: no such node",
    ]


def test_pages_for_people():
    assert page_text({SMALL: 1}) == f"{SMALL // 1024} KiB"
    assert page_text({4096: 1, HUGE: 5}) == "2 MiB + 4 KiB"
    assert page_text({1 << 30: 1}) == "1 GiB"
    assert page_text({}) == "?"


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ('huge_pages = "yes"', "memory.huge_pages"),
        ('numa = "interleave"', "memory.numa"),
        ("locked = true", "memory.locked"),
    ],
)
def test_wishes_that_cannot_be_are_refused_with_their_path(table, problem):
    text = f'name = "x"\n[[feeds]]\nkind = "synthetic"\n[memory]\n{table}\n'
    with pytest.raises(ConfigError, match=problem):
        parse(text)
