"""Quantiles and tail means by hand: exact fractions, sorted lists, one definition after another."""

from fractions import Fraction
from math import ceil, floor


def exactly(values):
    return sorted(Fraction(value) for value in values)


def at(ranked, rank):
    """x(rank), the ends standing for all beyond them."""
    return ranked[min(max(rank, 1), len(ranked)) - 1]


def discrete(values, p, kind):
    """Hyndman and Fan's types 1 to 3: the inverse of the sample's distribution, and two others."""
    ranked = exactly(values)
    place = len(ranked) * p - (Fraction(1, 2) if kind == 3 else 0)
    below = floor(place)
    if place != below:
        return at(ranked, below + 1)
    if kind == 1:
        return at(ranked, below)
    if kind == 2:
        return (at(ranked, below) + at(ranked, below + 1)) / 2
    return at(ranked, below if below % 2 == 0 else below + 1)


def continuous(values, p, kind):
    """Types 4 to 9: linear between the points (p(k), x(k)), each with its own p(k)."""
    ranked = exactly(values)
    n = len(ranked)
    place_of = {
        4: lambda k: Fraction(k, n),
        5: lambda k: (k - Fraction(1, 2)) / n,
        6: lambda k: Fraction(k, n + 1),
        7: lambda k: Fraction(k - 1, n - 1) if n > 1 else Fraction(0),
        8: lambda k: (k - Fraction(1, 3)) / (n + Fraction(1, 3)),
        9: lambda k: (k - Fraction(3, 8)) / (n + Fraction(1, 4)),
    }[kind]
    if p <= place_of(1):
        return ranked[0]
    for k in range(1, n):
        low, high = place_of(k), place_of(k + 1)
        if low <= p <= high:
            part = (p - low) / (high - low)
            return ranked[k - 1] * (1 - part) + ranked[k] * part
    return ranked[-1]


def quantile(values, p, kind):
    return discrete(values, p, kind) if kind <= 3 else continuous(values, p, kind)


def value_at_risk(returns, level):
    """The smallest loss v with P(loss > v) < 1 - c, by trying each loss."""
    n = len(returns)
    losses = sorted(-Fraction(r) for r in returns)
    return next(v for v in losses if Fraction(sum(x > v for x in losses), n) < 1 - level)


def expected_shortfall(returns, level):
    """The least of v + E[(loss - v)+] / (1 - c) over all v: Rockafellar and Uryasev's form."""
    losses = [-Fraction(r) for r in returns]

    def at_edge(v):
        return v + sum(max(x - v, Fraction(0)) for x in losses) / len(losses) / (1 - level)

    return min(at_edge(v) for v in losses)


def weighted_value_at_risk(returns, weights, level):
    """Count weights from the worst until they reach 1 - c."""
    reached = Fraction(0)
    for value, weight in sorted(zip(map(Fraction, returns), weights, strict=True)):
        reached += weight
        if reached >= 1 - level:
            return -value
    return -max(map(Fraction, returns))


def weighted_shortfall(returns, weights, level):
    """The least of v + sum w (loss - v)+ / (1 - c) over all v."""
    losses = [-Fraction(r) for r in returns]

    def at_edge(v):
        beyond = (w * max(x - v, Fraction(0)) for x, w in zip(losses, weights, strict=True))
        return v + sum(beyond) / (1 - level)

    return min(at_edge(v) for v in losses)


def strictly_beyond(returns, level):
    """The mean of all losses beyond the k-th worst; None where there are none."""
    k = ceil(len(returns) * (1 - level))
    edge = exactly(returns)[k - 1]
    worse = [Fraction(r) for r in returns if r < edge]
    return -sum(worse) / len(worse) if worse else None


def ewma_variance(returns, decay, normalised):
    """The weighted mean of squares, the weights written out."""
    n = len(returns)
    weights = [Fraction(decay) ** (n - 1 - i) for i in range(n)]
    if not normalised:
        weights = [w * (1 if i == 0 else 1 - Fraction(decay)) for i, w in enumerate(weights)]
    total = sum(weights) if normalised else 1
    return sum(w * Fraction(r) ** 2 for w, r in zip(weights, returns, strict=True)) / total
