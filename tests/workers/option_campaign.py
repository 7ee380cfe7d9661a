"""Random options by the hundred thousand, corners among them, and all that must hold of them.

    python -m tests.workers.option_campaign [N] [SEED]

Every check is a line: how many options it looked at, how many failed, and the worst error in
parts of what is allowed (above 1 is a failure). Oracles are QuantLib and, for some, the textbook's
formulas with 60 digits; the rest are laws that prices obey whatever they are.
"""

import math
import sys
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import QuantLib as ql

from tests.naive import options as naive
from workers.kernels import option_chains as chains
from workers.kernels.black_scholes import CALL, PUT
from workers.kernels.implied import Found, implied_all
from workers.records import empty

N, BATCH = 100_000, 8_192
EXACT_EVERY = 50  # so many of them are worked out with 60 digits
MEASURES = (*chains.FIRST_ORDER, *chains.SECOND_ORDER)
QUANTLIB = ("price", "delta", "gamma", "vega", "theta", "rho", "dividend_rho")
EPSILON = 2.0**-52
BAD = (math.nan, math.inf, -math.inf, -1.0)
Columns = dict[str, np.ndarray]


class Line(NamedTuple):
    """What one check came to."""

    looked_at: int
    failed: int
    worst: float


@dataclass
class Tally:
    """Lines by name, over all batches."""

    lines: dict[str, Line] = field(default_factory=dict)

    def note(self, name: str, errors: np.ndarray, allowed: np.ndarray | float) -> None:
        """Errors beside what they may be; a NaN is a failure."""
        parts = np.asarray(errors / np.maximum(allowed, 1e-300))
        parts = np.where(np.isnan(parts), np.inf, parts)
        before = self.lines.get(name, Line(0, 0, 0.0))
        self.lines[name] = Line(
            before.looked_at + parts.size,
            before.failed + int((parts > 1).sum()),
            max(before.worst, float(parts.max(initial=0.0))),
        )

    def hold(self, name: str, true: np.ndarray) -> None:
        """What is so or not."""
        self.note(name, np.where(true, 0.0, 2.0), 1.0)


def drawn(draw: np.random.Generator, count: int) -> Columns:
    """Options short and long, quiet and wild, near the money and 35 deviations away."""
    expiry, volatility = np.exp(draw.uniform(-9, 3, count)), np.exp(draw.uniform(-5, 1.5, count))
    away = draw.choice([0.0, 1.0, 12.0], count) * draw.uniform(-3, 3, count)
    spot = np.exp(draw.uniform(-5, 8, count))
    width = np.clip(away * volatility * np.sqrt(expiry), -20, 20)
    return {
        "kind": draw.choice([CALL, PUT], count),
        "spot": spot,
        "strike": spot * np.exp(width),
        "rate": draw.uniform(-0.1, 0.2, count),
        "dividend": draw.uniform(-0.1, 0.2, count),
        "expiry": expiry,
        "volatility": volatility,
    }


def measured(columns: Columns) -> Columns:
    """Flag and all measures, by the batched kernel."""
    count = columns["spot"].size
    blocks = laid_out(columns)
    chains.measure_all(blocks.ctypes.data, blocks.size)
    return {name: blocks[name].reshape(-1)[:count] for name in ("flag", *MEASURES)}


