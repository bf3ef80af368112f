"""Fifty digits of the NBD, every figure an integral over the latent rate; writes nbd.json beside itself.

python tests/_kernels/truth/nbd.py [processes]
"""

import random
import sys
from pathlib import Path

import mpmath as mp
from _tools import any_size, edge_params, edge_row, log, loggamma, parameters, run, slopes, write

mp.mp.dps = 50
COUNTS = (0, 1, 3, 10)
NAMES = [
    "log_likelihood", "p_alive", "log_rate", "survival", "mean", "any", "discounted", "squares", "pairs", "endless",
    "endless_pairs", *(f"pmf_{n}" for n in COUNTS), "gradient_0", "gradient_1", "hessian_00", "hessian_01",
    "hessian_11",
]  # fmt: skip
HARD = [(0.385, 12.07), (0.05, 0.5), (3.0, 100.0), (1.0, 1.0), (20.0, 2.0), (0.8, 40.0)]
ROWS = [(0, 0.0, 0.0), (0, 0.0, 39.0), (1, 3.0, 40.0), (2, 38.9, 38.9), (60, 50.0, 78.0), (1000, 77.0, 78.0)]


def rates(shape, rate):
    """Rates and weights of gamma(shape, rate), a double-exponential rule in ln lambda; and the log of their unit."""
    peak, wide, step = mp.log(shape / rate), 1 / mp.sqrt(shape), mp.mpf(1) / 96
    width = min(mp.mpf(1), wide)
    ends = (
        mp.asinh((130 / shape + 40 * wide) / width),
        mp.asinh(min(40 * wide, mp.log(1 + 8 * wide + 130 / shape)) / width),
    )
    rule = []
    for i in range(int(-ends[0] / step), int(ends[1] / step) + 1):
        y = width * mp.sinh(i * step)
        lam = mp.exp(peak + y)
        rule.append((lam, mp.exp(shape * y - rate * (lam - mp.exp(peak))) * width * mp.cosh(i * step) * step))
    return rule, shape * peak - rate * mp.exp(peak)


def answers(point):
    r, alpha = map(mp.mpf, point[:2])
    x = point[2]
    T, h, delta = map(mp.mpf, point[4:])
    once = -mp.expm1(-delta * h) / delta if delta else h
    twice = -mp.expm1(-2 * delta * h) / (2 * delta) if delta else h
    rule, unit = rates(r + x, alpha + T)
    mass = mp.fsum(weight for _, weight in rule)
    wanted = {
        "mean": lambda lam: lam * h,
        "discounted": lambda lam: lam * once,
        "squares": lambda lam: lam * twice,
        "pairs": lambda lam: (lam * once) ** 2,
        "any": lambda lam: -mp.expm1(-lam * h),
        "log_rate": mp.log,
    }
    if delta:
        wanted |= {"endless": lambda lam: lam / delta, "endless_pairs": lambda lam: (lam / delta) ** 2}
    out = {name: mp.fsum(weight * f(lam) for lam, weight in rule) / mass for name, f in wanted.items()}
    for n in COUNTS:  # around the rates of those who buy n times
        tilted, lift = rates(r + x + n, alpha + T + h)
        out[f"pmf_{n}"] = mp.fsum(weight for _, weight in tilted) / mass * mp.exp(lift - unit) * h**n / mp.factorial(n)
    value = mp.log(mass) + unit + r * mp.log(alpha) - mp.loggamma(r)
    out |= {"log_likelihood": value if T else mp.mpf(0), "p_alive": mp.mpf(1), "survival": mp.mpf(1)}
    a, b = parameters(r, alpha)
    jet = loggamma(a + x) - loggamma(a) + a * log(b) - (a + x) * log(b + T)
    assert abs(jet.v - value) < mp.mpf(10) ** -16 * (1 + abs(value)), (point, jet.v - value)
    return point, out | slopes(jet)


def main():
    rng = random.Random(1)
    hard = [(*p, *row, any_size(rng, 0, 3), rng.choice([0.0, 0.002, 0.02])) for p in HARD for row in ROWS]
    extreme = [(*edge_params(rng, i, 2, 0), *edge_row(rng, i)) for i in range(400)]
    found = run(answers, hard + extreme, int(sys.argv[1]) if len(sys.argv) > 1 else 2)
    grids = {"hard": found[: len(hard)], "extreme": found[len(hard) :]}
    write(Path(__file__).with_suffix(".json"), NAMES, grids)


if __name__ == "__main__":
    main()
