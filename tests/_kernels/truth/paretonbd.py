"""Pareto/NBD in fifty-digit arithmetic, from its definition; run alone, writes paretonbd.json and
paretonbd_slopes.json beside itself.

She may have left at any moment tau in (t_x, T) or be there at T; the gamma priors of her rate and of her hazard are
integrated out by hand, tau by Gauss-Legendre panels that double. Checked here: the textbook formula with 2F1 at every
point where mpmath can evaluate it, and integration over rate and hazard themselves at some.
"""

import pathlib
import random
import sys

import mpmath as mp
from _tools import log, log_sum, loggamma, nodes, parameters, run, write
from _tools import slopes as slopes_of

mp.mp.dps = 50
COUNTS = (0, 1, 3, 10)
NAMES = (
    "log_likelihood", "p_alive", "survival", "log_rate", "mean", "discounted", "squares", "pairs", "any", "endless",
    *(f"pmf_{n}" for n in COUNTS), "endless_pairs",
)  # fmt: skip
SLOPES = (*(f"gradient_{i}" for i in range(4)), *(f"hessian_{i}{j}" for i in range(4) for j in range(i, 4)))


def area(f, scale, end):
    """Integral of f >= 0 from 0 to ``end``, by panels that double from ``scale`` on."""
    return mp.fsum(w for _, w in nodes(f, scale, end)) if end else mp.mpf(0)


def answers(point):
    """All quantities at (r, alpha, s, beta, x, t_x, T, horizon, delta)."""
    r, alpha, s, beta, x, t_x, T, h, delta = map(mp.mpf, point)
    p = r + x
    a, b, A, B = alpha + t_x, beta + t_x, alpha + T, beta + T
    here, span = min(a / (p + 1), b / (s + 1)) / 10, T - t_x

    def left(v):  # density of leaving at t_x + v, without a purchase since t_x
        return s / b * mp.exp(-p * mp.log1p(v / a) - (s + 1) * mp.log1p(v / b))

    stays = mp.exp(-p * mp.log1p(span / a) - s * mp.log1p(span / b))
    gone = area(left, here, span)
    known = mp.loggamma(p) - mp.loggamma(r) + r * mp.log(alpha) + s * mp.log(beta) - p * mp.log(a) - s * mp.log(b)
    alive = stays / (gone + stays)
    late = area(lambda v: left(v) * mp.log1p(v / a), here, span)
    out = {
        "log_likelihood": known + mp.log(gone + stays),
        "p_alive": alive,
        "survival": alive * (B / (B + h)) ** s,
        "log_rate": mp.digamma(p) - mp.log(a) - (late + stays * mp.log1p(span / a)) / (gone + stays),
    }

    def there(v):
        return mp.exp(-s * mp.log1p(v / B))

    soon = min(B / (s + 1), A / (p + 1), 1 / delta) / 10
    rate = alive * p / A
    out["mean"] = rate * area(there, soon, h)
    out["discounted"] = rate * area(lambda v: there(v) * mp.exp(-delta * v), soon, h)
    out["squares"] = rate * area(lambda v: there(v) * mp.exp(-2 * delta * v), soon, h)
    pairs = area(lambda v: there(v) * mp.exp(-delta * v) * -mp.expm1(-delta * v) / delta, soon, h)
    out["pairs"] = rate * (p + 1) / A * 2 * pairs
    out["endless"] = rate * area(lambda v: there(v) * mp.exp(-delta * v), soon, 300 / delta)
    ever = area(lambda v: there(v) * mp.exp(-delta * v) * -mp.expm1(-delta * v) / delta, soon, 300 / delta)
    out["endless_pairs"] = rate * (p + 1) / A * 2 * ever
    out["any"] = alive * p * area(lambda v: there(v) * mp.exp(-p * mp.log1p(v / A)) / (A + v), soon, h)
    for n in COUNTS:

        def rise(v, n=n):
            ways = mp.exp(mp.loggamma(p + n) - mp.loggamma(p) - mp.loggamma(n + 1))
            return ways * mp.exp(-p * mp.log1p(v / A)) * (v / (A + v)) ** n

        chance = rise(h) * there(h) + area(lambda v, rise=rise: rise(v) * s / (B + v) * there(v), soon, h)
        out[f"pmf_{n}"] = alive * chance + (1 - alive if n == 0 else 0)
    return out


