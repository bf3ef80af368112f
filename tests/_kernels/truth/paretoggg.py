"""Truth for the Pareto/GGG: `python paretoggg.py` writes paretoggg.json beside it, in one process; with names of its
parts (`python paretoggg.py forecasts endless`) only those are made anew.

In fifty digits: given k the definition is integrated over the moment she leaves, h after her last purchase, with
P(gap > h) as an incomplete beta function (the kernel integrates the density of the gap against survival instead); over
k by the trapezoidal rule in ln k with two thirds of the kernel's spacing. On the "latent" point her rate is integrated
numerically too, with P(gap > h) as an incomplete gamma function. Derivatives are central differences. Forecasts are
integrals over her next purchase and over the time from there to any later one, or to the n-th, whose density (the sum
over how many there were between) is a power series; the kernel tabulates its integral instead.

In doubles, for twelve digits: without a horizon they are integrals over her rate and the rate of her drop-out as well,
given which all sums over purchases are geometric series of Laplace transforms. ``edge`` is the same at extreme points;
``finite`` are extreme points with a horizon that begins with a purchase: the sums are of incomplete gamma functions.
What is averaged is positive throughout; logarithms of means over those who are still customers are written.
"""

import json
import math
import random
import signal
import sys
import time
from pathlib import Path

import mpmath as mp
import numpy as np
from scipy.special import gammainc, gammaincc, gammaln

mp.mp.dps = 50
AHEAD = 52.0
PATIENCE = 2.0  # seconds of computing; extreme points that take longer go without truth
EDGE = 40.0
FORECASTS = [(12, 13.0, 0.0), (12, 52.0, 0.003), (24, 26.0, 0.01), (26, 52.0, 0.003)]
# Silent newcomers first: what is expected of them hangs on bursts, k near 0.
ENDLESS = [
    (1, 0.01),
    (3, 0.01),
    (4, 0.003),
    (6, 0.02),
    (9, 0.003),
    (12, 0.01),
    (18, 0.03),
    (20, 0.3),
    (22, 0.002),
    (27, 0.01),
]
MOST = 3
DEEP = 40.0  # e^-40 of the top is left out


def nodes(end, scale, step=0.2, reach=60):
    """(h, weight) on [0, end], double-exponential at both ends and even in ln h between them."""
    scale = min(scale, end / 4)
    span = mp.log(end / scale)
    z, out = -mp.log(mp.mpf(reach)), []
    while z < span + mp.log(mp.mpf(60)):
        fall, rise = mp.exp(-z), mp.exp(z - span)
        odds = mp.exp(z - span - fall + rise)
        out.append((end * odds / (1 + odds), end * odds / (1 + odds) ** 2 * (1 + fall + rise) * step))
        z += step
    return out


def longer(h, k, a, A):
    """P(gap > h)"""
    z = A / (A + k * h)
    if z > mp.mpf(1) / 2:
        return 1 - mp.betainc(k, a, 0, k * h / (A + k * h), regularized=True)
    return mp.betainc(a, k, 0, z, regularized=True)


def latent_longer(h, k, a, A):
    inner = mp.mpf(0)
    for i in range(-16, 20):
        y = mp.mpf(i) / 4
        z = mp.exp(y - mp.exp(-y))
        inner += mp.exp(a * mp.log(z) - z - mp.loggamma(a)) * (1 + mp.exp(-y)) / 4 * mp.gammainc(
            k, k * z / A * h, mp.inf, regularized=True)  # fmt: skip
    return inner


def leaving(k, a, A, H, B, s):
    """Nodes for the moment she leaves"""
    if H == 0:
        return []
    scale = 1 / (k * max(a, 1) / A + (1 + s) / B)
    return nodes(H, scale, 0.5 * min(mp.mpf(1) / 2, mp.sqrt(1 / k + 1 / a)))


