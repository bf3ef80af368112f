"""Fifty-digit truth for how days differ: `python tests/_kernels/truth/gammagamma_shares.py`, seconds.

The beta law with the mean and variance that the Dirichlet moments give, from its density; slopes by log p by mpmath.
"""

from itertools import product
from pathlib import Path

import mpmath as mp
from _tools import write

mp.mp.dps = 60


def log_density(log_p, n, u):
    p = mp.exp(log_p)
    rising = p * n * (p * n + 1) * (p * n + 2) * (p * n + 3)
    first = (p + 1) / (p * n + 1)  # of the sum of squared shares, and its mean square
    second = n * p * (p + 1) * ((p + 2) * (p + 3) + (n - 1) * p * (p + 1)) / rising
    mean = (n * first - 1) / (n - 1)
    variance = (second - first**2) * mp.mpf(n) ** 2 / (n - 1) ** 2
    size = mean * (1 - mean) / variance - 1
    a, b = mean * size, (1 - mean) * size
    return (a - 1) * mp.log(u) + (b - 1) * mp.log1p(-u) - mp.loggamma(a) - mp.loggamma(b) + mp.loggamma(size)


def case(p, n, u):
    at = mp.log(mp.mpf(p))
    slopes = [mp.diff(lambda t: log_density(t, n, mp.mpf(u)), at, k) for k in (1, 2)]
    return (p, n, u), {"log_likelihood": log_density(at, n, mp.mpf(u)), "slope": slopes[0], "bend": slopes[1]}


if __name__ == "__main__":
    grid = [
        case(p, n, float(f"{u:.6g}"))
        for p, n in product([1e-4, 0.03, 1.0, 3.1, 100.0, 1e4], [2, 3, 20, 10_000])
        for u in (1e-8, 0.2 / (1 + p * n), 1 / (1 + p * n), 0.999)
    ]
    write(Path(__file__).with_suffix(".json"), ["log_likelihood", "slope", "bend"], {"shares": grid})
