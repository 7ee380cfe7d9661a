"""A mark of what ten options are on: each priced anew in every scenario, beside numpy and scipy.

A part of `corelane bench risk`. Ours are the kernels of the risk stage: prices now and in every
scenario, five Greeks, the profit of every scenario exactly, VaR, ES and the worst scenario. numpy's
way prices all options in all scenarios in one matrix with scipy's normal distribution, adds up and
sorts out the tail; it has no Greeks. Their figures are compared after each round.
"""

import time

import numpy as np
from scipy.special import ndtr

from bench.harness import BenchError, Metrics
from ringbuf.atomics import at
from ringbuf.jit import kernel
from ringbuf.record import record
from workers.kernels import option_positions, positions
from workers.kernels.black_scholes import CALL, PUT
from workers.kernels.option_positions import Held
from workers.kernels.option_values import YEAR_NS
from workers.kernels.position_block import Limits, bytes_needed, create
from workers.kernels.scenarios import RETURN_SCALE
from workers.records import MONEY_SCALE, empty, lined

COUNT = 10
SCALE = 10_000
NOW_NS = 1_700_000_000 * 10**9
MINUTE_NS = 60 * 10**9
TICK = record([("bid", "i8"), ("time_ns", "i8")])
TICK_SIZE = TICK.itemsize
MARK, NUMPY = "VaR, ES, worst, Greeks", "numpy, scipy"


@kernel
def mark_all(state, ticks, count):
    """Mark the underlying again and again; return the last VaR, so that it is not left out."""
    for number in range(count):
        tick = at(ticks + number * TICK_SIZE, TICK)
        positions.mark(state, 0, tick.bid, tick.bid)
        option_positions.mark(state, 0, tick.time_ns)
    return positions.var_99(state, 0)


def drawn(count: int) -> list[Held]:
    """Options about the money, a month to a year, bought and sold; always the same."""
    draw = np.random.default_rng(2)
    return [
        Held(
            kind=CALL if number % 2 else PUT,
            strike=float(100 * np.exp(draw.normal(0, 0.1))),
            rate=0.03,
            dividend=0.01,
            volatility=float(draw.uniform(0.15, 0.5)),
            expires_ns=NOW_NS + int(draw.uniform(30, 365) * YEAR_NS / 365),
            units=float(draw.integers(-50, 51) * 100 or 100),
            cost=0,
        )
        for number in range(count)
    ]


class OptionDesk:
    """A portfolio of options on one underlying and the prices that come."""

    def __init__(self, scenarios: int, ticks: int) -> None:
        draw = np.random.default_rng(3)
        self.options, self.count = drawn(COUNT), scenarios
        self.returns = (draw.standard_t(4, scenarios) * 2**17).astype(np.int32)
        limits = Limits(1, 1, 1, scenarios, options=COUNT)
        self.memory = lined(bytes_needed(limits))
        self.address = self.memory.ctypes.data
        create(self.address, limits)
        for held in self.options:
            option_positions.hold(self.address, 0, 0, held, SCALE, self.returns)
        self.ticks = empty(TICK, ticks)
        self.ticks["bid"] = 100 * SCALE + np.cumsum(draw.integers(-50, 51, ticks))
        self.ticks["time_ns"] = NOW_NS + np.arange(ticks) * MINUTE_NS // 60

    def measure(self, variant: str) -> Metrics:
        """ns a mark."""
        begun = time.perf_counter_ns()
        if variant == MARK:
            mark_all(self.address, self.ticks.ctypes.data, len(self.ticks))
        else:
            theirs = [self.numpy(int(bid), int(now)) for bid, now in self.ticks.tolist()][-1]
        spent = time.perf_counter_ns() - begun
        if variant == NUMPY:
            self.check(theirs)
        return {"ns": spent / len(self.ticks)}

    def numpy(self, bid: int, time_ns: int) -> tuple[float, float, float]:
        """Value, VaR and ES, currency."""
        columns = np.array([held[:5] + held[6:7] for held in self.options]).T[:, :, None]
        kind, strike, rate, dividend, volatility, units = columns
        expires = np.array([held.expires_ns for held in self.options])[:, None]
        years = (expires - time_ns) / YEAR_NS
        spots = bid / SCALE * np.append(1 + self.returns / RETURN_SCALE, 1.0)
        deviation = volatility * np.sqrt(years)
        asset, cash = spots * np.exp(-dividend * years), strike * np.exp(-rate * years)
        first = np.log(asset / cash) / deviation + deviation / 2
        price = kind * (asset * ndtr(kind * first) - cash * ndtr(kind * (first - deviation)))
        worth = (units * price).sum(axis=0)
        profits = worth[:-1] - worth[-1]
        worst, tail = -(-self.count * 10 // 1000), self.count * 25 // 1000
        losses = np.sort(np.partition(profits, tail)[:tail])
        return float(worth[-1]), float(-losses[worst - 1]), float(-losses.mean())

    def check(self, theirs: tuple[float, float, float]) -> None:
        """Refuse figures that are not numpy's for the last mark."""
        mark_all(self.address, self.ticks.ctypes.data, len(self.ticks))
        read = positions.value, positions.var_99, positions.es_975
        ours = [int(each(self.address, 0)) / MONEY_SCALE for each in read]
        if not np.allclose(ours, theirs, rtol=1e-9, atol=COUNT / MONEY_SCALE):
            raise BenchError(f"value, VaR and ES are {ours}, of numpy {theirs}")
