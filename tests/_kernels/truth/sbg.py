"""Truth for the sBG kernel to 60 digits: survival as a product of chances, lifetimes as sums and 2F1s.

Run alone; writes sbg.json beside it. A few cases are first integrated over theta directly; derivatives are those of
the definition.
"""

import random
import sys
from pathlib import Path

import mpmath as mp
from _tools import any_size, log, log_beta, parameters, run, write

mp.mp.dps = 60

HORIZON, RATE, FAR_RATE = 24, 0.1, 0.001
QUANTITIES = ["active", "ended", "retention", "lifetime", "discounted", "square", "endless", "endless_slow"]
SLOPES = [
    f"{of}_{name}" for of in ("active", "ended")
    for name in ("gradient_0", "gradient_1", "hessian_00", "hessian_01", "hessian_11")
]  # fmt: skip


def answers(point):
    *params, k = point
    alpha, beta = (mp.mpf(p) for p in params)
    survival = mp.fprod((beta + i) / (alpha + beta + i) for i in range(k))
    hazard = alpha / (alpha + beta + k)
    z, out = beta + k, {"active": mp.log(survival), "ended": mp.log(survival) + mp.log(hazard), "retention": 1 - hazard}
    d, there = mp.exp(-mp.mpf(RATE)), mp.mpf(1)
    plain = discounted = square = before = mp.mpf(0)
    for j in range(HORIZON):
        there *= (z + j) / (alpha + z + j)
        weight = d**j
        plain += there
        discounted += there * weight
        square += there * weight * (2 * before + weight)
        before += weight
    out |= {"lifetime": plain, "discounted": discounted, "square": square}
    out["endless_slow"] = z / (alpha + z) * mp.hyp2f1(1, z + 1, alpha + z + 1, mp.exp(-mp.mpf(FAR_RATE)))
    there, ever = mp.mpf(1), mp.mpf(0)
    for j in range(900):  # leaves e^-90; the 2F1 is not to be trusted here
        there *= (z + j) / (alpha + z + j)
        ever += there * d**j
    out["endless"] = ever
    a, b = parameters(*params)
    active = log_beta(a, b + k) - log_beta(a, b)
    for of, jet in (("active", active), ("ended", active + log(a) - log(a + b + k))):
        assert abs(jet.v - out[of]) < mp.mpf(10) ** -30 * max(1, abs(jet.v)), point
        out |= {f"{of}_gradient_{i}": each for i, each in enumerate(jet.g)}
        out |= {f"{of}_hessian_{ij}": each for ij, each in zip(("00", "01", "11"), jet.h, strict=True)}
    return point, out


def by_integration(params, k):
    alpha, beta = params

    def quad(f):
        return mp.quad(lambda t: t ** (alpha - 1) * (1 - t) ** (beta - 1) * f(t), [0, 1])

    mass, d = quad(lambda t: 1), mp.exp(-mp.mpf(RATE))
    active, ended = quad(lambda t: (1 - t) ** k), quad(lambda t: t * (1 - t) ** k)
    ever = quad(lambda t: (1 - t) ** (k + 1) / (1 - d * (1 - t)))
    return {"active": mp.log(active / mass), "ended": mp.log(ended / mass), "endless": ever / active}


def main():
    rng = random.Random(11)
    hard = [(*p, k) for p in ((0.704, 1.182), (0.668, 3.806), (3.8, 15.2), (0.067, 0.267), (1.0, 1.0), (50.0, 450.0))
            for k in (0, 1, 2, 7, 12, 60, 365)]  # fmt: skip
    extreme = []
    while len(extreme) < 400:
        params = tuple(any_size(rng, -4, 4) for _ in range(2))
        if rng.random() < 0.2:
            params = tuple(rng.choice([1e-4, 1.0, 1e4]) for _ in range(2))
        extreme.append((*params, rng.choice([0, 1, 5, 100, rng.randint(0, 10_000), 10_000])))
    for *params, k in ((1.5, 2.5, 3), (2.0, 1.0, 0), (3.0, 4.0, 11)):
        ours = answers((*params, k))[1]
        for name, value in by_integration(params, k).items():
            assert abs(ours[name] - value) < 1e-15 * max(1, abs(value)), (name, params)
    found = run(answers, hard + extreme, int(sys.argv[1]) if len(sys.argv) > 1 else 2)
    grids = {"hard": found[: len(hard)], "extreme": found[len(hard) :]}
    write(Path(__file__).with_suffix(".json"), QUANTITIES + SLOPES, grids)


if __name__ == "__main__":
    main()
