"""BG/NBD and MBG/NBD in forty digits and more, from the definition: writes bgnbd.json and mbgnbd.json beside itself.

A customer's rate and drop-out probability are both latent: given the two, everything ahead of her is elementary, and
here it is averaged over both by the trapezoidal rule in ln(rate) and logit(probability), which every second node
checks: in eighteen digits, as all terms are positive, and at every 60th point in forty. The likelihood is the sum of
its two terms, and differentiates itself.

    python tests/_kernels/truth/bgnbd.py [processes]
"""

import random
import sys
from pathlib import Path

import mpmath as mp
import numpy as np
from _tools import (
    beta_nodes,
    edge_params,
    edge_row,
    gamma_nodes,
    log,
    log_beta,
    log_sum,
    loggamma,
    long,
    parameters,
    run,
    slopes,
    write,
)

HARD = [
    (0.243, 4.414, 0.793, 2.426),
    (0.243, 4.414, 1.0, 2.426),
    (0.05, 0.5, 0.1, 0.5),
    (3.0, 100.0, 5.0, 2.0),
    (0.5, 0.01, 0.8, 0.3),
    (10.0, 1.0, 20.0, 1.0),
    (2.0, 10.0, 150.0, 400.0),
]
ROWS = [(0, 0.0, 0.0), (0, 0.0, 39.0), (2, 30.4, 38.9), (2, 38.9, 38.9), (60, 50.0, 78.0), (1000, 77.0, 78.0)]
COUNTS = (0, 1, 3, 10)
AHEAD = ("discounted", "squares", "pairs", "endless", "endless_pairs")
NAMES = [
    "log_likelihood", "p_alive", "log_rate", "survival", "mean", "any", *AHEAD, *(f"pmf_{n}" for n in COUNTS),
    *(f"gradient_{i}" for i in range(4)), *(f"hessian_{i}{j}" for i in range(4) for j in range(i, 4)),
]  # fmt: skip


def likelihood(m, r, alpha, a, b, x, t_x, T):
    """ln of the terms 'still there' and 'gone after the last purchase' (if she could have), and of their sum."""
    front = loggamma(r + x) - loggamma(r) + r * log(alpha) - log_beta(a, b)
    alive = front + log_beta(a, b + (x + m)) - (r + x) * log(alpha + T)
    if x == 0 and not m:
        return alive, None, alive
    gone = front + log_beta(a + 1, b + (x + m - 1)) - (r + x) * log(alpha + t_x)
    return alive, gone, log_sum([(1, alive), (1, gone)])


def both(k, A, a, b, h, delta, halvings=0):
    """What a customer who is there will do, averaged over rate and drop-out; finite and endless horizon."""
    rates = gamma_nodes(k, A, h, halvings)
    chances = beta_nodes(a, b, max(h, 1 / delta if delta else 0) * rates[-1][0], halvings)
    lam, weight = (long(column)[:, None] for column in zip(*rates, strict=True))
    p, q, w, double = (long(column) for column in zip(*chances, strict=True))
    h, d = long([h, delta])
    s = lam * p
    if d:
        one, two = s + d, s + 2 * d
        first, second = -np.expm1(-one * h) / one, -np.expm1(-two * h) / two
        inside = (first, second, q * (first - second) / d, 1 / one, q / (one * two))
    else:
        z = s * h
        near = np.minimum(z, np.longdouble(0.5))
        ways = np.longdouble(1)
        series = np.zeros_like(z)
        for n in range(24):
            series += ways / (n + 2)
            ways = ways * -near / (n + 1)
        first = -np.expm1(-z) / s
        second = np.where(z < 0.5, series * h * h, (1 - (1 + z) * np.exp(-z)) / s**2)
        inside = (first, first, q * second)
    fine, coarse = [], []
    for power, each in zip((lam, lam, 2 * lam**2, lam, 2 * lam**2), inside, strict=False):
        whole = power * each
        fine.append(((weight * whole).sum(axis=0) * w).sum())
        coarse.append((2 * (weight * whole)[::2].sum(axis=0) * double).sum())
    if any(abs(x - y) > 1e-6 * x for x, y in zip(fine, coarse, strict=True)):  # the finer one squares the error
        assert halvings < 4, (k, A, a, b, h, delta)
        return both(k, A, a, b, mp.mpf(str(h)), mp.mpf(str(d)), halvings + 1)
    fine = [mp.mpf(str(x)) for x in fine]
    return dict(zip(AHEAD, [*fine, None, None][:5], strict=True))


def checked(k, A, a, b, h, delta):
    """Two of the same numbers in forty digits, node by node."""
    rates = gamma_nodes(k, A, h)
    chances = beta_nodes(a, b, max(h, 1 / delta) * rates[-1][0])
    mean = pairs = mp.mpf(0)
    for lam, weight in rates:
        for p, q, w, _ in chances:
            one, two = lam * p + delta, lam * p + 2 * delta
            first, second = -mp.expm1(-one * h) / one, -mp.expm1(-two * h) / two
            mean += weight * lam * w * first
            pairs += weight * 2 * lam**2 * w * q * (first - second) / delta
    return mean, pairs


