"""What Prometheus gets: scraped over HTTP from a real pipeline, every name and label looked at."""

import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from pipeline import latency, metrics
from ringbuf.files import SegmentError, names
from tests.pipeline.running import COMMAND, LIMIT_S, TOGETHER, corelane, lines, portfolios, spawn
from workers.kernels.option_values import Greek

STAGES = ("ingest", "book", "risk", "publisher")
SEATS = [("events", "book"), ("book", "risk"), ("book", "publisher"), ("risk", "publisher")]
STAGE, RING, READER = {"stage"}, {"ring"}, {"ring", "reader"}
DESK = {"portfolio"}
LABELS = {  # of every family that is not a stage's own counter, beside the pipeline's name
    "up": set(),
    "run_info": {"run"},
    "start_time_seconds": set(),
    "segment_bytes": {"segment"},
    "stage_state": {"stage", "state"},
    "stage_alive": STAGE,
    "stage_heartbeat_age_seconds": STAGE,
    "stage_resident_memory_bytes": STAGE,
    "stage_cpu_seconds": STAGE,
    "stage_restarts": STAGE,
    "stage_turns": STAGE,
    "stage_idle_turns": STAGE,
    "latency_seconds": {"stage", "histogram"},
    "latency_max_seconds": {"stage", "histogram"},
    "latency_clipped": {"stage", "histogram"},
    "portfolio_value": DESK,
    "portfolio_gross_value": DESK,
    "portfolio_pnl": DESK,
    "portfolio_var_99": DESK,
    "portfolio_es_975": DESK,
    "portfolio_unmarked_positions": DESK,
    "portfolio_stuck_positions": DESK,
    "portfolio_options": DESK,
    **{f"portfolio_{greek.name.lower()}": DESK for greek in Greek},
    "portfolio_event_time_seconds": DESK,
    "portfolio_limit": {*DESK, "measure"},
    "portfolio_limit_standing": {*DESK, "measure"},
    "ring_written": RING,
    "ring_capacity_records": RING,
    "ring_closed": RING,
    "ring_gated": RING,
    "ring_high_water_records": RING,
    "ring_full_seconds": RING,
    "ring_wakes": RING,
    "ring_writer_process": RING,
    "ring_writer_heartbeat_age_seconds": RING,
    "ring_reader_info": {*READER, "policy", "after"},
    "ring_reader_read": READER,
    "ring_reader_missed": READER,
    "ring_reader_replayed": READER,
    "ring_reader_behind": READER,
    "ring_reader_lag_records": READER,
    "ring_reader_empty_seconds": READER,
    "ring_reader_asleep": READER,
    "ring_reader_process": READER,
    "ring_reader_heartbeat_age_seconds": READER,
}
BLOCKS = {"ingest": set(), "book": set(), "risk": set(), "publisher": set(),
          "feed": {"feed"}, "sink": {"sink"}}  # fmt: skip
GAUGES = {
    "risk_live_unknown",
    "risk_live_ok",
    "risk_live_warned",
    "risk_live_breached",
    "book_live_orders",
    "book_live_levels",
    "book_peak_orders",
    "feed_truncated",
    "risk_waiting",
    "sink_pending",
}


def parsed(text: str) -> dict:
    """Families by name without our prefix."""
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert all(name.startswith("corelane_") for name in families)
    return {name.removeprefix("corelane_"): family for name, family in families.items()}


def scrape(port: int) -> dict:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
        return parsed(answer.read().decode())


def values(family, *labels: str) -> dict:
    """Samples by some of their labels; those of a histogram's buckets are left out."""
    return {
        tuple(sample.labels[label] for label in labels): sample.value
        for sample in family.samples
        if not sample.name.endswith("_bucket")
    }


def until_up(port: int, up: int) -> dict:
    """Scrape until a run is there, or is not."""
    limit = time.monotonic() + LIMIT_S
    while (found := scrape(port))["up"].samples[0].value != up:
        assert time.monotonic() < limit
        time.sleep(0.05)
    return found


@pytest.fixture
def exporter(place):
    """An exporter of the test's pipeline that runs before the pipeline does; its port."""
    process = spawn([*COMMAND, "metrics", place.name, "--port", "0"])
    said = process.stderr.readline()
    assert said.startswith(f"{place.name}: http://127.0.0.1:")
    yield int(said.rpartition(":")[2].partition("/")[0])
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=LIMIT_S)
    assert (process.returncode, err) == (0, "")


