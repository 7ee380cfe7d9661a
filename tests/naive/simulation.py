"""Paths one at a time, in plain Python: the words of numpy's Philox are not used here either."""

import math
from statistics import NormalDist

MASK = 2**32 - 1


def words(counter, key):
    """Philox 4x32-10 as its paper has it, on unbounded integers."""
    c, k = list(counter), list(key)
    for _ in range(10):
        first, second = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [second >> 32 ^ c[1] ^ k[0], second & MASK, first >> 32 ^ c[3] ^ k[1], first & MASK]
        k = [(k[0] + 0x9E3779B9) & MASK, (k[1] + 0xBB67AE85) & MASK]
    return c


def normals(seed, portfolio, path, factors):
    """The factors of one path."""
    found = []
    for number in range(-(-factors // 2)):
        counter = (number, portfolio, path & MASK, path >> 32)
        w = words(counter, (seed & MASK, seed >> 32))
        for high, low in ((w[0], w[1]), (w[2], w[3])):
            found.append(NormalDist().inv_cdf(((high << 20 | low >> 12) + 0.5) / 2**52))
    return found[:factors]


def cholesky(matrix):
    """The textbook's loops."""
    size = len(matrix)
    root = [[0.0] * size for _ in range(size)]
    for i in range(size):
        for j in range(i + 1):
            rest = matrix[i][j] - sum(root[i][k] * root[j][k] for k in range(j))
            root[i][j] = math.sqrt(rest) if i == j else rest / root[j][j]
    return root


def linear_profit(seed, portfolio, path, matrix, exposures):
    """What exposures make on one path."""
    root, z = cholesky(matrix), normals(seed, portfolio, path, len(exposures))
    shocks = [sum(r * x for r, x in zip(row, z, strict=True)) for row in root]
    return sum(e * x for e, x in zip(exposures, shocks, strict=True))
