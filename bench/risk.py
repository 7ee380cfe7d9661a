"""Risk on every mark: nanoseconds a mark, beside the bare update of one row and beside numpy.

One portfolio over 1,000 scenarios, marked to prices that move a little, one instrument at a time;
exact VaR, ES and worst scenario after each mark, and with it what every position adds to VaR. The
bare update adds one row of returns to the vector of profits and measures nothing: the least that
an exact way can do. numpy's way forms the vector anew and sorts out its tail. At the end the vector
must equal a recomputation bit for bit. A mark of what ten options are on: see risk_options.py.
"""

import time
from functools import partial

import numpy as np

from bench import risk_options
from bench.harness import (
    Actor,
    Bench,
    BenchError,
    Metrics,
    Options,
    Result,
    actors,
    cores,
    run_rounds,
)
from bench.risk_options import OptionDesk
from ringbuf.atomics import at
from ringbuf.jit import kernel
from ringbuf.record import record
from workers.kernels import contributions, positions, risk_check, scenarios
from workers.kernels.position_block import (
    STATE,
    Limits,
    bytes_needed,
    create,
    distribution_of,
    exposures_of,
    returns_of,
)
from workers.records import MONEY_SCALE, empty, lined

SCENARIOS, SCENARIOS_SHORT = 1_000, 200
POSITIONS = (1_000, 10_000)
POSITIONS_SHORT = (40, 80)
TICKS, TICKS_SHORT = 20_000, 400
NUMPY_TICKS = 30
OPTION_TICKS, OPTION_TICKS_SHORT = 500, 20
ROUNDS = 9
SCALE = 10_000
PRICE = 100 * SCALE
QUANTITY = 1_000

TICK = record([("instrument", "i8"), ("bid", "i8"), ("delta", "i8")])
TICK_SIZE = TICK.itemsize
BARE, MARK, PARTS, NUMPY = "row update", "VaR, ES, worst", "and parts of all", "numpy"


@kernel
def mark_all(state, ticks, count):
    """Mark one instrument after the other; return the last VaR, so that it is not left out."""
    for number in range(count):
        tick = at(ticks + number * TICK_SIZE, TICK)
        positions.mark(state, tick.instrument, tick.bid, tick.bid)
    return positions.var_99(state, 0)


@kernel
def mark_with_parts(state, ticks, count, parts):
    """The same, and what each position adds to VaR after each."""
    for number in range(count):
        tick = at(ticks + number * TICK_SIZE, TICK)
        positions.mark(state, tick.instrument, tick.bid, tick.bid)
        contributions.var_parts(state, 0, parts)
    return positions.var_99(state, 0)


@kernel
def update_rows(state, ticks, count):
    """Add what a mark moves to every profit, and look at none."""
    vector = scenarios.vector_of(distribution_of(state, 0))
    for number in range(count):
        tick = at(ticks + number * TICK_SIZE, TICK)
        risk_check.add(
            vector, returns_of(state, tick.instrument), at(state, STATE).scenarios, tick.delta
        )
    return 0