def regularities(point, depth=60, low=-45.0):
    """(u, k, h nodes) over which the definition is summed"""
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
    coarse = [low + need * i for i in range(int((20 - low) / need))]
    height = [rough(u) for u in coarse]
    top = max(height)
    kept = [u for u, each in zip(coarse, height, strict=True) if each > top - depth]
    step = mp.mpf(need) / 3 * 2
    out, u = [], mp.mpf(kept[0])
    while u < kept[-1] + need:
        k = mp.exp(u)
        out.append((u, k, leaving(k, r + k * x, alpha + k * t_x, T - t_x, beta + t_x, s)))
        u += step
    return step, top, out


def weighed(point, grid, known):
    """(each k's weight, ditto with her still there, the front); P(gap > h) is remembered by (k, h, r, alpha)"""
    t, gamma, r, alpha, s, beta, x, t_x, T, logs = point
    _, top, ks = grid
    B, H = beta + t_x, T - t_x
    both, still = [], []
    for i, (u, k, hs) in enumerate(ks):
        a, A = r + k * x, alpha + k * t_x
        key = (i, r, alpha)
        if key not in known:
            survives = known.get("rule", longer)
            known[key] = [survives(h, k, a, A) for h, _ in hs] + [survives(H, k, a, A) if H > 0 else mp.mpf(1)]
        table = known[key]
        there = table[-1] * mp.exp(-s * mp.log1p(H / B))
        died = sum(
            (s / B * mp.exp(-(s + 1) * mp.log1p(h / B)) * w * p for (h, w), p in zip(hs, table, strict=False)),
            mp.mpf(0),
        )
        weight = mp.exp(
            t * u - gamma * k + k * x * u + (k - 1) * logs - x * mp.loggamma(k) + mp.loggamma(a) - a * mp.log(A) - top
        )
        both.append(weight * (there + died))
        still.append(weight * there)
    front = t * mp.log(gamma) - mp.loggamma(t) - mp.loggamma(r) + r * mp.log(alpha) - s * mp.log1p(t_x / beta)
    return both, still, front


def case(point, latent=False):
    exact = [mp.mpf(each) for each in point]
    grid = regularities(point, 26 if latent else 60)
    both, still, front = weighed(exact, grid, {"rule": latent_longer} if latent else {})
    total = sum(both)
    alive = sum(still) / total
    found = {
        "log_likelihood": front + mp.log(total * grid[0]) + grid[1],
        "p_alive": alive,
        "survival": alive * mp.exp(-exact[4] * mp.log1p(AHEAD / (exact[5] + exact[8]))),
    }
    return {"point": [float(each) for each in point], **{name: mp.nstr(value, 16) for name, value in found.items()}}


def slopes(point):
    """Gradient and Hessian of the log-likelihood by log-parameters"""
    exact, grid, known, e = [mp.mpf(each) for each in point], regularities(point), {}, mp.mpf(10) ** -9
    up, down = mp.exp(e), mp.exp(-e)

    def value(*moves):
        there = list(exact)
        for i, factor in moves:
            there[i] *= factor
        both, _, front = weighed(there, grid, known)
        return front + mp.log(sum(both))

    middle = value()
    one = [(value((i, up)), value((i, down))) for i in range(6)]
    bend = {}
    for i in range(6):
        bend[i, i] = (one[i][0] - 2 * middle + one[i][1]) / e**2
        for j in range(i):
            bend[i, j] = (
                value((i, up), (j, up)) - value((i, up), (j, down)) - value((i, down), (j, up))
                + value((i, down), (j, down))
            ) / (4 * e**2)  # fmt: skip
    return {
        "point": [float(each) for each in point],
        "gradient": [mp.nstr((a - b) / (2 * e), 14) for a, b in one],
        "hessian": [[mp.nstr(bend[i, j], 14) for j in range(i + 1)] for i in range(6)],
    }


def still_there(point):
    """(weights of k over their sum, k, a, A), the heavy ones; what is known of her as numbers"""
    exact = [mp.mpf(each) for each in point]
    _, _, r, alpha, s, beta, x, t_x, T, _ = exact
    grid = regularities(point, 40)
    both, still, _ = weighed(exact, grid, {})
    total, most = sum(both), max(still)
    heavy = [
        (weight / total, k, r + k * x, alpha + k * t_x)
        for (_, k, _), weight in zip(grid[2], still, strict=True)
        if weight > most * mp.mpf(10) ** -11
    ]
    return heavy, s, beta + T, T - t_x


