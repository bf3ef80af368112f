"""Fifty-digit truth for the credibility kernel: `python tests/_kernels/truth/credibility.py`, seconds.

The hard grid is integrated from the definition: the customer's own m is normal(mean, between), each of her days is
normal(m, within). The density of her mean and of orthonormal contrasts between her days is the density of all her days
times sqrt(n). From the same integral come the mean and the variance of m. The extreme grid takes the closed form in
fifty digits.
"""

import json
import random
from itertools import product
from pathlib import Path

import mpmath as mp

mp.mp.dps = 50

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

    def f(*t):
        return log_density(t[0], mp.exp(t[1]), mp.exp(t[2]), t[3], n, y, squares, n - 1, d)

    point = (mean, mp.log(between), mp.log(within), slope)
    orders = [tuple(int(k == i) for k in range(4)) for i in range(4)]
    pairs = [[tuple(s + t for s, t in zip(a, b, strict=True)) for b in orders] for a in orders]
    return {
        "params": params,
        "days": [float(t) for t in ys],
        "d": float(d),
        "log_likelihood": float(log_value),
        "mean": float(first),
        "variance": float(second),
        "gradient": [float(mp.diff(f, point, order)) for order in orders],
        "hessian": [[float(mp.diff(f, point, order)) for order in row] for row in pairs],
    }


def extreme_cases():
    draw = random.Random(1970)
    grid = [
        (mean, between, within, n, y)
        for mean, between, within in product((-1e4, 1e-4, 100.0), EDGES, EDGES)
        for n, y in EDGE_ROWS
    ]
    for _ in range(100):
        between, within = (10 ** draw.uniform(-4, 4) for _ in range(2))
        mean, y = (draw.choice((-1, 1)) * 10 ** draw.uniform(-4, 4) for _ in range(2))
        grid.append((mean, between, within, round(10 ** draw.uniform(0, 4)), y))
    rows = []
    for row in grid:
        mean, between, within, n, y = (mp.mpf(t) for t in row)
        bottom = n * between**2 + within**2
        rows.append(
            [
                *row,
                float(log_density(mean, between, within, 0, n, y, 0, 0, 0)),
                float((within**2 * mean + n * between**2 * y) / bottom),
                float(between**2 * within**2 / bottom),
            ]
        )
    return rows


if __name__ == "__main__":
    truth = {"hard": [hard_case(p, ys, d) for p, ys, d in product(HARD, DAYS, RATES)], "extreme": extreme_cases()}
    Path(__file__).with_suffix(".json").write_text(json.dumps(truth, indent=None, separators=(",", ":")) + "\n")
