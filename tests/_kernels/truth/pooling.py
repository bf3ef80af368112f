"""Truth for the pooling kernel to 50 digits: the standard deviation between groups integrated out on many panels.

Run alone; writes pooling.json beside it. Given that standard deviation the estimates are one multivariate normal
vector, and the means of the groups its conditional expectations; a few cases are first integrated over the common mean
as well, with nothing but the densities of the definition.
"""

import itertools
import random
from pathlib import Path

import mpmath as mp
from _tools import run, write

mp.mp.dps = 50

NAMES = ["alike", "between", "mean", "sd", "common_mean", "common_sd", "share"]


def given(tau, y, s, centre, spread):
    """log density of the estimates; mean and variance of the first group and of the common mean; data's share."""
    v = [e * e + tau * tau for e in s]
    precision = 1 / spread**2 + mp.fsum(1 / each for each in v)
    shift = mp.fsum((a - centre) / each for a, each in zip(y, v, strict=False)) / precision
    square = mp.fsum((a - centre) ** 2 / each for a, each in zip(y, v, strict=False)) - shift**2 * precision
    log = -(mp.fsum(map(mp.log, v)) + mp.log(precision) + square) / 2
    w = tau * tau / v[0]
    mean, var = w * y[0] + (1 - w) * (centre + shift), w * s[0] ** 2 + (1 - w) ** 2 / precision
    return log, mean, var, centre + shift, 1 / precision, 1 - (1 - w) / (precision * spread**2)


def answers(point):
    y, s, centre, spread, between, alike = point
    y, s = [mp.mpf(a) for a in y], [mp.mpf(a) for a in s]
    centre, spread, between, alike = (mp.mpf(a) for a in (centre, spread, between, alike))

    def log_posterior(tau):
        return given(tau, y, s, centre, spread)[0] - (tau / between) ** 2 / 2

    reach = 12 * between + mp.sqrt(between * mp.sqrt(mp.fsum((a - centre) ** 2 for a in y)))
    edges = [mp.mpf(0)]
    edge = min(min(s), between) / 8
    while edge < reach:
        edges.append(edge)
        edge *= mp.mpf("1.25")
    edges.append(reach)
    # Finer about the summit.
    best = max(edges, key=log_posterior)
    low, high = best / mp.mpf("1.6"), best * mp.mpf("1.6")
    for _ in range(120):
        a, b = low + (high - low) * mp.mpf("0.382"), low + (high - low) * mp.mpf("0.618")
        low, high = (low, b) if log_posterior(a) > log_posterior(b) else (a, high)
    fine = between / 2
    edges = sorted(set(edges) | {e for k in range(-40, 41) if 0 < (e := low + k * fine / 2) < reach})
    top = max(log_posterior(low), log_posterior(mp.mpf(0)))
    norm = mp.sqrt(2 / mp.pi) / between
    x, w = NODES
    sums = [mp.mpf(0)] * 9
    for start, end in itertools.pairwise(edges):
        if max(map(log_posterior, (start, (start + end) / 2, end))) < top - 150:
            continue
        half = (end - start) / 2
        for xi, wi in zip(x, w, strict=False):
            tau = start + half * (1 + xi)
            sums = add(sums, tau, given(tau, y, s, centre, spread), (1 - alike) * norm * half * wi, top, between)
    spike = add([mp.mpf(0)] * 9, mp.mpf(0), given(mp.mpf(0), y, s, centre, spread), alike, top, between)
    total = [a + b for a, b in zip(sums, spike, strict=False)]
    mass = total[0]
    mean, common = total[2] / mass, total[4] / mass
    return point, {
        "alike": spike[0] / mass,
        "between": total[1] / mass,
        "mean": mean,
        "sd": mp.sqrt(total[3] / mass - mean**2),
        "common_mean": common,
        "common_sd": mp.sqrt(total[5] / mass - common**2),
        "share": total[6] / mass,
    }