def laid_out(columns: Columns) -> np.ndarray:
    """OPTIONS blocks of these columns."""
    count = columns["spot"].size
    blocks = empty(chains.OPTIONS, -(-count // chains.LANES))
    for name, values in columns.items():
        lanes = np.zeros(blocks.size * chains.LANES)
        lanes[:count] = values
        blocks[name] = lanes.reshape(blocks.size, chains.LANES)
    return blocks


def moved(columns: Columns, name: str, factor: np.ndarray | float, by: np.ndarray | float = 0.0):
    """Measures with one input multiplied and moved."""
    return measured(columns | {name: columns[name] * factor + by})


def scales(columns: Columns) -> Columns:
    """What each measure is made of: errors of it come in parts of that."""
    rate, dividend, expiry = columns["rate"], columns["dividend"], columns["expiry"]
    volatility, root = columns["volatility"], np.sqrt(columns["expiry"])
    growth = np.exp(-dividend * expiry)
    asset, cash = columns["spot"] * growth, columns["strike"] * np.exp(-rate * expiry)
    deviation = volatility * root
    return {
        "price": asset + cash,
        "delta": growth,
        "gamma": growth / (columns["spot"] * deviation),
        "vega": asset * root,
        "theta": asset * volatility / (2 * root) + abs(rate) * cash + abs(dividend) * asset,
        "rho": expiry * cash,
        "dividend_rho": expiry * asset,
        "vanna": growth * root / deviation,
        "volga": asset * root / volatility,
        "charm": growth * (abs(dividend) + abs(rate - dividend) / deviation + 1 / expiry),
        "deviation": deviation,
        "asset": asset,
        "cash": cash,
    }


def between_call_and_put(tally: Tally, columns: Columns, scale: Columns) -> None:
    """Parity of prices and Greeks."""
    call = measured(columns | {"kind": np.full_like(columns["kind"], CALL)})
    put = measured(columns | {"kind": np.full_like(columns["kind"], PUT)})
    growth, expiry = scale["delta"], columns["expiry"]
    forward = scale["asset"] - scale["cash"]
    # A discount is as good as its exponent, which was rounded.
    exponents = expiry * (abs(columns["rate"]) + abs(columns["dividend"]))
    rounding = 4 * EPSILON * (1 + exponents)
    tally.note("call - put = forward", abs(call["price"] - put["price"] - forward),
               rounding * scale["price"])  # fmt: skip
    tally.note("delta: call - put = e^-qT", abs(call["delta"] - put["delta"] - growth),
               rounding * growth)  # fmt: skip
    for name, sign in (("rho", 1), ("dividend_rho", -1)):
        gap = call[name] - put[name] - sign * scale[name]
        tally.note(f"{name}: call - put", abs(gap), rounding * scale[name])
    for name in ("gamma", "vega", "vanna", "volga"):
        tally.hold(f"{name}: call = put", call[name] == put[name])
    tally.hold("bounds", (call["price"] <= scale["asset"] * (1 + rounding))
               & (put["price"] <= scale["cash"] * (1 + rounding))
               & (np.minimum(call["price"], put["price"]) >= 0)
               & (call["price"] >= forward - rounding * scale["price"]))  # fmt: skip


def rising(tally: Tally, columns: Columns, found: Columns) -> None:
    """Prices rise with volatility, calls with the spot, puts with the strike."""
    price, kind = found["price"], columns["kind"]
    rounding = 1e-13 * price  # two roundings may fall the other way
    for name in ("volatility", "spot", "strike"):
        sign = {"volatility": 1.0, "spot": kind, "strike": -kind}[name]
        change = sign * (moved(columns, name, 1.001)["price"] - price)
        tally.hold(f"monotonic in {name}", change >= -rounding)


def homogeneous(tally: Tally, columns: Columns, found: Columns) -> None:
    """In another currency, of a power of two, every bit is the same."""
    factor = 2.0**33
    scaled = measured(columns | {name: columns[name] * factor for name in ("spot", "strike")})
    for name in ("price", "vega", "theta", "rho"):
        held = (scaled[name] == found[name] * factor) | (abs(found[name]) < 1e-290)
        tally.hold("homogeneity, bit for bit", held)
    held = (scaled["delta"] == found["delta"]) | (abs(found["delta"]) < 1e-290)
    tally.hold("homogeneity, bit for bit", held)


def derivatives(tally: Tally, columns: Columns, found: Columns, scale: Columns) -> None:
    """Every Greek beside the central difference of what it is the derivative of."""
    deviation, expiry = scale["deviation"], columns["expiry"]
    narrow = 1e-3 * np.minimum(deviation, 1.0)
    rates = 1e-3 * np.minimum(deviation, 1.0) / expiry
    zero = np.zeros_like(expiry)
    for name, of, by, factor, add, sign in (
        ("delta", "price", "spot", narrow, zero, 1),
        ("gamma", "delta", "spot", narrow, zero, 1),
        ("vega", "price", "volatility", zero + 1e-3, zero, 1),
        ("theta", "price", "expiry", zero + 1e-4, zero, -1),
        ("rho", "price", "rate", zero, rates, 1),
        ("dividend_rho", "price", "dividend", zero, rates, 1),
        ("vanna", "delta", "volatility", zero + 1e-3, zero, 1),
        ("volga", "vega", "volatility", zero + 1e-3, zero, 1),
        ("charm", "delta", "expiry", zero + 1e-4, zero, -1),
    ):
        up, down = moved(columns, by, 1 + factor, add), moved(columns, by, 1 - factor, -add)
        width = 2 * (factor * abs(columns[by]) + add)
        slope = sign * (up[of] - down[of]) / width
        reach = 1 + (np.log(columns["strike"] / columns["spot"]) / deviation) ** 2 + deviation**2
        rounding = 8 * EPSILON * scale[of] * reach / width
        tally.note(f"{name} is a derivative", abs(slope - found[name]),
                   4e-5 * scale[name] + rounding)  # fmt: skip


def quantlib(tally: Tally, columns: Columns, found: Columns, scale: Columns) -> None:
    """BlackCalculator's, whose digits in the tails are fewer: errors are in parts of the scale."""
    theirs: dict[str, list[float]] = {name: [] for name in QUANTLIB}
    rows = zip(*(columns[name].tolist() for name in chains.INPUTS), strict=True)
    for kind, spot, strike, rate, dividend, expiry, volatility in rows:
        forward = spot * math.exp((rate - dividend) * expiry)
        side = ql.Option.Call if kind == CALL else ql.Option.Put
        deviation = volatility * math.sqrt(expiry)
        payoff = ql.PlainVanillaPayoff(side, strike)
        black = ql.BlackCalculator(payoff, forward, deviation, math.exp(-rate * expiry))
        values = (
            black.value(), black.delta(spot), black.gamma(spot), black.vega(expiry),
            black.theta(spot, expiry), black.rho(expiry), black.dividendRho(expiry),
        )  # fmt: skip
        for name, value in zip(QUANTLIB, values, strict=True):
            theirs[name].append(value)
    width = abs(np.log(columns["spot"] / columns["strike"])) + 1 + columns["expiry"]
    rounding = 1e-14 * (1 + width) + 4 * EPSILON * width / scale["deviation"]
    theirs_of_theta = scale["theta"] + 0.01 * scale["price"] / columns["expiry"]  # ln(discount) / T
    scale = scale | {"rho": columns["expiry"] * scale["price"], "theta": theirs_of_theta}
    for name in QUANTLIB:
        gap = abs(np.array(theirs[name]) - found[name])
        tally.note(f"QuantLib: {name}", gap, 8 * rounding * scale[name])


def exact(tally: Tally, columns: Columns, found: Columns, scale: Columns) -> None:
    """60 digits: relative errors, where the measure's own terms do not cancel."""
    for row in range(0, columns["spot"].size, EXACT_EVERY):
        truth = naive.measures(*(columns[name][row].item() for name in chains.INPUTS))
        for name in MEASURES:
            wanted, ours = float(truth[name]), found[name][row]
            floor = 1e-12 * scale[name][row]
            if name in chains.FIRST_ORDER:
                floor = 1e-12 * columns["spot"][row]
            size = max(abs(wanted), floor)
            tally.note(f"60 digits: {name}", np.array([abs(ours - wanted)]), 1e-11 * size)


def round_trip(tally: Tally, columns: Columns, found: Columns, scale: Columns) -> None:
    """Price to volatility: the same, as far as a rounded price can tell it."""
    blocks = laid_out(columns | {"price": found["price"]})
    implied_all(blocks.ctypes.data, blocks.size)
    count = columns["spot"].size
    code, volatility = (blocks[name].reshape(-1)[:count] for name in ("flag", "volatility"))
    explained = (code == Found.SOLVED) | (code == Found.NO_TIME_VALUE)
    explained |= (code == Found.ABOVE_BOUND) & (scale["deviation"] > 10)
    tally.hold("implied: solved or explained", explained)
    solved = code == Found.SOLVED
    in_money = columns["kind"] * (scale["asset"] - scale["cash"]) > 0
    lead = np.minimum(scale["asset"], scale["cash"])
    size = np.where(in_money, scale["price"], np.minimum(found["price"], lead))
    seen = found["vega"] > 1e-290  # below, it has lost its own digits
    reach = np.full(count, np.inf)
    reach[seen] = np.maximum(size * EPSILON, 1e-323)[seen]
    reach[seen] /= (columns["volatility"] * found["vega"])[seen]
    gap = abs(volatility / columns["volatility"] - 1)
    tally.note("implied: there and back", gap[solved], (16 * reach + 1e-14)[solved])


def ticks(tally: Tally, columns: Columns) -> None:
    """A tick of the underlying, beside all inputs at once."""
    chain_of = columns | {"strike": columns["strike"] / columns["spot"] * 100}
    spot = float(columns["spot"][0] % 50 + 75)
    whole = measured(chain_of | {"spot": np.full_like(columns["spot"], spot)})
    options = laid_out(chain_of)
    chain = empty(chains.CHAIN, options.size)
    chains.prepare_all(options.ctypes.data, chain.ctypes.data, options.size)
    tally.hold("tick", np.array([chains.reprice_all(chain.ctypes.data, chain.size, spot) == 0]))
    decay = 1e-14 * abs(whole["vega"]) * columns["volatility"] / columns["expiry"]
    income = abs(chain_of["rate"] * whole["rho"]) + abs(
        chain_of["dividend"] * whole["dividend_rho"]
    )
    decay += 4 * EPSILON * income / columns["expiry"]  # theta's terms may cancel
    for name in chains.FIRST_ORDER:
        ours = chain[name].reshape(-1)[: columns["spot"].size]
        floor = decay if name == "theta" else 0.0
        allowed = 1e-12 * abs(whole[name]) + floor + 1e-307
        tally.note(f"tick = all inputs: {name}", abs(ours - whole[name]), allowed)


def corners(tally: Tally, columns: Columns, draw: np.random.Generator) -> None:
    """Inputs of 0 have the limit's price; inputs that are none have a flag and no number."""
    count = columns["spot"].size
    edge = {name: values.copy() for name, values in columns.items()}
    for name in ("spot", "strike", "expiry", "volatility"):
        edge[name][draw.random(count) < 0.3] = 0.0
    found, scale = measured(edge), {}
    scale["asset"] = edge["spot"] * np.exp(-edge["dividend"] * edge["expiry"])
    scale["cash"] = edge["strike"] * np.exp(-edge["rate"] * edge["expiry"])
    sure = (edge["spot"] == 0) | (edge["strike"] == 0)
    sure |= (edge["expiry"] == 0) | (edge["volatility"] == 0)
    intrinsic = np.maximum(edge["kind"] * (scale["asset"] - scale["cash"]), 0.0)
    allowed = 8 * EPSILON * (scale["asset"] + scale["cash"]) * (1 + edge["expiry"])
    gap = abs(found["price"] - intrinsic)[sure]
    tally.note("corners: intrinsic", gap, allowed[sure] + 1e-300)
    tally.hold("corners: no flag", found["flag"] == 0)
    tally.hold("corners: no NaN", ~np.isnan([found[name] for name in MEASURES]).any(axis=0))
    for name in chains.INPUTS:
        broken = columns[name].copy()
        hit = draw.random(count) < 0.1
        values = BAD[:3] if name in ("rate", "dividend", "kind") else BAD
        broken[hit] = draw.choice(values, int(hit.sum()))
        found = measured(columns | {name: broken})
        blank = np.isnan([found[measure] for measure in MEASURES])
        tally.hold("no option: flag, NaN", (found["flag"] != 0)[hit] & blank.all(axis=0)[hit])
        tally.hold("no option: no neighbour", (found["flag"] == 0)[~hit] & ~blank.any(axis=0)[~hit])


def campaign(count: int = N, seed: int = 1) -> Tally:
    """Check so many random options."""
    tally, draw = Tally(), np.random.default_rng(seed)
    while count > 0:
        columns = drawn(draw, min(count, BATCH))
        found, scale = measured(columns), scales(columns)
        tally.hold("no flag", found["flag"] == 0)
        between_call_and_put(tally, columns, scale)
        rising(tally, columns, found)
        homogeneous(tally, columns, found)
        derivatives(tally, columns, found, scale)
        quantlib(tally, columns, found, scale)
        exact(tally, columns, found, scale)
        round_trip(tally, columns, found, scale)
        ticks(tally, columns)
        corners(tally, columns, draw)
        count -= BATCH
    return tally


def main(arguments: list[str]) -> int:
    """Print a line for each check; 1 where one failed."""
    tally = campaign(*(int(word) for word in arguments))
    print(f"{'check':<36}{'looked at':>12}{'failed':>8}{'worst, of what is allowed':>28}")
    for name, line in tally.lines.items():
        print(f"{name:<36}{line.looked_at:>12,}{line.failed:>8,}{line.worst:>28.3g}")
    return int(any(line.failed for line in tally.lines.values()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