def ahead(job):
    """Expected purchases and pairs of them in a horizon, discounted, and the probabilities of at least 1 .. MOST"""
    point, end, delta = job
    heavy, s, later, H = still_there(point)
    end = mp.mpf(end)
    mean, pairs, least = mp.mpf(0), mp.mpf(0), [mp.mpf(0)] * MOST
    terms = 1
    while delta and (delta * end) ** terms / mp.factorial(terms) > mp.mpf(10) ** -13:
        terms += 1
    for weight, k, a, A in heavy:
        b = a + k
        front = mp.log(k / A) - mp.log(mp.beta(k, a)) - mp.log(longer(H, k, a, A) if H > 0 else mp.mpf(1))
        step = min(mp.mpf(1) / 3, mp.mpf("0.6") * mp.sqrt(1 / k + 1 / b))
        reach = max(60, 34 / k)
        coefficients = []  # of q^n, q = (y / (1 + y))^k, in y times the density of any later purchase at y

        before = []  # E of the sum over i < n of B^m, B ~ beta(i k, (n - i) k): the i-th's share of the n-th's time

        def later_ones(y, v, k=k, b=b, coefficients=coefficients, before=before):
            """Densities at y: any later purchase, also times the discounts before it, the first one, the second .."""
            q, power, out, n, single = mp.exp(-k * mp.log1p(1 / y)), mp.mpf(1), mp.mpf(0), 0, []
            scale, sums = 1 / (y * (1 + y) ** b), [mp.mpf(0)] * terms
            while True:
                n += 1
                if n > len(coefficients):
                    coefficients.append(mp.exp(mp.loggamma(n * k + b) - mp.loggamma(n * k) - mp.loggamma(b)))
                    shares = [mp.mpf(1)] * n
                    before.append([mp.mpf(n)])
                    for m in range(terms - 1):
                        shares = [share * (i * k + m) / (n * k + m) for i, share in enumerate(shares)]
                        before[-1].append(sum(shares))
                power *= q
                out += coefficients[n - 1] * power
                sums = [one + coefficients[n - 1] * power * two for one, two in zip(sums, before[n - 1], strict=True)]
                if n < MOST:
                    single.append(coefficients[n - 1] * power * scale)
                # The terms fall geometrically once n k is well above b y.
                elif n * k > b * y and coefficients[n - 1] * power * n < mp.mpf(10) ** -13 * out * min(1, k):
                    faded = sum(each * (-delta * v) ** m / mp.factorial(m) for m, each in enumerate(sums))
                    return out * scale, faded * scale, single

        value, twice, found = mp.mpf(0), mp.mpf(0), [mp.mpf(0)] * MOST
        for g, w in nodes(end, 1 / (k * max(a, 1) / (A + k * H) + (1 + s) / later + delta), step, reach):
            y = k * (H + g) / A
            if y <= 0:
                continue
            density = w * mp.exp(front + (k - 1) * mp.log(y) - (k + a) * mp.log1p(y))
            there = mp.exp(-s * mp.log1p(g / later))
            found[0] += density * there
            if density < mp.mpf(10) ** -16:
                continue
            B = A + k * (H + g)
            inner, two, some = there * mp.exp(-delta * g), mp.mpf(0), [mp.mpf(0)] * (MOST - 1)
            room = end - g
            if room > mp.mpf(10) ** -16 * end:
                for v, w2 in nodes(room, 1 / (max(b, 1) * k / B + (1 + s) / (later + g) + delta), step, reach):
                    keep = w2 * mp.exp(-s * mp.log1p((g + v) / later)) * k / B
                    if keep > mp.mpf(10) ** -60:
                        every, faded, single = later_ones(k * v / B, v)
                        inner += keep * mp.exp(-delta * (g + v)) * every
                        two += 2 * keep * mp.exp(-delta * (2 * g + v)) * faded
                        some = [one + keep * more for one, more in zip(some, single, strict=True)]
            value += density * inner
            twice += density * two
            found[1:] = [one + density * more for one, more in zip(found[1:], some, strict=True)]
        mean, pairs = mean + weight * value, pairs + weight * twice
        least = [one + weight * more for one, more in zip(least, found, strict=True)]
    return {
        "point": list(point), "horizon": float(end), "delta": delta,
        "mean": mp.nstr(mean, 14), "pairs": mp.nstr(pairs, 14), "least": [mp.nstr(each, 14) for each in least],
    }  # fmt: skip


