"""What the best prices and the trades of each instrument say: mid, microprice, VWAP, volatility.

    address -> | MEASURES header | MEASURE x instruments |

- mid = bid + ask, in half price units, exact; spread = ask - bid.
- microprice = bid + (ask - bid) x bid quantity / (bid quantity + ask quantity): nearer to the side
  that is about to give way (Stoikov 2018 calls this one the weighted mid).
- imbalance = (bid quantity - ask quantity) / their sum, from -1 to 1.
  Where a side is empty, all but the imbalance are 0; where both are, that too.
- VWAP, volume and trades count from the start of the session: a day long, at a set time of day.
- volatility: the square root of an exponentially weighted mean of squared returns of the mid
  (RiskMetrics 1996), sampled on a grid of time: a return a sample, between the mids at their ends.
  Sampled by time, not by quote or trade, it neither grows with the venue's chatter nor takes
  the bounce between bid and ask for movement. It is per square root of a sample's length. Weights
  are normalised by their sum, so it is right from the first return on. Returns are simple ones and
  decay is a product: + - * / and square roots alone, which are the same bits on every machine.
  No return spans the start of a session, or a time when the mid was not to be trusted.

A sample is closed by the instrument's first quote or trade after it. Up to one sample late, they
count as of now; where the clock goes back further, or a session ends, the next return starts anew.
"""

import math
from typing import NamedTuple

from ringbuf.atomics import at
from ringbuf.jit import kernel
from ringbuf.record import LINE, record
from workers.kernels.notional import LIMIT, add_product, average
from workers.records import Mark, State

QUOTE, FLOW = 1, 2  # bits of an answer: which of the measures are new
POWERS = 44  # more samples than 2**44 do not fit into the years of an int64
TIME_MAX = 1 << 62  # the year 2116: what a venue says is later is as late as this
DAY_NS = 86_400_000_000_000
STATES = min(Mark) - 1  # bits of State; those of Mark are above
UNTRUSTED = int(Mark.STALE | Mark.CROSSED | Mark.BARRED)

