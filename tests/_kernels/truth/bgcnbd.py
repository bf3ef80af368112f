"""Sixty digits and more of (M)BG/CNBD-k, by other roads than the kernel takes; writes bgcnbd.json beside itself.

The kernel sums over ticks and doubles time. Here the drop-out is integrated over numerically, the renewal density of
the purchases is a sum over the complex k-th roots of q, whose cancellation costs digits that mpmath has, and on some
points the likelihood is integrated over the latent rate and drop-out from the model's definition. Fixed rates and
chances ("chain") integrate the renewal density over time. Takes an hour or so on one core, less with more:

    python tests/_kernels/truth/bgcnbd.py [processes]
"""

import json
import random
import signal
import sys
from multiprocessing import Pool
from pathlib import Path

from mpmath import mp, mpf

mp.dps = 60


def silence(k, R, w):
    """P(j ticks since the last purchase | still there) and Q."""
    t = [mp.rf(R, j) / mp.factorial(j) * w**j for j in range(k)]
    return [each / mp.fsum(t) for each in t], mp.fsum(t)


def likelihood(k, m, r, alpha, a, b, x, t_x, T):
    """(log-likelihood without the product of the gaps, P(alive)), from the sum over ticks."""
    R, u = r + k * x, T - t_x
    _, Q = silence(k, R, u / (alpha + T))
    S = Q * ((alpha + t_x) / (alpha + T)) ** R
    odds = a / (b + x - 1 + m) if x > 0 or m else mpf(0)
    front = mp.loggamma(R) - mp.loggamma(r) + r * mp.log(alpha) - R * mp.log(alpha + t_x) - x * mp.loggamma(k)
    front += mp.log(mp.beta(a, b + x + m) / mp.beta(a, b))
    return front + mp.log(S + odds), S / (S + odds)


def likelihood_by_integration(k, m, r, alpha, a, b, x, t_x, T):
    """The same from the definition: gamma rates, beta chances, Erlang gaps; every purchase may have been the last."""
    u = T - t_x

    def rate(late):
        def inside(y):
            lam = mp.exp(y)
            waits = mp.fsum((lam * u) ** j / mp.factorial(j) for j in range(k)) * mp.exp(-lam * u) if late else 1
            return lam ** (r + k * x) * mp.exp(-lam * (alpha + t_x)) * waits

        peak = mp.log((r + k * x) / (alpha + t_x))
        return (
            mp.quad(inside, [peak - 200 / (r + k * x) - 5, peak - 3, peak, peak + 2, peak + 6]) * alpha**r / mp.gamma(r)
        )

    def chance(power_p, power_q):
        def inside(v):
            p = 1 / (1 + mp.exp(-v))
            return p ** (a + power_p) * (1 - p) ** (b + power_q)

        return mp.quad(inside, [-150 / a, -20, -5, 0, 5, 20, 150 / b]) / mp.beta(a, b)

    total = rate(True) * chance(0, x + m)
    if x > 0 or m:
        total += rate(False) * chance(1, x + m - 1)
    return mp.log(total / mp.factorial(k - 1) ** x)


def at_least(N, R, share):
    """P(N ticks or more) when ticks are negative binomial: summed from N on, or 1 less the sum to there."""
    term = mp.exp(mp.loggamma(R + N) - mp.loggamma(R) - mp.loggamma(N + 1) + N * mp.log(share) + R * mp.log1p(-share))
    total, i = mpf(0), N
    if (R + N) / (N + 1) * share < 0.7 and share < 0.7:
        while term > mpf(10) ** -mp.dps * total:
            total += term
            term *= (R + i) / (i + 1) * share
            i += 1
        return total
    while i > 0:
        term *= i / ((R + i - 1) * share)
        i -= 1
        total += term
    return 1 - total


