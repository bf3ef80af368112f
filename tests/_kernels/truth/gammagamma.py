"""Fifty-digit truth for the gamma-gamma kernel: `python tests/_kernels/truth/gammagamma.py`, seconds.

The hard grid is integrated from the definition over the customer's own nu: her days are gamma(p, nu), nu is
gamma(q, v). From the same integral come the mean and the second moments of a future day. The extreme grid takes the
density of the paper in sixty digits, where its cancellation costs nothing. Derivatives are taken of that density by
mpmath.
"""

import json
import random
from itertools import product
from pathlib import Path

import mpmath as mp

mp.mp.dps = 60

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


def derivatives(p, q, v, x, z):
    """Gradient and Hessian by the logs of p, q, v: numerically, from the sixty digits of the density."""
    point = [mp.log(value) for value in (p, q, v)]

    def f(*logs):
        return log_density(*(mp.exp(t) for t in logs), x, z)

    orders = [tuple(int(k == i) for k in range(3)) for i in range(3)]
    gradient = [mp.diff(f, point, order) for order in orders]
    hessian = [
        [mp.diff(f, point, tuple(s + t for s, t in zip(orders[i], orders[j], strict=True))) for j in range(3)]
        for i in range(3)
    ]
    return gradient, hessian


def hard_case(params, x, z):
    p, q, v = (mp.mpf(t) for t in params)
    x, z = mp.mpf(x), mp.mpf(z)
    density = over_nu(p, q, v, x, z, lambda nu: mp.mpf(1))
    assert abs(mp.log(density) - log_density(p, q, v, x, z)) < mp.mpf(10) ** -25
    case = {"params": params, "x": float(x), "z": float(z), "log_likelihood": float(mp.log(density))}
    if p * x + q > mp.mpf("2.2"):
        case["mean"] = float(over_nu(p, q, v, x, z, lambda nu: p / nu) / density)
        product_of_days = over_nu(p, q, v, x, z, lambda nu: (p / nu) ** 2) / density
        case["product"] = float(product_of_days)
        case["square"] = float(product_of_days * (p + 1) / p)  # E y^2 = p (p + 1) / nu^2
    gradient, hessian = derivatives(p, q, v, x, z)
    case["gradient"] = [float(t) for t in gradient]
    case["hessian"] = [[float(t) for t in row] for row in hessian]
    return case


def extreme_cases():
    draw = random.Random(1996)
    grid = [(p, q, v, x, z) for p, q, v in product(EDGES, EDGES, EDGES) for x, z in EDGE_ROWS]
    for _ in range(200):
        p, q, v = (10 ** draw.uniform(-4, 4) for _ in range(3))
        x = max(1, min(10_000, round(10 ** draw.uniform(-0.3, 4))))
        # half of them near where the density is, where the textbook form loses most
        z = p * v / q * draw.lognormvariate(0, 0.05) if draw.random() < 0.5 else 10 ** draw.uniform(-4, 6)
        grid.append((p, q, v, x, z))
    return [[*row, float(log_density(*(mp.mpf(t) for t in row)))] for row in grid]


if __name__ == "__main__":
    truth = {
        "hard": [hard_case(params, x, z) for params, (x, z) in product(HARD, ROWS)],
        "extreme": extreme_cases(),
    }
    Path(__file__).with_suffix(".json").write_text(json.dumps(truth, indent=None, separators=(",", ":")) + "\n")
