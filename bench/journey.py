"""Latency of every hop through the real pipeline while messages are due at a fixed rate.

A message's stamp carries the time at which it was due, not the time at which a delayed source got
round to sending it: what waits behind a stall counts, as it would for a client ("coordinated
omission" is what leaving it out is called). For the first hop both are shown. The jitter meter
watches the same cores in between: no latency can be better than that.
"""

from functools import partial

from bench import jitter, pipelines
from bench.harness import (
    PERCENTS,
    Bench,
    Metrics,
    Options,
    Result,
    Variant,
    actors,
    cores,
    run_rounds,
)
from bench.jitter import core_count
from bench.pipelines import Ran
from pipeline.report import HOPS
from workers.feeds.synthetic import SyntheticOptions

RATES, RATES_SHORT = (100_000, 1_000_000), (20_000,)  # messages a second
SECONDS, SECONDS_SHORT = 1.0, 0.1
SYMBOLS, SYMBOLS_SHORT = 200, 20
ROUNDS = 4
METER_S, METER_SHORT_S = 0.25, 0.02
NAMES = (*(f"p{percent:g}" for percent in PERCENTS), "max")
# The first hop as a naive bench would have it, and from when the message was due; then the rest.
SHOWN = (
    ("book", "hop", "ingest → book, since sent"),
    ("book", "age", "ingest → book, since due"),
    *HOPS[1:],
)


def measure(day: SyntheticOptions, rate: int) -> dict[str, Metrics]:
    """One run at a rate: hop -> percentiles in us, and the rate that was reached."""
    ran = pipelines.run(day, rate=rate)
    reached = ran.published / ran.seconds / rate
    return {what: row(ran, stage, histogram, reached) for stage, histogram, what in SHOWN}


def row(ran: Ran, stage: str, histogram: str, reached: float) -> Metrics:
    """One line of the table."""
    found = ran.latency(stage, histogram)
    return {**{name: found[name] / 1e3 for name in NAMES}, "of rate": reached}


class Rounds:
    """One run at each rate a round; each hop of it is a variant."""

    def __init__(self, options: Options) -> None:
        self.rates = RATES_SHORT if options.short else RATES
        self.seconds = SECONDS_SHORT if options.short else SECONDS
        self.symbols = SYMBOLS_SHORT if options.short else SYMBOLS
        self.latest: dict[str, Metrics] = {}

    def run(self) -> None:
        """Run the pipeline at each rate."""
        for rate in self.rates:
            messages = int(rate * self.seconds)
            day = SyntheticOptions(messages=messages, symbols=self.symbols)
            for what, metrics in measure(day, rate).items():
                self.latest[name_of(rate, what)] = metrics

    def variants(self) -> dict[str, Variant]:
        """Every hop at every rate."""
        names = [name_of(rate, what) for rate in self.rates for _, _, what in SHOWN]
        return {name: partial(self.latest.__getitem__, name) for name in names}


def name_of(rate: int, what: str) -> str:
    """The name of a hop at a rate."""
    return f"{rate // 1000:,}k/s {what}"


def run(options: Options) -> Result:
    """Runs at each rate, the jitter meter before each round."""
    result = Result("journey", BENCH.what, "us", "p50", better="less")
    rounds, passes = Rounds(options), []
    places = [place for place in cores(core_count()) if not place.shared]
    seconds = METER_SHORT_S if options.short else METER_S
    with actors(places) as crew:

        def before() -> None:
            passes.append(jitter.meter_all(crew, places, seconds))
            rounds.run()

        run_rounds(result, rounds.variants(), pipelines.rounds_of(options, ROUNDS), before)
    samples = int(rounds.rates[0] * rounds.seconds)
    jitter.beside(result, passes, samples, one_at_a_time=False)
    for rate in rounds.rates:
        sent, due = (name_of(rate, what) for _, _, what in SHOWN[:2])
        result.pairs[due] = sent
    result.notes.append("of rate: 1 where the pipeline kept up with what was due")
    return result


BENCH = Bench("journey", "hops through the pipeline at fixed rates, since when due", run)