class Desk:
    """A portfolio and the prices that come, in the process that measures."""

    def __init__(self, held: int, count: int, ticks: int) -> None:
        draw = np.random.default_rng(held)
        self.held, self.count, self.mids = held, count, np.full(held, PRICE)
        self.returns = (draw.standard_t(4, (held, count)) * 2**17).astype(np.int32)
        limits = Limits(held, 1, held, count)
        self.memory, self.aside = lined(bytes_needed(limits)), lined(bytes_needed(limits))
        self.parts = np.zeros(held, np.int64)
        address = self.address = self.memory.ctypes.data
        create(address, limits)
        self.quantities = draw.integers(-QUANTITY, QUANTITY, held)
        for instrument, row in enumerate(self.returns):
            quantity = int(self.quantities[instrument])
            positions.hold(address, 0, instrument, quantity, 0, SCALE, row)
            positions.mark(address, instrument, PRICE, PRICE)
        self.ticks = empty(TICK, ticks)
        self.ticks["instrument"] = draw.integers(held, size=ticks)
        self.moves = draw.integers(-50, 51, ticks)
        self.ticks["delta"] = draw.integers(-500, 501, ticks)

    def next_prices(self) -> None:
        """Have every price move on from where it is."""
        for number, instrument in enumerate(self.ticks["instrument"].tolist()):
            self.mids[instrument] += self.moves[number]
            self.ticks["bid"][number] = self.mids[instrument]
        self.moves = -self.moves  # and back the next time, so that no price runs away

    def measure(self, variant: str) -> Metrics:
        """ns a mark."""
        self.next_prices()
        marks = self.ticks.ctypes.data, len(self.ticks)
        if variant == NUMPY:
            spent, count = self.numpy()
        else:
            self.aside[:] = self.memory
            begun, count = time.perf_counter_ns(), len(self.ticks)
            if variant == BARE:
                update_rows(self.aside.ctypes.data, *marks)
            elif variant == MARK:
                mark_all(self.address, *marks)
            else:
                mark_with_parts(self.address, *marks, self.parts.ctypes.data)
            spent = time.perf_counter_ns() - begun
        if variant in (BARE, NUMPY):
            mark_all(self.address, *marks)
        self.check(variant)
        return {"ns": spent / count}

    def exposures(self) -> np.ndarray:
        """By row, units."""
        return at(exposures_of(self.address, 0), contributions.UNITS).unit[: self.held].copy()

    def numpy(self) -> tuple[int, int]:
        """VaR and ES of the vector formed anew, for the first marks; the time and how many."""
        ticks = self.ticks[:NUMPY_TICKS]
        exposures, returns = self.exposures().astype(float), self.returns.astype(float)
        worst, tail = -(-self.count * 10 // 1000), self.count * 25 // 1000
        to_cents = MONEY_SCALE / SCALE / scenarios.EXPOSURE_UNIT
        begun = time.perf_counter_ns()
        for instrument, bid in zip(
            ticks["instrument"].tolist(), ticks["bid"].tolist(), strict=True
        ):
            exposures[instrument] = self.quantities[instrument] * bid * to_cents
            profits = exposures @ returns
            losses = np.sort(np.partition(profits, tail)[:tail])
            value_at_risk, _ = -losses[worst - 1], -losses.mean()
        spent = time.perf_counter_ns() - begun
        mark_all(self.address, ticks.ctypes.data, len(ticks))
        ours = int(positions.var_99(self.address, 0))
        theirs = value_at_risk * scenarios.MONEY_FACTOR / (1 << scenarios.MONEY_BITS)
        if not abs(ours - theirs) <= self.held * scenarios.EXPOSURE_UNIT:  # cents are whole here
            raise BenchError(f"value at risk {ours}, of numpy {theirs}")
        return spent, len(ticks)

    def check(self, variant: str) -> None:
        """Refuse a vector that is not the recomputation's, and parts that do not add up."""
        profits = scenarios.profits(distribution_of(self.address, 0))
        if (profits != self.exposures() @ self.returns.astype(np.int64)).any():
            raise BenchError(f"{variant}: the profits are not those of a recomputation")
        worst = np.sort(profits)[-(-self.count * 10 // 1000) - 1]
        if variant == PARTS and self.parts.sum() != -worst:
            raise BenchError("the parts do not add up to value at risk")


DESKS: dict[int, Desk] = {}  # of the process that measures
OPTIONS: list[OptionDesk] = []  # there, too


def load(held: int, count: int, ticks: int) -> None:
    """Have a desk ready, its kernels compiled."""
    DESKS[held] = desk = Desk(held, count, ticks)
    for variant in (BARE, MARK, PARTS):
        desk.measure(variant)


def measure(held: int, variant: str) -> Metrics:
    """Measured in the pinned process."""
    return DESKS[held].measure(variant)


def load_options(count: int, ticks: int) -> None:
    """Have options ready, their kernels compiled."""
    OPTIONS[:] = [OptionDesk(count, ticks)]
    OPTIONS[0].measure(risk_options.MARK)


def measure_options(variant: str) -> Metrics:
    """Measured in the pinned process."""
    return OPTIONS[0].measure(variant)


def options_there(actor: Actor, variant: str) -> Metrics:
    """Measured by the actor."""
    actor.start(measure_options, variant)
    return actor.result()


def there(actor: Actor, held: int, variant: str) -> Metrics:
    """Measured by the actor."""
    actor.start(measure, held, variant)
    return actor.result()


def run(options: Options) -> Result:
    """All variants in turns on one core."""
    result = Result("risk", BENCH.what, "ns a mark", "ns", better="less")
    count = SCENARIOS_SHORT if options.short else SCENARIOS
    ticks = options.scaled(TICKS, TICKS_SHORT)
    with actors(cores(1)) as (actor,):
        variants = {}
        for held in POSITIONS_SHORT if options.short else POSITIONS:
            actor.start(load, held, count, ticks)
            actor.result()
            for variant in (BARE, MARK, PARTS, NUMPY):
                variants[f"{held:,}: {variant}"] = partial(there, actor, held, variant)
        actor.start(load_options, count, options.scaled(OPTION_TICKS, OPTION_TICKS_SHORT))
        actor.result()
        ours, theirs = (
            f"{risk_options.COUNT} options: {each}"
            for each in (risk_options.MARK, risk_options.NUMPY)
        )
        variants[ours] = partial(options_there, actor, risk_options.MARK)
        variants[theirs] = partial(options_there, actor, risk_options.NUMPY)
        run_rounds(result, variants, options.rounds_of(ROUNDS))
    for name in result.variants:
        held, _, variant = name.partition(": ")
        if name == theirs:
            result.pairs[name] = ours
        elif variant != BARE and name != ours:
            result.pairs[name] = f"{held}: {BARE}"
    return result


BENCH = Bench("risk", "VaR, ES and parts of all positions on every mark, 1,000 scenarios", run)
