"""Forty digits of Pareto/NBD with covariates that change over time: writes paretonbd_dynamic.json beside itself.

The definition is integrated over the moment she leaves, period by period, and over the moments she may buy. On the hard
grid the probabilities of so many purchases are made again by integrating over her rate and her hazard themselves, given
which purchases are a Poisson process and her time an exponential. A point is
the parameters, the edges of the periods, the logs of the multipliers in each, the customer (repeat purchases, when the
last was, when her time ends; all but the last halfway to it) and the horizon with its discount rate.

    python tests/_kernels/truth/paretonbd_dynamic.py [processes]
"""

import random
import sys
from itertools import pairwise
from pathlib import Path

import mpmath as mp
from _tools import edge_params, edge_row, legendre, nodes, run, write

mp.mp.dps = 40
PERIODS = 5
COUNTS = (0, 1, 3, 10)
NAMES = [
    "log_likelihood", "p_alive", "log_rate", "mean", "discounted", "squares", "pairs", "any",
    *(f"gradient_{i}" for i in range(4)), *(f"by_log_a_{i}" for i in range(PERIODS)),
    *(f"by_log_b_{i}" for i in range(PERIODS)), *(f"pmf_{n}" for n in COUNTS),
]  # fmt: skip


class Time:
    """The integrals of both multipliers from 0 to t, in all and period by period."""

    def __init__(self, edges, log_a, log_b):
        self.edges = [mp.mpf(e) for e in edges]
        self.a, self.b = ([mp.exp(mp.mpf(v)) for v in logs] for logs in (log_a, log_b))

    def period(self, t):
        return max(j for j, e in enumerate(self.edges[:-1]) if e <= t)

    def lived(self, t):
        return [max(min(hi, t) - lo, mp.mpf(0)) for lo, hi in pairwise(self.edges)]

    def run(self, multipliers, t):
        return mp.fsum(m * w for m, w in zip(multipliers, self.lived(t), strict=True))

    def pieces(self, start, end):
        cuts = [start, *(e for e in self.edges if start < e < end), end]
        return [(lo, hi, self.period(lo)) for lo, hi in pairwise(cuts) if hi > lo]


def answers(point):
    params, edges, log_a, log_b, (x, t_x, T), (h, delta) = point
    r, alpha, s, beta = map(mp.mpf, params)
    t_x, T, h, delta = map(mp.mpf, (t_x, T, h, delta))
    time = Time(edges, log_a, log_b)
    p = r + x
    c, d = alpha + time.run(time.a, t_x), beta + time.run(time.b, t_x)
    end_a, end_b = alpha + time.run(time.a, T), beta + time.run(time.b, T)
    # When she may have left: (moment, its period or none if she is there, weight over c^-p d^-s).
    ways = [(T, None, mp.exp(-p * mp.log(end_a / c) - s * mp.log(end_b / d)))]
    for lo, hi, j in time.pieces(t_x, T):
        A, B, a, b = alpha + time.run(time.a, lo), beta + time.run(time.b, lo), time.a[j], time.b[j]
        front = -p * mp.log(A / c) - s * mp.log(B / d)

        def density(v, A=A, B=B, a=a, b=b, front=front):
            return s * b / B * mp.exp(front - p * mp.log1p(a * v / A) - (s + 1) * mp.log1p(b * v / B))

        shortest = min(A / a / (p + 1), B / b / (s + 1)) / 4
        ways += [(lo + v, j, w) for v, w in nodes(density, shortest, hi - lo)]
    mass = mp.fsum(w for *_, w in ways)
    alive = ways[0][2] / mass
    made = [0] * PERIODS
    if x:
        made[time.period(t_x)] += 1
        made[time.period(t_x / 2)] += x - 1
    ways_of = mp.loggamma(p) - mp.loggamma(r) + r * mp.log(alpha / c) + s * mp.log(beta / d) - x * mp.log(c)
    out = {"log_likelihood": ways_of + mp.log(mass) + mp.fsum(n * mp.log(a) for n, a in zip(made, time.a, strict=True))}
    out["p_alive"] = alive
    slope = [mp.mpf(0)] * (4 + 2 * PERIODS)
    for t, j, w in ways:
        lived = time.lived(t)
        A, B = alpha + time.run(time.a, t), beta + time.run(time.b, t)
        q = s + (j is not None)
        w = w / mass
        slope[0] -= w * r * mp.log(A / alpha)
        slope[1] -= w * p * alpha / A
        slope[2] += w * ((j is not None) - s * mp.log(B / beta))
        slope[3] -= w * q * beta / B
        for i in range(PERIODS):
            slope[4 + i] -= w * p * time.a[i] * lived[i] / A
            slope[4 + PERIODS + i] += w * ((i == j) - q * time.b[i] * lived[i] / B)
    slope[0] += r * (mp.digamma(p) - mp.digamma(r))
    slope[1] += r
    slope[3] += s
    for i in range(PERIODS):
        slope[4 + i] += made[i]
    out["log_rate"] = mp.digamma(p) - mp.fsum(w * mp.log(alpha + time.run(time.a, t)) for t, _, w in ways) / mass
    out |= dict(zip(NAMES[8 : 8 + len(slope)], slope, strict=True))
    out |= counts(point, time, alive, p, end_a, end_b)
    sums = {name: mp.mpf(0) for name in ("mean", "discounted", "squares", "pairs", "any")}
    before = mp.mpf(0)  # what one who is there is worth up to the piece, at a rate of one
    for lo, hi, j in time.pieces(T, T + h):
        A, B, a, b = alpha + time.run(time.a, lo), beta + time.run(time.b, lo), time.a[j], time.b[j]

        def stay(v, B=B, b=b):
            return mp.exp(-s * mp.log((B + b * v) / end_b))

        shortest = min(A / a / (p + 1), B / b / (s + 1), 1 / delta if delta else mp.inf) / 4
        for v, w in nodes(stay, shortest, hi - lo, 38):
            fade, w = mp.exp(-delta * (lo - T + v)), w * a
            here = a * mp.exp(-delta * (lo - T)) * (-mp.expm1(-delta * v) / delta if delta else v)
            sums["mean"] += w
            sums["discounted"] += w * fade
            sums["squares"] += w * fade**2
            sums["pairs"] += 2 * w * fade * (before + here)
            sums["any"] += w * mp.exp(-(p + 1) * mp.log((A + a * v) / end_a))
        w = hi - lo
        before += a * mp.exp(-delta * (lo - T)) * (-mp.expm1(-delta * w) / delta if delta else w)
    rate = alive * p / end_a
    out |= {name: rate * value for name, value in sums.items()}
    out["pairs"] *= (p + 1) / end_a
    return point, out


