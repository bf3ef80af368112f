"""Truth for the BG/BB kernel to 60 digits: sums over when she may have left, term by term.

Run alone (some ten minutes); writes bgbb.json and bgbb_slopes.json beside it. First a few cases are integrated over p
and theta directly.
"""

import random
import sys
from itertools import product
from pathlib import Path

import mpmath as mp
from _tools import Jet, log_beta, parameters, run, slopes, write

mp.mp.dps = 60

HORIZON, RATE, FAR_RATE = 10, 0.1, 0.002
QUANTITIES = [
    "log_likelihood", "p_alive", "survival", "log_rate", "discounted", "squares", "pairs", "any", "mean", "endless",
    "endless_slow", "endless_pairs", "pmf_0", "pmf_1", "pmf_3", "pmf_10", "ever",
]  # fmt: skip
SLOPES = [*(f"gradient_{i}" for i in range(4)), *(f"hessian_{i}{j}" for i in range(4) for j in range(i, 4))]


def chances(a, b, c, g, count):
    """(b)_i/(a+b)_i (c)_i/(c+g)_i for i = 0 .. count - 1: passed i times, stayed i times."""
    value = mp.mpf(1)
    for i in range(count):
        yield value
        value *= (b + i) / (a + b + i) * (c + i) / (c + g + i)


def log_beta_ratio(a, b, x, m):
    return mp.log(mp.beta(a + x, b + m)) - mp.log(mp.beta(a, b)) if x + m < 200 else (
        mp.loggamma(a + x) + mp.loggamma(b + m) - mp.loggamma(a + b + x + m)
        - mp.loggamma(a) - mp.loggamma(b) + mp.loggamma(a + b)
    )  # fmt: skip


def ever(a, b, g, c):
    """P(any further purchase, ever) of one who is there: a 3F2 at 1 as the integral of a 2F1 over who stays."""

    def plain(t):
        return t**c * (1 - t) ** (g - 1) * mp.hyp2f1(1, b, a + b + 1, t)

    def bent(u):
        v = u ** (1 / g)  # 1 - t: takes the pole of (1 - t)^(g - 1) away
        if v > 1e-6:
            return (1 - v) ** c * mp.hyp2f1(1, b, a + b + 1, 1 - v) / g
        far = v**a * mp.gamma(a + b + 1) * mp.gamma(-a) / mp.gamma(b) * mp.hyp2f1(a + b, a + 1, a + 1, v)
        return mp.exp(c * mp.log1p(-v)) * ((a + b) / a * mp.hyp2f1(1, b, 1 - a, v) + far) / g

    with mp.workdps(25):
        middle = g / (c + g + 1)
        cuts = [
            1 - min(middle * k, mp.mpf(1))
            for k in (mp.inf, 30, 12, 6, 4, 3, 2.4, 2, 1.7, 1.4, 1.2, 1, 0.8, 0.6, 0.4, 0.2, 0)
        ]
        whole = mp.quad(bent, [0, 0.2, 0.5, 0.7, 0.85, 1]) if g < 1 else mp.quad(plain, sorted(set(cuts)))
        return a / (a + b) * c / (c + g) * whole / mp.beta(c + 1, g)


