"""Prices and five Greeks of European options: nanoseconds an option, beside C and other libraries.

Two kinds of work on one core over a chain of one underlying: all from raw inputs, and again on a
tick, with everything but the spot worked out before. Beside our kernels: gcc -O3 -ffast-math with
glibc's libmvec at its widest vectors, numpy with scipy, and QuantLib from Python as its users
write it, a quote that moves and options that are asked again. All see the same options, and the
prices of all are compared.
"""

import math
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bench import c_program
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
from workers.kernels import option_chains as chains
from workers.options import lay_out
from workers.records import empty

OPTIONS, OPTIONS_SHORT = 4_096, 128
PASSES, PASSES_SHORT = 2_000, 3
QUANTLIB_OPTIONS, QUANTLIB_PASSES = 64, 60
ROUNDS = 9
SPOT, TICK = 100.0, 1e-4
DAYS = 365
SAME = 1e-10  # of the spot: what prices may differ by
RAW, TICKS = "raw inputs", "tick"
C, LIBRARY, NUMPY = "gcc libmvec", "QuantLib", "numpy, scipy"
NO_TAILS = (
    "the C program does less: its lower tail has no correct digits beyond 8 deviations, and it "
    "knows no corners and refuses nothing"
)


def drawn(count: int) -> dict[str, np.ndarray]:
    """A chain about the money, from a week to three years, always the same."""
    draw = np.random.default_rng(1)
    days = np.floor(draw.uniform(7, 3 * DAYS, count))  # QuantLib counts in days
    return {
        "kind": draw.choice([1.0, -1.0], count),
        "spot": np.full(count, SPOT),
        "strike": SPOT * np.exp(draw.normal(0, 0.2, count)),
        "rate": draw.uniform(0.0, 0.08, count),
        "dividend": draw.uniform(0.0, 0.04, count),
        "expiry": days / DAYS,
        "volatility": draw.uniform(0.1, 0.8, count),
    }


class Chain:
    """The options and the ways to price them, in the process that measures."""

    def __init__(self, count: int) -> None:
        self.columns, self.count = drawn(count), count
        self.options = lay_out(self.columns).blocks
        self.chain = empty(chains.CHAIN, self.options.size)
        self.raw(SPOT)
        chains.prepare_all(self.options.ctypes.data, self.chain.ctypes.data, self.chain.size)
        self.tick(SPOT)
        self.prices = self.numpy(SPOT)[0]
        for blocks in (self.options, self.chain):
            self.check(blocks["price"].reshape(-1)[:count])
        self.library: list[Any] = []

    def check(self, prices: np.ndarray) -> None:
        """Refuse prices that are not those of numpy and scipy."""
        off = np.abs(prices - self.prices[: len(prices)]).max()
        if not off <= SAME * SPOT:
            raise BenchError(f"prices differ by {off}")

    def raw(self, spot: float) -> None:
        """Ours from all inputs; they lie there, so the spot is theirs."""
        chains.price_all(self.options.ctypes.data, self.options.size)

    def tick(self, spot: float) -> None:
        """Ours on a tick."""
        chains.reprice_all(self.chain.ctypes.data, self.chain.size, spot)

    def numpy(self, spot: float) -> tuple[np.ndarray, ...]:
        """The same from all inputs in whole columns."""
        from scipy.special import ndtr

        kind, _, strike, rate, dividend, expiry, volatility = self.columns.values()
        root = np.sqrt(expiry)
        deviation = volatility * root
        growth, discount = np.exp(-dividend * expiry), np.exp(-rate * expiry)
        first = (np.log(spot / strike) + (rate - dividend) * expiry) / deviation + deviation / 2
        chance, paid = ndtr(kind * first), ndtr(kind * (first - deviation))
        slope = growth * np.exp(-0.5 * first * first) / math.sqrt(2 * math.pi)
        asset, cash = spot * growth * chance, strike * discount * paid
        vega = spot * slope * root
        theta = kind * (dividend * asset - rate * cash) - spot * slope * volatility / (2 * root)
        gamma = slope / (spot * deviation)
        return (
            kind * (asset - cash), kind * growth * chance, gamma, vega, theta, kind * expiry * cash,
        )  # fmt: skip

    def quantlib(self, spot: float) -> list[float]:
        """Some of them asked of QuantLib after its quote has moved; their prices."""
        quote, options = self.library
        quote.setValue(spot)
        prices = []
        for option in options:
            prices.append(option.NPV())
            option.delta(), option.gamma(), option.vega(), option.theta(), option.rho()
        return prices

    def quantlib_made(self, count: int) -> None:
        """QuantLib's objects of the first options: a process each, for their rates differ."""
        import QuantLib as ql  # noqa: N813

        today = ql.Date(15, 1, 2024)
        ql.Settings.instance().evaluationDate = today
        clock, quote, options = ql.Actual365Fixed(), ql.SimpleQuote(SPOT), []
        rows = zip(*(values[:count].tolist() for values in self.columns.values()), strict=True)
        for kind, _, strike, rate, dividend, expiry, volatility in rows:
            process = ql.BlackScholesMertonProcess(
                ql.QuoteHandle(quote),
                ql.YieldTermStructureHandle(ql.FlatForward(today, dividend, clock)),
                ql.YieldTermStructureHandle(ql.FlatForward(today, rate, clock)),
                ql.BlackVolTermStructureHandle(
                    ql.BlackConstantVol(today, ql.NullCalendar(), volatility, clock)
                ),
            )
            side = ql.Option.Call if kind > 0 else ql.Option.Put
            exercise = ql.EuropeanExercise(today + round(expiry * DAYS))
            option = ql.VanillaOption(ql.PlainVanillaPayoff(side, strike), exercise)
            option.setPricingEngine(ql.AnalyticEuropeanEngine(process))
            options.append(option)
        self.library = [quote, options]
        self.check(np.array(self.quantlib(SPOT)))