def log_q(k, x):
    """ln of the integral of (1 + u)^(k - 1) e^(-x u) over u > 0, which is e^x x^-k gamma(k, x)."""
    k, x = np.broadcast_arrays(np.asarray(k, float), np.asarray(x, float))
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        out = np.log(gammaincc(k, x)) + x - k * np.log(x) + gammaln(k)
    far = x > k + 12 * np.sqrt(k) + 60
    if np.any(far):
        kk, xx = k[far], x[far]
        # Lentz's continued fraction, by ever longer ones
        tiny = 1e-300
        b = xx + 1 - kk
        c, d = np.full_like(b, 1 / tiny), 1 / b
        h = d.copy()
        for i in range(1, 400):
            an = -i * (i - kk)
            b = b + 2
            d = an * d + b
            d = np.where(np.abs(d) < tiny, tiny, d)
            c = b + an / c
            c = np.where(np.abs(c) < tiny, tiny, c)
            d = 1 / d
            h = h * d * c
            if np.all(np.abs(d * c - 1) < 1e-16):
                break
        out[far] = np.log(h)
    return out


def box(f, low, high, n):
    """The box around where f (of grids of two numbers) is within DEEP of its top"""
    low, high = np.array(low, float), np.array(high, float)
    for _ in range(30):
        axes = [np.linspace(a, b, n) for a, b in zip(low, high, strict=True)]
        F = f(*axes)
        F = np.where(np.isfinite(F), F, -np.inf)
        keep = F.max(initial=-1e290) - DEEP <= F
        if not keep.any():
            return None
        new_low, new_high = low.copy(), high.copy()
        for d in range(F.ndim):
            hit = np.flatnonzero(keep.any(axis=tuple(i for i in range(F.ndim) if i != d)))
            new_low[d], new_high[d] = axes[d][max(hit[0] - 1, 0)], axes[d][min(hit[-1] + 1, n - 1)]
        if np.all(new_high - new_low > 0.9 * (high - low)):
            return new_low, new_high
        low, high = new_low, new_high
    return low, high


def axis(low, high, least, step, left):
    """(values, ln weights) of a trapezoidal rule, its steps longer and longer left of ``left``"""
    n = max(least, int((high - low) / step) + 1)
    z = np.linspace(low, high, n)
    return stretched(z, left), np.log1p(np.exp(left - z)) + math.log(z[1] - z[0])


def stretched(z, left):
    return z - np.exp(np.minimum(left - z, 300.0))


def log_sum(logs):
    logs = np.where(np.isnan(logs), -np.inf, logs)  # of no weight, and their numbers beyond floats
    top = logs.max(initial=-1e290)
    return top + math.log(np.exp(logs - top).sum())


