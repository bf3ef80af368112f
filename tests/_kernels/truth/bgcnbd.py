"""Sixty digits and more of (M)BG/CNBD-k, by other roads than the kernel takes; writes bgcnbd.json beside itself.

The kernel doubles time. Here what a customer buys is a sum over the ticks of her clock, which are negative binomial,
with the beta's own moments: all terms are positive. Where there are more than some 100,000 ticks the drop-out is
integrated over numerically and the renewal density is a sum over the complex k-th roots of q, whose cancellation costs
digits that mpmath has. Discounted purchases are integrals over time of the density of each purchase (eighteen digits,
all positive); where there are too many to count, and for their pairs, those sums over roots are integrated over time by
hand and over rate and drop-out numerically (gmpy2, as many digits as they need). The two agree to thirteen digits.
Without end they are geometric sums. On some points the likelihood is integrated over the latent rate and drop-out from
the model's definition. Fixed rates and chances ("chain") integrate the renewal density over time.

    python tests/_kernels/truth/bgcnbd.py [processes]
"""

import math
import random
import sys
from functools import lru_cache
from pathlib import Path

import gmpy2
import numpy as np
from _tools import (
    any_size,
    beta_nodes,
    gamma_nodes,
    legendre,
    log,
    log_beta,
    log_sum,
    loggamma,
    long,
    parameters,
    run,
    slopes,
    write,
)  # fmt: skip
from mpmath import mp, mpf

mp.dps = 60
MOST_TICKS, FEWER_TICKS, MOST_PURCHASES = 30_000, 3_000, 40
COUNTS = (0, 1, 2, 3)
NAMES = [
    "log_likelihood", "p_alive", "log_rate", "survival", "mean", "mean_pairs", "any", "discounted", "squares", "pairs",
    "endless", "endless_pairs", *(f"pmf_{n}" for n in COUNTS),
]  # fmt: skip
SLOPES = [*(f"gradient_{i}" for i in range(4)), *(f"hessian_{i}{j}" for i in range(4) for j in range(i, 4))]
CHAIN = [f"{name}_{j}" for name in ("mean", "squares", "pairs") for j in range(6)]


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


def over_chances(a, b, tilt, answer, halvings=0):
    """The average of answer(q, p) over beta(a, b), by nodes of which every second gives nearly the same."""
    fine, coarse = [mpf(0)] * 3, [mpf(0)] * 3
    for p, q, weight, double in beta_nodes(a, b, tilt, halvings):
        for n, part in enumerate(answer(q, p)):
            fine[n] += weight * part
            coarse[n] += double * part
    if any(abs(x - y) > 3e-6 * abs(x) and x > mpf(10) ** -300 for x, y in zip(fine, coarse, strict=True)):
        assert halvings < 4
        return over_chances(a, b, tilt, answer, halvings + 1)
    return fine