CHAINS: list[Chain] = []  # of the process that measures


def load(count: int, path: str) -> None:
    """Have the chain ready, its kernels compiled, and its columns in a file for the C program."""
    chain = Chain(count)
    CHAINS.append(chain)
    with Path(path).open("wb") as file:
        file.write(np.int64(count).tobytes())
        for values in (*chain.columns.values(), chain.options["price"].reshape(-1)[:count]):
            file.write(np.ascontiguousarray(values).tobytes())


def has_quantlib(count: int) -> bool:
    """Make QuantLib's options where it is installed."""
    try:
        CHAINS[0].quantlib_made(count)
    except ImportError:
        return False
    return True


def measure(work: str, passes: int, options: int) -> Metrics:
    """ns an option of the median pass, the spot moving a little between passes."""
    run: Callable[[float], object] = getattr(CHAINS[0], work)
    spans = []
    for number in range(passes):
        begun = time.perf_counter_ns()
        run(SPOT + TICK * number)
        spans.append(time.perf_counter_ns() - begun)
    return {"ns": float(np.median(spans)) / options}


def there(actor: Actor, work: str, passes: int, options: int) -> Metrics:
    """Measured in the pinned process."""
    actor.start(measure, work, passes, options)
    return actor.result()


def in_c(path: Path, passes: int, core: int, work: str) -> Metrics:
    """Measured by the C program."""
    return {"ns": c_program.options(path, passes, core)[work]}


def run(options: Options) -> Result:
    """All variants in turns on one core."""
    result = Result("options", BENCH.what, "ns an option", "ns", better="less")
    count, passes = options.scaled(OPTIONS, OPTIONS_SHORT), options.scaled(PASSES, PASSES_SHORT)
    count = max(count, chains.LANES)
    few = min(count, QUANTLIB_OPTIONS)
    (place,) = cores(1)
    with tempfile.TemporaryDirectory() as folder, actors([place]) as (actor,):
        path = Path(folder) / "options"
        actor.start(load, count, str(path))
        actor.result()
        variants = {
            RAW: partial(there, actor, "raw", passes, count),
            TICKS: partial(there, actor, "tick", passes, count),
            f"{RAW}: {NUMPY}": partial(there, actor, "numpy", max(passes // 10, 3), count),
        }
        if c_program.available():
            result.notes.append(NO_TAILS)
            variants[f"{RAW}: {C}"] = partial(in_c, path, passes, place.number, "raw")
            variants[f"{TICKS}: {C}"] = partial(in_c, path, passes, place.number, "tick")
        else:
            result.notes.append(c_program.NO_COMPILER)
        actor.start(has_quantlib, few)
        if actor.result():
            asked = min(passes, QUANTLIB_PASSES)
            variants[f"{TICKS}: {LIBRARY}"] = partial(there, actor, "quantlib", asked, few)
        else:
            result.notes.append("QuantLib is not installed: it is left out")
        run_rounds(result, variants, options.rounds_of(ROUNDS))
    result.pairs = {name: name.partition(":")[0] for name in result.variants if ":" in name}
    return result


BENCH = Bench("options", "prices and five Greeks of options, beside C, numpy and QuantLib", run)