def start(place):
    risk = portfolios()
    underlying = next(iter(risk["portfolios"][1]["positions"]))
    risk["portfolios"][1]["options"] = [
        {"underlying": underlying, "type": "put", "strike": 90.0, "quantity": -5, "price": 1.0,
         "volatility": 0.3, "expires": datetime(1970, 3, 1, tzinfo=UTC)}
    ]  # fmt: skip
    config = place.write(
        ingest={"rate": 2_000.0},
        feeds=[{"kind": "synthetic", "messages": 1_000_000, "symbols": 8, "seed": 3}],
        risk=risk,
        publisher=place.history("{run}"),
        processes=TOGETHER,
        stages={"risk": {"lag": {"book": "drop"}}},
    )
    running = place.start(config)
    running.until_received("publisher", 200)
    return running


def test_a_run_is_found_told_and_let_go_of_and_so_is_the_next(place, exporter):
    assert set(scrape(exporter)) == {"up"}
    running = start(place)
    found = until_up(exporter, 1)
    check_names(place.name, found)
    check_values(place.name, found, running)
    limit = time.monotonic() + LIMIT_S
    turns = values(found["stage_turns"], "stage")
    while values((again := scrape(exporter))["stage_turns"], "stage") == turns:
        assert time.monotonic() < limit
    for name in ("stage_turns", "ring_written", "ring_reader_read"):
        before, after = found[name].samples, again[name].samples
        assert all(new.value >= old.value for old, new in zip(before, after, strict=True))
    first = found["run_info"].samples[0].labels["run"]
    assert running.end(signal.SIGTERM).code == 0
    assert set(until_up(exporter, 0)) == {"up"}
    running = start(place)
    assert until_up(exporter, 1)["run_info"].samples[0].labels["run"] != first
    text = corelane("metrics", place.name, "--once").out
    assert set(parsed(text)) == set(found)
    check_with_promtool(text)
    running.process.kill()  # the supervisor: nobody is left to remove the memory
    running.process.communicate()
    assert set(until_up(exporter, 0)) == {"up"}
    assert names(place.name)
    corelane("segments", "rm", place.name)


def check_names(pipeline: str, found: dict) -> None:
    """Every family is known, explained, of the right kind, and has exactly its labels."""
    assert set(LABELS) <= set(found)
    for name, family in found.items():
        block = name.partition("_")[0]
        labels = LABELS[name] if name in LABELS else {"stage", *BLOCKS[block]}
        labels = labels | {"index"} if name == "feed_types" else labels
        assert len(family.documentation) > 4, name
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == {"pipeline", *labels}, name
            assert sample.labels["pipeline"] == pipeline
        if name not in LABELS:
            assert family.type == ("gauge" if name in GAUGES else "counter"), name
    assert {name for name in found if found[name].type == "histogram"} == {"latency_seconds"}


