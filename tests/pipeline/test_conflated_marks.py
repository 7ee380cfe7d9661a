"""Marks that wait, through a whole pipeline: no kill and no stop is seen in what it tells."""

import signal

import numpy as np

from pipeline.config import load
from pipeline.plan import LAYOUTS
from tests.naive.pipeline import answers
from tests.pipeline.reference import Load, merged, outcome, tables_of
from tests.pipeline.running import corelane, lines
from workers.records import RISK, Kept

DAY = Load(messages=20_000, symbols=6, seed=4, rate=4_000.0)
CONFLATED = {"risk": {"conflate_ms": 1000}}


def test_kills_and_a_stop_change_no_byte(place):
    folder = place.folder / "journal"
    path = place.write(**merged(tables_of(DAY, place, folder), CONFLATED))
    running = place.start(path)
    for count in (2_000, 6_000):
        running.until_received("risk", count)
        running.restart("risk")
    running.until_received("risk", 9_000)
    stopped = running.end(signal.SIGTERM)
    assert stopped.code == 0, stopped.err
    counted = stopped.stage("risk").counters["risk"]
    assert counted["waiting"] == 0  # the board shows them, and no record
    ran = place.run(path)
    assert ran.report.balanced
    found = outcome(place, folder, ran.report)
    config = load(path)
    log = np.frombuffer(found.rings["events"], LAYOUTS["events"]["event"][1])
    assert len(log) > 19_000
    wanted = answers(log, config.book, config.risk, config.ingest.instruments)
    assert found.rings["risk"] == wanted["risk"]
    assert found.counters["risk"]["skipped"] > 100
    told = np.frombuffer(found.rings["risk"], RISK)
    assert len(found.lines["risk"]) == np.count_nonzero(told["kind"] == Kept.RISK) > 1000
    said = corelane("replay", folder).out
    for ring in ("book", "risk"):
        line = next(line for line in lines(said) if line.startswith(f"{ring}:"))
        assert "the same as in the run" in line
