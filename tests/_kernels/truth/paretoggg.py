"""Fifty-digit truth for the Pareto/GGG: `python paretoggg.py` writes paretoggg.json beside it; with names of its parts
(`python paretoggg.py forecasts endless`) only those are made anew.

Given k the definition is integrated over the moment she leaves, h after her last purchase, with P(gap > h) as an
incomplete beta function (the kernel integrates the density of the gap against survival instead); over k by the
trapezoidal rule in ln k with two thirds of the kernel's spacing. On the "latent" point her rate is integrated
numerically too, with P(gap > h) as an incomplete gamma function. Derivatives are central differences at fifty digits.
Forecasts are integrals over her next purchase and over the time from there to any later one, or to the n-th, whose
density (the sum over how many there were between) is a power series; the kernel tabulates its integral instead. Without
a horizon they are integrals over her rate and the rate of her drop-out, given which all sums over purchases are
geometric series of Laplace transforms.
"""

import json
import math
import random
import signal
import sys
from multiprocessing import Pool
from pathlib import Path

import mpmath as mp

mp.mp.dps = 50
AHEAD = 52.0
PATIENCE = 5  # seconds of computing; extreme points that take longer go without truth
FORECASTS = [(12, 13.0, 0.0), (12, 52.0, 0.003), (24, 26.0, 0.01), (26, 13.0, 0.0), (26, 52.0, 0.003)]
ENDLESS = [(3, 0.01), (4, 0.003), (6, 0.02), (9, 0.003), (12, 0.01), (18, 0.03), (27, 0.01)]
MOST = 3


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
    """Expected purchases in a horizon, discounted, and the probabilities of at least 1 .. MOST"""
    point, end, delta = job
    heavy, s, later, H = still_there(point)
    end = mp.mpf(end)
    mean, least = mp.mpf(0), [mp.mpf(0)] * MOST
    for weight, k, a, A in heavy:
        b = a + k
        front = mp.log(k / A) - mp.log(mp.beta(k, a)) - mp.log(longer(H, k, a, A) if H > 0 else mp.mpf(1))
        step = min(mp.mpf(1) / 3, mp.mpf("0.6") * mp.sqrt(1 / k + 1 / b))
        reach = max(60, 34 / k)
        coefficients = []  # of q^n, q = (y / (1 + y))^k, in y times the density of any later purchase at y

        def later_ones(y, k=k, b=b, coefficients=coefficients):
            """Densities at y of any later purchase, of the first one, the second .."""
            q, power, out, n, single = mp.exp(-k * mp.log1p(1 / y)), mp.mpf(1), mp.mpf(0), 0, []
            scale = 1 / (y * (1 + y) ** b)
            while True:
                n += 1
                if n > len(coefficients):
                    coefficients.append(mp.exp(mp.loggamma(n * k + b) - mp.loggamma(n * k) - mp.loggamma(b)))
                power *= q
                out += coefficients[n - 1] * power
                if n < MOST:
                    single.append(coefficients[n - 1] * power * scale)
                # The terms fall geometrically once n k is well above b y.
                elif n * k > b * y and coefficients[n - 1] * power * n < mp.mpf(10) ** -13 * out * min(1, k):
                    return out * scale, single

        value, found = mp.mpf(0), [mp.mpf(0)] * MOST
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
            inner, some = there * mp.exp(-delta * g), [mp.mpf(0)] * (MOST - 1)
            room = end - g
            if room > mp.mpf(10) ** -16 * end:
                for v, w2 in nodes(room, 1 / (max(b, 1) * k / B + (1 + s) / (later + g) + delta), step, reach):
                    keep = w2 * mp.exp(-s * mp.log1p((g + v) / later)) * k / B
                    if keep > mp.mpf(10) ** -60:
                        every, single = later_ones(k * v / B)
                        inner += keep * mp.exp(-delta * (g + v)) * every
                        some = [one + keep * two for one, two in zip(some, single, strict=True)]
            value += density * inner
            found[1:] = [one + density * two for one, two in zip(found[1:], some, strict=True)]
        mean += weight * value
        least = [one + weight * two for one, two in zip(least, found, strict=True)]
    return {
        "point": list(point), "horizon": float(end), "delta": delta,
        "mean": mp.nstr(mean, 14), "least": [mp.nstr(each, 14) for each in least],
    }  # fmt: skip