def textbook(point):
    """(log-likelihood, P(alive)) by Fader and Hardie's formula with two 2F1."""
    r, alpha, s, beta, x, t_x, T, _, _ = map(mp.mpf, point)
    big, second = max(alpha, beta), s + 1 if alpha >= beta else r + x
    n = r + s + x

    def part(t):
        z = abs(alpha - beta) / (big + t)
        # Euler's transformation: 1 + n - n - second = 1 - second
        return mp.hyp2f1(n, second, n + 1, z, maxterms=10**5) / (big + t) ** n

    alive = (alpha + T) ** -(r + x) * (beta + T) ** -s
    whole = alive + s / n * (part(t_x) - part(T))
    known = mp.loggamma(r + x) - mp.loggamma(r) + r * mp.log(alpha) + s * mp.log(beta)
    return known + mp.log(whole), alive / whole


def slopes(job):
    """Gradient and upper half of the Hessian of the log-likelihood by the log-parameters, from the textbook formula."""
    theta, row = job
    at = [mp.log(value) for value in theta]

    def by(*which):
        orders = tuple(which.count(i) for i in range(4))
        return mp.diff(lambda *u: textbook((*(mp.exp(v) for v in u), *row, 1, 1))[0], at, orders)

    pairs = [(i, j) for i in range(4) for j in range(i, 4)]
    return {f"gradient_{i}": by(i) for i in range(4)} | {f"hessian_{i}{j}": by(i, j) for i, j in pairs}


def steepness(point):
    """The same for any point: the definition's integral over the moment she leaves differentiates itself."""
    r, alpha, s, beta = parameters(*map(mp.mpf, point[:4]))
    x, t_x, T = point[4], mp.mpf(point[5]), mp.mpf(point[6])
    p, a, b = r.v + x, alpha.v + t_x, beta.v + t_x

    def density(v):
        return mp.exp(-p * mp.log1p(v / a) - (s.v + 1) * mp.log1p(v / b))

    def leaves(v):
        return log(s) - (r + x) * log(alpha + (t_x + v)) - (s + 1) * log(beta + (t_x + v))

    terms = []
    for v, w in nodes(density, min(a / (p + 1), b / (s.v + 1)) / 10, T - t_x):
        u = leaves(v)
        terms.append((w / density(v), u))
    terms.append((mp.mpf(1), -(r + x) * log(alpha + T) - s * log(beta + T)))
    known = loggamma(r + x) - loggamma(r) + r * log(alpha) + s * log(beta)
    return known + log_sum(terms)


def latent(point):
    """The likelihood, integrated over rate and hazard themselves (to about fifteen digits)."""
    r, alpha, s, beta, x, t_x, T, _, _ = map(mp.mpf, point)
    with mp.workdps(20):
        ends = [0, 1, 10, 100]

        def inner(lam):
            def over(m):  # m = beta mu, and mu^(s-1) d mu needs s >= 1 to be smooth at 0
                mu = m / beta
                both = lam + mu
                seen = lam**x / both * (mu * mp.exp(-both * t_x) + lam * mp.exp(-both * T))
                return m ** (s - 1) * mp.exp(-m) * seen

            return mp.quad(over, ends) / mp.gamma(s)

        def outer(g):
            return g ** (r - 1) * mp.exp(-g) * inner(g / alpha)

        return mp.log(mp.quad(outer, ends) / mp.gamma(r))


YEARLY = float(mp.log(1.1) / 52)  # 10 % a year, in weeks
HARD_PARAMS = (
    (0.5532784, 10.5776962, 0.6062394, 11.6686813), (0.78644, 5.67898, 0.38622, 5.71712), (0.55, 10.6, 1.0, 11.7),
    (0.55, 10.6, 1.0000001, 10.6), (0.55, 10.6, 0.6, 10.6000001), (3.0, 100.0, 5.0, 2.0), (0.5, 0.01, 0.8, 30.0),
    (0.05, 0.5, 0.1, 0.5), (0.01, 0.001, 0.01, 1000.0), (10.0, 1.0, 20.0, 400.0), (0.5, 400.0, 0.6, 0.05),
    (2.0, 7.0, 64.0, 7700.0),
)  # fmt: skip
HARD_ROWS = (
    (0, 0.0, 0.0), (0, 0.0, 0.14285714285714285), (0, 0.0, 38.86), (1, 12.0, 52.0), (2, 30.43, 38.86),
    (2, 38.86, 38.86), (26, 30.857, 31.0), (20, 5.0, 104.0), (200, 519.999999, 520.0), (200, 400.0, 520.0),
)  # fmt: skip


