"""Truth with thirty and more digits for the BG/NBD and MBG/NBD kernels: `python tests/_kernels/truth/bgnbd.py`, 20 min.

Everything is integrated from the definitions over her drop-out probability p, with the gamma rate integrated by hand
(a Poisson process with rate gamma(k, A) seen for a time h has bought nothing with probability (A / (A + h))^k); nothing
here shares a formula with the kernel beyond that.
"""

import itertools
import json
from multiprocessing import Pool
from pathlib import Path

import mpmath as mp

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
HORIZON, DELTA = 52.0, 0.0018328

EDGES = [1e-4, 1e-2, 1.0, 1e2, 1e4]
EDGE_ROWS = [
    (0, 0.0, 10.0),
    (1, 1e-3, 10_000.0),
    (3, 20.0, 20.0),
    (100, 90.0, 100.0),
    (3_000, 3_000.0, 3_000.0),
    (10_000, 100.0, 10_000.0),
    (10_000, 9_990.0, 10_000.0),
]


def over_p(f, a, b):
    """E f(p) for p ~ beta(a, b), by the double-exponential rule in the logit of p, where all tails are alike."""
    width = min(mp.mpf(1), mp.sqrt(1 / a + 1 / b))
    middle = mp.log(a / b)
    digits = mp.mp.dps * mp.log(10)
    left, right = (mp.asinh(max(digits / side, 20 * width) / width) for side in (a, b))
    norm = mp.log(mp.beta(a, b))

    def integrand(s):
        w = middle + width * mp.sinh(s)
        log_p, log_q = -mp.log1p(mp.exp(-w)), -mp.log1p(mp.exp(w))
        return mp.exp(a * log_p + b * log_q - norm) * f(mp.exp(log_p), mp.exp(log_q)) * width * mp.cosh(s)

    return trapezoid(integrand, -left, right)


def trapezoid(f, low, high):
    """The trapezoidal rule, halved until nothing moves: exponentially exact for what decays at both ends."""
    n, before = 200, None
    while True:
        h = (high - low) / n
        value = h * mp.fsum(f(low + i * h) for i in range(n + 1))
        if before is not None and abs(value - before) <= mp.mpf(10) ** -22 * abs(value):
            return value
        before, n = value, 2 * n
        if n > 60_000:
            raise ArithmeticError("no convergence")


def likelihood_parts(params, row, m):
    """log of the terms 'still there' and 'gone after the last purchase', and which there are."""
    r, alpha, a, b = params
    x, t_x, T = row
    front = mp.loggamma(r + x) - mp.loggamma(r) + r * mp.log(alpha) - mp.log(mp.beta(a, b))
    alive = front + mp.log(mp.beta(a, b + x + m)) - (r + x) * mp.log(alpha + T)
    gone = None
    if x > 0 or m:
        gone = front + mp.log(mp.beta(a + 1, b + x + m - 1)) - (r + x) * mp.log(alpha + t_x)
    return alive, gone


def history(params, row, m):
    alive, gone = likelihood_parts(params, row, m)
    if gone is None:
        return alive, mp.mpf(1)
    top = max(alive, gone)
    return top + mp.log(mp.exp(alive - top) + mp.exp(gone - top)), 1 / (1 + mp.exp(gone - alive))


def time_integral(f, pieces):
    return mp.quad(f, pieces)