def counts(point, time, alive, p, end_a, end_b):
    """The probabilities of n purchases ahead: she is there until the end of the horizon, or leaves at v."""
    s, T, h = mp.mpf(point[0][2]), mp.mpf(point[4][2]), mp.mpf(point[5][0])
    out = {}
    for n in COUNTS:

        def so_many(more, n=n):
            share = more / (end_a + more)
            ways = mp.loggamma(p + n) - mp.loggamma(p) - mp.loggamma(n + 1)
            return mp.exp(ways - p * mp.log1p(more / end_a)) * share**n

        more, used = time.run(time.a, T + h) - time.run(time.a, T), time.run(time.b, T + h) - time.run(time.b, T)
        chance = so_many(more) * mp.exp(-s * mp.log1p(used / end_b))
        for lo, hi, j in time.pieces(T, T + h):
            a, b = time.a[j], time.b[j]
            more = time.run(time.a, lo) - time.run(time.a, T)
            used = time.run(time.b, lo) - time.run(time.b, T)

            def leaves(v, a=a, b=b, more=more, used=used, so_many=so_many):
                later = used + b * v
                return so_many(more + a * v) * s * b / (end_b + later) * mp.exp(-s * mp.log1p(later / end_b))

            shortest = min((end_a + more) / a / (p + 1), (end_b + used) / b / (s + 1)) / 4
            chance += mp.fsum(w for _, w in nodes(leaves, shortest, hi - lo, knee=(n + 1) * 40 * shortest))
        out[f"pmf_{n}"] = alive * chance + (1 - alive if n == 0 else 0)
    return out