def add(sums, tau, found, weight, top, between):
    log, mean, var, common, common_var, share = found
    p = weight * mp.exp(log - (tau / between) ** 2 / 2 - top)
    each = (1, tau, mean, var + mean**2, common, common_var + common**2, share, 0, 0)
    return [a + p * b for a, b in zip(sums, each, strict=False)]


def rule(n):
    """Gauss-Legendre nodes and weights by Newton's method."""
    x, w = [], []
    for k in range(1, n + 1):
        z = mp.cos(mp.pi * (k - mp.mpf(1) / 4) / (n + mp.mpf(1) / 2))
        for _ in range(8):
            p, q = mp.legendre(n, z), mp.legendre(n - 1, z)
            slope = n * (z * p - q) / (z * z - 1)
            z -= p / slope
        p, q = mp.legendre(n, z), mp.legendre(n - 1, z)
        slope = n * (z * p - q) / (z * z - 1)
        x.append(z)
        w.append(2 / ((1 - z * z) * slope**2))
    return x, w


NODES = rule(32)


def by_definition(point):
    """E m_1 by integrating over the common mean and the deviation, with the densities as they stand."""
    y, s, centre, spread, between, alike = point

    def normal(x, mean, var):
        return mp.exp(-((x - mean) ** 2) / (2 * var)) / mp.sqrt(2 * mp.pi * var)

    def over_mu(tau, f):
        def integrand(mu):
            density = normal(mu, mp.mpf(centre), mp.mpf(spread) ** 2)
            for a, e in zip(y, s, strict=False):
                density *= normal(mp.mpf(a), mu, mp.mpf(e) ** 2 + tau**2)
            return density * f(mu, tau)

        return mp.quad(integrand, mp.linspace(centre - 9 * spread, centre + 9 * spread, 13))

    def hers(mu, tau):
        w = tau**2 / (tau**2 + mp.mpf(s[0]) ** 2)
        return w * mp.mpf(y[0]) + (1 - w) * mu

    def whole(f):
        prior = lambda tau: mp.sqrt(2 / mp.pi) / between * mp.exp(-(tau**2) / (2 * mp.mpf(between) ** 2))
        part = mp.quad(lambda tau: prior(tau) * over_mu(tau, f), [0, between / 4, between, 3 * between, 9 * between])
        return alike * over_mu(mp.mpf(0), f) + (1 - alike) * part

    return whole(hers) / whole(lambda mu, tau: 1)


def grids():
    rng = random.Random(3)
    hard, extreme = [], []
    for n in (1, 2, 3, 5, 8):
        for between, alike in ((0.5, 0.5), (0.25, 0.0), (0.5, 0.9)):
            for scale in (0.02, 0.3, 3.0):
                y = [round(rng.gauss(1, 0.7), 6) for _ in range(n)]
                hard.append([y, [round(scale * rng.uniform(0.5, 2), 6) for _ in y], 1.0, 0.5, between, alike])
    for _ in range(400):
        n = rng.randint(1, 4)
        size = lambda: float(f"{10 ** rng.uniform(-4, 4):.4g}")
        y = [rng.choice([-1, 1]) * size() for _ in range(n)]
        extreme.append([y, [size() for _ in y], 1.0, size(), size(), rng.choice([0.0, 0.5])])
    return hard, extreme


if __name__ == "__main__":
    mp.mp.dps = 20
    for point in ([[0.2, 1.4], [0.2, 0.3], 1.0, 0.5, 0.4, 0.5], [[2.0, 1.0, 0.5], [0.3, 0.3, 0.2], 1.0, 0.5, 0.5, 0.0]):
        assert abs(by_definition(point) - answers(point)[1]["mean"]) < mp.mpf(10) ** -10, point
    mp.mp.dps = 50
    hard, extreme = grids()
    write(
        Path(__file__).with_suffix(".json"), NAMES, {"hard": run(answers, hard, 1), "extreme": run(answers, extreme, 1)}
    )
