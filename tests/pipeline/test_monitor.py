"""`corelane top` on a real pipeline: what it reads, how it ends, and that it writes nothing."""

import signal
import time

import pytest

from pipeline.monitor import Monitor, stage_look
from ringbuf import memory
from ringbuf.panel import Life, Panel, create_panel, panel_text
from tests.pipeline.running import COMMAND, LIMIT_S, corelane, portfolios, spawn
from workers.book import Book

DAY = {"kind": "synthetic", "messages": 5_000_000, "symbols": 12, "seed": 3}
TEN_MINUTES = {"rate": 8_000}


def start(place, **tables):
    """A pipeline that goes on for as long as the test likes."""
    tables = {"feeds": [DAY], "ingest": TEN_MINUTES, "risk": portfolios(DAY), **tables}
    running = place.start(place.write(publisher=place.history(), **tables))
    running.until_received("publisher", 100)
    return running


def test_a_real_pipeline_from_outside(place):
    running = start(place)
    monitor = Monitor(place.name)
    assert not any(
        part.writable
        for part in (
            monitor.run,
            *monitor.rings.values(),
            *(panel.segment for panel in monitor.panels.values()),
            *(board.segment for board in monitor.boards.values()),
        )
    )
    before = monitor.now
    running.until(
        lambda: monitor.look().rings["risk"].written > before.rings["risk"].written + 10, "risk"
    )
    monitor.look_again(0.0)
    now = monitor.now
    assert monitor.health.level in ("ok", "degraded")  # a busy machine may be late
    assert list(now.stages) == ["ingest", "book", "risk", "publisher"]
    for name, stage in now.stages.items():
        assert (stage.life, stage.alive, stage.starts) == (Life.RUNNING, True, 1)
        assert stage.pid == running.pid(name)
        assert stage.rss_bytes > 10_000_000
        assert stage.cpu_s > 0
        assert stage.ran_on >= 0
        assert stage.taken > before.stages[name].taken
        assert stage.given > before.stages[name].given
    assert {name: [r.name for r in ring.readers] for name, ring in now.rings.items()} == {
        "events": ["book"],
        "book": ["risk", "publisher"],
        "risk": ["publisher"],
    }
    assert {name: ring.writer for name, ring in now.rings.items()} == {
        "events": "ingest",
        "book": "book",
        "risk": "risk",
    }
    assert all(now.hops[hop].count > 0 for hop in ("ingest → book", "end to end, risk records"))
    assert [portfolio.name for portfolio in now.portfolios] == ["long", "  short"]
    volumes = [row["volume"] for row in now.prices]
    assert volumes == sorted(volumes, reverse=True)
    assert 0 < len(volumes) <= 8
    assert not monitor.over

    shown = corelane("top", place.name, "--times", "2", "--every", "0.2").out
    assert shown.count("run " + now.run_id) == 2
    assert max(map(len, map(str.rstrip, shown.splitlines()))) <= 100
    for word in ("ingest", "publisher", "book → risk", "since the start", "long", "best prices"):
        assert word in shown, word

    interrupted = spawn([*COMMAND, "top", place.name, "--every", "0.2"])
    assert interrupted.stdout.readline().startswith(place.name)
    interrupted.send_signal(signal.SIGINT)
    _, err = interrupted.communicate(timeout=200)
    assert (interrupted.returncode, err) == (0, "")

    watching = spawn([*COMMAND, "top", place.name, "--every", "0.2"])
    assert watching.stdout.readline().startswith(place.name)
    ran = running.end(signal.SIGTERM)
    out, err = watching.communicate(timeout=200)
    assert watching.returncode == 0
    assert err == f"{place.name} has ended\n"
    assert out.count("finished") >= 4
    monitor.look_again(0.0)
    assert monitor.over
    assert monitor.now.rings["events"].closed
    assert ran.report.balanced
    monitor.close()


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGKILL])
def test_a_stage_that_stopped_or_died_is_told(place, number):
    running = start(place)
    monitor = Monitor(place.name)
    running.kill("book", number)
    expected = {signal.SIGSTOP: "degraded", signal.SIGKILL: "failed"}[number]
    limit = time.monotonic() + LIMIT_S
    while monitor.health.level != expected or "book" not in " ".join(monitor.health.reasons):
        assert time.monotonic() < limit, monitor.health
        monitor.look_again(time.monotonic() + 0.05)
    if number == signal.SIGSTOP:
        running.kill("book", signal.SIGCONT)
    ran = running.end(*[signal.SIGTERM] * (number == signal.SIGSTOP))
    assert ran.code == (number == signal.SIGKILL)
    monitor.look_again(0.0)
    assert monitor.over
    monitor.close()


def test_a_stage_that_has_not_begun_is_not_silent(place):
    segment = create_panel(place.name, "book", panel_text(Book.counters_of(), (), []))
    panel = Panel(place.name, "book", own=True)
    assert stage_look(panel).beat_age_s == 0.0
    panel.beat()
    time.sleep(0.02)
    assert stage_look(panel).beat_age_s > 0.0
    panel.close()
    segment.close()
    memory.unlink(segment.name)