def latent(point):
    """The same probabilities, integrated over her rate and her hazard by the trapezoidal rule in their logarithms.

    Given both, purchases are a Poisson process, and past and future are products of a function of each.
    """
    params, edges, log_a, log_b, (x, t_x, T), (h, _) = point
    with mp.workdps(22):
        r, alpha, s, beta, t_x, T, h = map(mp.mpf, (*params, t_x, T, h))
        time = Time(edges, log_a, log_b)
        rates = line(r, alpha, x + max(COUNTS), time.run(time.a, T + h))
        hazards = line(s, beta, 1, time.run(time.b, T + h))

        def at(t, since, leaving=None):
            """The densities of so many purchases after ``since``, and of leaving at t, or of being there."""
            A, B = time.run(time.a, t), time.run(time.b, t)
            of_b = mp.fsum(w * mp.exp(-z * B) * (1 if leaving is None else z * time.b[leaving]) for z, w in hazards)
            terms, out, more = [w * z**x * mp.exp(-z * A) for z, w in rates], [], A - time.run(time.a, since)
            for n in range(max(COUNTS) + 1):
                out.append(mp.fsum(terms) * of_b)
                terms = [term * z * more / (n + 1) for term, (z, _) in zip(terms, rates, strict=True)]
            return [out[n] for n in COUNTS]

        def left(start, end, since):
            total = [mp.mpf(0)] * len(COUNTS)
            for lo, hi, j in time.pieces(start, end):
                A, B = alpha + time.run(time.a, lo), beta + time.run(time.b, lo)
                v, width = lo, min(A / time.a[j] / (r + x + 1), B / time.b[j] / (s + 1))
                while v < hi:
                    width = min(width, hi - v)
                    for z, w in legendre(24, 22):
                        each = at(v + width * z, since, j)
                        total = [old + width * w * new for old, new in zip(total, each, strict=True)]
                    v, width = v + width, 2 * width
            return total

        there = at(T, T)[0]
        gone = left(t_x, T, t_x)[0] if t_x < T else mp.mpf(0)
        found = [one + two for one, two in zip(at(T + h, T), left(T, T + h, T), strict=True)]
        found[0] += gone
        return {f"pmf_{n}": chance / (there + gone) for n, chance in zip(COUNTS, found, strict=True)}


def line(shape, rate, rise, run):
    """(z, weight) of gamma(shape, rate), but for a constant, for what rises by no more than z^rise and then falls by no
    more than e^(-run z); below all that, steps are longer and longer: a small shape has most of its mass there."""
    step = min(mp.mpf("0.2"), mp.mpf("0.5") / mp.sqrt(shape + rise + 2))
    u, high, out = -mp.log(1 + 42 / shape), mp.log((shape + rise + 60) * (1 + run / rate)) + 3, []
    while u < high:
        log_z = u - mp.exp(-u) - mp.log(rate + run)
        z = mp.exp(log_z)
        out.append((z, mp.exp(shape * log_z - rate * z) * (1 + mp.exp(-u))))
        u += step
    return out


def laid(params, customer, ahead, rng, size):
    whole = customer[2] + ahead[0]
    inner = sorted(float(f"{whole * rng.uniform(0.02, 0.98):.6g}") for _ in range(PERIODS - 1))
    logs = [[round(rng.uniform(-size, size), 3) for _ in range(PERIODS)] for _ in range(2)]
    return [params, [0.0, *inner, whole * 1.01], *logs, customer, ahead]


def main():
    rng = random.Random(2021)
    sets = [(0.55, 10.6, 0.61, 11.7), (1.0, 0.05, 1.0, 0.05), (0.02, 300.0, 3.0, 0.5), (40.0, 8.0, 0.01, 1e3)]
    rows = [(0, 0.0, 0.0), (0, 0.0, 39.0), (1, 3.0, 40.0), (2, 38.9, 38.9), (3, 14.4, 35.6), (20, 5.0, 104.0),
            (60, 50.0, 78.0), (200, 77.0, 78.0)]  # fmt: skip
    hard = [laid(p, row, (52.0, rng.choice([0.0, 0.0018, 0.01])), rng, 1.2) for p in sets for row in rows]
    extreme = []
    for i in range(400):
        x, t_x, T, h, delta = edge_row(rng, i)
        params = edge_params(rng, i, 4, 2)
        extreme.append(laid(params, (x, t_x, T), (h, delta), rng, rng.choice([0.5, 3.0, 8.0])))
    workers = int(sys.argv[1]) if len(sys.argv) > 1 else 2
    found = run(answers, hard + extreme, workers)
    # From the definition itself, where she bought little enough to be quick.
    mixed = [point for point in hard if point[4][0] <= 3]
    for point, again in zip(mixed, run(latent, mixed, workers), strict=True):
        true = found[hard.index(point)][1]
        assert all(abs(value / true[name] - 1) < 1e-13 for name, value in again.items()), point
    grids = {"hard": found[: len(hard)], "extreme": found[len(hard) :]}
    write(Path(__file__).with_suffix(".json"), NAMES, grids, digits=12)


if __name__ == "__main__":
    main()
