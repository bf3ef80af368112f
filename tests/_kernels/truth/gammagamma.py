"""Fifty-digit truth for the gamma-gamma kernel: `python tests/_kernels/truth/gammagamma.py`, seconds.

The hard grid is integrated from the definition over the customer's own nu: her days are gamma(p, nu), nu is
gamma(q, v). The extreme grid takes the density of the paper in sixty digits, where its cancellation costs nothing.
Derivatives are those of that density.
"""

import random
from itertools import product
from pathlib import Path

import mpmath as mp
from _tools import any_size, log, loggamma, parameters, slopes, write

mp.mp.dps = 60
NAMES = ["log_likelihood", *(f"gradient_{i}" for i in range(3)),
         *(f"hessian_{i}{j}" for i in range(3) for j in range(i, 3))]  # fmt: skip

HARD = [
    (6.25, 3.74, 15.44),
    (0.5, 0.4, 2.0),
    (1.0, 1.0, 1.0),
    (80.0, 2.5, 3.0),
    (0.05, 30.0, 4000.0),
    (400.0, 900.0, 60.0),
]
ROWS = [(1, 22.35), (2, 0.01), (7, 35.2), (300, 18.0), (10_000, 33.3)]
EDGES = [1e-4, 1e-2, 1.0, 1e2, 1e4]
EDGE_ROWS = [(1, 1e-4), (1, 1e6), (3, 1.0), (10_000, 1e-3), (10_000, 1e4)]


def over_nu(p, q, v, x, z, f):
    """The integral over log nu of the joint density times f(nu), by the double-exponential trapezoidal rule."""
    n, rate = p * x + q, v + x * z
    middle, width = mp.log(n / rate), 1 / mp.sqrt(n)
    constant = (
        p * x * mp.log(x) + (p * x - 1) * mp.log(z) - mp.loggamma(p * x) + q * mp.log(v) - mp.loggamma(q)
    )  # fmt: skip

    def integrand(t):
        u = middle + width * mp.sinh(t)
        return mp.exp(constant + n * u - rate * mp.exp(u)) * f(mp.exp(u)) * width * mp.cosh(t)

    left = mp.asinh(max(200 / n, 30 * width) / width)
    right = mp.asinh(max(mp.mpf(8), 30 * width) / width)
    before, steps = None, 200
    while True:
        h = (left + right) / steps
        value = h * mp.fsum(integrand(-left + k * h) for k in range(steps + 1))
        if before is not None and abs(value - before) < mp.mpf(10) ** -28 * abs(value):
            return value
        before, steps = value, 2 * steps


def log_density(p, q, v, x, z):
    a = p * x
    return (
        mp.loggamma(a + q) - mp.loggamma(a) - mp.loggamma(q) + q * mp.log(v) + (a - 1) * mp.log(z) + a * mp.log(x)
        - (a + q) * mp.log(v + x * z)
    )  # fmt: skip


def hard_case(point):
    p, q, v, x, z = map(mp.mpf, point)
    density = over_nu(p, q, v, x, z, lambda nu: mp.mpf(1))
    _, out = extreme_case(point)
    assert abs(mp.log(density) - out["log_likelihood"]) < mp.mpf(10) ** -25
    return point, out


def extreme_case(point):
    """The density and its derivatives by the logs of p, q, v."""
    p, q, v = parameters(*point[:3])
    x, z = map(mp.mpf, point[3:])
    a = p * x
    jet = loggamma(a + q) - loggamma(a) - loggamma(q) + q * log(v) + (a + -1) * mp.log(z) + a * mp.log(x)
    jet = jet - (a + q) * log(v + x * z)
    assert abs(jet.v - log_density(p.v, q.v, v.v, x, z)) < mp.mpf(10) ** -40 * (1 + abs(jet.v))
    return point, {"log_likelihood": jet.v, **slopes(jet)}


def edges():
    draw = random.Random(1996)
    grid = [(p, q, v, x, z) for p, q, v in product(EDGES, EDGES, EDGES) for x, z in EDGE_ROWS]
    for _ in range(200):
        p, q, v = (any_size(draw, -4, 4) for _ in range(3))
        x = max(1, min(10_000, round(10 ** draw.uniform(-0.3, 4))))
        # half of them near where the density is, where the textbook form loses most
        near = p * v / q * draw.lognormvariate(0, 0.05)
        z = float(f"{near:.6g}") if draw.random() < 0.5 else any_size(draw, -4, 6)
        grid.append((p, q, v, x, z))
    return grid


if __name__ == "__main__":
    path = Path(__file__)
    hard = [hard_case((*params, x, z)) for params, (x, z) in product(HARD, ROWS)]
    write(path.with_suffix(".json"), NAMES, {"hard": hard, "extreme": [extreme_case(point) for point in edges()]})