def case(params, x, t_x, n, for_ever):
    alpha, beta, gamma, delta = (mp.mpf(p) for p in params)
    # the history
    shared = log_beta_ratio(alpha, beta, x, t_x - x) + log_beta_ratio(delta, gamma, t_x, 0)
    a, b, g, c, m = alpha + x, beta + t_x - x, gamma, delta + t_x, n - t_x
    there = mp.exp(log_beta_ratio(b, a, m, 0) + log_beta_ratio(c, g, m, 0))
    left, log_p = mp.mpf(0), mp.mpf(0)
    psi_a, psi_ab = mp.psi(0, a), mp.psi(0, a + b)
    for i, term in enumerate(chances(a, b, c, g + 1, m)):
        left += term
        log_p += term * (psi_a - psi_ab)
        psi_ab += 1 / (a + b + i)
    left, log_p = left * g / (g + c), log_p * g / (g + c) + there * (psi_a - psi_ab)
    either = there + left
    alive = there / either
    # the future
    a, b, c = alpha + x, beta + n - x, delta + n
    ep, epp = a / (a + b), a * (a + 1) / (a + b) / (a + b + 1)

    def finite(rate, horizon):
        d, stay = mp.exp(-mp.mpf(rate)), mp.mpf(1)
        once = twice = pairs = sofar = mp.mpf(0)
        for k in range(1, horizon + 1):
            stay *= (c + k - 1) / (c + g + k - 1)
            once += d**k * stay
            twice += d ** (2 * k) * stay
            pairs += 2 * d**k * stay * sofar
            sofar += d**k
        return once, twice, pairs

    def forever(rate):
        d = mp.exp(-mp.mpf(rate))
        return d * c / (c + g) * mp.hyp2f1(1, c + 1, c + g + 1, d)

    once, twice, pairs = finite(RATE, HORIZON)
    near, far, doubled = forever(RATE), forever(FAR_RATE), forever(2 * FAR_RATE)
    d = mp.exp(-mp.mpf(FAR_RATE))
    counts = []
    for k in (1, 3, 10):
        total = mp.mpf(0)
        for i in range(k, HORIZON + 1):
            buys = mp.binomial(i, k) * mp.exp(log_beta_ratio(a, b, k, i - k))
            stays = mp.exp(log_beta_ratio(c, g, i, 0)) * (1 if i == HORIZON else g / (g + c + i))
            total += buys * stays
        counts.append(alive * total)
    first = ep * c / (c + g) * mp.fsum(chances(a + 1, b, c + 1, g, HORIZON))
    out = {
        "log_likelihood": shared + mp.log(either),
        "p_alive": alive,
        "survival": alive * mp.exp(log_beta_ratio(c, g, 5, 0)),
        "log_rate": log_p / either,
        "discounted": alive * ep * once,
        "squares": alive * ep * twice,
        "pairs": alive * epp * pairs,
        "any": alive * first,
        "mean": alive * ep * finite(0, HORIZON)[0],
        "endless": alive * ep * near,
        "endless_slow": alive * ep * far,
        "endless_pairs": 2 * alive * epp * (far - doubled / d) / (1 / d - 1),
        "pmf_0": 1 - alive * first,
        "pmf_1": counts[0],
        "pmf_3": counts[1],
        "pmf_10": counts[2],
    }
    if for_ever:
        out["ever"] = alive * ever(a, b, g, c)
    return out


def steepness(params, x, t_x, n):
    """Derivatives of the log-likelihood by the log-parameters: running sums of those of each term's logarithm."""
    theta = [mp.mpf(p) for p in params]
    alpha, beta, gamma, delta = theta
    a, b, g, c, m = alpha + x, beta + t_x - x, gamma, delta + t_x, n - t_x
    pairs = [(i, j) for i in range(4) for j in range(i, 4)]
    mass, first, second = mp.mpf(0), [mp.mpf(0)] * 4, [mp.mpf(0)] * 10

    def add(weight, slope, bend):
        nonlocal mass
        mass += weight
        for i in range(4):
            first[i] += weight * slope[i]
        for k, (i, j) in enumerate(pairs):
            second[k] += weight * (slope[i] * slope[j] + bend.get((i, j), 0))

    one_ab = one_b = one_cg = one_c = two_ab = two_b = two_cg = two_c = mp.mpf(0)
    out, out2 = 1 / (g + c), 1 / (g + c) ** 2
    term = g / (g + c)
    for i in range(m):
        add(
            term,
            (-one_ab, one_b - one_ab, 1 / g - out - one_cg, one_c - out - one_cg),
            {
                (0, 0): two_ab, (0, 1): two_ab, (1, 1): two_ab - two_b, (2, 2): out2 + two_cg - 1 / g**2,
                (2, 3): out2 + two_cg, (3, 3): out2 + two_cg - two_c,
            },
        )  # fmt: skip
        ab, bb, cg, cc = 1 / (a + b + i), 1 / (b + i), 1 / (c + g + 1 + i), 1 / (c + i)
        term *= (b + i) * ab * (c + i) * cg
        one_ab, one_b, one_cg, one_c = one_ab + ab, one_b + bb, one_cg + cg, one_c + cc
        two_ab, two_b, two_cg, two_c = two_ab + ab * ab, two_b + bb * bb, two_cg + cg * cg, two_c + cc * cc
    if m:  # of who is there, one factor less: c + g + i from i = 0 to m - 1
        one_cg, two_cg = one_cg + out - 1 / (c + g + m), two_cg + out2 - 1 / (c + g + m) ** 2
    there = mp.exp(log_beta_ratio(b, a, m, 0) + log_beta_ratio(c, g, m, 0))
    add(
        there,
        (-one_ab, one_b - one_ab, -one_cg, one_c - one_cg),
        {
            (0, 0): two_ab, (0, 1): two_ab, (1, 1): two_ab - two_b, (2, 2): two_cg, (2, 3): two_cg,
            (3, 3): two_cg - two_c,
        },
    )  # fmt: skip
    jets = parameters(*params)
    A, B, G, D = jets
    known = log_beta(A + x, B + (t_x - x)) - log_beta(A, B) + log_beta(D + t_x, G) - log_beta(D, G)
    first = [f / mass for f in first]
    gradient = [t * f for t, f in zip(theta, first, strict=True)]
    hessian = [
        theta[i] * theta[j] * (second[k] / mass - first[i] * first[j]) + (gradient[i] if i == j else 0)
        for k, (i, j) in enumerate(pairs)
    ]
    return known + Jet(mp.log(mass), gradient, hessian)


