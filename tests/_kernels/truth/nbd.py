"""Fifty digits of the NBD, every figure an integral over the latent rate; writes nbd.json beside itself.

python tests/_kernels/truth/nbd.py
"""

import json
import random
from pathlib import Path

from mpmath import mp, mpf

mp.dps = 50


def rates(shape, rate):
    """Rates and weights of gamma(shape, rate), a double-exponential rule in ln lambda; and the log of their unit."""
    peak, wide, step = mp.log(shape / rate), 1 / mp.sqrt(shape), mpf(1) / 96
    width = min(mpf(1), wide)
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


def point(case):
    x = case["x"]
    r, alpha, T, h, delta = (mpf(case[name]) for name in ("r", "alpha", "T", "h", "delta"))
    once = (1 - mp.exp(-delta * h)) / delta if delta else h
    twice = (1 - mp.exp(-2 * delta * h)) / (2 * delta) if delta else h
    rule, unit = rates(r + x, alpha + T)
    mass = mp.fsum(weight for _, weight in rule)
    answers = {
        "mean": lambda lam: lam * once,
        "squares": lambda lam: lam * twice,
        "pairs": lambda lam: (lam * once) ** 2,
        "any": lambda lam: -mp.expm1(-lam * h),
        "three": lambda lam: mp.exp(-lam * h) * (lam * h) ** 3 / 6,
        "log_rate": mp.log,
    }
    out = {name: float(mp.fsum(weight * f(lam) for lam, weight in rule) / mass) for name, f in answers.items()}
    out["log_likelihood"] = float(mp.log(mass) + unit + r * mp.log(alpha) - mp.loggamma(r))
    return {**case, **out}


def cases():
    rng = random.Random(1)
    for _ in range(60):
        x = rng.choice([0, 0, 1, 2, 30, 1000, 10_000])
        r, alpha = (float(f"{10 ** rng.uniform(-4, 4):.6g}") for _ in range(2))
        T = 0.0 if x == 0 and rng.random() < 0.2 else float(f"{10 ** rng.uniform(-1, 4):.6g}")
        h, delta = float(f"{10 ** rng.uniform(-2, 4):.6g}"), rng.choice([0.0, 0.002, 0.2])
        yield {"r": r, "alpha": alpha, "x": x, "T": T, "h": h, "delta": delta}


if __name__ == "__main__":
    lines = ",\n".join(f" {json.dumps(point(case))}" for case in cases())
    Path(__file__).with_suffix(".json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")
