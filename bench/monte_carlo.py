"""Monte Carlo value at risk of options: milliseconds for all paths, beside numpy and scipy.

500 options on 50 underlyings over 100,000 paths, which are made once: every option priced on every
path, and a curve for each underlying. numpy prices the same options by whole columns of paths. The
profits of all are compared on every path.
"""

import math
import time
from functools import partial

import numpy as np

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
from workers import conventions, option_books
from workers.holdings import Holdings, Option, Underlying
from workers.monte_carlo import Book
from workers.quantiles import exact
from workers.revaluation import Valued

PATHS, PATHS_SHORT = 100_000, 512
OPTIONS, UNDERLYINGS = 500, 50
OPTIONS_SHORT, UNDERLYINGS_SHORT = 12, 3
CHUNK = 1024
DEVIATION, REACH = 0.02, 0.2
ROUNDS = 5
SAME, NEAR = 1e-10, 1e-4  # of the largest profit: what they may differ by on any path
EXACT, CURVES, NUMPY = "every option", "curves", "numpy, scipy"


def drawn(options: int, underlyings: int) -> Holdings:
    """Options about the money from three weeks to two years, always the same."""
    draw = np.random.default_rng(1)
    names = {
        f"U{number}": Underlying(price=float(draw.uniform(20, 200)), volatility=0.3)
        for number in range(underlyings)
    }
    held = [
        Option(
            underlying=(name := f"U{number % underlyings}"),
            type="call" if draw.random() < 0.5 else "put",
            strike=float(names[name].price * np.exp(draw.normal(0, 0.2))),
            expiry=float(draw.uniform(0.06, 2.0)),
            volatility=float(draw.uniform(0.15, 0.6)),
            rate=0.03,
            dividend=0.01,
            quantity=float(draw.normal(0, 100)),
        )
        for number in range(options)
    ]
    return Holdings(underlyings=names, positions=held)


class Simulation:
    """The options and the paths, in the process that measures."""

    def __init__(self, options: int, underlyings: int, paths: int) -> None:
        self.holdings = drawn(options, underlyings)
        valued = Valued(self.holdings)
        self.number, self.spots = valued.number, valued.spots
        shocks = np.random.default_rng(2).normal(0, DEVIATION, (underlyings, paths))
        self.chunks = [
            np.ascontiguousarray(shocks[:, first : first + CHUNK])
            for first in range(0, paths, CHUNK)
        ]
        self.books: dict[str, Book] = {
            EXACT: option_books.exact(valued),
            CURVES: option_books.interpolated(valued, REACH),
            NUMPY: self.numpy,
        }
        self.wanted = self.profits(EXACT)
        for variant in (CURVES, NUMPY):
            self.check(variant, self.profits(variant))

    def profits(self, variant: str) -> np.ndarray:
        """What the book makes on each path."""
        return np.concatenate([self.books[variant](chunk) for chunk in self.chunks])

    def numpy(self, shocks: np.ndarray) -> np.ndarray:
        """Each option over the whole of some paths."""
        made = np.zeros(shocks.shape[1])
        spots = self.spots[:, None] * np.exp(shocks)
        for option in self.holdings.positions:
            assert isinstance(option, Option)
            number = self.number[option.underlying]
            now = priced(option, self.spots[number : number + 1])
            made += option.quantity * (priced(option, spots[number]) - now)
        return made

    def check(self, variant: str, profits: np.ndarray) -> None:
        """Refuse profits that are not those of every option priced."""
        off = np.abs(profits - self.wanted).max() / np.abs(self.wanted).max()
        if not off <= (NEAR if variant == CURVES else SAME):
            raise BenchError(f"{variant}: profits differ by {off} of the largest")


def priced(option: Option, spot: np.ndarray) -> np.ndarray:
    """Black, Scholes and Merton in whole columns."""
    from scipy.special import ndtr

    sign = 1.0 if option.type == "call" else -1.0
    deviation = option.volatility * math.sqrt(option.expiry)
    drift = (option.rate - option.dividend) * option.expiry
    first = (np.log(spot / option.strike) + drift) / deviation + deviation / 2
    asset = spot * math.exp(-option.dividend * option.expiry) * ndtr(sign * first)
    cash = option.strike * math.exp(-option.rate * option.expiry)
    return sign * (asset - cash * ndtr(sign * (first - deviation)))


SIMULATIONS: list[Simulation] = []  # of the process that measures


def load(options: int, underlyings: int, paths: int) -> None:
    """Have everything ready, kernels compiled."""
    SIMULATIONS.append(Simulation(options, underlyings, paths))


def measure(variant: str) -> Metrics:
    """ms for the profits of all paths and the measures of them."""
    begun = time.perf_counter_ns()
    profits = SIMULATIONS[0].profits(variant)
    level = exact(0.99)
    conventions.value_at_risk(profits, level)
    conventions.expected_shortfall(profits, level)
    spent = time.perf_counter_ns() - begun
    SIMULATIONS[0].check(variant, profits)
    return {"ms": spent / 1e6}


def there(actor: Actor, variant: str) -> Metrics:
    """Measured by the actor."""
    actor.start(measure, variant)
    return actor.result()


def run(options: Options) -> Result:
    """All variants in turns on one core."""
    result = Result("monte_carlo", BENCH.what, "ms", "ms", better="less")
    sizes = (OPTIONS_SHORT, UNDERLYINGS_SHORT) if options.short else (OPTIONS, UNDERLYINGS)
    with actors(cores(1)) as (actor,):
        actor.start(load, *sizes, options.scaled(PATHS, PATHS_SHORT))
        actor.result()
        variants = {name: partial(there, actor, name) for name in (EXACT, CURVES, NUMPY)}
        run_rounds(result, variants, options.rounds_of(ROUNDS))
    result.pairs = dict.fromkeys((CURVES, NUMPY), EXACT)
    return result


BENCH = Bench("monte_carlo", "VaR and ES of 500 options over 100,000 paths, beside numpy", run)
