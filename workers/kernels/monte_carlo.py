"""Paths of correlated factor shocks, and what a book makes on each.

Arrays are float64 [factors, paths], a factor's shocks side by side: so the inner loops run over
paths, which do not depend on each other, and vectorise without reordering any sum. Every path
has its own sums in one order: its shocks and its profit are the same bits in whatever chunk,
process or order (a matrix product of a library is not: its sums depend on the matrix' size).

A revaluation is a kernel of this kind: shocks [factors, paths] in, profits [paths] added to.
Factors are returns of mean 0 over the horizon.
"""

import math

from ringbuf.jit import kernel


@kernel
def correlate(normals, root):
    """Turn independent normals [k, paths] into shocks L z, in place; L [k, k] lower triangular."""
    factors, paths = normals.shape
    for target in range(factors - 1, -1, -1):  # the last first: it needs all the others
        scale_row(normals, target, root[target, target], paths)
        for source in range(target):
            add_row(normals, target, normals, source, root[target, source], paths)


@kernel
def spread(normals, root, shocks):
    """Shocks R z of normals [k, paths], for any root R [k, k], into another array [k, paths]."""
    factors, paths = normals.shape
    for target in range(factors):
        shocks[target, :] = 0.0
        for source in range(factors):
            add_row(shocks, target, normals, source, root[target, source], paths)


@kernel
def scale_row(array, row, factor, paths):
    """Multiply a row."""
    for path in range(paths):
        array[row, path] *= factor


@kernel
def add_row(array, row, other, from_row, factor, paths):
    """Add a multiple of another row to a row."""
    for path in range(paths):
        array[row, path] += factor * other[from_row, path]


@kernel
def add_linear(shocks, exposures, profits):
    """Profits of exposures [k] that move with their factor: sum of exposure x shock."""
    factors, paths = shocks.shape
    for factor in range(factors):
        exposure = exposures[factor]
        for path in range(paths):
            profits[path] += exposure * shocks[factor, path]


@kernel
def add_grown(shocks, exposures, profits):
    """Profits of exposures [k] whose factor's shock is a logarithm: exposure x (exp(shock) - 1)."""
    factors, paths = shocks.shape
    for factor in range(factors):
        exposure = exposures[factor]
        for path in range(paths):
            profits[path] += exposure * math.expm1(shocks[factor, path])


@kernel
def add_quadratic(shocks, delta, gamma, profits):
    """Delta-gamma profits: d'x + x'G x / 2 with delta [k] and a symmetric gamma [k, k]."""
    add_linear(shocks, delta, profits)
    factors, paths = shocks.shape
    for factor in range(factors):
        half = 0.5 * gamma[factor, factor]
        for path in range(paths):
            profits[path] += half * shocks[factor, path] * shocks[factor, path]
        for other in range(factor):
            bend = gamma[factor, other]
            if bend != 0.0:
                for path in range(paths):
                    profits[path] += bend * shocks[factor, path] * shocks[other, path]


@kernel
def add_curve(shocks, factor, low, step, values, slopes, profits):
    """Profits that depend on one factor alone, by cubic Hermite interpolation on an even grid.

    Values and slopes per step at low, low + step, ...: float64 [points]. Returns how many paths
    lie outside the grid: to these nothing is added.
    """
    outside, per_step = 0, 1.0 / step
    last = len(values) - 2
    for path in range(shocks.shape[1]):  # without a branch: it vectorises
        place = (shocks[factor, path] - low) * per_step
        inside = 0.0 <= place <= last + 1.0
        bounded = place if inside else 0.0
        cell = min(int(bounded), last)
        t = bounded - cell
        rest = 1.0 - t
        near, far = values[cell], values[cell + 1]
        bend = slopes[cell] * rest - slopes[cell + 1] * t
        made = near * rest + far * t + t * rest * (bend + (far - near) * (t - rest))
        profits[path] += made if inside else 0.0
        outside += 0 if inside else 1
    return outside
