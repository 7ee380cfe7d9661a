"""The benchmark of risk: every way sees the same marks, and wrong profits are no result."""

import pytest

from bench import risk, risk_options
from bench.harness import BenchError, Options
from bench.risk import BARE, MARK, NUMPY, PARTS, Desk
from bench.risk_options import OptionDesk
from workers.kernels import position_block, scenarios


@pytest.fixture
def desk():
    return Desk(held=12, count=120, ticks=40)


def test_every_way_measures_and_leaves_the_profits_of_a_recomputation(desk):
    for variant in (BARE, MARK, PARTS, NUMPY, MARK):
        assert desk.measure(variant)["ns"] > 0
    assert desk.parts.any()


def test_wrong_profits_and_parts_are_refused(desk):
    desk.measure(PARTS)
    desk.parts[0] += 1
    with pytest.raises(BenchError, match="parts do not add up"):
        desk.check(PARTS)
    vector = scenarios.vector_of(position_block.distribution_of(desk.address, 0))
    risk.at(vector, scenarios.VECTOR).profit[3] += 1
    with pytest.raises(BenchError, match="not those of a recomputation"):
        desk.check(MARK)


def test_the_whole_benchmark():
    result = risk.run(Options(short=True))
    assert len(result.variants) == 8 + 2
    assert all(result.median(name, "ns") > 0 for name in result.variants)
    assert result.pairs[f"40: {MARK}"] == f"40: {BARE}"
    options = [name for name in result.variants if name.startswith("10 options")]
    assert result.pairs[options[1]] == options[0] not in result.pairs


def test_options_cost_what_both_ways_agree_on():
    desk = OptionDesk(120, 10)
    for variant in (risk_options.MARK, risk_options.NUMPY):
        assert desk.measure(variant)["ns"] > 0
    theirs = desk.numpy(*map(int, desk.ticks[-1]))
    with pytest.raises(BenchError, match="value, VaR and ES"):
        desk.check((theirs[0], theirs[1] * 1.0001, theirs[2]))