def averaged(point, sums, left, step, least):
    """Logarithms of means over those still there of what ``sums`` tells given ln k and ln rate, as grids with the log
    of the rate of drop-out: logarithms with the weight of the two in them, of all rows and, ``roughly``, bounds."""
    t, gamma, r, alpha, s, beta, x, t_x, T, logs = point
    H = T - t_x
    left_u, left_y, left_m = left

    def weight(u, y):
        k, lam = np.exp(u), np.exp(y)
        out = t * u - gamma * k + x * (k * (u + y) - gammaln(k)) + (k - 1) * logs - k * lam * t_x + r * y - alpha * lam
        if H > 0:
            z = k * lam * H
            out = out + log_q(k, z) - z + k * (u + y + math.log(H)) - gammaln(k)
        return out

    def both(u, y, m):
        return weight(u, y)[:, None] + s * m - np.exp(m) * (beta + T)

    def total(z, step, least, roughly=False):
        """ln of the integrals over y and m at this u"""
        u, out = stretched(z, left_u), []
        low_y = left_y(u)
        with np.errstate(all="ignore"):

            def F(y, m):
                y, m = stretched(y, low_y), stretched(m, left_m)
                return np.maximum.reduce(sums(u, y, m, both(u, y, m), True))

            found = box(F, (low_y - 14, left_m - 14), (60, 60), 40)
            if found is None:
                return np.array([-np.inf])
            low, high = found
            (ys, wy), (ms, wm) = (axis(low[i], high[i], least, step, (low_y, left_m)[i]) for i in range(2))
            parts = sums(u, ys, ms, both(u, ys, ms), roughly)
            out = [log_sum(part + wy[:, None] + wm) for part in parts]
            low, high = box(lambda y: weight(u, stretched(y, low_y)), (low_y - 14,), (60,), 200)
            ys, wy = axis(low[0], high[0], 10 * least, step / 10, low_y)
            out.append(log_sum(weight(u, ys) + wy) + math.lgamma(s) - s * math.log(beta + T))
        return np.array(out)

    def totals(us, *how):
        found = [total(u, *how) for u in us]
        size = max(len(each) for each in found)
        return np.array([each if len(each) == size else np.full(size, -np.inf) for each in found])

    low, high = left_u - 14, 25.0
    for _ in range(12):
        us = np.linspace(low, high, 16)
        vals = totals(us, 1.0, 20, True)
        vals = np.where(np.isfinite(vals), vals, -np.inf)
        keep = np.flatnonzero((vals > vals.max(axis=0) - DEEP + 6).any(axis=1))
        new = us[max(keep[0] - 1, 0)], us[min(keep[-1] + 1, 15)]
        done = new[1] - new[0] > 0.8 * (high - low)
        low, high = new
        if done:
            break
    n = max(least, int((high - low) / step * 1.3))
    us = np.linspace(low, high, n)
    vals = totals(us, step, least) + np.log1p(np.exp(left_u - us))[:, None]
    lw = np.array([log_sum(v) for v in vals.T])
    return lw[:-1] - lw[-1]


def conditional(point, delta, step=0.33, least=56):
    """ln E[..| still there] of mean, squares, pairs without a horizon"""
    _, _, _, alpha, s, beta, _, t_x, T, _ = point
    H = T - t_x

    def sums(u, y, m, weight, _):
        k, lam, mu = np.exp(u), np.exp(y)[:, None], np.exp(m)
        b, one, two = k * lam, mu + delta, mu + 2 * delta
        phi1, phi2 = -k * np.log1p(one / b), -k * np.log1p(two / b)
        f1, f2 = phi1, phi2
        if H > 0:
            base = log_q(k, b * H)
            f1, f2 = log_q(k, (b + one) * H) - base, log_q(k, (b + two) * H) - base
        R1, R2 = -np.log(-np.expm1(phi1)), -np.log(-np.expm1(phi2))
        return weight + f1 + R1, weight + f2 + R2, weight + math.log(2) + f2 + R2 + phi1 + R1

    def left_y(u):
        return min(math.log(delta) - max(u, 0), -math.log(T + alpha + t_x)) - 6

    return averaged(point, sums, (-8.0, left_y, min(math.log(delta), math.log(s / (beta + T))) - 3), step, least)


