"""Fifty-digit truth for the gamma-Gompertz / NBD: writes ggompertz.json and ggompertz_slopes.json beside itself.

The definition is integrated over the moment she leaves, in panels that double; derivatives are those of the same sum.
On a few points ("latent") the integrals over her own rate and her own hazard are done numerically as well, so that not
even the mixing is taken from a formula.

    python tests/_kernels/truth/ggompertz.py [processes]
"""

import random
import sys
from pathlib import Path

import mpmath as mp
from _tools import (
    edge_params,
    edge_row,
    exp,
    legendre,
    log,
    log_sum,
    loggamma,
    nodes,
    parameters,
    run,
    slopes,
    write,
)

mp.mp.dps = 50
COUNTS = (0, 1, 3, 10)
NAMES = [
    "log_likelihood", "p_alive", "log_rate", "survival", "mean", "any", "discounted", "squares", "pairs", "endless",
    "endless_pairs", *(f"pmf_{n}" for n in COUNTS),
]  # fmt: skip
SLOPES = [*(f"gradient_{i}" for i in range(5)), *(f"hessian_{i}{j}" for i in range(5) for j in range(i, 5))]


def answers(point):
    r, alpha, b, s, beta = map(mp.mpf, point[:5])
    x = point[5]
    t_x, T, h, delta = map(mp.mpf, point[6:])
    k = r + x

    def rest(t, d):
        """-ln P(still there at t + d | at t) / s, without cancellation"""
        return mp.log1p(mp.exp(b * t) * mp.expm1(b * d) / (beta + mp.expm1(b * t)))

    def hazard(t):
        return b / (1 + (beta - 1) * mp.exp(-b * t))

    def scale(t):
        return 1 / ((1 + k) / (alpha + t) + (1 + s) * hazard(t) + b)

    def gone(d):
        return mp.exp(-k * mp.log1p(d / (alpha + t_x)) - s * rest(t_x, d)) * s * hazard(t_x + d)

    gaps = nodes(gone, scale(t_x) / 8, T - t_x, knee=60 / b)  # by then 1 - beta + e^(b t) is but e^(b t)
    died = mp.fsum(w for _, w in gaps)
    there = mp.exp(-k * mp.log((alpha + T) / (alpha + t_x)) - s * rest(t_x, T - t_x))
    front = mp.loggamma(k) - mp.loggamma(r) + r * mp.log(alpha) - k * mp.log(alpha + t_x)
    front -= s * mp.log1p(mp.expm1(b * t_x) / beta)
    alive = there / (there + died)
    ages = mp.fsum(w * mp.log(alpha + t_x + d) for d, w in gaps) + there * mp.log(alpha + T)
    A, first = alpha + T, min(scale(T), 1 / delta if delta else mp.inf) / 8

    def stay(v):
        return mp.exp(-s * rest(T, v))

    def apart(v):  # of two purchases, the first discounted too
        return -mp.expm1(-delta * v) / delta if delta else v

    out = {"log_likelihood": front + mp.log(there + died), "p_alive": alive, "survival": alive * stay(h)}
    out["log_rate"] = mp.digamma(k) - ages / (there + died)
    rate = alive * k / A
    later = 2 * rate * (k + 1) / A
    grid = nodes(stay, first, h, 40, 60 / b)
    out["mean"] = rate * mp.fsum(w for _, w in grid)
    out["discounted"] = rate * mp.fsum(w * mp.exp(-delta * v) for v, w in grid)
    out["squares"] = rate * mp.fsum(w * mp.exp(-2 * delta * v) for v, w in grid)
    out["pairs"] = later * mp.fsum(w * mp.exp(-delta * v) * apart(v) for v, w in grid)
    out["any"] = rate * mp.fsum(w * mp.exp(-(k + 1) * mp.log1p(v / A)) for v, w in grid)
    if delta:
        ever = nodes(lambda v: mp.exp(-delta * v) * stay(v), first, 120 / delta, 40, 60 / b)
        out["endless"] = rate * mp.fsum(w for _, w in ever)
        out["endless_pairs"] = later * mp.fsum(w * apart(v) for v, w in ever)
    silent = [(v, w * s * hazard(T + v) * mp.exp(-k * mp.log1p(v / A))) for v, w in grid]
    silent.append((h, stay(h) * mp.exp(-k * mp.log1p(h / A))))
    for n in COUNTS:
        ways = mp.exp(mp.loggamma(k + n) - mp.loggamma(k) - mp.loggamma(n + 1))
        chance = ways * mp.fsum(w * (v / (A + v)) ** n for v, w in silent)
        out[f"pmf_{n}"] = alive * chance + (1 - alive if n == 0 else 0)
    jet = definition(point, gaps, gone)
    assert abs(jet.v - out["log_likelihood"]) < 1e-20 * (1 + abs(jet.v)), point
    if T == 0:
        out["log_likelihood"] = mp.mpf(0)
    return point, out | slopes(jet)