def expected(k, ticks, R, A, a, b, h):
    """(E[purchases], E[ordered pairs], P(stays)) within h, for one who is still there."""
    c = h / A
    share = c / (1 + c)
    roots = [mp.expjpi(mpf(2 * i) / k) for i in range(k // 2 + 1)]
    tails = [[at_least(n * k - j, R + j, share) for n in range(1, 5)] for j in range(k)]

    exactly = [mpf(0)] * 5  # P(n purchases), for those who stay
    for j, weight in enumerate(ticks):
        term = weight * mp.exp((R + j) * mp.log1p(-share))
        for i in range(5 * k - j):
            exactly[(i + j) // k] += term
            term *= (R + j + i) * share / (i + 1)

    def answer(q, p):
        mean, pairs, stays = mpf(0), mpf(0), mpf(0)
        if q < mpf(10) ** -8:  # few purchases: the sum itself
            for weight, tail in zip(ticks, tails, strict=True):
                mean += weight * mp.fsum(q**n * tail[n] for n in range(4))
                pairs += weight * mp.fsum(2 * n * q**n * tail[n] for n in range(4))
            return mean, pairs, mp.fsum(q**n * chance for n, chance in enumerate(exactly))
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

    return over_chances(a, b, (R + k) * max(c, 1), answer)


def tick_chances(R, share, least):
    """P(i ticks), negative binomial, until the rest is nothing beside P(``least`` ticks); None if they are too many."""
    if many(R, share) + least > MOST_TICKS:
        return None
    out, term, mean = [], mp.exp(R * mp.log1p(-share)), R * share / (1 - share)
    for i in range(least + 1):
        out.append(term)
        term *= (R + i) * share / (i + 1)
    end, i = mpf(10) ** -30 * (1 - share) * out[least], least + 1
    while i < mean or term > end:
        out.append(term)
        term *= (R + i) * share / (i + 1)
        i += 1
    return out


def many(R, share):
    """More ticks than this are as good as impossible."""
    mean = R * share / (1 - share)
    return int(mean + 14 * mp.sqrt(mean / (1 - share)) + 75 / -mp.log(share))


def by_ticks(k, ticks, R, A, a, b, h):
    """(E[purchases], E[ordered pairs], P(stays)) within h, for one who is there: sums over the ticks; or None."""
    share = h / (A + h)
    mean = pairs = leaves = mpf(0)
    for j, weight in enumerate(ticks):
        chances = tick_chances(R + j, share, 3 * k - j)
        if chances is None:
            return None
        tails = chances[:]
        for i in range(len(tails) - 2, -1, -1):
            tails[i] += tails[i + 1]
        stayed = mpf(1)  # E[q^(n-1)]
        for n in range(1, (len(tails) - 1 + j) // k + 1):
            tail = weight * tails[n * k - j]
            mean += stayed * tail
            pairs += 2 * (n - 1) * stayed * tail
            leaves += stayed * a / (a + b + n - 1) * tail
            stayed *= (b + n - 1) / (a + b + n - 1)
    return mean, pairs, leaves


def stays_by_ticks(k, ticks, R, A, a, b, h):
    """P(stays), by the purchases that she survives."""
    share = h / (A + h)
    total = mpf(0)
    for j, weight in enumerate(ticks):
        stayed, purchases = mpf(1), 0
        for i, chance in enumerate(tick_chances(R + j, share, k - j)):
            while (i + j) // k > purchases:
                stayed *= (b + purchases) / (a + b + purchases)
                purchases += 1
            total += weight * stayed * chance
    return total


def discounted(k, ticks, R, A, a, b, h, delta):
    """Discounted purchases and pairs within h, by integrals over time of the density of each purchase: or what there
    are not too many of."""
    share = h / (A + h)
    sums = [np.longdouble(0)] * 3
    alone = True
    for j, weight in enumerate(ticks):
        count = many(R + j, share)
        if count > FEWER_TICKS:
            return None, None, None
        most = max((count + j) // k + 2, 2)
        alone &= most <= MOST_PURCHASES
        end, low, places = min(h, 80 / delta) if delta else h, mpf(0), []
        high = min(A / (R + k) / 4, 1 / (8 * delta) if delta else end, end)
        while low < end:
            places += [(low + (high - low) * z, (high - low) * w) for z, w in legendre(24, 60)]
            low, high = high, min(2 * high, end)
        t, w = (long(column) for column in zip(*places, strict=True))
        R_, A_, d, a_, b_ = long([R + j, A, delta, a, b])
        first = long([mp.log(weight) if weight else mpf(-4000)])[0]
        # ln of the density of the N-th tick: G(R+N)/(G(R) (N-1)!) A^R t^(N-1) / (A+t)^(R+N)
        density = first + np.log(R_ / A_) - (R_ + 1) * np.log1p(t / A_)
        rise = np.log(t / (A_ + t))
        stayed, fade, n = np.longdouble(1), np.exp(-d * t), 0
        for N in range(1, most * k - j + 1):
            if (N + j) % k == 0:
                n += 1
                here = w * stayed * np.exp(density) * fade
                sums[0] += here.sum()
                sums[1] += (here * fade).sum()
                if alone:
                    for earlier in range(1, n):
                        sums[2] += 2 * (here * earlier_fade(earlier * k - j, (n - earlier) * k, d * t)).sum()
                stayed = stayed * (b_ + n - 1) / (a_ + b_ + n - 1)
            density = density + np.log((R_ + N) / N) + rise
    sums = [mpf(str(each)) for each in sums]
    return sums[0], sums[1], sums[2] if alone else None


def earlier_fade(N, L, z):
    """E[e^(-z B)] over beta(N, L): where tick N falls within the time of tick N + L."""
    term = np.exp(-z)
    out, i = term.copy(), 0
    while i < z.max() + 30 or np.any(term > 1e-21 * out):
        term = term * z * (np.longdouble(L + i) / np.longdouble(N + L + i)) / (i + 1)
        out += term
        i += 1
    return out


@lru_cache(maxsize=64)
def roots_of_one(k, bits):
    """Of the upper half circle; each stands for ``twins`` of them, itself and its conjugate."""
    with gmpy2.context(precision=bits):
        turn = 2 * gmpy2.const_pi() / k
        return [
            (gmpy2.mpc(gmpy2.cos(turn * n), gmpy2.sin(turn * n)), 1 if 2 * n in (0, k) else 2)
            for n in range(k // 2 + 1)
        ]


def many_digits(value):
    return gmpy2.mpfr(mp.nstr(value, 50))


def given(k, coefficients, lam, p, q, h, d, bits):
    """Discounted purchases, once and twice, and pairs within h at a rate and a chance: their density is a sum of
    exponentials lam (1 - rho) over the roots rho^k = q, and so is that of the next ones."""
    size = gmpy2.root(q, k)
    fall, halves = gmpy2.exp(-d * h), []
    for n, (w, twins) in enumerate(roots_of_one(k, bits)):
        rho = size * w
        lost = p / sum(size**e for e in range(k)) if n == 0 else 1 - rho
        loss = lam * lost + d
        halves.append((rho, loss, gmpy2.exp(-loss * h), twins))
    around = [(rho ** (1 - k) / loss, loss, left) for rho, loss, left, _ in halves]
    around += [
        tuple(z.conjugate() for z in each) for each, (*_, twins) in zip(around, halves, strict=True) if twins == 2
    ]
    once = twice = pairs = gmpy2.mpfr(0)
    for rho, loss, left, twins in halves:
        share = twins * sum(c * rho ** (j + 1 - k) for j, c in enumerate(coefficients))
        faded = left * fall
        second = (1 - faded) / (loss + d)
        once += (share * (1 - left) / loss).real
        twice += (share * second).real
        pairs += (share * sum(w * (second - (end - faded) / (loss + d - c)) for w, c, end in around)).real
    return once * lam / k, twice * lam / k, pairs * 2 * q * (lam / k) ** 2


def by_roots(k, ticks, R, A, a, b, h, delta, halvings=0):
    """The same three for any number of purchases, averaged over rate and drop-out on a grid of which every second row
    and column give nearly the same; what is nothing beside the rest is left out."""
    soon = min(h, 1 / delta)
    rates = gamma_nodes(R, A, h, halvings, k)
    chances = beta_nodes(a, b, rates[-1][0] * soon, halvings)
    log_h, log_soon, log_fade = (float(mp.log(v)) for v in (h, soon, delta * h))
    waited = k - 1 if ticks[-1] else 0

    def roughly(low, log_p, log_q):
        """Logs of about what there is of purchases and of pairs."""
        buys, ticked = max(0.0, min(low + log_soon, -log_p)), low + log_h
        rare = [min(0.0, n * ticked - math.lgamma(n + 1)) for n in (k - waited, 2 * k - waited)]
        return rare[0] + buys, rare[1] + log_q + 2 * buys

    rows = [(*each, float(mp.log(each[0])), float(mp.log(each[1]))) for each in rates]
    columns = [(*each, *(float(mp.log(v)) for v in each[:3])) for each in chances]
    sizes = np.array([[[of + w + v for of in roughly(low, log_p, log_q)] for *_, log_p, log_q, v in columns]
                      for *_, low, w in rows])  # fmt: skip
    rise = np.array([max(0.0, waited * (low + float(mp.log(A / R)))) for *_, low, _ in rows])
    kept = np.any(sizes + rise[:, None, None] > sizes.max(axis=(0, 1)) - 46, axis=2)

    fine, by_rate, by_chance = ([gmpy2.mpfr(0)] * 3 for _ in range(3))
    for i, n in np.argwhere(kept).tolist():
        (rate, weight, low, _), (p, q, at, double, log_p, log_q, _) = rows[i], columns[n]
        lost = -2 * (log_p + log_q) + (2 * k + 2) * max(0.0, math.log(k) - low - log_h) + max(0.0, -log_fade)
        bits = 64 * int((32 + lost / math.log(10)) * 3.33 / 64 + 1)
        with gmpy2.context(precision=bits):
            lam, p, q, end, d, shape, A_ = (many_digits(v) for v in (rate, p, q, h, delta, R, A))
            p, q = (p, 1 - p) if p < q else (1 - q, q)
            grown, coefficients = gmpy2.mpfr(1), []
            for j, share in enumerate(ticks):
                coefficients.append(grown * many_digits(share))
                grown = grown * lam * A_ / (shape + j)
            total = many_digits(weight) * many_digits(at)
            other = many_digits(double / at)
            for m, value in enumerate(given(k, coefficients, lam, p, q, end, d, bits)):
                fine[m] += total * value
                by_rate[m] += 2 * total * value if i % 2 == 0 else 0
                by_chance[m] += other * total * value
    if any(abs(each - f) > 1e-6 * f for f, *others in zip(fine, by_rate, by_chance, strict=True) for each in others):
        assert halvings < 3
        return by_roots(k, ticks, R, A, a, b, h, delta, halvings + 1)
    return [mpf(str(value)) for value in fine]


def endless(k, ticks, R, A, a, b, delta, halvings=0):
    """E[discounted purchases] without end and of their pairs: geometric sums, given rate and drop-out."""
    rates = gamma_nodes(R, A, 1 / delta, halvings, k)
    chances = beta_nodes(a, b, rates[-1][0] / delta, halvings)
    lam, weight = (long(column)[:, None] for column in zip(*rates, strict=True))
    p, q, w, double = (long(column) for column in zip(*chances, strict=True))
    d, A_, R_ = long([delta, A, R])
    one, two = lam / (lam + d), lam / (lam + 2 * d)

    def lost(fade):  # 1 - q x^k, x = rate / (rate + fade)
        return p - q * np.expm1(-k * np.log1p(fade / lam))

    lost_one, lost_two = lost(d), lost(2 * d)
    out = []
    for answer in (lambda j: one ** (k - j) / lost_one,
                   lambda j: 2 * two ** (k - j) / lost_two * q * one**k / lost_one):  # fmt: skip
        fine = coarse = np.longdouble(0)
        rise = weight
        for j, share in enumerate(ticks):
            each = long([share])[0] * rise * answer(j)
            fine += (each.sum(axis=0) * w).sum()
            coarse += (2 * each[::2].sum(axis=0) * double).sum()
            rise = rise * lam * A_ / (R_ + j)
        out.append((fine, coarse))
    if any(abs(x - y) > 1e-6 * x for x, y in out):
        assert halvings < 4
        return endless(k, ticks, R, A, a, b, delta, halvings + 1)
    return [mpf(str(x)) for x, _ in out]


def pmf(k, alive, ticks, R, A, a, b, h, most):
    """P(X = 0 .. most): a mixture over the ticks since the last purchase."""
    share = h / (A + h)
    out = []
    for n in range(most + 1):

        def would(n):
            return mp.fsum(
                weight * (at_least(n * k - j, R + j, share) if n * k > j else 1) for j, weight in enumerate(ticks)
            )

        exactly = mp.fsum(
            weight
            * mp.exp(mp.loggamma(R + j + i) - mp.loggamma(R + j) - mp.loggamma(i + 1))
            * mp.exp(i * mp.log(share) + (R + j) * mp.log1p(-share))
            for j, weight in enumerate(ticks)
            for i in range(max(n * k - j, 0), (n + 1) * k - j)
        )
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


def steepness(k, m, params, x, t_x, T):
    """The log-likelihood by its definition: j ticks since the last purchase, or gone."""
    r, alpha, a, b = parameters(*params)
    u = T - t_x
    left = log_beta(a, b + (x + m)) - log_beta(a, b)
    terms = [
        (u**j / mp.factorial(j), left + loggamma(r + (k * x + j)) - (r + (k * x + j)) * log(alpha + T))
        for j in range(k)
    ]
    if x or m:
        left = log_beta(a + 1, b + (x + m - 1)) - log_beta(a, b)
        terms.append((mpf(1), left + loggamma(r + k * x) - (r + k * x) * log(alpha + t_x)))
    return r * log(alpha) - loggamma(r) - x * mp.loggamma(k) + log_sum(terms)


def point(case):
    k, m, *params, x, t_x, T, h, delta = case
    r, alpha, a, b, t_x, T, h, delta = map(mpf, (*params, t_x, T, h, delta))
    R, A, left, u = r + k * x, alpha + T, b + x + m, T - t_x
    mp.dps = 80
    jet = steepness(k, m, params, x, t_x, T)
    ticks, _ = silence(k, R, u / A)
    log_likelihood, alive = likelihood(k, m, r, alpha, a, b, x, t_x, T)
    assert abs(jet.v - log_likelihood) < mpf(10) ** -50 * (1 + abs(jet.v)), case
    out = {"log_likelihood": log_likelihood if T else mpf(0), "p_alive": alive, **slopes(jet)}
    dead = mp.log(alpha + t_x)
    log_rate = mp.psi(0, R) - mp.log(k) - (1 - alive) * dead
    log_rate += alive * mp.fsum(w * (mp.fsum(1 / (R + i) for i in range(j)) - mp.log(A)) for j, w in enumerate(ticks))
    out["log_rate"] = log_rate
    mp.dps = 50
    ahead = by_ticks(k, ticks, R, A, a, left, h)
    if ahead is not None:
        mean, mean_pairs, leaves = ahead
        stays = 1 - leaves if leaves < mpf("0.9") else stays_by_ticks(k, ticks, R, A, a, left, h)
    else:
        reach = (R + k) * min(h / A, 1) + R * u / A
        mp.dps = 50 + min(400, int(2 * k * max(0, mp.log10(k / reach)))) + 8 * k + int(mp.log10(1 + R) * 2)
        mean, mean_pairs, stays = expected(k, ticks, R, A, a, left, h)
    out |= {"mean": alive * mean, "mean_pairs": alive * mean_pairs, "survival": alive * stays}
    mp.dps = 50
    out["any"] = alive * mp.fsum(w * at_least(k - j, R + j, h / (A + h)) for j, w in enumerate(ticks))
    later = known = discounted(k, ticks, R, A, a, left, h, delta)
    if not delta:
        later = mean, mean, mean_pairs
    else:
        if known[2] is None:
            later = by_roots(k, ticks, R, A, a, left, h, delta)
        out["endless"], out["endless_pairs"] = (alive * v for v in endless(k, ticks, R, A, a, left, delta))
    assert all(v is None or abs(v - w) <= mpf(10) ** -12 * w for v, w in zip(known, later, strict=True)), case
    out |= {name: alive * value for name, value in zip(("discounted", "squares", "pairs"), later, strict=True)}
    mp.dps = 120
    out |= dict(zip(NAMES[-4:], pmf(k, alive, ticks, R, A, a, left, h, 3), strict=True))
    if x in (0, 2) and T < 60 and params[0] == 0.35:
        mp.dps = 60
        again = likelihood_by_integration(k, m, r, alpha, a, b, x, t_x, T)
        assert abs(again - log_likelihood) < mpf(10) ** -25 * (1 + abs(again)), case
    return case, out


def chain_point(case):
    mp.dps = 120
    k, *numbers = case
    parts = zip(("mean", "squares", "pairs"), chain(k, *map(mpf, numbers)), strict=True)
    return case, {f"{name}_{j}": v for name, values in parts for j, v in enumerate(values)}


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
            delta = fading[i % 5] if x in (2, 200) else rng.choice([0.0, 0.002, 0.02])
            k, m, h = rng.choice([1, 2, 2, 3, 4, 8]), rng.choice([0, 1]), rng.choice([0.1, 39.0, 520.0])
            yield k, m, r, alpha, a, b, x, t_x, T, h, delta


def extreme(count):
    rng = random.Random(2)

    for i in range(count):
        x = rng.choice([0, 0, 1, 2, 5, 30, 200, 3000, 10_000])
        T = any_size(rng, -1, 4)
        t_x = (
            0.0
            if x == 0
            else float(f"{T * rng.choice([1, 1 - 1e-6, 1 - rng.random() / (1 + x), rng.random(), 1e-4]):.10g}")
        )
        r, alpha, a, b = (any_size(rng, -4, 4) for _ in range(4))
        if i % 8 == 0:
            a = 1.0
        if i % 8 == 1:
            r = rng.choice([1e-4, 1e4])
        if i % 8 == 2:
            a, b = rng.choice([1e-4, 1e4]), rng.choice([1e-4, 1e4])
        k = [1, 2, 2, 3, 2, 3, 4, 2, 3, 6][i % 10] if i % 60 != 59 else 12
        delta = 0.0 if i % 9 == 8 else any_size(rng, -5, 0)
        yield k, rng.choice([0, 1]), r, alpha, a, b, x, min(t_x, T), T, any_size(rng, -2, 4), delta


def chains():
    rng = random.Random(3)
    for i in range(40):
        k = [1, 2, 3, 2, 6][i % 5]
        rate, h = float(f"{10 ** rng.uniform(-4, 3):.6g}"), float(f"{10 ** rng.uniform(-1, 2.5):.6g}")
        yield k, rate, rng.choice([1 - 1e-12, 0.999, 0.8, 0.3, 1e-3]), h, rng.choice([0.0, 0.002, 0.1, 3.0])


if __name__ == "__main__":
    workers = int(sys.argv[1]) if len(sys.argv) > 1 else 2
    found = run(point, [*hard(), *extreme(420)], workers)
    count = len(list(hard()))
    grids, path = {"hard": found[:count], "extreme": found[count:]}, Path(__file__)
    write(path.with_suffix(".json"), NAMES, grids)
    write(path.with_name("bgcnbd_slopes.json"), SLOPES, grids, digits=13)
    write(path.with_name("bgcnbd_chain.json"), CHAIN, {"chain": run(chain_point, list(chains()), workers)})