def renewals(log_phi, k, z, width=0.25):
    """The sums over n >= 1 of phi^n P(nk, z), P the incomplete gamma function, and of n - 1 times that: one by one as
    long as terms differ, then as an integral over n with the differences of Euler and Maclaurin."""

    def term(n, some):
        return np.exp(n * log_phi[some]) * gammainc(n * k, z[some])

    one, two, active = np.zeros(len(z)), np.zeros(len(z)), np.flatnonzero(z > 0)
    few = max(24, int(20 * k))
    if few > 4000:
        raise ValueError("too regular")
    for n in range(1, few + 1):
        each = term(n, active)
        one[active] += each
        two[active] += (n - 1) * each
        active = active[(n * each > 1e-14 * one[active]) & ((n < 3) | (n * n * each > 1e-14 * two[active]))]
        if not len(active):
            return one, two
    around = few + 0.5 + np.arange(-2.5, 3)
    values = np.stack([term(n, active) for n in around])
    for out, g in ((one, values), (two, (around - 1)[:, None] * values)):
        first, third, fifth = (np.diff(g[i : 6 - i], 5 - 2 * i, axis=0)[0] for i in (2, 1, 0))
        out[active] += first / 24 - 17 / 5760 * third + 367 / 967680 * fifth
    x, w = np.polynomial.legendre.leggauss(12)
    low = math.log(few + 0.5)
    for _ in range(4000):
        wide = min(width, 3 / math.sqrt(math.exp(min(low, 600)) * k))
        more = np.zeros((2, len(active)))
        for node, share in zip(x, w, strict=True):
            n = math.exp(low + wide / 2 * (node + 1))
            each = term(n, active) * n * wide / 2 * share
            more += each, (n - 1) * each
        one[active] += more[0]
        two[active] += more[1]
        active = active[(more[0] > 1e-15 * one[active]) | (more[1] > 1e-15 * two[active])]
        low += wide
        if not len(active):
            return one, two
    raise ValueError("too many purchases")


def within(point, horizon, delta, step=0.33, least=56):
    """ln E[..| still there] of the mean (discounted), of any purchase, of two at least and, without a discount, of
    pairs in a horizon that begins with a purchase: given both her rates, sums of incomplete gamma functions."""
    _, _, _, alpha, s, beta, _, t_x, T, _ = point
    assert t_x == T

    def sums(u, y, m, weight, roughly):
        k = math.exp(u)
        lam, mu = np.broadcast_arrays(np.exp(y)[:, None], np.exp(m))
        b, one = k * lam, mu + delta
        soon = -k * np.log1p(one / b) + np.log(gammainc(k, (b + one) * horizon))
        bound = weight + soon + np.log1p((b + one) * horizon / max(k, 1e-12))
        if roughly:
            return weight + soon, bound
        top = np.nanmax(np.where(np.isfinite(bound), bound, -np.inf), initial=-1e290)
        use = np.isfinite(bound) & (bound > top - DEEP)
        out = np.full((3 if delta else 4, *bound.shape), -np.inf)
        b, mu, one, w = (np.broadcast_to(each, bound.shape)[use] for each in (b, mu, one, weight))
        mean, pairs = renewals(-k * np.log1p(one / b), k, (b + one) * horizon)
        stay = -k * np.log1p(mu / b)
        found = [mean, *(np.exp(n * stay) * gammainc(n * k, (b + mu) * horizon) for n in (1, 2)), 2 * pairs]
        out[:, use] = w + np.log(found[: len(out)])
        return out

    def left_y(u):
        return min(-math.log(horizon) - max(u, 0), -math.log(T + alpha + t_x)) - 6

    left_m = min(math.log(delta) if delta else 0.0, math.log(s / (beta + T)), -math.log(horizon)) - 3
    return averaged(point, sums, (-8.0, left_y, left_m), step, least)


def answer(job, found):
    names = ("mean", "squares", "pairs")
    return {"point": list(job[0]), "delta": job[1], **dict(zip(names, found.tolist(), strict=True))}


def endless(job):
    with np.errstate(all="ignore"):
        return answer(job, conditional(*job))


def twice(job):
    """The same, if longer steps tell the same to a ten-millionth"""
    with np.errstate(all="ignore"):
        found, rough = (conditional(*job, step, least) for step, least in ((0.33, 56), (0.45, 40)))
    return answer(job, found) if np.all(np.abs(found - rough) < 1e-7) else None


def patient(task, job, seconds):
    """The answer, or None if it takes too long"""

    def stop(*_):
        raise TimeoutError

    signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        return task(job)
    except (TimeoutError, OverflowError, mp.libmp.NoConvergence, ValueError):
        return None
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)


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


