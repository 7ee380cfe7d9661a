"""Historical measures whose days do not count alike: by age, or scaled to today's volatility."""

import math

import numpy as np

from workers.quantiles import MeasureError, checked, exact

FIRST_SQUARE, NORMALISED = "first square", "normalised"


def ewma_sigmas(returns: object, decay: float, start: str = FIRST_SQUARE) -> np.ndarray:
    """Exponentially weighted volatility after each return, zero mean: float64 [n] to [n].

    s2(t) = decay s2(t-1) + (1 - decay) r(t)^2 (RiskMetrics 1996, 5.2.1). `start` says how it
    begins: "first square", s2(0) = r(0)^2, or "normalised", weights decay^i that sum to 1 (the
    adjust=False and adjust=True of pandas).
    """
    values = checked(returns)
    check_decay(decay)
    if start not in (FIRST_SQUARE, NORMALISED):
        raise MeasureError(f"start {start!r}: use {FIRST_SQUARE!r} or {NORMALISED!r}")
    variances = np.empty(len(values))
    squares = (values * values).tolist()
    total, weight = squares[0], 1.0
    for day, square in enumerate(squares):
        if day and start == FIRST_SQUARE:
            total = decay * total + (1 - decay) * square
        elif day:
            total, weight = decay * total + square, decay * weight + 1
        variances[day] = total / weight
    return np.sqrt(variances)


def ewma_sigma(returns: object, decay: float, start: str = FIRST_SQUARE) -> float:
    """The last of `ewma_sigmas`: today's estimate of tomorrow's volatility."""
    return float(ewma_sigmas(returns, decay, start)[-1])


def check_decay(decay: float) -> None:
    """Refuse what is no decay factor."""
    if not 0 < decay < 1:
        raise MeasureError(f"decay {decay}: give a number between 0 and 1, such as 0.94")


def garch_sigma(before: float, change: float, omega: float, alpha: float, beta: float) -> float:
    """GARCH(1,1): sqrt(omega + alpha u^2 + beta s^2), Hull, 10.10; EWMA is (0, 1 - l, l)."""
    return math.sqrt(omega + alpha * change * change + beta * before * before)


def age_weights(count: int, decay: float) -> np.ndarray:
    """Weights of n scenarios, the oldest first, that fall by `decay` a day and sum to 1.

    decay^(n - i) (1 - decay) / (1 - decay^n) for scenario i of 1 to n: Boudoukh, Richardson and
    Whitelaw 1998, as in Hull, 13.3. A decay of 1 weighs all alike.
    """
    if not 0 < decay <= 1 or count < 1:
        raise MeasureError(f"decay {decay} over {count} scenarios: give 0 < decay <= 1")
    powers = decay ** np.arange(count - 1, -1, -1.0)
    return powers / math.fsum(powers)


def weighted_tail(returns: object, weights: object, level) -> tuple[float, float]:
    """Value at risk and expected shortfall of scenarios with weights [n] that sum to 1.

    Ranked from the worst, value at risk is the first loss at which the weights so far reach
    1 - c (no interpolation); the shortfall takes that loss with the weight that is still
    missing (Hull, 13.3, and the split atom of `workers.conventions`).
    """
    values, shares = checked(returns), checked(weights, "weights")
    if len(values) != len(shares) or (shares < 0).any():
        raise MeasureError(
            f"{len(shares)} weights for {len(values)} returns: one each, none below 0"
        )
    if not math.isclose(total := math.fsum(shares), 1, rel_tol=1e-9):
        raise MeasureError(f"the weights sum to {total}: make that 1")
    tail = float(1 - exact(level))
    order = np.argsort(values, kind="stable")
    ranked, sums = values[order], np.cumsum(shares[order])
    edge = min(int(np.searchsorted(sums, tail * (1 - 1e-12))), len(values) - 1)
    lost = math.fsum(shares[order][:edge] * (ranked[edge] - ranked[:edge]))
    return -float(ranked[edge]), lost / tail - float(ranked[edge])


def age_weighted(returns: object, decay: float, level) -> tuple[float, float]:
    """Value at risk and expected shortfall with weights by age; the oldest return comes first."""
    values = checked(returns)
    return weighted_tail(values, age_weights(len(values), decay), level)


def rescaled(returns: object, decay: float, now: float | None = None) -> np.ndarray:
    """Returns as if each had come at today's volatility: r(t) s(n) / s(t), float64 [n - 1].

    Hull and White 1998; s(t) is the EWMA volatility known before day t. The first return only
    starts the estimate. Days before any volatility was seen are refused.
    """
    values = checked(returns)
    if len(values) < 2:
        raise MeasureError("one return: give at least two, the first starts the volatility")
    sigmas = ewma_sigmas(values, decay)
    flat = np.flatnonzero(sigmas[:-1] == 0)
    if len(flat):
        raise MeasureError(
            f"returns: no volatility up to index {flat[-1]}: let the series begin with a move"
        )
    today = float(sigmas[-1]) if now is None else now
    return values[1:] * (today / sigmas[:-1])