MEASURES = record(
    [
        ("instruments", "i8"),
        ("sample_ns", "i8"),
        ("session_ns", "i8"),  # when a session starts, after midnight
        ("refused", "i8"),  # quotes and trades with a number that is beyond LIMIT
        ("set_back", "i8"),  # times that an instrument's clock went back by more than a sample
        ("decay", "f8"),
        ("powers", "f8", (POWERS,)),  # decay ** (2 ** n)
    ]
)
MEASURE = record(
    [
        ("mid", "i8"),
        ("spread", "i8"),
        ("microprice", "f8"),
        ("imbalance", "f8"),
        ("vwap", "f8"),
        ("volatility", "f8"),
        ("volume", "i8"),
        ("trades", "i8"),
        ("notional_high", "i8"),
        ("notional_low", "i8"),
        ("session", "i8"),  # days since 1970
        ("sample", "i8"),  # number of the sample that is open, since 1970
        ("anchor", "i8"),  # mid at the end of the sample before, 0: none
        ("standing", "i8"),  # mid now, 0 where it is not to be trusted
        ("squares", "f8"),  # weighted sum of squared returns
        ("weight", "f8"),  # sum of their weights
    ]
)
MEASURES_AT = -(-MEASURES.itemsize // LINE) * LINE
SIZE = MEASURE.itemsize


class Settings(NamedTuple):
    """How many instruments, and how they are measured."""

    instruments: int
    sample_ns: int = 1_000_000_000
    decay: float = 0.94  # weight of a squared return against that of the one after it
    session_ns: int = 0


def bytes_needed(settings: Settings) -> int:
    """Bytes of the block, a multiple of a line."""
    return MEASURES_AT + settings.instruments * SIZE


def create(address: int, settings: Settings) -> None:
    """Lay measures of nothing over `bytes_needed` zero bytes that start on a cache line."""
    if settings.sample_ns < 1 or DAY_NS % settings.sample_ns:
        raise ValueError(f"samples of {settings.sample_ns} ns: must divide a day")
    if not 0 <= settings.session_ns < DAY_NS or settings.session_ns % settings.sample_ns:
        raise ValueError(f"session at {settings.session_ns} ns: must be whole samples of a day")
    if not 0 < settings.decay < 1:
        raise ValueError(f"decay {settings.decay}: must be between 0 and 1")
    header = at(address, MEASURES)
    header.instruments, header.decay = settings.instruments, settings.decay
    header.sample_ns, header.session_ns = settings.sample_ns, settings.session_ns
    power = settings.decay
    for bit in range(POWERS):
        header.powers[bit] = power
        power *= power


@kernel
def trusted(state):
    """Whether the mid of a book in this TOP.state is one to measure by."""
    trading = state & STATES
    return state & UNTRUSTED == 0 and trading != State.HALTED and trading != State.PAUSED


@kernel
def measure_of(state, instrument):
    """The MEASURE of an instrument."""
    return at(state + MEASURES_AT + int(instrument) * SIZE, MEASURE)


@kernel
def on_top(state, instrument, time_ns, bid, bid_quantity, ask, ask_quantity, tags):
    """Measure the best prices; tags: TOP.state. Return which measures are new, bits."""
    header = at(state, MEASURES)
    if not 0 <= instrument < header.instruments:
        return 0
    new = QUOTE | advance(state, instrument, int(time_ns))
    bid, ask = int(bid), int(ask)
    bid_quantity, ask_quantity = int(bid_quantity), int(ask_quantity)
    least = min(bid, ask, bid_quantity, ask_quantity)
    if least < 0 or max(bid, ask, bid_quantity, ask_quantity) > LIMIT:
        header.refused += 1
        bid, ask, bid_quantity, ask_quantity = 0, 0, 0, 0
    measure = measure_of(state, instrument)
    total = bid_quantity + ask_quantity
    share = 0.0
    measure.imbalance = 0.0
    if total > 0:
        share = float(bid_quantity) / float(total)
        measure.imbalance = float(bid_quantity - ask_quantity) / float(total)
    measure.mid, measure.spread, measure.microprice, measure.standing = 0, 0, 0.0, 0
    if bid > 0 and ask > 0:
        measure.mid, measure.spread = bid + ask, ask - bid
        measure.microprice = float(bid) + float(ask - bid) * share
        if trusted(tags):
            measure.standing = bid + ask
    return new


@kernel
def on_trade(state, instrument, time_ns, price, quantity):
    """Count a trade that was printed in; return which measures are new, bits."""
    header = at(state, MEASURES)
    if not 0 <= instrument < header.instruments:
        return 0
    new = advance(state, instrument, int(time_ns))
    measure = measure_of(state, instrument)
    price, quantity, volume = int(price), int(quantity), int(measure.volume)
    if not (0 < price <= LIMIT and 0 < quantity <= LIMIT - volume):
        header.refused += 1
        return new
    high, low = add_product(int(measure.notional_high), int(measure.notional_low), price, quantity)
    measure.notional_high, measure.notional_low = high, low
    measure.volume = volume + quantity
    measure.trades += 1
    measure.vwap = average(high, low, volume + quantity)
    return FLOW


@kernel
def advance(state, instrument, time_ns):
    """Close the samples that are over; FLOW where that gives another volatility, else 0."""
    header, measure = at(state, MEASURES), measure_of(state, instrument)
    time_ns = min(max(time_ns, 0), TIME_MAX)
    sample = time_ns // int(header.sample_ns)
    passed = sample - int(measure.sample)
    if -1 <= passed <= 0:
        return 0
    before, standing = int(measure.anchor), int(measure.standing)
    measure.sample, measure.anchor = sample, standing
    if passed < 0:
        header.set_back += 1
        before = measure.anchor = 0
    session = (time_ns - int(header.session_ns)) // DAY_NS
    if session != measure.session:
        measure.session = session
        before = measure.anchor = 0
        measure.volume, measure.trades, measure.vwap = 0, 0, 0.0
        measure.notional_high = measure.notional_low = 0
    if before == 0 or standing == 0:
        return 0
    observe(header, measure, float(standing - before) / float(before), passed - 1)
    return FLOW


@kernel
def observe(header, measure, simple_return, zeros):
    """Take in one return, and behind it so many of zero."""
    decay, left = float(header.decay), power(header, zeros)
    squares = float(measure.squares) * decay + simple_return * simple_return
    weight = float(measure.weight) * decay + 1.0
    measure.squares = squares * left
    measure.weight = weight * left + (1.0 - left) / (1.0 - decay)
    measure.volatility = math.sqrt(float(measure.squares) / float(measure.weight))


@kernel
def power(header, exponent):
    """decay ** exponent, by squares."""
    product = 1.0
    for bit in range(POWERS):
        if (exponent >> bit) & 1:
            product *= float(header.powers[bit])
    return product