def extremes(count):
    rng = random.Random(20160635)
    out = []
    for i in range(count):
        reach = 2 if i % 2 else 4
        p = [10 ** rng.uniform(-reach, reach) for _ in range(6)]
        if i % 7 == 0:
            p[4] = 1.0
        if i % 11 == 0:
            p[5] = p[3]
        if i % 13 == 0:
            p[rng.randrange(6)] = rng.choice([1e-4, 1e4])
        T = rng.choice([10 ** rng.uniform(-1, 4), 1e4])
        x = rng.choice([0, 0, 1, 2, 5, 30, 300, 3000, 10_000])
        t_x = 0.0 if x == 0 else rng.choice([T, T * (1 - 1e-6), T * rng.random(), T * 1e-3])
        logs = x * math.log(t_x / x) - x * 10 ** rng.uniform(-2, 0.5) if x > 1 else math.log(t_x) if x else 0.0
        out.append((*p, float(x), t_x, T, logs))
    return out


def extreme():
    return [
        (patient(case, point, PATIENCE) if i % 3 == 0 else None) or {"point": list(point)}
        for i, point in enumerate(extremes(420))
    ]


def edge():
    """Every thirtieth extreme point, at some discount; not where the model expects infinitely many pairs."""
    rng, out = random.Random(7), []
    for point in extremes(420)[3::30]:
        t, x, t_x, T = (point[i] for i in (0, 6, 7, 8))
        delta = 10 ** rng.uniform(-4, -1)
        if t + x + (t_x < T) > 2 and (found := patient(twice, (point, delta), EDGE)):
            out.append(found)
    return out


def horizons():
    """(point, horizon, discount): all extreme points of up to 300 purchases, the last of them now."""
    rng = random.Random(13)
    for point in extremes(420):
        horizon, delta = 10 ** rng.uniform(-1, 4), rng.choice([0.0, 10 ** rng.uniform(-5, -1)])
        if 0 < point[6] <= 300 and point[7] == point[8]:
            yield point, horizon, delta


def agreed(job):
    """What is ahead within a horizon, as far as longer steps tell the same to a ten-millionth and the model's own mean,
    or mean of pairs, is finite and not made by values of k below all floats."""
    point, _, delta = job
    with np.errstate(all="ignore"):
        rough = within(*job, 0.45, 40)
        found = within(*job)
    same = np.abs(found - rough) < 1e-7
    same[0] &= point[0] + point[6] > 1.2
    same[3:] &= point[0] + point[6] > 2.2
    told = [float(f"{value:.13g}") if true else None for value, true in zip(found, same, strict=True)]
    return {"point": list(point), "horizon": job[1], "delta": delta,
            **dict(zip(("mean", "any", "two", "pairs"), told, strict=False))}  # fmt: skip


def finite():
    found = (patient(agreed, job, EDGE) for job in horizons())
    return [each for each in found if each and any(each.get(name) is not None for name in ("mean", "any", "two"))]


def main():
    path = Path(__file__).with_suffix(".json")
    hard = [(*p, *h) for p in SETS for h in HISTORIES]
    parts = {
        "hard": lambda: [case(point) for point in hard],
        "derivatives": lambda: [slopes(hard[i]) for i in (1, 4, 5, 9, 12, 16, 24, 26)],
        "forecasts": lambda: [ahead((hard[i], h, delta)) for i, h, delta in FORECASTS],
        "endless": lambda: [endless((hard[i], delta)) for i, delta in ENDLESS],
        "edge": edge,
        "finite": finite,
        "extreme": extreme,
        "latent": lambda: [case((*SETS[0], *HISTORIES[2]), latent=True)],
    }
    out = json.loads(path.read_text(encoding="utf-8")) if sys.argv[1:] else {"ahead": AHEAD}
    for part in sys.argv[1:] or parts:
        begun = time.process_time()
        out[part] = parts[part]()
        print(part, len(out[part]), f"{time.process_time() - begun:.0f} s", flush=True)
    path.write_text(json.dumps(out, separators=(",", ":")).replace("},", "},\n"), encoding="utf-8")


if __name__ == "__main__":
    main()
