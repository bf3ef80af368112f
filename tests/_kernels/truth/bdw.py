"""Truth for the beta-discrete-Weibull and discrete Weibull kernels to 60 digits and more: beta functions, term by term.

Run alone; writes bdw.json beside it. A few cases are first integrated over theta directly.
"""

import json
import random
from pathlib import Path

import mpmath as mp

mp.mp.dps = 60

HORIZON, RATE = 24, 0.1


def log_survival(params, k):
    """log B(alpha, beta + k^c) - log B(alpha, beta) with the digits k^c needs; a power law where those are too many."""
    if k == 0:
        return mp.mpf(0)
    alpha, beta, c = (mp.mpf(p) for p in params)
    size = c * mp.log10(k)
    if size > 2000:  # the ratio of gamma functions differs from the power by less than 10^-1990
        return mp.loggamma(alpha + beta) - mp.loggamma(beta) - alpha * c * mp.log(k)
    with mp.workdps(int(80 + 2 * size)):
        u = mp.mpf(k) ** c
        return (mp.loggamma(beta + u) + mp.loggamma(alpha + beta)
                - mp.loggamma(alpha + beta + u) - mp.loggamma(beta))  # fmt: skip


def weibull(params, k):
    hazard, c = (mp.mpf(p) for p in params)
    return -hazard * mp.mpf(k) ** c if k else mp.mpf(0)


def log_ended(log_s, params, k):
    with mp.workdps(120):
        gap = log_s(params, k + 1) - log_s(params, k)
        return log_s(params, k) + mp.log(-mp.expm1(gap))


def case(params, k, log_s=log_survival, lifetime=True):
    now = log_s(params, k)
    out = {"active": now, "ended": log_ended(log_s, params, k), "retention": mp.exp(log_s(params, k + 1) - now)}
    if lifetime:
        d = mp.exp(-mp.mpf(RATE))
        plain = discounted = square = before = mp.mpf(0)
        for j in range(HORIZON):
            there, weight = mp.exp(log_s(params, k + j + 1) - now), d**j
            plain += there
            discounted += there * weight
            square += there * weight * (2 * before + weight)
            before += weight
        out |= {"lifetime": plain, "derl": discounted, "square": square}
    return out


def endless(params, k, log_s=log_survival):
    """Residual lifetime discounted at RATE for ever: 600 terms leave e^-60."""
    with mp.workdps(30):
        now = log_s(params, k)
        return mp.fsum(mp.exp(log_s(params, k + j + 1) - now - mp.mpf(RATE) * j) for j in range(600))


def by_integration(params, k):
    alpha, beta, c = params

    def quad(f):
        return mp.quad(lambda t: t ** (alpha - 1) * (1 - t) ** (beta - 1) * f(t), [0, 1])

    u, v = mp.mpf(k) ** c if k else mp.mpf(0), mp.mpf(k + 1) ** c
    mass = quad(lambda t: 1)
    ended = quad(lambda t: (1 - t) ** u - (1 - t) ** v)
    return {"active": mp.log(quad(lambda t: (1 - t) ** u) / mass), "ended": mp.log(ended / mass)}


def main():
    rng = random.Random(13)
    hard = [(p, k) for p in ((0.523, 0.894, 1.196), (0.259, 1.723, 1.584), (0.4556, 0.7793, 1.2835), (1.0, 1.0, 1.0),
            (2.0, 30.0, 0.5), (400.0, 3600.0, 2.0)) for k in (0, 1, 2, 7, 12, 60)]  # fmt: skip
    extreme = []
    while len(extreme) < 400:
        params = tuple(float(f"{10 ** rng.uniform(-4, 4):.6g}") for _ in range(3))
        if rng.random() < 0.2:
            params = tuple(rng.choice([1e-4, 1.0, 1e4]) for _ in range(3))
        extreme.append((params, rng.choice([0, 1, 2, 5, 100, rng.randint(0, 10_000), 10_000])))
    for params, k in (((1.5, 2.5, 1.3), 3), ((2.0, 1.0, 0.7), 0), ((3.0, 4.0, 2.0), 11)):
        ours = case(params, k)
        for name, value in by_integration(params, k).items():
            assert abs(ours[name] - value) < 1e-15 * max(1, abs(value)), (name, params)
    plain = [(p, k) for p in ((0.4682, 0.6359), (0.149, 0.9101), (1.0, 1.0), (1e-3, 2.5)) for k in (0, 1, 4, 12, 30)]

    def row(params, k, values):
        return {"params": params, "k": k, **{key: float(mp.nstr(v, 17)) for key, v in values.items()}}

    out = {
        "hard": [row(p, k, {**case(p, k), "derl_ever": endless(p, k)}) for p, k in hard],
        "extreme": [row(p, k, case(p, k, lifetime=i % 4 == 0)) for i, (p, k) in enumerate(extreme)],
        "weibull": [row(p, k, {**case(p, k, weibull), "derl_ever": endless(p, k, weibull)}) for p, k in plain],
    }
    text = json.dumps(out, separators=(",", ":")).replace("},{", "},\n{")
    Path(__file__).with_suffix(".json").write_text(text + "\n")


if __name__ == "__main__":
    main()
