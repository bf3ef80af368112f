r"""The BG/BB model of giving or buying at set occasions (Fader, Hardie and Shang 2010, Marketing Science 29(6)).

Time is counted in occasions: yearly appeals, monthly boxes, annual meetings. At the start of each she leaves for good
with her own probability theta, beta(gamma, delta) over customers; a customer who is still there buys with her own
probability p, beta(alpha, beta). She is known by x, the number of the T occasions on which she bought, and t_x, the
last of them (0 if none).

Given that she was there at t_x, p is beta(a, b) and theta beta(g, c), independent, with

    a = alpha + x,  b = beta + t_x - x,  g = gamma,  c = delta + t_x,

and what is left is the chance of m = T - t_x silent occasions: she was there and passed (R), or she left before
occasion t_x + i + 1 (H, a sum over i = 0 .. m - 1 of positive terms that fall). Everything is products of chances, so
that nothing cancels; sums longer than 64 terms are taken as integrals with end corrections, at the same accuracy.
``T``, ``t_x`` and ``x`` are whole numbers (taken to the nearest); a horizon counts the occasions in it.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from retention._kernels.periods import (
    declines,
    log_decline,
    psi_gap,
    psi_gaps,
    run_sum,
    trigamma_gap,
    trigamma_gaps,
)
from retention._kernels.purchases import Ahead, Derivatives, Forecast, Kernel, Params, Rows, summed, value_only

__all__ = ["KERNEL"]

Floats = NDArray[np.float64]


def _whole(rows: Rows) -> Rows:
    """Counts as whole numbers, whatever a change of unit did to their last digit."""
    return Rows(np.rint(rows.x), np.rint(rows.t_x), np.rint(rows.T), rows.log_gaps)


class _Silence(NamedTuple):
    """After her last purchase: shapes of p and theta then, occasions since, log R, log of the chance of having left,
    log of the two together."""

    a: Floats
    b: Floats
    g: Floats
    c: Floats
    m: Floats
    passed: Floats
    left: Floats
    either: Floats


def _shapes(params: Params, rows: Rows, seen: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Shapes of p (a, b) and theta (g, c) given that she was there at occasion ``seen``."""
    alpha, beta, gamma, delta = (np.broadcast_to(np.asarray(p, dtype=np.float64), rows.x.shape) for p in params)
    return np.asarray(alpha + rows.x), np.asarray(beta + (seen - rows.x)), gamma, np.asarray(delta + seen)


def _sums(a: Floats, b: Floats, c: Floats, g: Floats, count: Floats, width: float = 1.0) -> Floats:
    r"""``sum over i < count of (b)_i/(a+b)_i (c)_i/(c+g)_i``: a 3F2 cut short, of falling positive terms."""
    a, b, c, g = (v[:, None] for v in (a, b, c, g))

    def term(r: Any, i: Floats) -> Floats:
        return np.asarray(np.exp(-declines(b[r], a[r], i) - declines(c[r], g[r], i))[None])

    return np.asarray(run_sum(term, count, width=width)[0])


def _any(a: Floats, b: Floats, g: Floats, c: Floats, count: Floats, width: float = 1.0) -> Floats:
    """Chance of at least one purchase in ``count`` occasions (inf allowed) of someone who is there now.

    The first purchase at occasion i + 1: she stays i + 1 times, passes i times, buys.
    """
    far = np.ceil(1e7 * (64 + a + b + c + g))  # here the terms are a power of i plus the middle of the shapes
    total = _sums(a + 1, b, c + 1, g, np.minimum(count, far), width)
    beyond = count > far
    if np.any(beyond):
        middle = ((a + 1) * (b + a / 2) + g * (c + 1 + (g - 1) / 2)) / (a + 1 + g)
        at = np.exp(-log_decline(b, a + 1, far) - log_decline(c + 1, g, far))
        start = far + middle - 0.5
        rises = np.exp((1 + a + g) * np.log1p(0.5 / start))  # from the term at ``far`` to half a step before it
        falls = -np.expm1(-(a + g) * np.log((np.maximum(count, far) + middle - 0.5) / start))
        total = total + np.where(beyond, at * rises * start / (a + g) * falls, 0.0)
    return np.asarray(np.minimum(a / (a + b) * (c / (c + g)) * total, 1.0))


