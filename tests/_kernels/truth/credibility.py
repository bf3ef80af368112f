"""Fifty-digit truth for the credibility kernel: `python tests/_kernels/truth/credibility.py`, seconds.

The hard grid is integrated from the definition: the customer's own m is normal(mean, between), each of her days is
normal(m, within). The density of her mean and of orthonormal contrasts between her days is the density of all her days
times sqrt(n). From the same integral come the mean and the variance of m. The extreme grid takes the closed form in
fifty digits.
"""

import random
from itertools import product
from pathlib import Path

import mpmath as mp
from _tools import Jet, any_size, log, parameters, slopes, write

mp.mp.dps = 50
NAMES = ["log_density", "log_likelihood", "mean", "variance", *(f"gradient_{i}" for i in range(4)),
         *(f"hessian_{i}{j}" for i in range(4) for j in range(i, 4))]  # fmt: skip

HARD = [
    (34.0, 20.0, 30.0, 0.0),
    (-3.0, 0.5, 40.0, 1.5),
    (10.0, 50.0, 0.1, -2.0),
    (0.0, 1e-3, 1.0, 0.0),
    (1e4, 1.0, 1e3, 7.0),
]
DAYS = [[12.5], [-40.0, 3.0], [30.0, 31.0, 29.5, 120.25, -17.0], [35.0] * 6, [0.5 * k for k in range(60)]]
RATES = [0.0, -1.25, 2.0]
EDGES = [1e-4, 1e-2, 1.0, 1e2, 1e4]
EDGE_ROWS = [(1, 0.0), (1, -1e4), (2, 1.0), (10_000, 1e-3), (10_000, 1e4)]


def normal(y, mean, sd):
    return mp.exp(-((y - mean) ** 2) / (2 * sd**2)) / (sd * mp.sqrt(2 * mp.pi))


def log_density(mean, between, within, slope, n, y, squares, free, d):
    variance = between**2 + within**2 / n
    e = y - mean - slope * d
    return -(mp.log(2 * mp.pi * variance) + e**2 / variance + free * mp.log(2 * mp.pi * within**2)) / 2 - squares / (
        2 * within**2
    )


def hard_case(params, ys, d):
    mean, between, within, slope = (mp.mpf(t) for t in params)
    ys, d = [mp.mpf(t) for t in ys], mp.mpf(d)
    n = len(ys)
    y = mp.fsum(ys) / n
    squares = mp.fsum((t - y) ** 2 for t in ys)
    centre = mean + slope * d
    variance = 1 / (n / within**2 + 1 / between**2)
    middle = variance * (n * y / within**2 + centre / between**2)

    def days_and_mean(m):
        inner = -mp.fsum((t - m) ** 2 for t in ys) / (2 * within**2) - n * mp.log(2 * mp.pi * within**2) / 2
        return mp.exp(inner - (m - centre) ** 2 / (2 * between**2)) / (between * mp.sqrt(2 * mp.pi))

    h = mp.sqrt(variance) / 4  # the trapezoidal rule is exact for a normal to exp(-2 pi^2 16)
    points = [middle + k * h for k in range(-70, 71)]
    weights = [days_and_mean(m) for m in points]
    whole = mp.fsum(weights)
    first = mp.fsum(w * m for w, m in zip(weights, points, strict=True)) / whole
    second = mp.fsum(w * (m - first) ** 2 for w, m in zip(weights, points, strict=True)) / whole
    log_value = mp.log(whole * h) + mp.log(n) / 2
    closed = log_density(mean, between, within, slope, n, y, squares, n - 1, d)
    assert abs(log_value - closed) < mp.mpf(10) ** -25 * max(1, abs(closed)), (params, n)

    whole = extreme_case((*(float(t) for t in params), float(d), n, float(y), float(squares), n - 1))[1]
    point = [*params, float(d), [float(t) for t in ys]]
    return point, {**whole, "mean": first, "variance": second}


def extreme_case(point):
    """The closed form, and its derivatives by (mean, log between, log within, slope)."""
    mean, between, within, slope, d, n, y, squares, free = map(mp.mpf, point)
    m, b, w, c = plain(mean), *parameters(1, between, within, 1)[1:3], plain(slope, 3)
    variance = b * b + w * w / n
    e = y - m - c * d
    jet = -(log(variance * (2 * mp.pi)) + e * e / variance) * mp.mpf("0.5")
    density = jet.v
    jet = jet - (log(w * w * (2 * mp.pi)) * free + squares / (w * w)) * mp.mpf("0.5")
    assert abs(jet.v - log_density(mean, between, within, slope, n, y, squares, free, d)) < 1e-30 * (1 + abs(jet.v))
    bottom, centre = n * between**2 + within**2, mean + slope * d
    out = {"log_density": density, "log_likelihood": jet.v, "variance": between**2 * within**2 / bottom}
    out["mean"] = (within**2 * centre + n * between**2 * y) / bottom
    return point, out | slopes(jet)


def plain(value, place=0):
    """A jet by the value itself."""
    one = parameters(*[1] * 4)[place]
    return Jet(value, one.g, [mp.mpf(0)] * 10)


def edges():
    draw = random.Random(1970)
    grid = [
        (mean, between, within, n, y)
        for mean, between, within in product((-1e4, 1e-4, 100.0), EDGES, EDGES)
        for n, y in EDGE_ROWS
    ]
    for _ in range(100):
        between, within = (any_size(draw, -4, 4) for _ in range(2))
        mean, y = (draw.choice((-1, 1)) * any_size(draw, -4, 4) for _ in range(2))
        grid.append((mean, between, within, round(10 ** draw.uniform(0, 4)), y))
    return [
        (m, b, w, *(draw.choice([(0.0, 0.0), (7.0, -1.25), (-0.5, 2.0)])), n, y, any_size(draw, -4, 4), n - 1)
        for m, b, w, n, y in grid
    ]


if __name__ == "__main__":
    path = Path(__file__)
    hard = [hard_case(p, ys, d) for p, ys, d in product(HARD, DAYS, RATES)]
    extreme = [extreme_case(point) for point in edges()]
    write(path.with_suffix(".json"), NAMES, {"hard": hard, "extreme": extreme}, digits=13)