def by_integration(params, x, t_x, n):
    """Likelihood, P(alive) and undiscounted forecast as integrals of the individual model over p and theta."""
    alpha, beta, gamma, delta = params

    def density(p, q):
        return p ** (alpha - 1) * (1 - p) ** (beta - 1) * q ** (gamma - 1) * (1 - q) ** (delta - 1)

    def seen(p, q):
        return p**x * (1 - p) ** (n - x) * (1 - q) ** n

    def gone(p, q):
        return sum(p**x * (1 - p) ** (t - x) * q * (1 - q) ** t for t in range(t_x, n))

    def ahead(p, q):
        return seen(p, q) * sum(p * (1 - q) ** k for k in range(1, HORIZON + 1))

    def quad(f):
        return mp.quad(lambda p: mp.quad(lambda q: density(p, q) * f(p, q), [0, 1]), [0, 1])

    with mp.workdps(25):
        mass, there, all_, more = (quad(f) for f in (
            lambda p, q: 1, seen, lambda p, q: seen(p, q) + gone(p, q), ahead))  # fmt: skip
        return {"log_likelihood": mp.log(all_ / mass), "p_alive": there / all_, "mean": more / all_}


def answers(point):
    params, x, t_x, n, for_ever = point
    out, jet = case(params, x, t_x, n, for_ever), steepness(params, x, t_x, n)
    assert abs(jet.v - out["log_likelihood"]) < mp.mpf(10) ** -35 * (1 + abs(jet.v)), point
    return (*params, x, t_x, n), out | slopes(jet)


def main():
    rng = random.Random(7)
    sets = [(1.204, 0.75, 0.657, 2.783), (0.5, 2.0, 0.3, 9.0), (3.0, 1.0, 1.0, 1.0), (1.0, 1.0, 1.0, 1.0),
            (20.0, 60.0, 2.0, 40.0), (0.1, 0.1, 0.05, 0.4), (5.0, 5.0, 30.0, 600.0)]  # fmt: skip
    histories = [(0, 0, 0), (0, 0, 6), (1, 1, 6), (6, 6, 6), (4, 5, 6), (1, 6, 52), (30, 40, 52), (0, 0, 104),
                 (12, 13, 365), (90, 300, 365)]  # fmt: skip
    hard = [(p, *h, True) for p, h in product(sets, histories)]
    extreme = []
    while len(extreme) < 400:
        params = tuple(float(f"{10 ** rng.uniform(-4, 4):.6g}") for _ in range(4))
        if rng.random() < 0.2:
            params = tuple(rng.choice([1e-4, 1.0, 1e4]) for _ in range(4))
        n = rng.choice([0, 1, 6, 52, 70, 200, 1000, 10_000])
        t_x = rng.choice([0, n, rng.randint(0, n), max(n - 1, 0), min(n, 3)])
        x = 0 if t_x == 0 else rng.choice([1, t_x, rng.randint(1, t_x)])
        extreme.append((params, x, t_x, n, False))
    for params, history in (((1.5, 2.5, 1.25, 3.5), (2, 3, 6)), ((2.0, 1.0, 3.0, 2.0), (0, 0, 4))):
        ours, theirs = case(params, *history, False), by_integration(params, *history)
        for name, value in theirs.items():
            assert abs(ours[name] / value - 1) < 1e-15, (name, params)
    points = hard + extreme
    found = run(answers, points, int(sys.argv[1]) if len(sys.argv) > 1 else 2)
    grids = {"hard": found[: len(hard)], "extreme": found[len(hard) :]}
    path = Path(__file__)
    write(path.with_suffix(".json"), QUANTITIES, grids)
    write(path.with_name("bgbb_slopes.json"), SLOPES, grids)


if __name__ == "__main__":
    main()