def _silence(params: Params, rows: Rows) -> _Silence:
    a, b, g, c = _shapes(params, rows, rows.t_x)
    return _silent(a, b, g, c, rows.T - rows.t_x)


def _silent(a: Floats, b: Floats, g: Floats, c: Floats, m: Floats) -> _Silence:
    """Of someone who is there, with these shapes, and then is not seen on m occasions."""
    passed = -log_decline(b, a, m) - log_decline(c, g, m)
    with np.errstate(divide="ignore"):
        left = np.log(g / (g + c)) + np.log(_sums(a, b, c, g + 1, m))
    either = np.logaddexp(passed, left)
    sure = either > -0.7  # silence was likely: its distance from certainty is the chance of a purchase
    if np.any(sure):
        either[sure] = np.log1p(-_any(a[sure], b[sure], g[sure], c[sure], m[sure]))
    return _Silence(a, b, g, c, m, passed, left, either)


def _seen(params: Params, rows: Rows) -> Floats:
    """Log-chance of what she did up to her last purchase."""
    alpha, beta, gamma, delta = params
    early = log_decline(beta, alpha, rows.t_x - rows.x) + log_decline(alpha, beta + (rows.t_x - rows.x), rows.x)
    return np.asarray(-early - log_decline(delta, gamma, rows.t_x))


def log_likelihoods(params: Params, rows: Rows) -> Floats:
    """Equation 3 of the paper, factored so that all logs have one sign: right in every digit even next to 0."""
    rows = _whole(rows)
    return np.asarray(_seen(params, rows) + _silence(params, rows).either)


def rowwise(params: Params, rows: Rows) -> Derivatives:
    """Values with gradient and Hessian by log-parameters: means and second moments over when she may have left."""
    rows = _whole(rows)
    quiet = _silence(params, rows)
    values = _seen(params, rows) + quiet.either
    first, second = _past(params, rows)
    # The chances of having left and of being there, given what was seen; what is tiny meets what is huge below.
    odds, there = (np.exp(np.minimum(way - quiet.either, 0.0)) for way in (quiet.left, quiet.passed))
    e, ee = _later(quiet.a[:, None], quiet.b[:, None], quiet.c[:, None], quiet.g[:, None], quiet.m[:, None])
    e, ee = e[:, :, 0], ee[:, :, :, 0]
    mean, square = _departed(quiet)
    slope = there * e + odds * mean
    first += slope
    second += there * (e[:, None] * e[None] + ee) + odds * square - slope[:, None] * slope[None]
    theta = np.stack([np.broadcast_to(np.asarray(p, dtype=np.float64), rows.x.shape) for p in params])
    gradient = first * theta
    hessian = second * theta[:, None] * theta[None]
    hessian[range(4), range(4)] += gradient
    return values, gradient, hessian


def _past(params: Params, rows: Rows) -> tuple[Floats, Floats]:
    """Derivatives of ``_seen``."""
    alpha, beta, gamma, delta = params
    x, t_x = rows.x, rows.t_x
    n = len(x)
    first, second = np.zeros((4, n)), np.zeros((4, 4, n))
    together, leaving = psi_gap(alpha + beta, t_x), psi_gap(gamma + delta, t_x)
    first[0], first[1] = psi_gap(alpha, x) - together, psi_gap(beta, t_x - x) - together
    first[2], first[3] = -leaving, psi_gap(delta, t_x) - leaving
    second[:2, :2] = trigamma_gap(alpha + beta, t_x)
    second[2:, 2:] = trigamma_gap(gamma + delta, t_x)
    second[0, 0] -= trigamma_gap(alpha, x)
    second[1, 1] -= trigamma_gap(beta, t_x - x)
    second[3, 3] -= trigamma_gap(delta, t_x)
    return first, second