def answers(job):
    m, point, check = job
    mp.mp.dps = 60
    r, alpha, a, b = map(mp.mpf, point[:4])
    x = point[4]
    t_x, T, h, delta = map(mp.mpf, point[5:])
    *_, jet = likelihood(m, *parameters(r, alpha, a, b), x, t_x, T)
    there, gone, _ = likelihood_values(m, r, alpha, a, b, x, t_x, T)
    alive = 1 / (1 + mp.exp(gone - there)) if gone is not None else mp.mpf(1)
    k, A, left = r + x, alpha + T, b + x + m
    out = {"log_likelihood": jet.v if T else mp.mpf(0), "p_alive": alive, **slopes(jet)}
    # E[rate^e] is the likelihood with r + e for r in the powers; its slope at e = 0 is E[ln rate].
    out["log_rate"] = mp.diff(lambda e: moment(m, r, alpha, a, b, x, t_x, T, e), 0)
    mp.mp.dps = 40
    c = h / A
    rule = beta_nodes(a, left, k * max(c, 1))
    for name, f in (
        ("survival", lambda p: mp.exp(-k * mp.log1p(p * c))),
        ("mean", lambda p: -mp.expm1(-k * mp.log1p(p * c)) / p),
    ):
        terms = [(w, double, f(p)) for p, _, w, double in rule]
        fine, coarse = (mp.fsum(term[n] * term[2] for term in terms) for n in (0, 1))
        assert abs(fine - coarse) < 2e-5 * fine, (name, point)
        out[name] = alive * fine
    out["any"] = alive * -mp.expm1(-k * mp.log1p(c))
    ahead = both(k, A, a, left, h, delta)
    if check and delta:
        for name, value in zip(("discounted", "pairs"), checked(k, A, a, left, h, delta), strict=True):
            assert abs(ahead[name] - value) < 1e-11 * value, (name, point)
    out |= {name: alive * value if value is not None else None for name, value in ahead.items()}
    mp.mp.dps = 150
    for n in COUNTS:
        out[f"pmf_{n}"] = alive * count(n, k, A, a, left, h) + (1 - alive if n == 0 else 0)
    return point, out


def likelihood_values(m, r, alpha, a, b, x, t_x, T):
    """The terms as plain numbers."""
    front = mp.loggamma(r + x) - mp.loggamma(r) + r * mp.log(alpha) - log_beta(a, b)
    alive = front + log_beta(a, b + x + m) - (r + x) * mp.log(alpha + T)
    gone = front + log_beta(a + 1, b + x + m - 1) - (r + x) * mp.log(alpha + t_x) if x or m else None
    return alive, gone, None


def moment(m, r, alpha, a, b, x, t_x, T, e):
    """E[rate^e | history]."""
    ways = [(log_beta(a, b + x + m), alpha + T)]
    if x or m:
        ways.append((log_beta(a + 1, b + x + m - 1), alpha + t_x))
    top = max(w - (r + x) * mp.log(age) for w, age in ways)
    whole, risen = (mp.fsum(mp.exp(w - top - (r + x + d) * mp.log(age)) for w, age in ways) for d in (0, e))
    return risen / whole * mp.exp(mp.loggamma(r + x + e) - mp.loggamma(r + x))


def count(n, k, A, a, b, h):
    """P(n purchases | there): she stayed after each of them, or left with the last."""
    none = (A / (A + h)) ** k
    chances, ways = [], none
    for i in range(n + 1):
        chances.append(ways)
        ways *= (k + i) / (i + 1) * h / (A + h)
    value = chances[n] * mp.exp(log_beta(a, b + n) - log_beta(a, b))
    if n:
        value += (1 - mp.fsum(chances[:n])) * mp.exp(log_beta(a + 1, b + n - 1) - log_beta(a, b))
    return value


def edges(count, seed):
    rng = random.Random(seed)
    return [(*edge_params(rng, i, 4, 2), *edge_row(rng, i)) for i in range(count)]


def main():
    workers = int(sys.argv[1]) if len(sys.argv) > 1 else 2
    hard = [(*p, *row, 52.0, 0.0018328) for p in HARD for row in ROWS]
    for m, name, seed in ((0, "bgnbd", 5), (1, "mbgnbd", 7)):
        found = run(answers, [(m, point, i % 60 == 1) for i, point in enumerate(hard + edges(402, seed))], workers)
        write(
            Path(__file__).with_name(f"{name}.json"), NAMES, {"hard": found[: len(hard)], "extreme": found[len(hard) :]}
        )


if __name__ == "__main__":
    main()
