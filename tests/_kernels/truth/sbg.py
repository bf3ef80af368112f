"""Truth for the sBG kernel to 60 digits: survival as a product of chances, lifetimes as sums and 2F1s.

Run alone; writes sbg.json beside it. A few cases are first integrated over theta directly.
"""

import json
import random
from pathlib import Path

import mpmath as mp

mp.mp.dps = 60

HORIZON, RATE, FAR_RATE = 24, 0.1, 0.001


def case(params, k):
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
    out |= {"lifetime": plain, "derl": discounted, "square": square}
    out["derl_slow"] = z / (alpha + z) * mp.hyp2f1(1, z + 1, alpha + z + 1, mp.exp(-mp.mpf(FAR_RATE)))
    there, ever = mp.mpf(1), mp.mpf(0)
    for j in range(900):  # leaves e^-90; the 2F1 is not to be trusted here
        there *= (z + j) / (alpha + z + j)
        ever += there * d**j
    return out | {"derl_ever": ever}


def by_integration(params, k):
    alpha, beta = params

    def quad(f):
        return mp.quad(lambda t: t ** (alpha - 1) * (1 - t) ** (beta - 1) * f(t), [0, 1])

    mass, d = quad(lambda t: 1), mp.exp(-mp.mpf(RATE))
    active, ended = quad(lambda t: (1 - t) ** k), quad(lambda t: t * (1 - t) ** k)
    ever = quad(lambda t: (1 - t) ** (k + 1) / (1 - d * (1 - t)))
    return {"active": mp.log(active / mass), "ended": mp.log(ended / mass), "derl_ever": ever / active}


def main():
    rng = random.Random(11)
    hard = [(p, k) for p in ((0.704, 1.182), (0.668, 3.806), (3.8, 15.2), (0.067, 0.267), (1.0, 1.0), (50.0, 450.0))
            for k in (0, 1, 2, 7, 12, 60, 365)]  # fmt: skip
    extreme = []
    while len(extreme) < 400:
        params = tuple(float(f"{10 ** rng.uniform(-4, 4):.6g}") for _ in range(2))
        if rng.random() < 0.2:
            params = tuple(rng.choice([1e-4, 1.0, 1e4]) for _ in range(2))
        extreme.append((params, rng.choice([0, 1, 5, 100, rng.randint(0, 10_000), 10_000])))
    for params, k in (((1.5, 2.5), 3), ((2.0, 1.0), 0), ((3.0, 4.0), 11)):
        ours = case(params, k)
        for name, value in by_integration(params, k).items():
            assert abs(ours[name] - value) < 1e-15 * max(1, abs(value)), (name, params)
    out = {
        name: [{"params": p, "k": k, **{key: float(mp.nstr(v, 17)) for key, v in case(p, k).items()}} for p, k in grid]
        for name, grid in (("hard", hard), ("extreme", extreme))
    }
    text = json.dumps(out, separators=(",", ":")).replace("},{", "},\n{")
    Path(__file__).with_suffix(".json").write_text(text + "\n")


if __name__ == "__main__":
    main()
