"""The benchmarks of whole pipelines: they run, account for every record, and say what they say."""

import pytest

from bench import flow, journey, pipelines
from bench.harness import BenchError, Options
from bench.pipelines import Ran
from pipeline.config import load
from pipeline.report import HOPS
from pipeline.toml import write_config
from ringbuf import memory
from ringbuf.jit import compiled
from workers.feeds.synthetic import SyntheticOptions
from workers.sinks.parquet_file import ParquetOptions

DAY = SyntheticOptions(messages=2_000 if compiled() else 300, symbols=14)
PAIRS = [["ingest", "book"], ["risk", "publisher"]]


def test_the_configuration_is_one_that_a_file_can_say(tmp_path):
    config = pipelines.configured(DAY, tmp_path, 5e4, PAIRS, "yield")
    path = tmp_path / "bench.toml"
    write_config(config, path)
    assert load(path) == config
    assert config.ingest.rate == 5e4
    assert config.processes == PAIRS
    assert {placement.wait for placement in config.stages.values()} == {"yield"}
    first, second = (config.stages[group[0]].core for group in PAIRS)
    assert config.stages["book"].core == first
    assert config.stages["publisher"].core == second
    assert len(config.risk.portfolios[0].positions) == pipelines.HELD


def test_without_groups_the_plan_decides(tmp_path):
    config = pipelines.configured(DAY, tmp_path, None, (), "auto")
    assert config.processes == []
    assert config.stages == {}


@pytest.mark.parametrize("processes", [PAIRS, [["ingest", "book", "risk", "publisher"]]])
def test_a_run_accounts_for_every_message_and_leaves_nothing(processes):
    ran = pipelines.run(DAY, processes=processes)
    assert ran.report.balanced
    assert ran.seconds > 0
    feed = ran.report.stage("ingest").counters["feed0"]
    assert feed["messages"] == DAY.messages
    assert ran.published == feed["events"]
    assert ran.latency("book", "hop")["count"] == ran.published
    assert not [name for name in memory.names() if ran.report.pipeline in name]


def test_a_pipeline_that_fails_is_an_error(monkeypatch):
    nowhere = ParquetOptions(path="/proc/version/history")
    monkeypatch.setattr(pipelines, "ParquetOptions", lambda path: nowhere)
    with pytest.raises(BenchError, match="publisher"):
        pipelines.run(DAY, processes=PAIRS)


def test_the_journey_shows_every_hop_from_when_it_was_due(monkeypatch):
    monkeypatch.setattr(journey, "RATES_SHORT", (2_000,))
    monkeypatch.setattr(journey, "SYMBOLS_SHORT", 14)
    result = journey.run(Options(short=True))
    assert len(result.variants) == len(HOPS) + 1
    assert result.headline == "p50"
    for variant in result.variants:
        metrics = result.rounds[0][variant]
        values = [metrics[name] for name in journey.NAMES]
        assert values == sorted(values)
        assert metrics["of rate"] > 0
    sent, due = result.variants[:2]
    assert result.pairs == {due: sent}
    assert result.median(due, "max") >= result.median(sent, "max")
    assert result.jitter


def test_the_flow_holds_layouts_against_four_processes(monkeypatch):
    monkeypatch.setattr(flow, "SHORT", DAY)
    result = flow.run(Options(short=True))
    assert result.variants[0] == flow.FOUR
    assert all(result.median(variant, "rate") > 0 for variant in result.variants)
    assert result.pairs == dict.fromkeys(result.variants[1:], flow.FOUR)


def test_every_layout_has_every_stage_once():
    for groups in flow.LAYOUTS.values():
        assert [stage for group in groups for stage in group] == list(flow.STAGES)


def test_a_row_is_in_microseconds():
    class Given(Ran):
        def latency(self, stage: str, histogram: str) -> dict[str, float]:
            return dict.fromkeys(journey.NAMES, 1500.0)

    row = journey.row(Given(None, 1.0), "book", "hop", 0.5)  # type: ignore[arg-type]
    assert set(row.values()) == {1.5, 0.5}
