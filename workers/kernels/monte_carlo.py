"""Paths of correlated factor shocks, and what a book makes on each.

Every path is computed on its own and always in the same order of operations: its shocks and its
profit are the same bits in whatever chunk, process or order (a matrix product of a library is not:
its sums depend on the size of the matrix).

A revaluation is a kernel of this kind: shocks float64 [paths, factors] in, profits float64 [paths]
added to in place. Factors are returns of mean 0 over the horizon.
"""

import math

from ringbuf.jit import kernel


@kernel
def correlate(normals, root):
    """Turn independent normals [paths, k] into shocks z L', in place; L [k, k] lower triangular."""
    paths, factors = normals.shape
    for path in range(paths):
        for target in range(factors - 1, -1, -1):  # the last first: it needs all the others
            total = 0.0
            for source in range(target + 1):
                total += root[target, source] * normals[path, source]
            normals[path, target] = total


@kernel
def spread(normals, root, shocks):
    """Shocks z R' of normals [paths, k] and any root R [k, k] into another array [paths, k]."""
    paths, factors = normals.shape
    for path in range(paths):
        for target in range(factors):
            total = 0.0
            for source in range(factors):
                total += root[target, source] * normals[path, source]
            shocks[path, target] = total


@kernel
def add_linear(shocks, exposures, profits):
    """Profits of exposures [k] that move with their factor: sum of exposure x shock."""
    paths, factors = shocks.shape
    for path in range(paths):
        total = 0.0
        for factor in range(factors):
            total += exposures[factor] * shocks[path, factor]
        profits[path] += total


@kernel
def add_grown(shocks, exposures, profits):
    """Profits of exposures [k] whose factor's shock is a logarithm: exposure x (exp(shock) - 1)."""
    paths, factors = shocks.shape
    for path in range(paths):
        total = 0.0
        for factor in range(factors):
            total += exposures[factor] * math.expm1(shocks[path, factor])
        profits[path] += total


@kernel
def add_quadratic(shocks, delta, gamma, profits):
    """Delta-gamma profits: d'x + x'G x / 2 with delta [k] and gamma [k, k]."""
    paths, factors = shocks.shape
    for path in range(paths):
        total = 0.0
        for factor in range(factors):
            bent = 0.0
            for other in range(factors):
                bent += gamma[factor, other] * shocks[path, other]
            total += shocks[path, factor] * (delta[factor] + 0.5 * bent)
        profits[path] += total