def _later(a: Floats, b: Floats, c: Floats, g: Floats, i: Floats) -> tuple[Floats, Floats]:
    """First and second derivatives by (a, b, g, c) of ``-log_decline(b, a, i) - log_decline(c, g, i)``."""
    whole = i.shape[0] == 1 and i.shape[1] > 1
    gap, gap1 = (psi_gaps, trigamma_gaps) if whole or i.shape[1] > 1 else (psi_gap, trigamma_gap)
    both, leaving = gap(a + b, i), gap(c + g, i)
    first = np.stack([-both, gap(b, i) - both, -leaving, gap(c, i) - leaving])
    second = np.zeros((4, 4, *both.shape))
    second[:2, :2] = gap1(a + b, i)
    second[2:, 2:] = gap1(c + g, i)
    second[1, 1] -= gap1(b, i)
    second[3, 3] -= gap1(c, i)
    return first, second


_UPPER = np.triu_indices(4)


def _departed(quiet: _Silence) -> tuple[Floats, Floats]:
    """Given that she has left: mean of the first derivatives of the log-terms, and of their squares plus the second."""
    n = len(quiet.m)
    a, b, g, c = (v[:, None] for v in quiet[:4])
    scale = (np.log(g / (g + c)))[:, 0] - np.where(np.isfinite(quiet.left), quiet.left, 0.0)
    entry = np.stack([0 * g, 0 * g, c / g / (g + c), -1 / (g + c)])  # derivatives of log(g / (g + c))
    entries = np.zeros((4, 4, n, 1))
    entries[2:, 2:] = (g + c) ** -2.0
    entries[2, 2] -= g**-2.0

    def term(r: Any, i: Floats) -> Floats:
        weight = np.exp(scale[r, None] - declines(b[r], a[r], i) - declines(c[r], g[r] + 1, i))
        e, ee = _later(a[r], b[r], c[r], g[r] + 1, i)
        e = e + entry[:, r]
        ee = ee + entries[:, :, r] + e[:, None] * e[None]
        return np.concatenate([e * weight, ee[_UPPER] * weight])

    moments = run_sum(term, quiet.m, parts=14, block=256, width=1.0)
    square = np.zeros((4, 4, n))
    square[_UPPER] = square[_UPPER[::-1]] = moments[4:]
    return moments[:4], square


def p_alive(params: Params, rows: Rows) -> Floats:
    """Probability that she had not left at occasion T. The paper's figures are for the next: ``survival`` one ahead."""
    rows = _whole(rows)
    quiet = _silence(params, rows)
    return np.exp(np.minimum(quiet.passed - quiet.either, 0.0))


def survival(params: Params, rows: Rows, ahead: float) -> Floats:
    """Probability of still being there at occasion T + ahead (whole occasions count); equation 11 for ``ahead`` = 1."""
    rows = _whole(rows)
    _, _, g, c = _shapes(params, rows, rows.T)
    return np.asarray(p_alive(params, rows) * np.exp(-log_decline(c, g, _occasions(ahead))))


def _occasions(horizon: float) -> float:
    """Whole occasions in a horizon; one that lacks a tenth of a period or less (months are unequal) is in."""
    return float(np.floor(horizon + 0.1)) if np.isfinite(horizon) else float(horizon)


def _once_each(rule: Callable[..., Floats], *values: Floats) -> Floats:
    """A dear answer once for every distinct combination of the values."""
    distinct, which = np.unique(np.stack(values), axis=1, return_inverse=True)
    return np.asarray(rule(*distinct)[which.reshape(-1)])


