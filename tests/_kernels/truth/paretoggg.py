"""Thirty-digit truth for the Pareto/GGG: `python paretoggg.py` writes paretoggg.json beside it, a few minutes.

Given k the definition is integrated over the moment she leaves, h after her last purchase, with P(gap > h) as an
incomplete beta function (the kernel integrates the density of the gap against survival instead); over k by the
trapezoidal rule in ln k with a third of the kernel's spacing. On the "latent" points her rate is integrated numerically
too, with P(gap > h) as an incomplete gamma function.
"""

import json
import math
import random
from multiprocessing import Pool
from pathlib import Path

import mpmath as mp

mp.mp.dps = 30
AHEAD = 52.0


def nodes(end, scale, step=0.2):
    """(h, weight) on [0, end], double-exponential at both ends and even in ln h between them."""
    scale = min(scale, end / 4)
    span = mp.log(end / scale)
    z, out = -mp.log(mp.mpf(60)), []
    while z < span + mp.log(mp.mpf(60)):
        fall, rise = mp.exp(-z), mp.exp(z - span)
        odds = mp.exp(z - span - fall + rise)
        out.append((end * odds / (1 + odds), end * odds / (1 + odds) ** 2 * (1 + fall + rise) * step))
        z += step
    return out


def silent(k, a, A, H, s, beta, t_x, survives):
    """(P(nothing since t_x), P(nothing, and still there)) given k, from t_x on"""
    if H == 0:
        return mp.mpf(1), mp.mpf(1)
    B = beta + t_x
    there = survives(H) * mp.exp(-s * mp.log1p(H / B))
    scale = 1 / (k * max(a, 1) / A + (1 + s) / B)
    # Steps follow the width of the gap's distribution in ln h.
    step = 0.5 * min(mp.mpf(1) / 2, mp.sqrt(1 / k + 1 / a))
    died = mp.mpf(0)
    for h, w in nodes(H, scale, step):
        leaves = s / B * mp.exp(-(s + 1) * mp.log1p(h / B)) * w
        died += leaves * (survives(h) if leaves > mp.mpf(10) ** -40 else 0)
    return there + died, there


def case(point, latent=False):
    t, gamma, r, alpha, s, beta, x, t_x, T, logs = map(mp.mpf, point)
    n = float(x)

    def rough(u):
        k = math.exp(u)
        a, A = float(r) + k * n, float(alpha) + k * float(t_x)
        return (
            float(t) * u - float(gamma) * k + k * n * u + (k - 1) * float(logs) - n * math.lgamma(k)
            + math.lgamma(a) - a * math.log(A) + min(u, 0.0)
        )  # fmt: skip

    need = min(0.3, 0.85 / math.sqrt(float(t) + n))
    coarse = [-45 + need * i for i in range(int(65 / need))]
    height = [rough(u) for u in coarse]
    top = max(height)
    kept = [u for u, each in zip(coarse, height, strict=True) if each > top - (26 if latent else 60)]
    step = mp.mpf(need) / 3 * 2
    total, still = mp.mpf(0), mp.mpf(0)
    u = mp.mpf(kept[0])
    while u < kept[-1] + need:
        k = mp.exp(u)
        a, A = r + k * x, alpha + k * t_x

        def survives(h, k=k, a=a, A=A):
            if latent:
                inner = mp.mpf(0)
                for i in range(-16, 20):
                    y = mp.mpf(i) / 4
                    z = mp.exp(y - mp.exp(-y))
                    inner += mp.exp(a * mp.log(z) - z - mp.loggamma(a)) * (1 + mp.exp(-y)) / 4 * mp.gammainc(
                        k, k * z / A * h, mp.inf, regularized=True)  # fmt: skip
                return inner
            z = A / (A + k * h)
            if z > mp.mpf(1) / 2:
                return 1 - mp.betainc(k, a, 0, k * h / (A + k * h), regularized=True)
            return mp.betainc(a, k, 0, z, regularized=True)

        both, there = silent(k, a, A, T - t_x, s, beta, t_x, survives)
        weight = mp.exp(
            t * u - gamma * k + k * x * u + (k - 1) * logs - x * mp.loggamma(k) + mp.loggamma(a) - a * mp.log(A) - top
        )
        total += weight * both
        still += weight * there
        u += step
    front = t * mp.log(gamma) - mp.loggamma(t) - mp.loggamma(r) + r * mp.log(alpha) - s * mp.log1p(t_x / beta)
    alive = still / total
    found = {
        "log_likelihood": front + mp.log(total * step) + top,
        "p_alive": alive,
        "survival": alive * mp.exp(-s * mp.log1p(AHEAD / (beta + T))),
    }
    return {"point": [float(each) for each in point], **{name: mp.nstr(value, 16) for name, value in found.items()}}


SETS = [
    (1.665, 0.367, 0.944, 5.218, 0.424, 4.336),
    (4.0, 4.0, 0.55, 10.6, 0.6, 11.7),
    (0.6, 0.3, 2.0, 1.0, 1.0, 30.0),
    (20.0, 2.0, 3.0, 6.0, 3.0, 5.0),
]
# The logs say how even the gaps were: near x ln(t_x / x) is clockwork, far below it bursts.
HISTORIES = [
    (0, 0.0, 0.0, 0.0), (0, 0.0, 39.0, 0.0), (1, 1.7, 38.9, math.log(1.7)), (2, 30.4, 38.9, 5.2),
    (6, 12.0, 52.0, 6 * math.log(2) - 0.05), (6, 50.0, 52.0, 6.5), (40, 50.0, 50.0, 40 * math.log(1.25) - 9.0),
]  # fmt: skip


def main():
    rng = random.Random(20160635)
    hard = [(*p, *h) for p in SETS for h in HISTORIES]
    extreme = []
    while len(extreme) < 60:
        p = [10 ** rng.uniform(-2, 2) for _ in range(6)]
        T = 10 ** rng.uniform(-1, 4)
        x = rng.choice([0, 0, 1, 2, 5, 30])
        t_x = 0.0 if x == 0 else rng.choice([T, T * (1 - 1e-6), T * rng.random(), T * 1e-3])
        logs = x * math.log(t_x / x) - x * 10 ** rng.uniform(-2, 0.5) if x > 1 else math.log(t_x) if x else 0.0
        extreme.append((*p, x, t_x, T, logs))
    out = {"ahead": AHEAD}
    with Pool() as pool:
        for name, points in (("hard", hard), ("extreme", extreme)):
            out[name] = pool.map(case, points, 1)
    out["latent"] = [case((*SETS[0], *HISTORIES[2]), latent=True)]
    Path(__file__).with_suffix(".json").write_text(json.dumps(out, separators=(",", ":")).replace("},", "},\n"))


if __name__ == "__main__":
    main()