def gamma_rule(shape):
    """(z, weight) for averages over gamma(shape, 1)"""
    step = min(mp.mpf(1) / 5, mp.mpf("0.4") / mp.sqrt(shape))
    y, out = -mp.log(40 / shape + 8), []
    while y < mp.log(shape + 50 + 12 * mp.sqrt(shape)):
        z = mp.exp(y - mp.exp(-y))
        weight = mp.exp(shape * mp.log(z) - z - mp.loggamma(shape)) * (1 + mp.exp(-y)) * step
        if weight > mp.mpf(10) ** -16:
            out.append((z, weight))
        y += step
    return out


def endless(job):
    """All purchases to come, discounted: E[sum d_i], E[sum d_i^2], E[sum over i != j of d_i d_j], P(any)"""
    point, delta = job
    heavy, s, later, H = still_there(point)
    leaving = [(z / later, w) for z, w in gamma_rule(s)]
    answer = [mp.mpf(0)] * 4
    for weight, k, a, A in heavy:
        sums, norm = [mp.mpf(0)] * 4, mp.mpf(0)
        for z, w in gamma_rule(a):
            b = k * z / A

            def first(theta, b=b, k=k):
                """E[e^(-theta wait); gap > H]"""
                tail = mp.gammainc(k, (b + theta) * H, mp.inf, regularized=True) if H > 0 else 1
                return mp.exp(theta * H + k * mp.log(b / (b + theta))) * tail

            norm += w * first(mp.mpf(0))
            for mu, share in leaving:
                ones, twos = mu + delta, mu + 2 * delta
                gap = -k * mp.log1p(ones / b)
                again = 1 / -mp.expm1(gap)
                start = first(twos)
                squares = start / -mp.expm1(-k * mp.log1p(twos / b))
                found = first(ones) * again, squares, 2 * squares * mp.exp(gap) * again, first(mu)
                sums = [each + w * share * more for each, more in zip(sums, found, strict=True)]
        answer = [each + weight * more / norm for each, more in zip(answer, sums, strict=True)]
    names = ("mean", "squares", "pairs", "any")
    return {
        "point": list(point), "delta": delta,
        **{name: mp.nstr(each, 14) for name, each in zip(names, answer, strict=True)},
    }  # fmt: skip


def patient(point):
    def stop(*_):
        raise TimeoutError

    signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, PATIENCE)
    try:
        return case(point)
    except (TimeoutError, OverflowError, mp.libmp.NoConvergence, ValueError):
        return {"point": [float(each) for each in point]}
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


def extreme(pool):
    points = extremes(420)
    truths = dict(zip(points[::3], pool.map(patient, points[::3], 1), strict=True))
    return [truths.get(point, {"point": list(point)}) for point in points]


def main():
    path = Path(__file__).with_suffix(".json")
    hard = [(*p, *h) for p in SETS for h in HISTORIES]
    parts = {
        "hard": lambda pool: pool.map(case, hard, 1),
        "derivatives": lambda pool: pool.map(slopes, [hard[i] for i in (1, 4, 5, 9, 12, 16, 24, 26)], 1),
        "forecasts": lambda pool: pool.map(ahead, [(hard[i], h, delta) for i, h, delta in FORECASTS], 1),
        "endless": lambda pool: pool.map(endless, [(hard[i], delta) for i, delta in ENDLESS], 1),
        "extreme": extreme,
        "latent": lambda _: [case((*SETS[0], *HISTORIES[2]), latent=True)],
    }
    out = {"ahead": AHEAD} if len(sys.argv) < 2 else json.loads(path.read_text())
    with Pool() as pool:
        for part in sys.argv[1:] or parts:
            out[part] = parts[part](pool)
    path.write_text(json.dumps(out, separators=(",", ":")).replace("},", "},\n"))


if __name__ == "__main__":
    main()