def check_values(pipeline: str, found: dict, running) -> None:
    """Numbers are those of the pipeline, in base units."""
    limits = values(found["portfolio_limit"], "portfolio", "measure")
    assert limits == {("long", "value"): 40_000.0, ("long", "loss"): 1_000.0}
    assert set(values(found["portfolio_limit_standing"], "portfolio", "measure")) == set(limits)
    assert set(values(found["portfolio_value"], "portfolio")) == {("long",), ("short",)}
    assert values(found["portfolio_options"], "portfolio") == {("long",): 1, ("short",): 1}
    states = values(found["stage_state"], "stage", "state")
    assert [stage for stage in STAGES if states[stage, "running"] == 1] == [*STAGES]
    assert sum(states.values()) == len(STAGES)
    assert values(found["stage_alive"], "stage") == {(stage,): 1 for stage in STAGES}
    assert set(values(found["stage_restarts"], "stage").values()) == {0}
    resident = values(found["stage_resident_memory_bytes"], "stage")
    assert all(10e6 < size < 10e9 for size in resident.values())
    pids = set(values(found["ring_reader_process"], "ring", "reader").values())
    assert pids == {running.pid("book")} == {*found_values(found, "ring_writer_process")}
    for what in ("stage", "ring_writer", "ring_reader"):
        ages = found_values(found, f"{what}_heartbeat_age_seconds")
        assert all(0 <= age < LIMIT_S for age in ages)
    policies = {
        (sample.labels["ring"], sample.labels["reader"]): sample.labels["policy"]
        for sample in found["ring_reader_info"].samples
    }
    assert policies == {seat: "drop" if seat == ("book", "risk") else "gate" for seat in SEATS}
    written = values(found["ring_written"], "ring")
    for (ring, reader), read in values(found["ring_reader_read"], "ring", "reader").items():
        assert 0 < read <= written[ring,] + 8192, reader
    for seconds in ("ring_reader_empty_seconds", "ring_full_seconds"):
        assert all(0 <= value < LIMIT_S for value in found_values(found, seconds))
    assert values(found["ring_capacity_records"], "ring")["book",] == 8192
    sizes = values(found["segment_bytes"], "segment")
    assert {("events",), ("run",), ("panel.book",), ("depth",)} <= set(sizes)
    assert sizes["events",] > 8192 * 64
    messages = values(found["feed_messages"], "stage", "feed")["ingest", "0"]
    by_type = found_values(found, "feed_types")
    assert messages == sum(by_type) > 0
    assert values(found["sink_written"], "stage", "sink")["publisher", "0"] > 0
    check_histograms(found["latency_seconds"])


def found_values(found: dict, name: str) -> list[float]:
    return [sample.value for sample in found[name].samples]


def check_histograms(family) -> None:
    """Buckets rise from 100 ns to 10 s and then all; the last is the count; the sum is sensible."""
    of = {}
    for sample in family.samples:
        key = sample.labels["stage"], sample.labels["histogram"]
        of.setdefault(key, []).append(sample)
    assert {".".join(key) for key in of} == {
        name for _, _, members in latency.TOGETHER for name in members
    } | {"book.age", "risk.age"}
    for samples in of.values():
        buckets = [one for one in samples if one.name.endswith("_bucket")]
        bounds = [float(one.labels["le"]) for one in buckets]
        assert bounds == pytest.approx([bound / 1e9 for bound in metrics.BOUNDS_NS] + [1e400])
        assert (bounds[0], bounds[1], bounds[-2]) == pytest.approx((1e-7, 2e-7, 10.0))
        counts = [one.value for one in buckets]
        assert counts == sorted(counts)
        (count,) = [one.value for one in samples if one.name.endswith("_count")]
        (total,) = [one.value for one in samples if one.name.endswith("_sum")]
        assert counts[-1] == count > 0
        lows, more = [0.0, *bounds[:-1]], np.diff([0, *counts])
        low = float(np.dot(lows, more))
        assert low * 0.99 <= total < count * LIMIT_S


def check_with_promtool(text: str) -> None:
    if not shutil.which("promtool"):
        return
    command = ["promtool", "check", "metrics"]
    told = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    assert (told.returncode, told.stdout + told.stderr) == (0, "")


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is absent (Debian: prometheus)")
def test_promtool_has_something_to_say_of_bad_text():
    """The check above would see a fault."""
    with pytest.raises(AssertionError):
        check_with_promtool("# TYPE corelane_things counter\ncorelane_things 1\n")


def test_once_while_nothing_runs(place):
    (sample,) = parsed(corelane("metrics", place.name, "--once").out)["up"].samples
    assert (sample.labels, sample.value) == ({"pipeline": place.name}, 0)


def test_a_port_that_is_taken_and_a_name_that_is_none_are_refused_in_one_line(place):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        err = corelane("metrics", place.name, "--port", str(port), code=2).err
        assert len(lines(err)) == 1
        assert f"cannot be served on 127.0.0.1 port {port}: Address already in use" in err
    for words in (["--port", "70000"], ["--host", "256.1.1.1"]):
        assert len(lines(corelane("metrics", place.name, *words, code=2).err)) <= 4
    with pytest.raises(SegmentError, match="cannot be a pipeline's name"):
        metrics.once("No Such Name")


def test_the_server_ends_with_its_block(place):
    with metrics.serving(place.name, "127.0.0.1", 0) as port:
        assert scrape(port)["up"].samples[0].value == 0
    with pytest.raises(urllib.error.URLError):
        scrape(port)