def _stays(g: Floats, c: Floats, count: float, delta: float, pairs: bool, width: float) -> Floats:
    r"""``sum over k = 1 .. count of e^{-delta k} P(stays k more) w(k)`` for distinct (g, c); ``w`` is 1, or, for
    pairs, the sum of e^{-delta j} over j < k."""
    many = np.full(g.shape, count if delta <= 0 else min(count, np.ceil(80 + 60 / delta)))
    g, c = g[:, None], c[:, None]
    # Growth instead of discount: add up one by one, for the smooth end would be the largest part.
    exact = 64 if delta >= 0 else int(many.max(initial=0.0))

    def term(r: Any, i: Floats) -> Floats:
        terms = np.exp(-declines(c[r] + 1, g[r], i) - delta * (i + 1))
        if pairs:
            terms = terms * (i if delta == 0 else -np.expm1(-delta * i) / np.expm1(delta))
        return terms[None]

    return np.asarray((c / (c + g))[:, 0] * run_sum(term, many, exact=exact, width=width)[0])


def forecast(
    params: Params, rows: Rows, horizon: float, delta: float = 0.0, second: bool = False, rough: bool = False
) -> Forecast:
    """Purchases at the next occasions; one at occasion T + k is discounted by exp(-delta k).

    The mean is P(alive) E[p] times a sum that depends on T alone: with an infinite horizon the DERT of the paper's
    appendix, whose discount factor is 1 / (1 + d) = exp(-delta).
    """
    rows, count = _whole(rows), _occasions(horizon)
    n = len(rows.x)
    if count <= 0 or n == 0:
        return Forecast(*(np.zeros(n) for _ in range(4)))
    a, b, g, c = _shapes(params, rows, rows.T)
    alive = p_alive(params, rows)
    width = 2.0 if rough else 1.0

    def stays(rate: float, pairs: bool = False) -> Floats:
        return _once_each(lambda g, c: _stays(g, c, count, rate, pairs, width), g, c)

    once = alive * (a / (a + b))
    mean = once * stays(delta)
    ever = alive * _once_each(lambda a, b, g, c: _any(a, b, g, c, np.full(a.shape, count), width), a, b, g, c)
    if not second:
        return Forecast(mean, np.zeros(n), np.zeros(n), ever)
    twice = once * ((a + 1) / (a + b + 1))
    return Forecast(mean, once * stays(2 * delta), 2 * twice * stays(delta, pairs=True), ever)