def points():
    """The hard grid, then 400 extreme points."""
    hard = [(*theta, *row, 52.0, YEARLY) for theta in HARD_PARAMS for row in HARD_ROWS]
    rng = random.Random(20240611)
    extreme = []
    for i in range(400):
        r, alpha, s, beta = (float(f"{10 ** rng.uniform(-4, 4):.6g}") for _ in range(4))
        s = 1.0 if i % 7 == 0 else s
        beta = alpha if i % 11 == 0 else beta
        r = 1.0 if i % 13 == 0 else r
        r, alpha, s, beta = (
            rng.choice([1e-4, 1e4]) if i % 10 == 9 and rng.random() < 0.5 else v for v in (r, alpha, s, beta)
        )
        x = 0 if i % 6 == 0 else int(10 ** rng.uniform(0, 4)) if i % 17 else 10_000
        T = float(f"{10 ** rng.uniform(-1, 4):.6g}")
        share = rng.choice([1.0, 1 - 1e-9, rng.random(), rng.random(), 10 ** rng.uniform(-6, 0)])
        t_x = T * share if x else 0.0
        h, delta = (float(f"{10 ** rng.uniform(low, high):.6g}") for low, high in ((-2, 4), (-5, 0)))
        extreme.append((r, alpha, s, beta, x, t_x, T, h, delta))
    return hard, extreme


def checked(job):
    """The answers at a point, and whether the textbook formula could be evaluated and agreed."""
    k, point = job
    out = answers(point)
    agreed = None
    if k % 3 == 0 and point[4] <= 100:
        try:
            ll, alive = textbook(point)
            agreed = bool(
                abs(ll - out["log_likelihood"]) < 1e-15 * (1 + abs(ll)) and abs(alive / out["p_alive"] - 1) < 1e-15
            )
        except (mp.NoConvergence, ValueError, ZeroDivisionError):
            agreed = None
    jet = steepness(point)
    assert abs(jet.v - out["log_likelihood"]) < 1e-20 * (1 + abs(jet.v)), point
    out |= slopes_of(jet)
    if point[6] == 0:
        out["log_likelihood"] = mp.mpf(0)  # but for rounding: nothing has been watched
    return point, out, agreed


def main():
    """Write the file."""
    hard, extreme = points()
    workers = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    made = run(checked, list(enumerate(hard + extreme)), workers)
    agreed = [each for *_, each in made]
    print(
        "textbook formula agrees",
        agreed.count(True),
        "differs",
        agreed.count(False),
        "not evaluated",
        agreed.count(None),
    )
    assert False not in agreed, made[agreed.index(False)][0]
    for (point, out, _), theirs in zip(made[2:30:9], run(slopes, [(p[:4], p[4:7]) for p in hard[2:30:9]]), strict=True):
        for name, value in theirs.items():
            assert abs(out[name] - value) < 1e-12 * (1 + abs(value)), (name, point)
    for point in ((1.5, 10.0, 2.0, 12.0, 2, 30.0, 40.0, 1, 1), (3.0, 100.0, 5.0, 2.0, 1, 12.0, 52.0, 1, 1)):
        print("over rate and hazard", mp.nstr(latent(point) - answers(point)["log_likelihood"], 5))
    found = [(point, out) for point, out, _ in made]
    grids = {"hard": found[: len(hard)], "extreme": found[len(hard) :]}
    path = pathlib.Path(__file__)
    write(path.with_suffix(".json"), NAMES, grids)
    write(path.with_name("paretonbd_slopes.json"), SLOPES, grids)


if __name__ == "__main__":
    main()