def hard(task):
    model, params = task
    mp.mp.dps = 30
    m = int(model == "mbg")
    theta = [mp.mpf(v) for v in params]
    r, alpha, a, b = theta
    h, delta = mp.mpf(HORIZON), mp.mpf(DELTA)
    out = {
        "model": model, "params": params, "rows": ROWS, "horizon": HORIZON, "delta": DELTA,
        **{name: [] for name in ("log_likelihoods", "p_alive", "survival", "mean", "any", "dert", "discounted",
                                 "squares", "pairs", "pmf")},
    }  # fmt: skip
    for x, t_x, T in ROWS:
        log_l, alive = history(theta, (x, mp.mpf(t_x), mp.mpf(T)), m)
        k, A, left = r + x, alpha + T, b + x + m
        c = h / A

        def mean_to(p, k=k, c=c):  # expected purchases to the horizon given p, undiscounted
            return -mp.expm1(-k * mp.log1p(p * c)) / p

        def laplace(p, power, rate, end, k=k, A=A):
            """Gamma(power) terms: E[rate^j ...]: the integral over time of (1 + p t / A)^-(k+power) e^{-rate t}."""
            scale = A / (p * (k + power))
            stops = [scale * s for s in (1, 5, 20, 100, 1000)] + [s / rate for s in (1, 5, 20, 80)]
            cuts = sorted({mp.mpf(0), *(min(end, stop) for stop in stops)})
            return mp.quad(lambda t: (1 + p * t / A) ** (-(k + power)) * mp.exp(-rate * t), cuts)

        far = 75 / delta
        rule = beta_nodes(a, left)
        e = lambda f: mp.fsum(w * f(p, q) for p, q, w in rule)
        out["log_likelihoods"].append(log_l)
        out["p_alive"].append(alive)
        out["survival"].append(alive * over_p(lambda p, q: (1 + p * c) ** -k, a, left))
        out["mean"].append(alive * over_p(lambda p, q: mean_to(p), a, left))
        out["any"].append(alive * (1 - (A / (A + h)) ** k))
        out["discounted"].append(alive * e(lambda p, q: k / A * laplace(p, 1, delta, h)))
        out["squares"].append(alive * e(lambda p, q: k / A * laplace(p, 1, 2 * delta, h)))
        out["dert"].append(alive * e(lambda p, q: k / A * laplace(p, 1, delta, far)))
        # pairs t' < t: lambda^2 (1 - p) e^{-lambda p t} e^{-delta (t + t')}, both orders
        out["pairs"].append(
            alive
            * 2
            * k
            * (k + 1)
            / A**2
            / delta
            * e(lambda p, q: q * (laplace(p, 2, delta, h) - laplace(p, 2, 2 * delta, h)))
        )
        row = []
        for n in range(4):
            count = lambda i: mp.gamma(k + i) / mp.gamma(k) / mp.factorial(i) * (A / (A + h)) ** k * (h / (A + h)) ** i
            tail = 1 - mp.fsum(count(i) for i in range(n))
            value = count(n) * mp.beta(a, left + n) / mp.beta(a, left)
            if n:
                value += tail * mp.beta(a + 1, left + n - 1) / mp.beta(a, left)
            row.append(float(alive * value + (1 - alive if n == 0 else 0)))
        out["pmf"].append(row)
    return {name: [float(v) if isinstance(v, mp.mpf) else v for v in values] if isinstance(values, list) else values
            for name, values in out.items()}  # fmt: skip


def beta_nodes(a, b, n=260):
    """A fixed rule for E over beta(a, b) of functions that cost a time integral each."""
    width = min(mp.mpf(1), mp.sqrt(1 / a + 1 / b))
    middle = mp.log(a / b)
    left, right = (mp.asinh(max(40 / side, 9 * width) / width) for side in (a, b))
    rule = []
    for i in range(n + 1):
        s = -left + (left + right) * i / n
        w = middle + width * mp.sinh(s)
        log_p, log_q = -mp.log1p(mp.exp(-w)), -mp.log1p(mp.exp(w))
        rule.append((mp.exp(log_p), mp.exp(log_q), mp.exp(a * log_p + b * log_q) * mp.cosh(s)))
    total = mp.fsum(w for _, _, w in rule)
    return [(p, q, w / total) for p, q, w in rule]


def extreme(task):
    model, params = task
    mp.mp.dps = 40
    m = int(model == "mbg")
    theta = [mp.mpf(v) for v in params]
    _, alpha, a, b = theta
    r = theta[0]
    out = {"model": model, "params": params, "rows": EDGE_ROWS, "horizon": 520.0,
           "log_likelihoods": [], "p_alive": [], "mean": []}  # fmt: skip
    for x, t_x, T in EDGE_ROWS:
        log_l, alive = history(theta, (x, mp.mpf(t_x), mp.mpf(T)), m)
        k, c = r + x, mp.mpf(520) / (alpha + T)
        mean = over_p(lambda p, q, k=k, c=c: -mp.expm1(-k * mp.log1p(p * c)) / p, a, b + x + m)
        out["log_likelihoods"].append(float(log_l))
        out["p_alive"].append(float(alive))
        out["mean"].append(float(alive * mean))
    return out


def main():
    tasks = list(itertools.product(("bg", "mbg"), HARD))
    corners = [p for i, p in enumerate(itertools.product(EDGES, repeat=4)) if i % 13 == 0]
    edges = list(itertools.product(("bg", "mbg"), corners))
    with Pool(2) as pool:
        truth = {"hard": pool.map(hard, tasks, chunksize=1), "extreme": pool.map(extreme, edges, chunksize=1)}
    path = Path(__file__).with_suffix(".json")
    path.write_text(json.dumps(truth, separators=(",", ":")))
    print(len(truth["hard"]), len(truth["extreme"]), path.stat().st_size)


if __name__ == "__main__":
    main()
