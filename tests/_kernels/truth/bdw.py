"""Truth for the beta-discrete-Weibull and discrete Weibull kernels to 60 digits and more: beta functions, term by term.

Run alone; writes bdw.json, bdw_slopes.json and weibull.json beside it. A few cases are first integrated over theta
directly; derivatives are those of the definition.
"""

import random
import sys
from pathlib import Path

import mpmath as mp
from _tools import Jet, any_size, exp, loggamma, parameters, run, write

mp.mp.dps = 60

HORIZON, RATE = 24, 0.1
QUANTITIES = ["active", "ended", "retention", "lifetime", "discounted", "square", "endless"]


def slope_names(d):
    names = [f"gradient_{i}" for i in range(d)] + [f"hessian_{i}{j}" for i in range(d) for j in range(i, d)]
    return [f"{of}_{name}" for of in ("active", "ended") for name in names]


def log_survival(params, k):
    """log B(alpha, beta + k^c) - log B(alpha, beta); for k^c of 40 digits and more by its expansion, right to 60."""
    alpha, beta, c = params
    if k == 0:
        return alpha * 0
    log_u = c * mp.log(k)
    value = log_u.v if isinstance(log_u, Jet) else log_u
    start = loggamma(alpha + beta) - loggamma(beta)
    if value > 40 * mp.log(10):
        bend = (alpha * (alpha + beta * 2 + -1)) / 2
        return start - alpha * log_u - bend * exp(-log_u)
    u = exp(log_u)
    return start + loggamma(beta + u) - loggamma(alpha + beta + u)


def weibull(params, k):
    hazard, c = params
    return -(hazard * exp(c * mp.log(k))) if k else hazard * 0


def log_ended(now, then):
    gap = then - now
    value = gap.v if isinstance(gap, Jet) else gap
    if value < -2000:
        return now
    if not isinstance(gap, Jet):
        return now + mp.log1p(-mp.exp(gap))
    odds = 1 / mp.expm1(-value)  # of renewing against ending
    return now + gap._chain(mp.log1p(-mp.exp(value)), -odds, -odds * (1 + odds))


def answers(job):
    log_s, point = job
    mp.mp.dps = 160
    *params, k = point
    values = [mp.mpf(p) for p in params]
    now, then = log_s(values, k), log_s(values, k + 1)
    out = {"active": now, "ended": log_ended(now, then), "retention": mp.exp(max(then - now, mp.mpf(-2000)))}
    jets = parameters(*params)
    active = log_s(jets, k)
    ended = log_ended(active, log_s(jets, k + 1))
    d = len(params)
    pairs = [f"{i}{j}" for i in range(d) for j in range(i, d)]
    for of, jet in (("active", active), ("ended", ended)):
        assert abs(jet.v - out[of]) <= mp.mpf(10) ** -60 * abs(jet.v), point
        out |= {f"{of}_gradient_{i}": each for i, each in enumerate(jet.g)}
        out |= {f"{of}_hessian_{ij}": each for ij, each in zip(pairs, jet.h, strict=True)}
    mp.mp.dps = 90
    fade = mp.exp(-mp.mpf(RATE))
    plain = discounted = square = before = ever = mp.mpf(0)
    for j in range(600):  # leaves e^-60
        there, weight = mp.exp(max(log_s(values, k + j + 1) - now, mp.mpf(-2000))), fade**j
        ever += there * weight
        if j < HORIZON:
            plain += there
            discounted += there * weight
            square += there * weight * (2 * before + weight)
            before += weight
    return point, out | {
        "lifetime": plain, "discounted": discounted, "square": square, "endless": ever
    }  # fmt: skip


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
    workers = int(sys.argv[1]) if len(sys.argv) > 1 else 2
    hard = [(*p, k) for p in ((0.523, 0.894, 1.196), (0.259, 1.723, 1.584), (0.4556, 0.7793, 1.2835), (1.0, 1.0, 1.0),
            (2.0, 30.0, 0.5), (400.0, 3600.0, 2.0)) for k in (0, 1, 2, 7, 12, 60)]  # fmt: skip
    extreme = []
    while len(extreme) < 400:
        params = tuple(any_size(rng, -4, 4) for _ in range(3))
        if rng.random() < 0.2:
            params = tuple(rng.choice([1e-4, 1.0, 1e4]) for _ in range(3))
        extreme.append((*params, rng.choice([0, 1, 2, 5, 100, rng.randint(0, 10_000), 10_000])))
    for params, k in (((1.5, 2.5, 1.3), 3), ((2.0, 1.0, 0.7), 0), ((3.0, 4.0, 2.0), 11)):
        ours = answers((log_survival, (*params, k)))[1]
        mp.mp.dps = 60
        for name, value in by_integration(params, k).items():
            assert abs(ours[name] - value) < 1e-15 * max(1, abs(value)), (name, params)
    found = run(answers, [(log_survival, point) for point in hard + extreme], workers)
    grids = {"hard": found[: len(hard)], "extreme": found[len(hard) :]}
    path = Path(__file__)
    write(path.with_suffix(".json"), QUANTITIES, grids)
    write(path.with_name("bdw_slopes.json"), slope_names(3), grids)
    plain = [(*p, k) for p in ((0.4682, 0.6359), (0.149, 0.9101), (1.0, 1.0), (1e-3, 2.5)) for k in (0, 1, 4, 12, 30)]
    far = []
    while len(far) < 400:
        params, k = tuple(any_size(rng, -4, 4) for _ in range(2)), rng.choice([0, 1, 5, 100, rng.randint(0, 10_000)])
        if rng.random() < 0.15:
            params = (params[0], 1.0)
        if params[1] * mp.log10(k + 1) < 100:  # else the log-likelihood itself is beyond any float, or near it
            far.append((*params, k))
    found = run(answers, [(weibull, point) for point in plain + far], workers)
    grids = {"hard": found[: len(plain)], "extreme": found[len(plain) :]}
    write(path.with_name("weibull.json"), QUANTITIES + slope_names(2), grids)


if __name__ == "__main__":
    main()