def over_chances(a, b, answer):
    """The average of answer(q, p) over beta(a, b): a double-exponential rule in logit(p), halved until it stands."""
    middle, width = mp.log(a / b), min(mpf(1), mp.sqrt(1 / a + 1 / b))
    left, right = (mp.asinh(max(60 / side, 12 * width) / width) for side in (a, b))
    sums, norm, old, step, odd = None, mpf(0), None, mpf(1) / 8, 1
    while True:
        for i in range(int(-left / step), int(right / step) + 1):
            if i % 2 or odd == 1:
                s = i * step
                v = middle + width * mp.sinh(s)
                log_p, log_q = -mp.log1p(mp.exp(-v)), -mp.log1p(mp.exp(v))
                weight = mp.exp(a * log_p + b * log_q) * mp.cosh(s)
                norm += weight
                parts = [weight * part for part in answer(mp.exp(log_q), mp.exp(log_p))]
                sums = [x + y for x, y in zip(sums, parts, strict=True)] if sums else parts
        new = [total / norm for total in sums]
        if old and all(abs(x - y) <= mpf(10) ** -12 * abs(x) + mpf(10) ** -290 for x, y in zip(new, old, strict=True)):
            return new
        old, step, odd = new, step / 2, 2


def expected(k, ticks, R, A, a, b, h):
    """(E[purchases], E[ordered pairs], P(stays)) within h, for one who is still there."""
    c = h / A
    share = c / (1 + c)
    roots = [mp.expjpi(mpf(2 * i) / k) for i in range(k // 2 + 1)]
    tails = [[at_least(n * k - j, R + j, share) for n in range(1, 5)] for j in range(k)]

    def answer(q, p):
        mean, pairs, stays = mpf(0), mpf(0), mpf(0)
        if q < mpf(10) ** -8:  # few purchases: the sum itself
            for weight, tail in zip(ticks, tails, strict=True):
                mean += weight * mp.fsum(q**n * tail[n] for n in range(4))
                pairs += weight * mp.fsum(2 * n * q**n * tail[n] for n in range(4))
            return mean, pairs, 1 - p * mean
        size = q ** (mpf(1) / k)
        for number, w in enumerate(roots):
            twins = 1 if number in (0, mpf(k) / 2) else 2  # a root and its conjugate have conjugate terms
            rho = size * w
            lost = p / mp.fsum(rho**i for i in range(k)) if number == 0 else 1 - rho
            base = 1 + c * lost
            grow, power = base**-R, rho ** (1 - k)
            for j, weight in enumerate(ticks):
                n, e = R + j, k - j - 1
                stays += twins * weight * p * mp.re(power * grow / lost) / k  # what 1 - p mean is without its 1
                if abs(lost * c) > mpf(10) ** -20:
                    whole = (1 - grow) / lost
                    slope = (whole - n * c * grow / base) / lost
                else:
                    whole = n * c * (1 - (n + 1) * c * lost / 2)
                    slope = n * (n + 1) * c**2 * (mpf(1) / 2 - (n + 2) * c * lost / 3)
                mean += twins * weight * mp.re(power * whole) / k
                # q d/dq of it; the sum over n of 2 (n - 1) q^(n-1) P(n or more)
                pairs += twins * weight * 2 * mp.re(power * (slope * rho - e * whole)) / k**2
                grow, power = grow / base, power * rho
        return mean, pairs, stays

    return over_chances(a, b, answer)


def endless(k, ticks, R, A, a, b, delta):
    """E[discounted purchases] without end: the drop-out in closed form, the rate integrated."""

    def inside(y):
        lam = mp.exp(y)
        phi = lam / (lam + delta)
        left = mp.hyp2f1(1, b, a + b, phi**k)
        density = mp.exp(R * y - lam * A) * A**R / mp.gamma(R)
        parts = (w * (lam * A) ** j / mp.rf(R, j) * phi ** (k - j) for j, w in enumerate(ticks))
        return density * mp.fsum(parts) * left

    peak = mp.log((R + k) / A)
    low = min(peak - mpf(60) / mp.sqrt(R) - 60 / R, peak - 8) if R > 5 else min(peak, mp.log(delta)) - 90 / (R + 1)
    points = sorted({low, (low + peak) / 2, peak - 2, peak - mpf(1) / 2, peak, peak + 1, peak + 5})
    return mp.quad(inside, points)


def pmf(k, alive, ticks, R, A, a, b, h, most):
    """P(X = 0 .. most): a mixture over the ticks since the last purchase."""
    share = h / (A + h)
    out = []
    for n in range(most + 1):

        def would(n):
            return mp.fsum(
                weight * (at_least(n * k - j, R + j, share) if n * k > j else 1) for j, weight in enumerate(ticks)
            )

        exactly = would(n) - would(n + 1)
        stayed = mp.beta(a, b + n) / mp.beta(a, b)
        gone = mp.beta(a + 1, b + n - 1) / mp.beta(a, b) * would(n) if n else 0
        out.append(alive * (stayed * exactly + gone) + (0 if n else 1 - alive))
    return out


def chain(k, lam, q, h, delta):
    """Of each state: discounted purchases once and twice, discounted ordered pairs; by integrals over time."""
    roots = [q ** (mpf(1) / k) * mp.expjpi(mpf(2 * i) / k) for i in range(k)]

    def density(j, t):
        return mp.re(mp.fsum(rho ** -(k - j - 1) * mp.exp(-lam * t * (1 - rho)) for rho in roots)) * lam / k

    def first(j, t, fade):
        total = mp.mpc(0)
        for rho in roots:
            loss = lam * (1 - rho) + fade
            total += rho ** -(k - j - 1) * (-mp.expm1(-loss * t) / loss)
        return mp.re(total) * lam / k

    steps = (
        [h * i / 4 for i in range(5)]
        + [mpf(k) / lam * i for i in (1, 2, 4, 8, 16, 32)]
        + ([i / delta for i in (1, 4, 16)] if delta else [])
    )
    points = sorted({s for s in steps if s <= h})
    pairs = [
        2 * mp.quad(lambda t: mp.exp(-2 * delta * t) * density(j, t) * q * first(0, h - t, delta), points)
        for j in range(k)
    ]
    return [[first(j, h, delta) for j in range(k)], [first(j, h, 2 * delta) for j in range(k)], pairs]


def point(case):
    k, m, x = case["k"], case["m"], case["x"]
    r, alpha, a, b, t_x, T, h, delta = (mpf(case[name]) for name in ("r", "alpha", "a", "b", "t_x", "T", "h", "delta"))
    R, A, left, u = r + k * x, alpha + T, b + x + m, T - t_x
    reach = (R + k) * min(h / A, 1) + R * u / A
    mp.dps = 50 + min(400, int(2 * k * max(0, mp.log10(k / reach)))) + 8 * k + int(mp.log10(1 + R) * 2)
    ticks, _ = silence(k, R, u / A)
    log_likelihood, alive = likelihood(k, m, r, alpha, a, b, x, t_x, T)
    mean, pairs, stays = expected(k, ticks, R, A, a, left, h) if alive > mpf(10) ** -290 else [mpf(0)] * 3
    dead = mp.log(alpha + t_x)
    log_rate = mp.psi(0, R) - mp.log(k) - (1 - alive) * dead
    log_rate += alive * mp.fsum(w * (mp.fsum(1 / (R + i) for i in range(j)) - mp.log(A)) for j, w in enumerate(ticks))
    out = {
        "log_likelihood": log_likelihood,
        "p_alive": alive,
        "mean": alive * mean,
        "pairs": alive * pairs,
        "survival": alive * stays,
        "any": alive * mp.fsum(w * at_least(k - j, R + j, h / (A + h)) for j, w in enumerate(ticks)),
        "pmf": pmf(k, alive, ticks, R, A, a, left, h, 3),
        "log_rate": log_rate,
    }
    if delta:
        out["endless"] = alive * endless(k, ticks, R, A, a, left, delta)
    if case.get("integrate"):
        again = likelihood_by_integration(k, m, r, alpha, a, b, x, t_x, T)
        assert abs(again - log_likelihood) < mpf(10) ** -25 * (1 + abs(again)), case
    out = {name: [float(v) for v in value] if isinstance(value, list) else float(value) for name, value in out.items()}
    return {**case, **out}


def chain_point(case):
    mp.dps = 120
    k = case["k"]
    lam, q, h, delta = (mpf(case[name]) for name in ("rate", "q", "h", "delta"))
    mean, squares, pairs = chain(k, lam, q, h, delta)
    return {**case, **{n: [float(v) for v in vs] for n, vs in (("mean", mean), ("squares", squares), ("pairs", pairs))}}


def hard():
    parameters = [
        (0.35, 1.13, 0.52, 2.79), (1.33, 2.81, 0.42, 0.79), (0.24, 4.4, 1.0, 2.4), (0.24, 4.4, 1.0 + 1e-7, 2.4),
        (0.05, 0.5, 0.1, 0.5), (3.0, 100.0, 5.0, 2.0), (0.5, 0.01, 0.8, 0.3), (10.0, 1.0, 20.0, 1.0),
        (2.0, 10.0, 150.0, 400.0), (20.0, 60.0, 0.01, 3.0),
    ]  # fmt: skip
    histories = [(0, 0.0, 0.0), (0, 0.0, 39.0), (2, 30.4, 38.9), (2, 38.9, 38.9), (60, 50.0, 78.0), (200, 77.0, 78.0)]
    rng = random.Random(1)
    fading = [0.0, 0.0, 0.002, 0.0, 0.2]
    for i, (r, alpha, a, b) in enumerate(parameters):
        for x, t_x, T in histories:
            yield {
                "k": rng.choice([1, 2, 2, 3, 4, 8]), "m": rng.choice([0, 1]), "r": r, "alpha": alpha, "a": a, "b": b,
                "x": x, "t_x": t_x, "T": T, "h": rng.choice([0.1, 39.0, 520.0]),
                "delta": fading[i % 5] if x in (2, 200) else 0.0,
                "integrate": i < 4 and x in (0, 2),
            }  # fmt: skip


def extreme(count):
    rng = random.Random(2)

    def any_size(low, high):
        return float(f"{10 ** rng.uniform(low, high):.6g}")

    for i in range(count):
        x = rng.choice([0, 0, 1, 2, 5, 30, 200, 3000, 10_000])
        T = any_size(-1, 4)
        t_x = (
            0.0
            if x == 0
            else rng.choice([T, T * (1 - 1e-6), T * (1 - rng.random() / (1 + x)), T * rng.random(), T * 1e-4])
        )
        r, alpha, a, b = (any_size(-4, 4) for _ in range(4))
        if i % 8 == 0:
            a = 1.0
        if i % 8 == 1:
            r = rng.choice([1e-4, 1e4])
        if i % 8 == 2:
            a, b = rng.choice([1e-4, 1e4]), rng.choice([1e-4, 1e4])
        k = [1, 2, 2, 3, 2, 3, 4, 2, 3, 6][i % 10] if i % 60 != 59 else 12
        yield {
            "k": k, "m": rng.choice([0, 1]), "r": r, "alpha": alpha, "a": a, "b": b,
            "x": x, "t_x": t_x, "T": T, "h": any_size(-2, 4), "delta": 0.0,
        }  # fmt: skip


def chains():
    rng = random.Random(3)
    for i in range(40):
        k = [1, 2, 3, 2, 6][i % 5]
        yield {
            "k": k, "rate": float(f"{10 ** rng.uniform(-4, 3):.6g}"),
            "h": float(f"{10 ** rng.uniform(-1, 2.5):.6g}"),
            "q": rng.choice([1 - 1e-12, 0.999, 0.8, 0.3, 1e-3]),
            "delta": rng.choice([0.0, 0.002, 0.1, 3.0]),
        }  # fmt: skip


def in_time(job):
    """A point, or nothing if it takes more than two minutes: a few dozen do, and many more than sixty digits."""

    def stop(*_):
        raise TimeoutError

    signal.signal(signal.SIGALRM, stop)
    signal.alarm(120)
    try:
        return job[0](job[1])
    except TimeoutError:
        return None
    finally:
        signal.alarm(0)


if __name__ == "__main__":
    with Pool(int(sys.argv[1]) if len(sys.argv) > 1 else 1) as pool:
        found = {
            name: [case for case in pool.map(in_time, [(rule, case) for case in cases], chunksize=1) if case]
            for name, rule, cases in (
                ("chain", chain_point, chains()),
                ("hard", point, hard()),
                ("extreme", point, extreme(420)),
            )
        }
    lines = [
        f' "{name}": [\n' + ",\n".join(f"  {json.dumps(case)}" for case in cases) + "\n ]"
        for name, cases in found.items()
    ]
    Path(__file__).with_suffix(".json").write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
