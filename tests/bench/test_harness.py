"""The harness: what it makes of numbers, what its pinned processes do, what it refuses."""

import json
import operator
import os
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import report
from bench.harness import (
    PERCENTS,
    Actor,
    BenchError,
    Core,
    Options,
    Result,
    actors,
    cores,
    host,
    percentiles,
    run_rounds,
    together,
)
from bench.registry import BENCHES, chosen, run_benches

POSITIVE = st.floats(0.001, 1e9)


def result_of(**values: list[float]) -> Result:
    rounds = [
        {name: {"rate": value} for name, value in zip(values, row, strict=True)}
        for row in zip(*values.values(), strict=True)
    ]
    return Result("name", "what", "M records/s", "rate", rounds=rounds, pairs={"ours": "theirs"})


@given(st.lists(st.tuples(POSITIVE, POSITIVE), min_size=1, max_size=20))
def test_a_ratio_is_the_median_of_the_ratios_of_each_round(pairs):
    ours, theirs = [one for one, _ in pairs], [other for _, other in pairs]
    result = result_of(ours=ours, theirs=theirs)
    assert result.ratio("ours", "theirs") == statistics.median(a / b for a, b in pairs)
    assert result.median("ours", "rate") == statistics.median(ours)


def test_what_disturbs_a_whole_round_leaves_the_ratio_alone():
    result = result_of(ours=[9.0, 0.9, 90.0], theirs=[10.0, 1.0, 100.0])
    assert result.ratios() == {"ours / theirs": 0.9}


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=500))
def test_percentiles_are_samples_that_so_many_do_not_exceed(samples):
    found = percentiles(np.array(samples))
    for percent in PERCENTS:
        value = found[f"p{percent:g}"]
        assert value in samples
        below = sum(sample <= value for sample in samples)
        assert below >= percent / 100 * (len(samples) - 1)
    assert found["max"] == max(samples)


def test_rounds_start_with_another_variant_each_time_and_keep_their_order():
    calls: list[str] = []

    def variant(name):
        return lambda: calls.append(name) or {"rate": 1.0}

    variants = {name: variant(name) for name in "abc"}
    result = run_rounds(
        Result("n", "w", "u", "rate"), variants, 3, before=lambda: calls.append("|")
    )
    assert "".join(calls) == "|abc|bca|cab"
    assert [list(row) for row in result.rounds] == [list("abc")] * 3


def test_cores_are_distinct_until_they_run_out():
    allowed = os.sched_getaffinity(0)
    (single,) = cores(1)
    assert single.number in allowed
    assert not single.shared
    many = cores(len(allowed) + 2)
    assert len(many) == len(allowed) + 2
    assert {core.number for core in many} <= allowed
    assert many[-1] == many[-2] == many[-3]
    assert many[-1].shared


def test_an_actor_runs_what_it_is_told_on_its_core():
    place = cores(1)[0]
    with actors([place]) as (actor,):
        assert together((actor, os.sched_getaffinity, (0,))) == [{place.number}]
        assert together((actor, operator.add, (1, 2)), (actor, operator.add, (3, 4))) == [3, 7]


def test_a_failure_in_an_actor_is_raised_here_and_the_actor_goes_on():
    with actors([Core(cores(1)[0].number, False)]) as (actor,):
        with pytest.raises(BenchError, match="ZeroDivisionError"):
            together((actor, operator.truediv, (1, 0)))
        assert together((actor, operator.truediv, (1, 2))) == [0.5]


def test_an_actor_that_dies_is_told_from_one_that_answers():
    actor = Actor(cores(1)[0].number)
    actor.start(os._exit, 3)
    with pytest.raises(BenchError, match="died"):
        actor.result()
    actor.close()


def test_short_mode_shrinks_the_work():
    assert Options().scaled(1000, 10) == 1000
    assert 1 <= Options(short=True).scaled(1000, 10) <= 10
    assert Options().rounds_of(9) == 9
    assert Options(rounds=4).rounds_of(9) == 4
    assert Options(short=True).rounds_of(9) == 2


def test_the_host_is_described_in_plain_data():
    about = host()
    assert json.loads(json.dumps(about)) == about
    assert set(report.SHOWN) <= set(about)
    assert about["cpu"]


def test_an_unknown_benchmark_is_refused_with_the_names_there_are():
    with pytest.raises(BenchError, match=r"no benchmark nonsense; there are .*throughput"):
        run_benches(["throughput", "nonsense"])
    assert [bench.name for bench in chosen([])] == list(BENCHES)
    assert [bench.name for bench in chosen(["latency"])] == ["latency"]


def test_a_plot_of_an_unknown_kind_is_refused_before_anything_runs(tmp_path):
    with pytest.raises(BenchError, match=r"ends in \.png"):
        run_benches(["jitter"], plot_path=tmp_path / "bars.txt")