def pmf(params: Params, rows: Rows, horizon: float, most: int) -> Floats:
    """P(X = 0 .. most) at the next occasions: a mixture, over how many she will still be there for, of beta-binomials.

    Equation 12 of the paper, given her history. Cost grows with rows times ``most`` times the horizon.
    """
    rows, count = _whole(rows), int(_occasions(horizon))
    a, b, g, c = _shapes(params, rows, rows.T)
    n = len(a)
    quiet = _silence(params, rows)
    alive, gone = (np.exp(np.minimum(way - quiet.either, 0.0)) for way in (quiet.passed, quiet.left))
    out = np.zeros((n, most + 1))
    out[:, 0] = gone + alive * np.exp(_silent(a, b, g, c, np.full(n, float(count))).either)
    for k in range(1, min(most, count) + 1):
        start = np.log(g / (g + c + k)) - log_decline(b, a, 0.0) - log_decline(a, b, float(k)) - log_decline(c, g, k)
        i = np.arange(k, count, dtype=np.float64)
        for lot in np.array_split(np.arange(n), max(1, n * len(i) // 2_000_000)):
            A, B, G, C = (v[lot, None] for v in (a, b, g, c))
            # The i-th term: she leaves after i occasions, k of them with a purchase. The last: she does not leave.
            steps = ((i + 1) / (i + 1 - k)) * ((B + i - k) / (A + B + i)) * ((C + i) / (G + 1 + C + i))
            logs = np.concatenate([np.zeros((len(lot), 1)), np.cumsum(np.log(steps), axis=1)], axis=1)
            logs[:, -1] += np.log1p((C[:, 0] + count) / G[:, 0])
            peak = logs.max(axis=1)
            summed_up = np.log(np.exp(logs - peak[:, None]).sum(axis=1))
            out[lot, k] = alive[lot] * np.exp(start[lot] + peak + summed_up)
    return out


def log_rate(params: Params, rows: Rows) -> Floats:
    """Posterior mean of log p: the score of alpha and the prior mean, all of one sign."""
    quiet = _silence(params, _whole(rows))
    a, b = quiet.a, quiet.b
    odds, there = (np.exp(np.minimum(way - quiet.either, 0.0)) for way in (quiet.left, quiet.passed))
    mean, _ = _departed(quiet)
    return np.asarray(-psi_gap(a, b) - there * psi_gap(a + b, quiet.m) + odds * mean[0])


def _stay_draws(theta: Floats, rng: np.random.Generator) -> Floats:
    """Occasions she stays for, each with chance 1 - theta (inf if theta is 0)."""
    with np.errstate(divide="ignore"):
        return np.asarray(np.floor(-rng.exponential(size=len(theta)) / np.log1p(-theta)))


def simulate(params: Params, T: Floats, rng: np.random.Generator) -> Rows:
    """Customers as the model makes them; the last purchase is drawn by counting silent occasions backwards."""
    n = len(T)
    alpha, beta, gamma, delta = params
    p, theta = rng.beta(alpha, beta, n), rng.beta(gamma, delta, n)
    there = np.minimum(_stay_draws(theta, rng), T)
    with np.errstate(divide="ignore"):
        silent = np.floor(-rng.exponential(size=n) / np.log1p(-p))
    bought = silent < there
    t_x = np.where(bought, there - np.where(bought, silent, 0.0), 0.0)
    x = np.where(bought, 1.0 + rng.binomial(np.maximum(t_x - 1, 0.0).astype(np.int64), p), 0.0)
    return Rows(x, t_x, np.asarray(T, dtype=np.float64).copy(), np.zeros(n))


def ahead(params: Params, rows: Rows, horizon: float, delta: float, rng: np.random.Generator) -> Ahead:
    """One draw of each customer's next occasions; without an end, those whose discount factor is above 1e-17."""
    rows, count = _whole(rows), _occasions(horizon)
    a, b, g, c = _shapes(params, rows, rows.T)
    n = len(a)
    there = rng.random(n) < p_alive(params, rows)
    p, theta = rng.beta(a, b), rng.beta(g, c)
    stays = np.where(there, np.minimum(_stay_draws(theta, rng), count), 0.0)
    with np.errstate(divide="ignore", over="ignore"):
        factor = np.log1p(-theta) - delta  # log of one occasion's discount and staying
        tiny = np.abs(factor) < 1e-300
        each = -np.expm1(np.where(tiny, -1.0, factor))
        full = np.exp(factor) * -np.expm1(count * np.where(tiny, -1.0, factor)) / each
    expected = there * p * np.where(tiny, count, full)
    if delta > 0:
        stays = np.minimum(stays, np.ceil(40 / delta))
    counts, discounted, clock = np.zeros(n), np.zeros(n), np.zeros(n)
    going = np.flatnonzero((stays > 0) & (p > 0))
    with np.errstate(divide="ignore"):
        passing = np.log1p(-p)
    while len(going):
        clock[going] += 1 + np.floor(-rng.exponential(size=len(going)) / passing[going])
        going = going[clock[going] <= stays[going]]
        counts[going] += 1
        discounted[going] += np.exp(-delta * clock[going])
    return Ahead(counts, discounted, expected)


KERNEL = Kernel(
    names=("alpha", "beta", "gamma", "delta"),
    time_power=(0, 0, 0, 0),
    log_likelihoods=log_likelihoods,
    rowwise=rowwise,
    total=summed(rowwise),
    values=value_only(log_likelihoods),
    p_alive=p_alive,
    survival=survival,
    forecast=forecast,
    pmf=pmf,
    log_rate=log_rate,
    simulate=simulate,
    ahead=ahead,
    discrete=True,
)