def definition(point, gaps, gone):
    """The log-likelihood with its derivatives: she left at one of the nodes, or is there."""
    r, alpha, b, s, beta = parameters(*map(mp.mpf, point[:5]))
    x, t_x, T = point[5], mp.mpf(point[6]), mp.mpf(point[7])

    def age(t):
        """ln of (beta - 1 + e^(b t)), with e^(b t) taken out where it is large."""
        if b.v * t < 30:
            return log(beta + (exp(b * t) + -1))
        return b * t + log((beta + -1) * exp(-(b * t)) + 1)

    def leaves(t):
        return log(s) + log(b) + b * t + s * log(beta) - (s + 1) * age(t) - (r + x) * log(alpha + t)

    terms = [(w / gone(d), leaves(t_x + d)) for d, w in gaps]
    terms.append((mp.mpf(1), s * (log(beta) - age(T)) - (r + x) * log(alpha + T)))
    return loggamma(r + x) - loggamma(r) + r * log(alpha) + log_sum(terms)


def latent(r, alpha, b, s, beta, x, t_x, T):
    """ln L by sums over ln(rate), ln(hazard) and Gauss-Legendre over the moment she leaves."""
    mp.mp.dps = 25
    r, alpha, b, s, beta, x, t_x, T = map(mp.mpf, (r, alpha, b, s, beta, x, t_x, T))

    def grid(shape, rate):
        """trapezoidal nodes of a gamma density in u, ln value = u - e^-u"""
        nodes = []
        for i in range(-36, 56):
            u = mp.mpf(i) / 8
            v = mp.exp(u - mp.exp(-u))
            w = mp.exp(shape * mp.log(rate * v) - rate * v - mp.loggamma(shape)) * (1 + mp.exp(-u)) / 8
            if w > mp.mpf(10) ** -24:
                nodes.append((v, w))
        return nodes

    rates, hazards = grid(r, alpha), grid(s, beta)
    total = mp.mpf(0)
    moments = [(t_x + (T - t_x) * (i + z) / 4, (T - t_x) * w / 4) for i in range(4) for z, w in legendre(20, 30)]
    buys = {t: sum(w * lam**x * mp.exp(-lam * t) for lam, w in rates) for t, _ in [*moments, (T, 0)]}
    for eta, weight in hazards:
        inner = buys[T] * mp.exp(-eta * mp.expm1(b * T))
        inner += sum(w * buys[t] * eta * b * mp.exp(b * t - eta * mp.expm1(b * t)) for t, w in moments)
        total += weight * inner
    mp.mp.dps = 50
    return mp.log(total)


SETS = [
    (0.553, 10.578, 0.0002, 0.603, 0.0026),
    (0.553, 10.578, 1e-8, 0.603, 1.2e-7),
    (0.9, 5.0, 0.03, 0.5, 0.4),
    (1.5, 3.0, 0.1, 2.0, 1.0),
    (0.4, 8.0, 0.05, 1.0, 30.0),
    (3.0, 100.0, 0.01, 5.0, 1.0 + 1e-7),
    (0.05, 0.5, 0.2, 0.05, 100.0),
    (20.0, 2.0, 0.002, 20.0, 0.01),
]
HISTORIES = [(0, 0.0, 0.0), (0, 0.0, 39.0), (1, 1.7, 38.9), (2, 30.4, 38.9), (2, 38.9, 38.9), (26, 30.9, 31.0),
             (200, 77.0, 78.0), (60, 50.0, 300.0)]  # fmt: skip


def main():
    rng = random.Random(20120501)
    hard = [(*p, *row, 52.0, 0.002) for p in SETS for row in HISTORIES]
    extreme = [(*edge_params(rng, i, 5, 3), *edge_row(rng, i)) for i in range(402)]
    found = run(answers, hard + extreme, int(sys.argv[1]) if len(sys.argv) > 1 else 2)
    for i in (2, 3, 4):
        for n in (1, 2, 3):
            point, out = found[len(HISTORIES) * i + n]
            value = latent(*point[:8])
            assert abs(out["log_likelihood"] - value) < 1e-12 * abs(value), point
    grids = {"hard": found[: len(hard)], "extreme": found[len(hard) :]}
    path = Path(__file__)
    write(path.with_suffix(".json"), NAMES, grids)
    write(path.with_name("ggompertz_slopes.json"), SLOPES, grids)


if __name__ == "__main__":
    main()
