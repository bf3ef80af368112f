"""Fifty-digit truth for the gamma-Gompertz / NBD: `python ggompertz.py` writes ggompertz.json beside it.

The definition is integrated over the moment she leaves, in [t_x, T], one panel a quarter of a log-unit. On a few points
("latent") the integrals over her own rate and her own hazard are done numerically as well, so that not even the mixing
is taken from a formula.
"""

import json
import random
from pathlib import Path

import mpmath as mp

mp.mp.dps = 50
DELTA, HORIZON = 0.002, 52.0


def legendre(n):
    """Gauss-Legendre nodes on [0, 1] by Newton's method."""
    found = []
    for i in range(n):
        z = mp.cos(mp.pi * (i + mp.mpf(3) / 4) / (n + mp.mpf(1) / 2))
        for _ in range(8):
            p0, p1 = mp.mpf(1), z
            for j in range(2, n + 1):
                p0, p1 = p1, ((2 * j - 1) * z * p1 - (j - 1) * p0) / j
            slope = n * (z * p1 - p0) / (z * z - 1)
            z -= p1 / slope
        found.append(((1 + z) / 2, 1 / ((1 - z * z) * slope**2)))
    return found


RULE = legendre(20)


def over(f, length, start):
    """The integral of f over [0, length], in panels that double every few from ``start``."""
    grow = mp.exp(mp.mpf(1) / 4)
    total, low, high = mp.mpf(0), mp.mpf(0), mp.mpf(start)
    peak = mp.mpf(0)
    while low < length:
        high = min(high, length)
        part = (high - low) * sum(w * f(low + (high - low) * z) for z, w in RULE)
        total += part
        peak = max(peak, part)
        if low > start and part < peak * mp.mpf(10) ** -60:
            break
        low, high = high, high * grow
    return total


def case(r, alpha, b, s, beta, x, t_x, T):
    r, alpha, b, s, beta, x, t_x, T = map(mp.mpf, (r, alpha, b, s, beta, x, t_x, T))
    k = r + x

    def H(t):
        return mp.log1p(mp.expm1(b * t) / beta)

    def rest(t, d):
        """-ln P(still there at t + d | at t) / s, without cancellation"""
        return mp.log1p(mp.exp(b * t) * mp.expm1(b * d) / (beta + mp.expm1(b * t)))

    def scale(t):
        g = mp.exp(b * t) / (beta + mp.expm1(b * t))
        return 1 / ((1 + k) / (alpha + t) + (1 + s) * b * g + b)

    def gone(d):
        g = mp.exp(b * (t_x + d)) / (beta + mp.expm1(b * (t_x + d)))
        return mp.exp(-k * mp.log1p(d / (alpha + t_x)) - s * rest(t_x, d)) * s * b * g

    died = over(gone, T - t_x, scale(t_x) / 100)
    there = mp.exp(-k * mp.log((alpha + T) / (alpha + t_x)) - s * rest(t_x, T - t_x))
    front = mp.loggamma(k) - mp.loggamma(r) + r * mp.log(alpha) - k * mp.log(alpha + t_x) - s * H(t_x)
    out = {"log_likelihood": front + mp.log(there + died)}
    alive = there / (there + died)
    A, h = alpha + T, mp.mpf(HORIZON)
    first = scale(T) / 100

    def stay(v):
        return mp.exp(-s * rest(T, v))

    out["p_alive"] = alive
    out["survival"] = alive * stay(h)
    out["mean"] = alive * k / A * over(stay, h, first)
    out["any"] = alive * k / A * over(lambda v: (1 + v / A) ** (-k - 1) * stay(v), h, first)
    delta = mp.mpf(DELTA)
    ever = 200 / delta
    out["discounted"] = alive * k / A * over(lambda v: mp.exp(-delta * v) * stay(v), ever, first)
    out["squares"] = alive * k / A * over(lambda v: mp.exp(-2 * delta * v) * stay(v), ever, first)
    out["pairs"] = (
        2 * alive * k * (k + 1) / A**2
        * over(lambda v: mp.exp(-delta * v) * -mp.expm1(-delta * v) / delta * stay(v), ever, first)
    )  # fmt: skip
    return {name: mp.nstr(value, 17) for name, value in out.items()}


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
    moments = [(t_x + (T - t_x) * (i + z) / 4, (T - t_x) * w / 4) for i in range(4) for z, w in RULE]
    buys = {t: sum(w * lam**x * mp.exp(-lam * t) for lam, w in rates) for t, _ in [*moments, (T, 0)]}
    for eta, weight in hazards:
        inner = buys[T] * mp.exp(-eta * mp.expm1(b * T))
        inner += sum(w * buys[t] * eta * b * mp.exp(b * t - eta * mp.expm1(b * t)) for t, w in moments)
        total += weight * inner
    mp.mp.dps = 50
    return mp.nstr(mp.log(total), 15)


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
    hard = [(*p, *h) for p in SETS for h in HISTORIES]
    extreme = []
    while len(extreme) < 420:
        p = [10 ** rng.uniform(-4, 4) for _ in range(5)]
        if rng.random() < 0.15:
            p[rng.randrange(5)] = 1.0
        T = 10 ** rng.uniform(-2, 4)
        x = rng.choice([0, 0, 1, 2, 5, 30, 300, 3000, 10000])
        t_x = 0.0 if x == 0 else rng.choice([T, T * (1 - 1e-6), T * rng.random(), T * 1e-4])
        extreme.append((*p, x, t_x, T))
    out = {
        "delta": DELTA,
        "horizon": HORIZON,
        "hard": [{"point": point, **case(*point)} for point in hard],
        "latent": [{"point": (*SETS[i], *h), "log_likelihood": latent(*SETS[i], *h)} for i in (2, 3, 4)
                   for h in HISTORIES[1:4]],
        "extreme": [{"point": point, **case(*point)} for point in extreme],
    }  # fmt: skip
    Path(__file__).with_suffix(".json").write_text(json.dumps(out, separators=(",", ":")).replace("},", "},\n"))


if __name__ == "__main__":
    main()
