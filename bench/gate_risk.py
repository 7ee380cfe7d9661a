"""Questions about risk before an order, of the gate's benchmark: beside a mark that is taken.

A firm, a desk and a book over 1,000 scenarios. A question is what one portfolio's value at risk
and expected shortfall would be with so many lots more (workers/kernels/what_if.py). Small orders
leave the tail where it is, large ones have it gathered anew, and in a tree the book asks for the
desk and the firm above it, too. A mark moves one portfolio, which is what the answer would cost
if it were held and taken back, once each way, and nobody could look meanwhile.
"""

import time
from functools import partial

import numpy as np

from bench.harness import Actor, BenchError, Metrics, Options, Variant, percentiles
from ringbuf.atomics import at, cycles, store_relaxed
from ringbuf.clock import CLOCK, calibrate
from ringbuf.jit import kernel
from workers.kernels import position_block, positions, what_if
from workers.kernels.position_block import Limits
from workers.kernels.what_if import OUTCOME
from workers.records import lined

SCENARIOS, INSTRUMENTS = 1_000, 64
HELD, PRICE, PRICE_SCALE = 10_000, 1_000_000, 10_000  # lots at most; units; units of currency
QUESTIONS, QUESTIONS_SHORT, PASSES, SAMPLE_EVERY = 2_000, 200, 25, 16
SMALL, LARGE, TREE, MARK = "what if: small", "what if: large", "what if: tree of 3", "mark"
PAIRS = {SMALL: MARK, LARGE: MARK, TREE: MARK}
LOTS = {SMALL: 20, LARGE: 2_000_000, TREE: 20}  # of an order, at most
SAMPLED = ("p50", "p90", "p99", "p99.9", "max")
NOTE = (
    f"what if: value at risk and shortfall of a portfolio with an order, {SCENARIOS:,} scenarios, "
    "ns a question; mark: a price is taken, one portfolio moved and measured"
)


@kernel
def ask_all(state, portfolio, lots, count, memory):
    """Ask about so many orders, each of another size and instrument; the sum of the answers."""
    total = 0
    for number in range(count):
        total += ask(state, portfolio, lots, number, memory)
    return total


@kernel
def ask_timed(state, portfolio, lots, count, memory, samples):
    """The same, with the cycles of every SAMPLE_EVERY-th noted; return how many were."""
    noted = 0
    for number in range(count):
        begun = cycles()
        ask(state, portfolio, lots, number, memory)
        if number % SAMPLE_EVERY == 0:
            store_relaxed(samples + 8 * noted, cycles() - begun)
            noted += 1
    return noted


@kernel
def ask(state, portfolio, lots, number, memory):
    """Ask about one order; its value at risk, 0 where nothing is known."""
    quantity = (number * 7919) % (2 * lots + 1) - lots
    if what_if.what_if(state, portfolio, number % INSTRUMENTS, quantity, memory) <= 0:
        return 0
    return at(what_if.outcome_of(state, memory, 0), OUTCOME).value_at_risk


@kernel
def mark_all(state, count, samples):
    """Take so many marks, near the last of each instrument; return how many were timed."""
    noted = 0
    for number in range(count):
        begun, price = cycles(), PRICE + (number * 7919) % 201 - 100
        positions.mark(state, number % INSTRUMENTS, price, price + 1)
        if samples != 0 and number % SAMPLE_EVERY == 0:
            store_relaxed(samples + 8 * noted, cycles() - begun)
            noted += 1
    return noted


class Desk:
    """Portfolios, one below the other, in the process that measures."""

    def __init__(self, portfolios: int, scenarios: int = SCENARIOS) -> None:
        draw = np.random.default_rng(4)
        limits = Limits(INSTRUMENTS, portfolios, INSTRUMENTS, scenarios)
        self.memory = lined(position_block.bytes_needed(limits))
        self.state, self.last = self.memory.ctypes.data, portfolios - 1
        position_block.create(self.state, limits, [number - 1 for number in range(portfolios)])
        for instrument in range(INSTRUMENTS):
            returns = (draw.standard_t(3, scenarios) * 2**17).astype(np.int32)
            for portfolio in range(portfolios):
                lots = int(draw.integers(-HELD, HELD))
                positions.hold(self.state, portfolio, instrument, lots, 0, PRICE_SCALE, returns)
            positions.mark(self.state, instrument, PRICE, PRICE + 1)
        self.work = lined(what_if.bytes_needed(self.state))
        what_if.create(self.work.ctypes.data, self.state)
        self.samples = np.zeros(QUESTIONS, np.int64)

    def run(self, name: str, count: int) -> int:
        """Ask, or mark, so often; ns in all."""
        begun = time.perf_counter_ns()
        if name == MARK:
            mark_all(self.state, count, 0)
        elif not ask_all(self.state, self.last, LOTS[name], count, self.work.ctypes.data):
            raise BenchError("the portfolio risks nothing: nothing was asked")
        return time.perf_counter_ns() - begun

    def check(self) -> None:
        """Refuse answers that are not what holding the lots then comes to."""
        for number, lots in enumerate((1, -20, 2_000_000)):
            if what_if.what_if(self.state, self.last, number, lots, self.work.ctypes.data) < 1:
                raise BenchError(f"no answer about {lots} lots more")
            outcome = at(what_if.outcome_of(self.state, self.work.ctypes.data, 0), OUTCOME)
            said = int(outcome.value_at_risk), int(outcome.shortfall)
            row = position_block.row_of(self.state, number)
            place = position_block.position_of(self.state, row, self.last)
            had = int(at(place, position_block.POSITION).quantity)
            returns = positions.returns_at(self.state, row).copy()
            hold = partial(positions.hold, self.state, self.last, number)
            hold(had + lots, 0, PRICE_SCALE, returns)
            came = positions.var_99(self.state, self.last), positions.es_975(self.state, self.last)
            hold(had, 0, PRICE_SCALE, returns)
            if said != came:
                raise BenchError(f"{lots} lots more came to {came}, foreseen was {said}")


DESKS: dict[str, Desk] = {}  # of the process that measures


def load(scenarios: int) -> None:
    """Have the portfolios ready, the answers looked at, and the kernels compiled."""
    for name, portfolios in ((SMALL, 1), (LARGE, 1), (TREE, 3), (MARK, 1)):
        DESKS[name] = Desk(portfolios, scenarios)
        DESKS[name].check()
        measure(name, 1)


def measure(name: str, count: int) -> Metrics:
    """ns a question or a mark in the median of some passes, and percentiles of single ones."""
    desk, clock = DESKS[name], np.zeros(1, CLOCK)
    samples = desk.samples.ctypes.data
    each = float(np.median([desk.run(name, count) for _ in range(PASSES)])) / count
    calibrate(clock[0])
    if name == MARK:
        noted = mark_all(desk.state, count, samples)
    else:
        noted = ask_timed(desk.state, desk.last, LOTS[name], count, desk.work.ctypes.data, samples)
    found = percentiles(desk.samples[:noted] * float(clock["ns_per_cycle"][0]))
    return {"ns": each, **{f"one {percent}": found[percent] for percent in SAMPLED}}


def there(actor: Actor, name: str, count: int) -> Metrics:
    """Measured in the pinned process."""
    actor.start(measure, name, count)
    return actor.result()


def variants(actor: Actor, options: Options) -> dict[str, Variant]:
    """All questions by name, and the mark."""
    actor.start(load, options.scaled(SCENARIOS, SCENARIOS))
    actor.result()
    count = options.scaled(QUESTIONS, QUESTIONS_SHORT)
    return {name: partial(there, actor, name, count) for name in (SMALL, LARGE, TREE, MARK)}
